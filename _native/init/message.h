/* Messages with descriptors, as recvmsg and sendmsg take them, without a C library. */
#ifndef CKIT_MESSAGE_H
#define CKIT_MESSAGE_H

struct ck_iovec {
	void *base;
	unsigned long length;
};

struct ck_message {
	void *name;
	unsigned int name_length;
	struct ck_iovec *iov;
	unsigned long iov_length;
	void *control;
	unsigned long control_length;
	unsigned int flags;
};

/* One descriptor as ancillary data (a cmsghdr with SCM_RIGHTS), laid out as the kernel wants it. */
struct ck_rights {
	unsigned long length;
	int level, type;
	int fd, padding;
};
#define CK_RIGHTS_LENGTH 20 /* header and one int */

#endif
