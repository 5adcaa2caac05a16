/* The resolver's decisions, as the keeper of a network takes them, for who wants to know without one. */

/* What is answered to a question.  Endpoints are owners (64 hex digits) and the texts of their files; the client is an
 * address, the subnet the network's, such as 10.89.1.1/24.  limit is at least 512, and reply has that many bytes.
 * The size of the answer, 0 when the question is for a server, -1 when it is worth none; -EINVAL: no such subnet. */
int ck_resolve(const char *const *owners, const char *const *texts, int count, const char *client, const char *subnet,
	       const char *domain, int internal, const unsigned char *question, unsigned int size,
	       unsigned char *reply, unsigned int limit);
