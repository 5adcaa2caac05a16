/* TCP through published ports of an ordinary user: accepted on the host, connected from within the holder's network,
 * and passed on in both directions until both sides have ended. */
#include "holder.h"

#define NO_WAIT 04000		 /* SOCK_NONBLOCK */
#define STREAM 1		 /* SOCK_STREAM */
#define MESSAGE_NO_SIGNAL 0x4000 /* MSG_NOSIGNAL */
#define STOP_WRITING 1		 /* SHUT_WR */
#define LEVEL_SOCKET 1
#define PENDING_ERROR 4 /* SO_ERROR */

static struct stream streams[MAX_STREAMS];

static struct stream *free_stream(void)
{
	for (int i = 0; i < MAX_STREAMS; i++)
		if (!streams[i].outer)
			return &streams[i];
	return NULL;
}

int streams_are_full(void)
{
	return free_stream() == NULL;
}

static void stream_end(struct stream *s)
{
	close_place(&s->outer);
	close_place(&s->inner);
}

void stream_accept(const struct door *door)
{
	struct stream *s = free_stream();
	long outer, inner, result;

	if (!s)
		return;
	outer = sys(accept4, door->fd, NULL, NULL, O_CLOEXEC | NO_WAIT);
	if (outer < 0)
		return;
	inner = sys(socket, *(const unsigned short *)(const void *)door->address, STREAM | O_CLOEXEC | NO_WAIT, 0);
	result = inner < 0 ? inner : sys(connect, inner, door->address, door->size);
	if (result < 0 && result != -EINPROGRESS) {
		sys(close, outer);
		if (inner >= 0)
			sys(close, inner);
		return;
	}
	s->outer = (int)outer;
	s->inner = (int)inner;
	s->is_connecting = result < 0;
	s->in.have = s->in.sent = s->out.have = s->out.sent = 0;
	s->in.ended = s->out.ended = 0;
}

static int has_room(const struct way *way)
{
	return !way->ended && way->have == way->sent;
}

static int has_more(const struct way *way)
{
	return way->have > way->sent;
}

void streams_watch(void)
{
	for (int i = 0; i < MAX_STREAMS; i++) {
		struct stream *s = &streams[i];
		int outer, inner;

		if (!s->outer)
			continue;
		outer = (has_room(&s->in) ? POLLIN : 0) | (has_more(&s->out) ? POLLOUT : 0);
		inner = (has_room(&s->out) ? POLLIN : 0) | (has_more(&s->in) || s->is_connecting ? POLLOUT : 0);
		if (outer && !s->is_connecting)
			poll_for(s->outer, outer, POLLED_OUTER, i);
		if (inner)
			poll_for(s->inner, inner, POLLED_INNER, i);
	}
}

/* Move what can be moved; 0, or -1 when the connection is broken. */
static int pass(struct way *way, int from, int to)
{
	long n;

	if (has_room(way)) {
		n = sys(read, from, way->data, sizeof way->data);
		if (n == 0)
			way->ended = 1;
		else if (n < 0 && n != -EAGAIN && n != -EINTR)
			return -1;
		way->have = n > 0 ? (uint32_t)n : 0;
		way->sent = 0;
	}
	if (has_more(way)) {
		n = sys(sendto, to, way->data + way->sent, way->have - way->sent, MESSAGE_NO_SIGNAL, NULL, 0);
		if (n < 0 && n != -EAGAIN && n != -EINTR)
			return -1;
		way->sent += n > 0 ? (uint32_t)n : 0;
	}
	if (way->ended == 1 && !has_more(way)) {
		sys(shutdown, to, STOP_WRITING);
		way->ended = 2;
	}
	return 0;
}

static int is_connected(struct stream *s)
{
	int error = 0;
	uint32_t size = sizeof error;

	sys(getsockopt, s->inner, LEVEL_SOCKET, PENDING_ERROR, &error, &size);
	s->is_connecting = 0;
	return error == 0;
}

void stream_serve(int index)
{
	struct stream *s = &streams[index];
	int broken;

	if (!s->outer)
		return;
	if (s->is_connecting && !is_connected(s)) {
		stream_end(s);
		return;
	}
	broken = pass(&s->in, s->outer, s->inner) < 0 || pass(&s->out, s->inner, s->outer) < 0;
	if (broken || (s->in.ended == 2 && s->out.ended == 2))
		stream_end(s);
}
