/* The log: output as records in files that never grow past their limit.
 *
 * A record is `<time> stdout|stderr F|P <bytes>` (Kubernetes CRI); P marks a piece without its newline.  Whoever
 * follows the log gets the files as descriptors, so a file that rotation deletes stays readable for them. */
#include "monitor.h"

#define RECORD_TEXT (16 * 1024)
#define RECORD_HEAD 40
#define LOG_FLAGS (O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW)

static void file_name(char *name, size_t size, uint32_t number)
{
	char *at = ck_append(name, name + size, "log");

	if (number) {
		at = ck_append(at, name + size, ".");
		ck_append_number(at, name + size, number);
	}
}

void log_open(struct monitor *m)
{
	int64_t size;

	m->log.pending = 0;
	m->log.fd = m->config.log_enabled ? sys(openat, m->dir_fd, "log", LOG_FLAGS, 0600) : -1;
	size = m->log.fd < 0 ? 0 : sys(lseek, m->log.fd, 0, 2 /* SEEK_END */);
	m->log.size = size > 0 ? size : 0;
}

static void flush(struct log *log)
{
	uint32_t done = 0;

	while (done < log->pending && log->fd >= 0) {
		long n = sys(write, log->fd, log->data + done, log->pending - done);
		if (n < 0 && n != -EINTR)
			break;
		done += n > 0 ? n : 0;
	}
	/* When the disk is full the container goes on and this part of its log is lost, in whole records. */
	if (done < log->pending && done > 0)
		sys(ftruncate, log->fd, log->size);
	else
		log->size += done;
	log->pending = 0;
}

static long open_to_read(struct monitor *m, uint32_t number)
{
	char name[16];

	file_name(name, sizeof name, number);
	return sys(openat, m->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
}

static void hand_out(struct monitor *m, struct client *client, int fd, uint32_t newest)
{
	char message[13] = { 'f' };

	memcpy(message + 1, &newest, 4);
	memcpy(message + 5, &m->log.size, 8);
	/* A follower whose socket is full has fallen too far behind: it learns so by the end of the connection. */
	if (client_send(client, message, sizeof message, NULL, 0, fd) < 0)
		client_drop(m, client);
}

void log_send_all(struct monitor *m, struct client *client)
{
	for (uint32_t number = m->config.log_max_files; number-- > 0 && client->fd >= 0;) {
		int fd = open_to_read(m, number);
		if (fd >= 0 || number == 0)
			hand_out(m, client, fd, number == 0);
		close_fd(&fd);
	}
}

static void hand_out_new(struct monitor *m)
{
	int fd = open_to_read(m, 0);

	for (uint32_t i = 0; i < m->client_count; i++)
		if (m->clients[i].wants & FOLLOWS_LOG)
			hand_out(m, &m->clients[i], fd, 1);
	close_fd(&fd);
}

static void rotate(struct monitor *m)
{
	char from[16], to[16];

	sys(close, m->log.fd);
	for (uint32_t number = m->config.log_max_files - 1; number > 0; number--) {
		file_name(from, sizeof from, number - 1);
		file_name(to, sizeof to, number);
		sys(renameat, m->dir_fd, from, m->dir_fd, to);
	}
	if (m->config.log_max_files == 1)
		sys(unlinkat, m->dir_fd, "log", 0);
	log_open(m);
	hand_out_new(m);
}

static void make_room(struct monitor *m, uint32_t size)
{
	struct log *log = &m->log;
	uint64_t limit = m->config.log_max_size;

	if (limit && log->size + log->pending + size > limit) {
		flush(log);
		if (log->size > 0)
			rotate(m);
	} else if (log->pending + size > sizeof log->data) {
		flush(log);
	}
}

static void add_record(struct monitor *m, const char *head, const char *text, uint32_t size, char tag)
{
	char *at;

	make_room(m, RECORD_HEAD + size + 1);
	at = m->log.data + m->log.pending;
	memcpy(at, head, RECORD_HEAD);
	at[38] = tag;
	memcpy(at + RECORD_HEAD, text, size);
	at[RECORD_HEAD + size] = '\n';
	m->log.pending += RECORD_HEAD + size + 1;
}

/* The length up to the newline, or all of it.  Eight bytes at a time: a byte is zero in `odd` where there is one. */
static uint32_t line_length(const char *text, uint32_t size)
{
	uint32_t i = 0;

	for (; i + 8 <= size; i += 8) {
		uint64_t odd;
		memcpy(&odd, text + i, 8);
		odd ^= 0x0a0a0a0a0a0a0a0aULL;
		if ((odd - 0x0101010101010101ULL) & ~odd & 0x8080808080808080ULL)
			break;
	}
	while (i < size && text[i] != '\n')
		i++;
	return i;
}

void log_write(struct monitor *m, int stream, const char *data, uint32_t size)
{
	char head[RECORD_HEAD + 1];

	if (m->log.fd < 0)
		return;
	format_time(head, wall_clock_ns());
	ck_append(head + 30, head + sizeof head, stream == STREAM_OUT ? " stdout F " : " stderr F ");
	while (size > 0) {
		uint32_t length = line_length(data, size);
		int whole = length < size && length <= RECORD_TEXT;
		if (length > RECORD_TEXT)
			length = RECORD_TEXT;
		add_record(m, head, data, length, whole ? 'F' : 'P');
		data += length + whole;
		size -= length + whole;
	}
	flush(&m->log);
}
