/* The keeper's birth and its main loop: one poll over everything that can happen to the network. */
#include "keeper.h"

#include <linux/sched.h>

#define MAP_READABLE 1 /* PROT_READ */
#define MAP_OWN 2      /* MAP_PRIVATE */
#define LOOK_MS 250    /* how often directories are looked at that cannot be watched */
#define CAPABILITY_NET_ADMIN 12
#define BOUNDING_DROP 24  /* PR_CAPBSET_DROP */
#define NO_NEW_RIGHTS 38  /* PR_SET_NO_NEW_PRIVS */
#define CAPABILITIES_V3 0x20080522

enum {
	ON_DIRECTORY,
	ON_FIREWALL,
	ON_UDP,
	ON_TCP = ON_UDP + MAX_LISTENS,
	ON_FORWARD = ON_TCP + MAX_LISTENS,
	ON_CLIENT = ON_FORWARD + MAX_FORWARDS,
	ON_SERVER = ON_CLIENT + MAX_CONNECTIONS,
	POLL_COUNT = ON_SERVER + MAX_CONNECTIONS
};

static struct keeper the_keeper;

static long map_config(struct keeper_config *config)
{
	int64_t size = sys(lseek, CONFIG_FD, 0, 2 /* SEEK_END */);
	long data;

	if (size <= 0)
		return -EINVAL;
	data = sys(mmap, NULL, size, MAP_READABLE, MAP_OWN, CONFIG_FD, 0);
	sys(close, CONFIG_FD);
	if (data < 0 && data > -4096)
		return data;
	return keeper_config_parse(config, (const char *)data, size);
}

static void begin_empty(struct keeper *k)
{
	k->firewall_fd = k->watch_fd = k->own_fd = -1;
	k->restore_ms = NEVER;
	k->empty_ms = NEVER;
	for (int i = 0; i < MAX_LISTENS; i++)
		k->udp[i] = k->tcp[i] = -1;
	for (int i = 0; i < MAX_TABLES; i++)
		k->tables[i].dir_fd = k->tables[i].watch = -1;
}

/* The user namespace first: it gives the right to enter the other. */
static long enter_namespaces(struct keeper *k)
{
	long result = 0;

	if (k->config.namespaces & IN_USER_NAMESPACE)
		result = sys(setns, USER_NAMESPACE_FD, CLONE_NEWUSER);
	if (result == 0 && k->config.namespaces & IN_NETWORK_NAMESPACE)
		result = sys(setns, NETWORK_NAMESPACE_FD, CLONE_NEWNET);
	if (k->config.namespaces & IN_NETWORK_NAMESPACE)
		sys(close, NETWORK_NAMESPACE_FD);
	if (k->config.namespaces & IN_USER_NAMESPACE)
		sys(close, USER_NAMESPACE_FD);
	return result;
}

static long listen_everywhere(struct keeper *k)
{
	long result = 0;

	for (uint32_t i = 0; i < k->config.listen_count && result >= 0; i++) {
		result = udp_listen(k, i);
		if (result >= 0)
			result = tcp_listen(k, i);
	}
	return result;
}

/* Bytes of strangers are read from here on: no right is kept but the one to change the network. */
static void drop_rights(void)
{
	struct {
		uint32_t version;
		int pid;
	} head = { CAPABILITIES_V3, 0 };
	struct {
		uint32_t effective, permitted, inheritable;
	} sets[2] = { { 1 << CAPABILITY_NET_ADMIN, 1 << CAPABILITY_NET_ADMIN, 0 }, { 0, 0, 0 } };

	for (int capability = 0; capability < 64; capability++)
		if (capability != CAPABILITY_NET_ADMIN && sys(prctl, BOUNDING_DROP, capability, 0, 0, 0) == -EINVAL)
			break;
	sys(prctl, NO_NEW_RIGHTS, 1, 0, 0, 0);
	sys(capset, &head, sets);
}

/* For who removes the network; as long as the file is locked, the number is this process's. */
static void write_pid(void)
{
	char text[24];
	const char *end = ck_append(ck_append_number(text, text + sizeof text, sys(getpid)), text + sizeof text, "\n");

	sys(ftruncate, LOCK_FD, 0);
	sys(pwrite64, LOCK_FD, text, end - text, 0);
}

static long set_up(struct keeper *k)
{
	long error;

	begin_empty(k);
	k->config.port = 53;
	error = map_config(&k->config);
	if (error == 0)
		error = k->dir_fd = sys(openat, AT_HERE, k->config.directory, DIRECTORY_FLAGS, 0);
	if (error >= 0)
		error = names_open(k);
	if (error >= 0)
		error = enter_namespaces(k);
	if (error >= 0)
		error = listen_everywhere(k);
	if (error < 0)
		return error;
	firewall_own(k); /* it deletes a table, which is no reason to restore it */
	firewall_watch(k);
	write_pid();
	drop_rights();
	names_refresh(k);
	if (k->tables[0].endpoints.count > 1)
		k->restore_ms = now_ms(); /* nobody watched since the last keeper was killed */
	return 0;
}

static void watch(struct pollfd *poll, int fd, int events)
{
	*poll = (struct pollfd){ .fd = events && fd ? fd : -1, .events = events };
}

static void watch_clients(const struct keeper *k, struct pollfd *polls)
{
	int accepts = tcp_is_full(k) ? 0 : POLLIN;

	for (int i = 0; i < MAX_LISTENS; i++) {
		watch(&polls[ON_UDP + i], k->udp[i], POLLIN);
		watch(&polls[ON_TCP + i], k->tcp[i], accepts);
	}
	for (int i = 0; i < MAX_FORWARDS; i++)
		watch(&polls[ON_FORWARD + i], k->forwards[i].fd, POLLIN);
	for (int i = 0; i < MAX_CONNECTIONS; i++) {
		const struct connection *connection = &k->connections[i];

		watch(&polls[ON_CLIENT + i], connection->client_fd, connection_client_events(connection));
		watch(&polls[ON_SERVER + i], connection->server_fd, connection_server_events(connection));
	}
}

static void watch_all(const struct keeper *k, struct pollfd *polls)
{
	watch(&polls[ON_DIRECTORY], k->watch_fd, POLLIN);
	watch(&polls[ON_FIREWALL], k->firewall_fd, POLLIN);
	watch_clients(k, polls);
}

/* When the network ends if nobody comes. */
static int64_t end_ms(const struct keeper *k)
{
	int64_t end;

	if (k->empty_ms == NEVER)
		return NEVER;
	end = k->empty_ms + k->config.linger_ms;
	return end > k->retry_ms ? end : k->retry_ms;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t earliest(const struct keeper *k)
{
	int64_t first = end_ms(k);

	for (int i = 0; i < MAX_FORWARDS; i++)
		if (k->forwards[i].fd)
			first = earlier(first, k->forwards[i].deadline_ms);
	for (int i = 0; i < MAX_CONNECTIONS; i++)
		if (k->connections[i].client_fd)
			first = earlier(first, k->connections[i].deadline_ms);
	first = earlier(first, k->restore_ms);
	return k->tables[0].watch < 0 ? earlier(first, now_ms() + LOOK_MS) : first;
}

static void wait_for_something(struct pollfd *polls, int64_t until_ms)
{
	int64_t left = until_ms == NEVER ? 0 : until_ms - now_ms();
	struct timespec_raw timeout = { left / 1000, left % 1000 * 1000000 };

	if (left < 0)
		timeout = (struct timespec_raw){ 0, 0 };
	sys(ppoll, polls, POLL_COUNT, until_ms == NEVER ? NULL : &timeout, NULL, 0);
}

static void serve_network(struct keeper *k, const struct pollfd *polls)
{
	for (int i = 0; i < MAX_LISTENS; i++) {
		if (polls[ON_UDP + i].revents)
			udp_serve(k, i);
		if (polls[ON_TCP + i].revents)
			tcp_accept(k, i);
	}
	/* A place that was given away since the poll has nothing to read yet, which is no harm. */
	for (int i = 0; i < MAX_FORWARDS; i++)
		if (polls[ON_FORWARD + i].revents && k->forwards[i].fd)
			forward_serve(k, &k->forwards[i]);
	for (int i = 0; i < MAX_CONNECTIONS; i++)
		if ((polls[ON_CLIENT + i].revents || polls[ON_SERVER + i].revents) && k->connections[i].client_fd)
			connection_serve(k, &k->connections[i]);
}

static void check_times(struct keeper *k)
{
	int64_t now = now_ms();

	for (int i = 0; i < MAX_FORWARDS; i++)
		if (k->forwards[i].fd && k->forwards[i].deadline_ms <= now)
			forward_expire(k, &k->forwards[i]);
	for (int i = 0; i < MAX_CONNECTIONS; i++)
		if (k->connections[i].client_fd && k->connections[i].deadline_ms <= now)
			connection_expire(k, &k->connections[i]);
	if (k->restore_ms <= now)
		firewall_restore(k);
}

/* Whether to go on. */
static int serve_once(struct keeper *k, struct pollfd *polls)
{
	watch_all(k, polls);
	wait_for_something(polls, earliest(k));
	names_refresh(k);
	if (polls[ON_FIREWALL].revents)
		firewall_serve(k);
	serve_network(k, polls);
	check_times(k);
	names_refresh(k);
	return end_ms(k) > now_ms() || !try_to_end(k);
}

static void report(int32_t error)
{
	struct {
		char kind, padding[3];
		int32_t error;
	} message = { error ? 'F' : 'S', { 0 }, error };

	sys(sendto, STARTER_FD, &message, sizeof message, 0x4000 /* MSG_NOSIGNAL */, NULL, 0);
	sys(close, STARTER_FD);
}

int keeper_main(int argc, char **argv)
{
	struct pollfd polls[POLL_COUNT];
	struct keeper *k = &the_keeper;
	long error;

	(void)argc, (void)argv;
	become_daemon("ckit-keeper");
	error = set_up(k);
	if (error < 0)
		sys(close, LOCK_FD); /* whoever hears of it may start another keeper at once */
	report(error < 0 ? error : 0);
	if (error < 0)
		return 1;
	while (serve_once(k, polls))
		;
	return 0;
}
