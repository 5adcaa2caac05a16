/* monitor.sock: who asks, and what is answered.  The requests stand in container_kit/containers/monitor_client.py. */
#include "monitor.h"

#define SOCKET_FLAGS (5 | O_CLOEXEC) /* SOCK_SEQPACKET */
#define LOCAL 1			     /* AF_UNIX */
#define LEVEL_SOCKET 1
#define PEER_CREDENTIALS 17
#define PASS_DESCRIPTORS 1 /* SCM_RIGHTS */
#define RIGHTS_SIZE 20	   /* the header and one int */
#define OWN_CHOICE 0xffffffffU
#define SET_WINDOW_SIZE 0x5414 /* TIOCSWINSZ */
#define BACKLOG 64

/* The kernel's iovec, msghdr, and a cmsghdr that carries one descriptor. */
struct part {
	const void *data;
	uint64_t size;
};

struct rights {
	uint64_t size;
	int level, type, fd, padding;
};

struct envelope {
	void *address;
	uint64_t address_size;
	struct part *parts;
	uint64_t part_count;
	struct rights *rights;
	uint64_t rights_size;
	uint64_t flags;
};

struct local_address {
	unsigned short family;
	char path[108];
};

struct window_size {
	unsigned short rows, columns, x, y;
};

long socket_open(struct monitor *m)
{
	struct local_address address = { LOCAL, "" };
	char *end = address.path + sizeof address.path;
	char *at = ck_append(address.path, end, "/proc/self/fd/");

	/* Through the descriptor: the directory's own path may be longer than an address can be. */
	at = ck_append_number(at, end, m->dir_fd);
	ck_append(at, end, "/monitor.sock");
	m->listen_fd = sys(socket, LOCAL, SOCKET_FLAGS, 0);
	if (m->listen_fd < 0)
		return m->listen_fd;
	sys(unlinkat, m->dir_fd, "monitor.sock", 0); /* left by one that was killed */
	long error = sys(bind, m->listen_fd, &address, sizeof address);
	return error < 0 ? error : sys(listen, m->listen_fd, BACKLOG);
}

static int is_allowed(int fd)
{
	struct {
		uint32_t pid, uid, gid;
	} peer = { 0, ~0U, ~0U };
	uint32_t size = sizeof peer;

	sys(getsockopt, fd, LEVEL_SOCKET, PEER_CREDENTIALS, &peer, &size);
	return peer.uid == 0 || (long)peer.uid == sys(geteuid);
}

void socket_accept(struct monitor *m)
{
	int fd = sys(accept4, m->listen_fd, NULL, NULL, O_CLOEXEC);

	if (fd < 0)
		return;
	if (m->client_count == MAX_CLIENTS || !is_allowed(fd)) {
		sys(close, fd);
		return;
	}
	m->clients[m->client_count++] = (struct client){ .fd = fd };
}

long client_send(const struct client *client, const void *head, uint32_t head_size, const void *body,
		 uint32_t body_size, int fd)
{
	struct part parts[2] = { { head, head_size }, { body, body_size } };
	struct rights rights = { RIGHTS_SIZE, LEVEL_SOCKET, PASS_DESCRIPTORS, fd, 0 };
	struct envelope envelope = { .parts = parts, .part_count = 2 };

	if (client->fd < 0)
		return -EBADF;
	if (fd >= 0) {
		envelope.rights = &rights;
		envelope.rights_size = sizeof rights;
	}
	return sys(sendmsg, client->fd, &envelope, 0x4040 /* MSG_NOSIGNAL | MSG_DONTWAIT */);
}

void client_drop(struct monitor *m, struct client *client)
{
	int had_stdin = client->wants & WANTS_STDIN;

	close_fd(&client->fd);
	client->wants = client->owed = 0;
	if (had_stdin && (m->config.stdio & STDIO_STDIN_ONCE))
		stdin_close(m);
}

void client_answer(struct monitor *m, struct client *client, int32_t result)
{
	if (client_send(client, "r", 1, &result, sizeof result, -1) < 0)
		client_drop(m, client);
}

static void tell_state(struct monitor *m, struct client *client)
{
	char text[1024];

	if (client_send(client, "S", 1, text, state_text(&m->state, text, sizeof text), -1) < 0)
		client_drop(m, client);
}

void clients_tell_state(struct monitor *m)
{
	for (uint32_t i = 0; i < m->client_count; i++)
		if (m->clients[i].wants & (SUBSCRIBED | FOLLOWS_LOG | ATTACH_BITS))
			tell_state(m, &m->clients[i]);
}

static void answer_pidfd(struct monitor *m, struct client *client)
{
	int32_t result = m->pidfd < 0 ? -ESRCH : 0;

	if (client_send(client, "r", 1, &result, sizeof result, m->pidfd) < 0)
		client_drop(m, client);
}

static int32_t kill_on_request(struct monitor *m, uint32_t signal)
{
	if (signal == KILL_SIGNAL || signal == m->config.stop_signal)
		m->stay_down = 1;
	if (signal == KILL_SIGNAL && m->phase == PHASE_WAITING)
		m->phase = PHASE_ENDED;
	else if (m->phase != PHASE_RUNNING)
		return -ESRCH;
	else if (signal == KILL_SIGNAL)
		container_kill(m);
	else
		return sys(pidfd_send_signal, m->pidfd, signal, NULL, 0);
	return 0;
}

static void stop_on_request(struct monitor *m, struct client *client, uint32_t signal, uint32_t timeout)
{
	client->wants |= AWAITS_END;
	container_stop(m, signal ? signal : m->config.stop_signal,
		       timeout == OWN_CHOICE ? m->config.stop_timeout_ms : timeout);
}

static int32_t resize(struct monitor *m, const char *size)
{
	struct window_size window = { 0 };

	memcpy(&window, size, 4);
	return m->terminal_fd < 0 ? -ENOTTY : sys(ioctl, m->terminal_fd, SET_WINDOW_SIZE, &window);
}

static int32_t mark_paused(struct monitor *m, uint32_t paused)
{
	if (m->phase != PHASE_RUNNING)
		return -ESRCH;
	m->state.status = paused ? "paused" : "running";
	state_publish(m);
	clients_tell_state(m);
	return 0;
}

static int32_t update_restart(struct monitor *m, uint32_t mode, uint32_t retries)
{
	if (mode > RESTART_UNLESS_STOPPED)
		return -EINVAL;
	m->config.restart_mode = mode;
	m->config.restart_retries = retries;
	return 0;
}

/* The members that each event begins with; they have the container's name. */
static int32_t rename_events(struct monitor *m, uint32_t size)
{
	static char fields[4096];

	if (size == 0 || size >= sizeof fields)
		return -EINVAL;
	memcpy(fields, m->message + 1, size);
	fields[size] = 0;
	m->config.event_fields = fields;
	return 0;
}

/* What is to be taken back in the end, after a network was connected or disconnected. */
static int32_t replace_undo(struct monitor *m, uint32_t size)
{
	static char fields[CHUNK] __attribute__((aligned(8)));

	if (size > sizeof fields)
		return -E2BIG;
	if (m->phase == PHASE_ENDED)
		return -ESRCH;
	memcpy(fields, m->message + 1, size);
	m->config.undo = fields;
	m->config.undo_size = size;
	return 0;
}

static void attach(struct monitor *m, struct client *client, uint32_t wants)
{
	if ((wants & WANTS_STDIN) && m->stdin_fd < 0)
		wants &= ~(uint32_t)WANTS_STDIN;
	client->wants |= wants & ATTACH_BITS;
	client_answer(m, client, 0);
	if (wants & WITH_LOG)
		log_send_all(m, client);
}

static void take_input(struct monitor *m, struct client *client, uint32_t size)
{
	if (size > sizeof m->stdin_data)
		return client_drop(m, client);
	if (!(client->wants & WANTS_STDIN) || m->stdin_fd < 0 || m->stdin_have > m->stdin_sent)
		return;
	if (size > sizeof m->stdin_data)
		return client_drop(m, client);
	memcpy(m->stdin_data, m->message + 1, size);
	m->stdin_have = size;
	m->stdin_sent = 0;
	stdin_write(m);
}

/* How many bytes follow the kind in a request that is answered by a result. */
static uint32_t fields_size(char kind)
{
	switch (kind) {
	case 's':
	case 'u':
		return 8;
	case 'k':
	case 'z':
	case 'P':
	case 'a':
		return 4;
	}
	return 0;
}

static void serve_message(struct monitor *m, struct client *client, char kind, const uint32_t *numbers, uint32_t size)
{
	switch (kind) {
	case 'w':
		client->wants |= SUBSCRIBED; /* and the state now */
		/* fall through */
	case '?':
		return tell_state(m, client);
	case 'p':
		return answer_pidfd(m, client);
	case 's':
		return stop_on_request(m, client, numbers[0], numbers[1]);
	case 'k':
		return client_answer(m, client, kill_on_request(m, numbers[0]));
	case 'z':
		return client_answer(m, client, resize(m, m->message + 1));
	case 'u':
		return client_answer(m, client, update_restart(m, numbers[0], numbers[1]));
	case 'P':
		return client_answer(m, client, mark_paused(m, numbers[0]));
	case 'n':
		return client_answer(m, client, rename_events(m, size));
	case 'N':
		return client_answer(m, client, replace_undo(m, size));
	case 'a':
		return attach(m, client, numbers[0]);
	case 'i':
		return take_input(m, client, size);
	case 'e':
		if (client->wants & WANTS_STDIN)
			stdin_close(m);
		return;
	case 'l':
		client->wants |= FOLLOWS_LOG;
		return log_send_all(m, client);
	}
	client_answer(m, client, -EINVAL);
}

void client_serve(struct monitor *m, struct client *client)
{
	uint32_t numbers[2] = { 0, 0 };
	long size;

	if (client->fd < 0)
		return;
	size = sys(recvfrom, client->fd, m->message, sizeof m->message, 0x40 /* MSG_DONTWAIT */, NULL, NULL);
	if (size == -EAGAIN || size == -EINTR)
		return;
	if (size <= 0 || (uint32_t)size - 1 < fields_size(m->message[0])) {
		client_drop(m, client);
		return;
	}
	memcpy(numbers, m->message + 1, fields_size(m->message[0]));
	serve_message(m, client, m->message[0], numbers, size - 1);
}
