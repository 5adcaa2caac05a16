/* SHA-256 with the processor's instructions where it has them. */
int ck_sha256_fd(int fd, unsigned char *out);
