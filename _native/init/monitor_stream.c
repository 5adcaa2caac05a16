/* The container's streams: from its pipes or its terminal to the log and to those who are attached, and back. */
#include "monitor.h"

#define LEVEL_SOCKET 1
#define SEND_BUFFER 7
#define SEND_BUFFER_BEYOND 32 /* SO_SNDBUFFORCE */
#define LAST_OUTPUT (512 * 1024)
#define LARGEST_PIPE (1 << 20)

static const uint32_t WANTED[STREAM_COUNT] = { WANTS_OUT, WANTS_ERR };
static const char KIND[STREAM_COUNT] = { 'o', 'e' };

static int tell_dropped(struct client *client, int stream)
{
	char message[13] = { 'd' };
	uint32_t number = stream;

	memcpy(message + 1, &number, 4);
	memcpy(message + 5, &client->dropped[stream], 8);
	if (client_send(client, message, sizeof message, NULL, 0, -1) < 0)
		return 0;
	client->dropped[stream] = 0;
	return 1;
}

static void send_chunk(struct monitor *m, struct client *client, int stream)
{
	const struct stream *s = &m->streams[stream];
	long result = 0;

	if (client->dropped[stream] && !tell_dropped(client, stream))
		result = -EAGAIN;
	if (result == 0)
		result = client_send(client, &KIND[stream], 1, s->data, s->have, -1);
	client->owed &= ~(1U << stream);
	if (result == -EAGAIN && (client->wants & LOSSLESS))
		client->owed |= 1U << stream;
	else if (result == -EAGAIN)
		client->dropped[stream] += s->have;
	else if (result < 0)
		client_drop(m, client);
}

int stream_owed(const struct monitor *m, int stream)
{
	for (uint32_t i = 0; i < m->client_count; i++)
		if (m->clients[i].owed & (1U << stream))
			return 1;
	return 0;
}

/* A lossless client has room again. */
void stream_settle(struct monitor *m, struct client *client)
{
	for (int i = 0; i < STREAM_COUNT; i++)
		if (client->owed & (1U << i))
			send_chunk(m, client, i);
}

static long read_chunk(struct monitor *m, int stream)
{
	struct stream *s = &m->streams[stream];
	long n = sys(read, s->fd, s->data, sizeof s->data);

	if (n == -EAGAIN || n == -EINTR)
		return n;
	if (n <= 0) {
		close_fd(&s->fd); /* a terminal says EIO when its last user is gone */
		return 0;
	}
	s->have = n;
	log_write(m, stream, s->data, n);
	for (uint32_t i = 0; i < m->client_count; i++)
		if (m->clients[i].wants & WANTED[stream])
			send_chunk(m, &m->clients[i], stream);
	return n;
}

void stream_read(struct monitor *m, int stream)
{
	if (m->streams[stream].fd >= 0)
		read_chunk(m, stream);
}

/* What is still to come fits into a larger socket buffer: then the end waits for no reader. */
static void enlarge_buffers(struct monitor *m)
{
	uint32_t size = LAST_OUTPUT;

	for (uint32_t i = 0; i < m->client_count; i++) {
		struct client *client = &m->clients[i];
		if (!(client->wants & LOSSLESS))
			continue;
		if (sys(setsockopt, client->fd, LEVEL_SOCKET, SEND_BUFFER_BEYOND, &size, sizeof size) < 0)
			sys(setsockopt, client->fd, LEVEL_SOCKET, SEND_BUFFER, &size, sizeof size);
		stream_settle(m, client);
	}
}

void streams_drain(struct monitor *m)
{
	enlarge_buffers(m);
	/* What a pipe can hold, and no more: somebody may still be writing. */
	for (int i = 0; i < STREAM_COUNT; i++)
		for (int n = 0; n < LARGEST_PIPE / CHUNK && m->streams[i].fd >= 0; n++)
			if (read_chunk(m, i) <= 0)
				break;
}

void streams_close(struct monitor *m)
{
	for (int i = 0; i < STREAM_COUNT; i++)
		close_fd(&m->streams[i].fd);
	close_fd(&m->stdin_fd);
	close_fd(&m->terminal_fd);
	m->stdin_have = m->stdin_sent = 0;
	m->stdin_closing = 0;
}

void stdin_write(struct monitor *m)
{
	while (m->stdin_sent < m->stdin_have && m->stdin_fd >= 0) {
		long n = sys(write, m->stdin_fd, m->stdin_data + m->stdin_sent, m->stdin_have - m->stdin_sent);
		if (n == -EAGAIN)
			return;
		if (n < 0 && n != -EINTR) {
			close_fd(&m->stdin_fd); /* the program closed its end: what is written from now on is lost */
			m->stdin_have = m->stdin_sent = 0;
			return;
		}
		m->stdin_sent += n > 0 ? n : 0;
	}
	if (m->stdin_closing)
		stdin_close(m);
}

/* End of file for the program, after all that was written.  A terminal has a character for it. */
void stdin_close(struct monitor *m)
{
	m->stdin_closing = m->stdin_sent < m->stdin_have;
	if (m->stdin_closing || m->stdin_fd < 0)
		return;
	if (m->terminal_fd >= 0)
		sys(write, m->stdin_fd, "\4", 1);
	else
		close_fd(&m->stdin_fd);
}
