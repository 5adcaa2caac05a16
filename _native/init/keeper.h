/* The keeper: one process for each network in use.  It answers names, brings the firewall's rules back after others
 * flushed them, and clears the network out of the kernel when the last endpoint is gone.
 *
 * One thread, one poll; every file of this role gets the one `struct keeper`.  What it is told stands in
 * container_kit/network/keeper.py. */
#ifndef CKIT_KEEPER_H
#define CKIT_KEEPER_H

#include "daemon.h"
#include "dns.h"

/* Descriptors it is born with. */
enum { STARTER_FD = 3, CONFIG_FD = 4, LOCK_FD = 5, NETWORK_NAMESPACE_FD = 6, USER_NAMESPACE_FD = 7 };

/* Fields of its configuration, beside FIELD_DIRECTORY (the network's) and FIELD_UNDO_MESSAGE. */
enum {
	KEEPER_DOMAIN = 32,
	KEEPER_LISTEN,
	KEEPER_PORT,
	KEEPER_SERVER,
	KEEPER_RESOLV_CONF,
	KEEPER_INTERNAL,
	KEEPER_LINGER,
	KEEPER_RESTORE,
	KEEPER_TABLE,
	KEEPER_NAMESPACES,
	KEEPER_OWN,
};
enum { IN_NETWORK_NAMESPACE = 1, IN_USER_NAMESPACE = 2 };

#define MAX_LISTENS 8
struct keeper_config {
	const char *data; /* all of it, for undo() */
	uint64_t size;
	const char *directory, *domain, *resolv_conf, *table;
	const char *restore; /* messages that bring the network's rules back */
	const char *own;     /* messages that make the keeper's own table */
	struct subnet listens[MAX_LISTENS];
	struct address servers[MAX_SERVERS];
	uint32_t listen_count, server_count;
	uint32_t internal, linger_ms, namespaces, port, restore_size, own_size;
};

/* A sockaddr_in or sockaddr_in6. */
union peer {
	uint16_t family;
	struct {
		uint16_t family, port;
		uint8_t address[4];
		uint8_t padding[8];
	} v4;
	struct {
		uint16_t family, port;
		uint32_t flow;
		uint8_t address[16];
		uint32_t scope;
	} v6;
};

struct servers {
	struct address list[MAX_SERVERS];
	uint32_t count;
};

/* A question that came over UDP and was sent on. */
struct forward {
	int fd; /* connected to the server; 0: this one is free */
	uint8_t listener, tries;
	uint16_t size, question_end;
	uint8_t client_id[2];
	int64_t deadline_ms;
	union peer client;
	struct servers servers;
	uint8_t message[DNS_UDP_LARGE];
};

enum connection_state { READ_QUESTION, SEND_QUESTION, READ_SIZE, RELAY_READ, RELAY_WRITE };

/* A client over TCP, and the server that answers it. */
struct connection {
	int client_fd, server_fd; /* 0: this one is free; no server */
	enum connection_state state;
	uint32_t tries;
	uint32_t have, question_size; /* bytes in data; of the question that is sent on */
	uint32_t sent, left;
	uint32_t chunk_have, chunk_sent;
	int64_t deadline_ms;
	struct address client;
	struct servers servers;
	uint8_t data[2 + DNS_UDP_LARGE];
	uint8_t chunk[2048];
};

#define MAX_TABLES 16
#define MAX_FORWARDS 64
#define MAX_CONNECTIONS 16

/* The endpoints of one network, kept as its directory changes. */
struct table {
	char id[OWNER_SIZE + 1]; /* empty: free */
	int dir_fd, watch;
	int64_t changed_ns; /* of the directory, where it cannot be watched */
	struct endpoints endpoints;
};

struct keeper {
	struct keeper_config config;
	int dir_fd, networks_fd, watch_fd, firewall_fd;
	int own_fd; /* through which its own table was made: nobody else can change that, or flush it */
	int64_t empty_ms; /* since when nobody is there; NEVER while somebody is */
	int64_t retry_ms, restore_ms, restored_ms;
	int udp[MAX_LISTENS], tcp[MAX_LISTENS];
	uint32_t turn;
	struct servers servers; /* of the host */
	uint64_t resolv_conf_state[3];
	struct table tables[MAX_TABLES]; /* the first is the network's own */
	struct forward forwards[MAX_FORWARDS];
	struct connection connections[MAX_CONNECTIONS];
	uint8_t packet[2 + DNS_TCP_LARGEST];
};

/* keeper_config.c */
int keeper_config_parse(struct keeper_config *config, const char *data, uint64_t size);

/* keeper_names.c */
long names_open(struct keeper *k);
void names_refresh(struct keeper *k);
uint32_t names_tables(struct keeper *k, const struct endpoint *client, const struct endpoints **tables);
int names_is_empty(struct keeper *k);

/* keeper_servers.c */
void servers_for(struct keeper *k, const struct endpoint *client, struct servers *servers);
uint16_t port_in_order(uint32_t port);
uint32_t peer_fill(union peer *peer, const struct address *address, uint32_t port); /* its size */
void peer_address(const union peer *peer, struct address *address);
long server_connect(const struct address *server, int kind);

/* keeper_udp.c */
long udp_listen(struct keeper *k, uint32_t listener);
void udp_serve(struct keeper *k, uint32_t listener);
void forward_serve(struct keeper *k, struct forward *forward);
void forward_expire(struct keeper *k, struct forward *forward);
int is_client(const struct keeper *k, uint32_t listener, const struct address *address);
const struct endpoint *client_of(struct keeper *k, const struct address *address);
int answer_here(struct keeper *k, struct dns_reply *reply, const struct dns_query *query, const struct endpoint *client);

/* keeper_tcp.c */
long tcp_listen(struct keeper *k, uint32_t listener);
void tcp_accept(struct keeper *k, uint32_t listener);
int tcp_is_full(const struct keeper *k);
short connection_client_events(const struct connection *connection);
short connection_server_events(const struct connection *connection);
void connection_serve(struct keeper *k, struct connection *connection);
void connection_close(struct connection *connection);
void connection_expire(struct keeper *k, struct connection *connection);

/* keeper_firewall.c */
void firewall_own(struct keeper *k);
void firewall_watch(struct keeper *k);
void firewall_serve(struct keeper *k);
void firewall_restore(struct keeper *k);

/* keeper_end.c */
long network_lock(struct keeper *k);
int try_to_end(struct keeper *k); /* whether the network is out of the kernel */

static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		sys(close, *fd);
	*fd = -1;
}

/* Where 0 means none, so that what was never used takes no memory. */
static inline void free_fd(int *fd)
{
	if (*fd)
		sys(close, *fd);
	*fd = 0;
}

#endif
