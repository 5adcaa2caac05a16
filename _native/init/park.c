/* Parked starts: the world is made, and the process waits in it for the word to go on.
 *
 * The word is the plan's second half: the steps of the process, which need no path of the host.  The descriptors for
 * its standard streams come with it; the header says which of 0, 1 and 2 they replace. */
#include "init.h"

#define STREAMS 3
#define RECEIVE_CLOEXEC 0x40000000 /* MSG_CMSG_CLOEXEC */
#define ALL_STREAMS ((1 << STREAMS) - 1)

/* Put what was passed in the places that the mask names, from the first on; all of it, or nothing is right. */
static long take_streams(const struct plan_stream_rights *rights, unsigned long control_length, uint64_t mask)
{
	unsigned int passed = 0, used = 0;

	if (control_length > PLAN_RIGHTS_HEAD)
		passed = (rights->length - PLAN_RIGHTS_HEAD) / sizeof(int);
	for (int stream = 0; stream < STREAMS; stream++) {
		long result;
		if (!(mask >> stream & 1))
			continue;
		if (used == passed)
			return -EMFILE; /* no room for them here */
		result = sys(dup3, rights->fds[used], stream, 0);
		if (result < 0)
			return result;
		sys(close, rights->fds[used++]);
	}
	return used == passed ? 0 : -EBADMSG;
}

/* Everything before is done: say so, and wait for the rest of the plan, however long it takes.  An end of the socket
 * is the end of the launcher, or of its interest. */
long op_park(const struct plan_step *step)
{
	struct plan_stream_rights rights = { 0 };
	struct { void *base; unsigned long length; } iov = { plan_next_room(), PLAN_MAX_BYTES };
	struct {
		void *name;
		unsigned int name_length;
		void *iov;
		unsigned long iov_length;
		void *control;
		unsigned long control_length;
		unsigned int flags;
	} message = { NULL, 0, &iov, 1, &rights, sizeof rights, 0 };
	long n;

	(void)step;
	init.about = "parked process";
	status_send(STATUS_PARKED, 0, -1);
	RETRY(n, sys(recvmsg, init.status_fd, &message, RECEIVE_CLOEXEC));
	if (n <= 0)
		return n < 0 ? n : -EPIPE;
	n = plan_continue(n);
	if (n < 0)
		return n;
	return take_streams(&rights, message.control_length, plan_streams() & ALL_STREAMS);
}
