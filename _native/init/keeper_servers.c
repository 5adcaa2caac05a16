/* Which servers are asked for what is not the network's own, and how they are reached. */
#include "keeper.h"

#include <linux/stat.h>

#define FAMILY_IPV4 2
#define FAMILY_IPV6 10
#define DNS_PORT 53
#define NONBLOCKING_CLOEXEC (04000 | 02000000)
#define INDEX_OF_INTERFACE 0x8933 /* SIOCGIFINDEX */
#define INTERFACE_NAME 16

uint16_t port_in_order(uint32_t port)
{
	return (uint16_t)(port >> 8 | port << 8);
}

uint32_t peer_fill(union peer *peer, const struct address *address, uint32_t port)
{
	*peer = (union peer){ 0 };
	peer->v4.port = port_in_order(port);
	if (address->family == 4) {
		peer->family = FAMILY_IPV4;
		memcpy(peer->v4.address, address->bytes, 4);
		return sizeof peer->v4;
	}
	peer->family = FAMILY_IPV6;
	memcpy(peer->v6.address, address->bytes, 16);
	peer->v6.scope = address->scope;
	return sizeof peer->v6;
}

void peer_address(const union peer *peer, struct address *address)
{
	*address = (struct address){ .family = peer->family == FAMILY_IPV4 ? 4 : 6 };
	if (address->family == 4)
		memcpy(address->bytes, peer->v4.address, 4);
	else
		memcpy(address->bytes, peer->v6.address, 16);
}

/* Connected, so that the kernel drops what others send to this port. */
long server_connect(const struct address *server, int kind)
{
	union peer peer;
	uint32_t size = peer_fill(&peer, server, DNS_PORT);
	long fd = sys(socket, peer.family, kind | NONBLOCKING_CLOEXEC, 0), result;

	if (fd < 0)
		return fd;
	result = sys(connect, fd, &peer, size);
	if (result < 0 && result != -EINPROGRESS) {
		sys(close, fd);
		return result;
	}
	return fd;
}

static uint32_t interface_number(const char *name, size_t size)
{
	struct {
		char name[INTERFACE_NAME];
		int number;
		char rest[20];
	} request = { 0 };
	long fd, result;

	if (size >= INTERFACE_NAME)
		return 0;
	memcpy(request.name, name, size);
	fd = sys(socket, FAMILY_IPV4, 2 | 02000000 /* SOCK_DGRAM | SOCK_CLOEXEC */, 0);
	result = sys(ioctl, fd, INDEX_OF_INTERFACE, &request);
	sys(close, fd);
	return result < 0 ? 0 : request.number;
}

/* fe80::1%eth0: a link-local server is reached through the interface that is named with it. */
static int parse_server(struct address *server, const char *text, size_t size)
{
	size_t bare = 0;

	while (bare < size && text[bare] != '%')
		bare++;
	if (address_parse(server, text, bare) < 0)
		return -1;
	if (bare < size)
		server->scope = interface_number(text + bare + 1, size - bare - 1);
	return 0;
}

static int is_our_own(const struct keeper *k, const struct address *address)
{
	for (uint32_t i = 0; i < k->config.listen_count; i++)
		if (address_equal(&k->config.listens[i].address, address))
			return 1;
	return 0;
}

static void take_line(struct keeper *k, const char *line, size_t size)
{
	static const char key[] = "nameserver";
	size_t at = sizeof key - 1, end;

	if (size < sizeof key || !ck_starts(line, key) || (line[at] != ' ' && line[at] != '\t'))
		return;
	while (at < size && (line[at] == ' ' || line[at] == '\t'))
		at++;
	for (end = at; end < size && line[end] != ' ' && line[end] != '\t' && line[end] != '\r'; end++)
		;
	if (k->servers.count == MAX_SERVERS || parse_server(&k->servers.list[k->servers.count], line + at, end - at) < 0)
		return;
	if (!is_our_own(k, &k->servers.list[k->servers.count]))
		k->servers.count++;
}

static void read_resolv_conf(struct keeper *k)
{
	char text[4096];
	long size = read_small_file(AT_HERE, k->config.resolv_conf, text, sizeof text), at = 0;

	k->servers.count = 0;
	while (at < size) {
		long end = at;

		while (end < size && text[end] != '\n')
			end++;
		take_line(k, text + at, end - at);
		at = end + 1;
	}
}

/* The host's file is read again when it has changed: a laptop moves. */
static void look_at_resolv_conf(struct keeper *k)
{
	struct statx status = { 0 };
	uint64_t state[3];

	sys(statx, AT_HERE, k->config.resolv_conf, 0, STATX_INO | STATX_CTIME | STATX_SIZE, &status);
	state[0] = status.stx_ino;
	state[1] = status.stx_ctime.tv_sec * (uint64_t)ONE_SECOND_NS + status.stx_ctime.tv_nsec;
	state[2] = status.stx_size;
	if (state[0] == k->resolv_conf_state[0] && state[1] == k->resolv_conf_state[1] &&
	    state[2] == k->resolv_conf_state[2])
		return;
	memcpy(k->resolv_conf_state, state, sizeof state);
	read_resolv_conf(k);
}

void servers_for(struct keeper *k, const struct endpoint *client, struct servers *servers)
{
	if (client && client->server_count) {
		servers->count = client->server_count;
		memcpy(servers->list, client->servers, sizeof servers->list);
		return;
	}
	if (k->config.server_count) {
		servers->count = k->config.server_count;
		memcpy(servers->list, k->config.servers, sizeof servers->list);
		return;
	}
	servers->count = 0;
	if (k->config.resolv_conf) {
		look_at_resolv_conf(k);
		*servers = k->servers;
	}
}
