/* A socket of the network namespace of a process, under the number of a descriptor that the caller has already: what
 * was there is closed.  Close-on-exec.  0 or -errno. */
int ck_socket_in(int number, int pidfd, int family, int kind);
