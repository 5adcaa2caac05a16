/* Questions over UDP: answered from the tables, or sent on and the answer sent back.
 *
 * What is sent on has a number of its own and leaves from a port of its own, both chosen by the kernel at random, so
 * that nobody can guess what a forged answer would have to look like. */
#include "keeper.h"

#define DATAGRAM 2
#define LEVEL_SOCKET 1
#define RECEIVE_ROOM 33 /* SO_RCVBUFFORCE */
#define DONT_WAIT 0x40
#define NONBLOCKING_CLOEXEC (04000 | 02000000)
#define LEVEL_IP 0
#define LEVEL_IPV6 41
#define IP_NOT_THERE_YET 15   /* IP_FREEBIND */
#define IPV6_NOT_THERE_YET 78 /* IPV6_FREEBIND */
#define IPV6_ALONE 26	      /* IPV6_V6ONLY */
#define AT_ONCE 64	      /* questions, before others get their turn */
#define TRY_MS 1500
#define ROUNDS 2
#define OF_ONE_CLIENT 16 /* questions that are on their way */

static void allow_missing_address(long fd, int family)
{
	int yes = 1;

	if (family == 4) {
		sys(setsockopt, fd, LEVEL_IP, IP_NOT_THERE_YET, &yes, sizeof yes);
		return;
	}
	sys(setsockopt, fd, LEVEL_IPV6, IPV6_NOT_THERE_YET, &yes, sizeof yes);
	sys(setsockopt, fd, LEVEL_IPV6, IPV6_ALONE, &yes, sizeof yes);
}

/* The bridge that will have the address is made after this. */
long udp_listen(struct keeper *k, uint32_t listener)
{
	const struct address *address = &k->config.listens[listener].address;
	union peer here;
	uint32_t size = peer_fill(&here, address, k->config.port);
	long fd = sys(socket, here.family, DATAGRAM | NONBLOCKING_CLOEXEC, 0), result;
	int room = 1 << 20; /* bytes, taken only while questions wait */

	if (fd < 0)
		return fd;
	sys(setsockopt, fd, LEVEL_SOCKET, RECEIVE_ROOM, &room, sizeof room);
	allow_missing_address(fd, address->family);
	k->udp[listener] = fd;
	result = sys(bind, fd, &here, size);
	return result;
}

/* Only the network itself is served: a router may let others reach this address. */
int is_client(const struct keeper *k, uint32_t listener, const struct address *address)
{
	return subnet_contains(&k->config.listens[listener], address);
}

const struct endpoint *client_of(struct keeper *k, const struct address *address)
{
	return endpoints_at(&k->tables[0].endpoints, address);
}

/* Mostly the network's own names are enough; only else it is looked up in which other networks the client is. */
int answer_here(struct keeper *k, struct dns_reply *reply, const struct dns_query *query, const struct endpoint *client)
{
	const struct endpoints *tables[MAX_TABLES] = { &k->tables[0].endpoints };
	struct dns_view view = { .tables = tables,
				 .table_count = 1,
				 .subnets = k->config.listens,
				 .subnet_count = k->config.listen_count,
				 .domain = k->config.domain,
				 .turn = k->turn++ };

	if (dns_answer(reply, query, &view))
		return 1;
	view.table_count = names_tables(k, client, tables);
	view.client = client;
	view.internal = k->config.internal;
	return dns_answer(reply, query, &view);
}

static void send_reply(struct keeper *k, uint32_t listener, const struct dns_reply *reply, const union peer *client)
{
	sys(sendto, k->udp[listener], reply->data, reply->size, DONT_WAIT, client, sizeof *client);
}

static void send_code(struct keeper *k, uint32_t listener, const struct dns_query *query, const uint8_t *message,
		      int code, const union peer *client)
{
	struct dns_reply reply = { .data = k->packet, .limit = DNS_UDP_SMALL };

	dns_reply_begin(&reply, query, message);
	dns_reply_end(&reply, query, code);
	send_reply(k, listener, &reply, client);
}

static void forward_free(struct forward *forward)
{
	free_fd(&forward->fd);
	forward->size = 0;
}

static void forward_refuse(struct keeper *k, struct forward *forward, int code)
{
	struct dns_query query;

	memcpy(forward->message, forward->client_id, 2);
	dns_parse(&query, forward->message, forward->size);
	send_code(k, forward->listener, &query, forward->message, code, &forward->client);
	forward_free(forward);
}

/* To the next server that can be reached at all; the last failure is the client's answer. */
static void forward_send(struct keeper *k, struct forward *forward)
{
	free_fd(&forward->fd);
	while (forward->tries < ROUNDS * forward->servers.count) {
		const struct address *server = &forward->servers.list[forward->tries++ % forward->servers.count];
		long fd = server_connect(server, DATAGRAM);

		if (fd < 0)
			continue;
		sys(getrandom, forward->message, 2, 0);
		if (sys(sendto, fd, forward->message, forward->size, DONT_WAIT, NULL, 0) == forward->size) {
			forward->fd = fd;
			forward->deadline_ms = now_ms() + TRY_MS;
			return;
		}
		sys(close, fd);
	}
	forward_refuse(k, forward, DNS_SERVFAIL);
}

static int same_peer(const union peer *a, const union peer *b)
{
	struct address first, second;

	peer_address(a, &first);
	peer_address(b, &second);
	return address_equal(&first, &second);
}

/* A free place; NULL when the client has too many questions open, or this one already. */
static struct forward *forward_place(struct keeper *k, const union peer *client, const uint8_t *message)
{
	struct forward *free = NULL;
	int open = 0;

	for (int i = 0; i < MAX_FORWARDS; i++) {
		struct forward *forward = &k->forwards[i];

		if (!forward->fd) {
			free = free ? free : forward;
			continue;
		}
		if (!same_peer(&forward->client, client))
			continue;
		open++;
		if (forward->client.v4.port == client->v4.port && message[0] == forward->client_id[0] &&
		    message[1] == forward->client_id[1])
			return NULL; /* asked again because we are slow */
	}
	return open < OF_ONE_CLIENT ? free : NULL;
}

static void forward_begin(struct keeper *k, uint32_t listener, const struct dns_query *query, const uint8_t *message,
			  size_t size, const union peer *client)
{
	struct forward *forward = forward_place(k, client, message);
	struct address address;

	if (!forward)
		return; /* the client asks again */
	peer_address(client, &address);
	forward->listener = listener;
	forward->tries = 0;
	forward->size = size;
	forward->question_end = query->question_end;
	forward->client = *client;
	memcpy(forward->client_id, message, 2);
	memcpy(forward->message, message, size);
	servers_for(k, client_of(k, &address), &forward->servers);
	forward_send(k, forward);
}

static void serve_question(struct keeper *k, uint32_t listener, const uint8_t *message, size_t size,
			   const union peer *client)
{
	struct dns_reply reply = { .data = k->packet };
	struct dns_query query;
	struct address address;
	int code = dns_parse(&query, message, size);

	if (code != 0) {
		if (code > 0)
			send_code(k, listener, &query, message, code, client);
		return;
	}
	peer_address(client, &address);
	reply.limit = query.payload < DNS_UDP_LARGE ? query.payload : DNS_UDP_LARGE;
	dns_reply_begin(&reply, &query, message);
	if (answer_here(k, &reply, &query, client_of(k, &address)))
		send_reply(k, listener, &reply, client);
	else
		forward_begin(k, listener, &query, message, size, client);
}

void udp_serve(struct keeper *k, uint32_t listener)
{
	uint8_t message[DNS_UDP_LARGE + 1];

	for (int i = 0; i < AT_ONCE; i++) {
		union peer client = { 0 };
		struct address address;
		int client_size = sizeof client;
		long size = sys(recvfrom, k->udp[listener], message, sizeof message, DONT_WAIT, &client, &client_size);

		if (size < 0)
			return;
		peer_address(&client, &address);
		if (!is_client(k, listener, &address) || size > DNS_UDP_LARGE)
			continue;
		names_refresh(k);
		serve_question(k, listener, message, size, &client);
	}
}

void forward_serve(struct keeper *k, struct forward *forward)
{
	long size = sys(recvfrom, forward->fd, k->packet, DNS_TCP_LARGEST, DONT_WAIT, NULL, NULL);

	if (size == -EAGAIN || size == -EINTR)
		return;
	if (size < 0) {
		forward_send(k, forward); /* nobody listens there */
		return;
	}
	if (!dns_answers(k->packet, size, forward->message, forward->question_end))
		return;
	memcpy(k->packet, forward->client_id, 2);
	sys(sendto, k->udp[forward->listener], k->packet, size, DONT_WAIT, &forward->client, sizeof forward->client);
	forward_free(forward);
}

void forward_expire(struct keeper *k, struct forward *forward)
{
	forward_send(k, forward);
}
