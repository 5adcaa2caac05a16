/* Telling the packet filter what to do, and keeping ports of the host for containers. */

/* Sends messages of netlink through a socket of theirs and hears all answers: 0, or the first error with the
 * sequence number of the message that it is about. */
int ck_netlink_tell(int socket, const char *messages, size_t size, unsigned int *about);
/* The same, and whatever else is answered goes into `answers`: how many bytes, or -errno (-EMSGSIZE: no room). */
int ck_netlink_ask(int socket, const char *messages, size_t size, char *answers, size_t room);

/* The first error among answers of the kernel, or 0; -EBADMSG when they are cut off. */
int ck_netlink_first_error(const char *data, size_t size, unsigned int *about);

/* Puts a new socket at address and port, where nothing is ever heard: nobody else can have the port, and what comes
 * there in spite of the packet filter is lost, not refused.  `port` 0 becomes the number that the kernel chose. */
int ck_port_hold(int fd, int family, int kind, const char *address, unsigned short *port);
