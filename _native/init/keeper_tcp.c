/* Questions over TCP: each begins with its size.
 *
 * What is for a server goes there over TCP as well, and its answer is passed on piece by piece as the client takes it. */
#include "keeper.h"

#define STREAM 1
#define DONT_WAIT_NO_SIGNAL 0x4040
#define NONBLOCKING_CLOEXEC (04000 | 02000000)
#define LEVEL_SOCKET 1
#define REUSE_ADDRESS 2
#define LEVEL_IP 0
#define LEVEL_IPV6 41
#define IP_NOT_THERE_YET 15   /* IP_FREEBIND */
#define IPV6_NOT_THERE_YET 78 /* IPV6_FREEBIND */
#define IPV6_ALONE 26	      /* IPV6_V6ONLY */
#define BACKLOG 64
#define SIZE_BYTES 2
#define LONGEST_OWN 16384 /* fits a socket's buffer */
#define IDLE_MS 5000
#define TRY_MS 2000
#define OF_ONE_CLIENT 8

long tcp_listen(struct keeper *k, uint32_t listener)
{
	const struct address *address = &k->config.listens[listener].address;
	union peer here;
	uint32_t size = peer_fill(&here, address, k->config.port);
	long fd = sys(socket, here.family, STREAM | NONBLOCKING_CLOEXEC, 0), result;
	int yes = 1;

	if (fd < 0)
		return fd;
	k->tcp[listener] = fd;
	/* Connections of the keeper before us may still be closing. */
	sys(setsockopt, fd, LEVEL_SOCKET, REUSE_ADDRESS, &yes, sizeof yes);
	if (address->family == 4)
		sys(setsockopt, fd, LEVEL_IP, IP_NOT_THERE_YET, &yes, sizeof yes);
	else
		sys(setsockopt, fd, LEVEL_IPV6, IPV6_NOT_THERE_YET, &yes, sizeof yes);
	if (address->family == 6)
		sys(setsockopt, fd, LEVEL_IPV6, IPV6_ALONE, &yes, sizeof yes);
	result = sys(bind, fd, &here, size);
	return result < 0 ? result : sys(listen, fd, BACKLOG);
}

void connection_close(struct connection *connection)
{
	free_fd(&connection->client_fd);
	free_fd(&connection->server_fd);
}

int tcp_is_full(const struct keeper *k)
{
	for (int i = 0; i < MAX_CONNECTIONS; i++)
		if (k->connections[i].client_fd == 0)
			return 0;
	return 1;
}

/* A free place; NULL when the client has more connections than its share. */
static struct connection *connection_place(struct keeper *k, const struct address *client)
{
	struct connection *free = NULL;
	int open = 0;

	for (int i = 0; i < MAX_CONNECTIONS; i++) {
		if (k->connections[i].client_fd == 0)
			free = free ? free : &k->connections[i];
		else
			open += address_equal(&k->connections[i].client, client);
	}
	return open < OF_ONE_CLIENT ? free : NULL;
}

static void wait_for_question(struct connection *connection)
{
	free_fd(&connection->server_fd);
	connection->state = READ_QUESTION;
	connection->deadline_ms = now_ms() + IDLE_MS;
}

void tcp_accept(struct keeper *k, uint32_t listener)
{
	struct connection *place;
	struct address address;
	union peer peer = { 0 };
	int size = sizeof peer;
	int fd = sys(accept4, k->tcp[listener], &peer, &size, NONBLOCKING_CLOEXEC);

	if (fd < 0)
		return;
	peer_address(&peer, &address);
	place = is_client(k, listener, &address) ? connection_place(k, &address) : NULL;
	if (!place) {
		sys(close, fd);
		return;
	}
	place->client_fd = fd;
	place->client = address;
	place->have = 0;
	wait_for_question(place);
}

short connection_client_events(const struct connection *connection)
{
	if (connection->state == READ_QUESTION)
		return POLLIN;
	return connection->state == RELAY_WRITE ? POLLOUT : 0;
}

short connection_server_events(const struct connection *connection)
{
	if (connection->state == SEND_QUESTION)
		return POLLOUT;
	return connection->state == READ_SIZE || connection->state == RELAY_READ ? POLLIN : 0;
}

/* An answer of our own, all at once or not at all. */
static void send_reply(struct keeper *k, struct connection *connection, size_t size)
{
	k->packet[0] = size >> 8;
	k->packet[1] = size;
	size += SIZE_BYTES;
	if (sys(sendto, connection->client_fd, k->packet, size, DONT_WAIT_NO_SIGNAL, NULL, 0) != (long)size)
		connection_close(connection);
}

static void send_code(struct keeper *k, struct connection *connection, const struct dns_query *query, int code)
{
	struct dns_reply reply = { .data = k->packet + SIZE_BYTES, .limit = DNS_UDP_SMALL };

	dns_reply_begin(&reply, query, connection->data + SIZE_BYTES);
	dns_reply_end(&reply, query, code);
	send_reply(k, connection, reply.size);
}

static void drop_question(struct connection *connection)
{
	connection->have -= connection->question_size;
	memmove(connection->data, connection->data + connection->question_size, connection->have);
	wait_for_question(connection);
}

/* To the next server; after the last one the client hears that it did not work. */
static void ask_server(struct keeper *k, struct connection *connection)
{
	struct dns_query query;

	free_fd(&connection->server_fd);
	while (connection->tries < connection->servers.count) {
		long fd = server_connect(&connection->servers.list[connection->tries++], STREAM);

		if (fd < 0)
			continue;
		connection->server_fd = fd;
		connection->sent = connection->chunk_have = 0;
		connection->state = SEND_QUESTION;
		connection->deadline_ms = now_ms() + TRY_MS;
		return;
	}
	dns_parse(&query, connection->data + SIZE_BYTES, connection->question_size - SIZE_BYTES);
	send_code(k, connection, &query, DNS_SERVFAIL);
	if (connection->client_fd)
		drop_question(connection);
}

static void serve_question(struct keeper *k, struct connection *connection)
{
	const uint8_t *message = connection->data + SIZE_BYTES;
	struct dns_reply reply = { .data = k->packet + SIZE_BYTES, .limit = LONGEST_OWN };
	const struct endpoint *client = client_of(k, &connection->client);
	struct dns_query query;
	int code = dns_parse(&query, message, connection->question_size - SIZE_BYTES);

	if (code < 0) {
		connection_close(connection);
		return;
	}
	dns_reply_begin(&reply, &query, message);
	if (code > 0) {
		send_code(k, connection, &query, code);
	} else if (answer_here(k, &reply, &query, client)) {
		send_reply(k, connection, reply.size);
	} else {
		servers_for(k, client, &connection->servers);
		connection->tries = 0;
		ask_server(k, connection);
		return;
	}
	if (connection->client_fd)
		drop_question(connection);
}

/* Whole questions that have arrived, until one is for a server. */
static void serve_questions(struct keeper *k, struct connection *connection)
{
	while (connection->client_fd && connection->state == READ_QUESTION && connection->have >= SIZE_BYTES) {
		connection->question_size = SIZE_BYTES + (connection->data[0] << 8 | connection->data[1]);
		if (connection->question_size > sizeof connection->data)
			connection_close(connection);
		else if (connection->have < connection->question_size)
			return;
		else
			serve_question(k, connection);
	}
}

static void read_question(struct keeper *k, struct connection *connection)
{
	long size = sys(recvfrom, connection->client_fd, connection->data + connection->have,
			sizeof connection->data - connection->have, DONT_WAIT_NO_SIGNAL, NULL, NULL);

	if (size == -EAGAIN || size == -EINTR)
		return;
	if (size <= 0) {
		connection_close(connection);
		return;
	}
	connection->have += size;
	names_refresh(k);
	serve_questions(k, connection);
}

static void send_question(struct keeper *k, struct connection *connection)
{
	long size = sys(sendto, connection->server_fd, connection->data + connection->sent,
			connection->question_size - connection->sent, DONT_WAIT_NO_SIGNAL, NULL, 0);

	if (size == -EAGAIN || size == -EINTR)
		return;
	if (size < 0) {
		ask_server(k, connection);
		return;
	}
	connection->sent += size;
	if (connection->sent == connection->question_size)
		connection->state = READ_SIZE;
}

/* The first bytes are the answer's size; until they are there another server may still be asked. */
static void read_size(struct keeper *k, struct connection *connection)
{
	long size = sys(recvfrom, connection->server_fd, connection->chunk + connection->chunk_have,
			SIZE_BYTES - connection->chunk_have, DONT_WAIT_NO_SIGNAL, NULL, NULL);

	if (size == -EAGAIN || size == -EINTR)
		return;
	if (size <= 0) {
		ask_server(k, connection);
		return;
	}
	connection->chunk_have += size;
	if (connection->chunk_have < SIZE_BYTES)
		return;
	connection->left = connection->chunk[0] << 8 | connection->chunk[1];
	connection->chunk_sent = 0;
	connection->state = RELAY_WRITE;
	connection->deadline_ms = now_ms() + IDLE_MS;
}

static void relay_read(struct connection *connection)
{
	uint32_t room = connection->left < sizeof connection->chunk ? connection->left : sizeof connection->chunk;
	long size = sys(recvfrom, connection->server_fd, connection->chunk, room, DONT_WAIT_NO_SIGNAL, NULL, NULL);

	if (size == -EAGAIN || size == -EINTR)
		return;
	if (size <= 0) {
		connection_close(connection);
		return;
	}
	connection->left -= size;
	connection->chunk_have = size;
	connection->chunk_sent = 0;
	connection->state = RELAY_WRITE;
}

static void relay_write(struct keeper *k, struct connection *connection)
{
	long size = sys(sendto, connection->client_fd, connection->chunk + connection->chunk_sent,
			connection->chunk_have - connection->chunk_sent, DONT_WAIT_NO_SIGNAL, NULL, 0);

	if (size == -EAGAIN || size == -EINTR)
		return;
	if (size < 0) {
		connection_close(connection);
		return;
	}
	connection->chunk_sent += size;
	if (connection->chunk_sent < connection->chunk_have)
		return;
	connection->state = RELAY_READ;
	if (connection->left == 0) {
		drop_question(connection);
		serve_questions(k, connection);
	}
}

void connection_serve(struct keeper *k, struct connection *connection)
{
	switch (connection->state) {
	case READ_QUESTION:
		read_question(k, connection);
		return;
	case SEND_QUESTION:
		send_question(k, connection);
		return;
	case READ_SIZE:
		read_size(k, connection);
		return;
	case RELAY_READ:
		relay_read(connection);
		return;
	case RELAY_WRITE:
		relay_write(k, connection);
	}
}

/* A server that is too slow is not the only one; a client that is, is let go. */
void connection_expire(struct keeper *k, struct connection *connection)
{
	if (connection->state == SEND_QUESTION || connection->state == READ_SIZE)
		ask_server(k, connection);
	else
		connection_close(connection);
}
