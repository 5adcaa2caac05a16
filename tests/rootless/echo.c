/* A server for tests: `echo tcp PORT` and `echo udp PORT` send back what comes, `echo say PORT` says where it is. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void send_back(int connection)
{
	static char data[65536];
	ssize_t n;

	while ((n = read(connection, data, sizeof data)) > 0)
		for (ssize_t sent = 0; sent < n;) {
			ssize_t part = write(connection, data + sent, n - sent);
			if (part < 0)
				return;
			sent += part;
		}
}

/* To whoever has asked something, by HTTP. */
static void say(int connection)
{
	static const char answer[] = "HTTP/1.0 200 OK\r\n\r\nfrom the world\n";
	char question[4096];

	if (read(connection, question, sizeof question) <= 0 || write(connection, answer, sizeof answer - 1) < 0)
		_exit(1);
}

static void serve(int listener, int says)
{
	for (;;) {
		int connection = accept(listener, NULL, NULL);

		if (connection < 0 || fork()) {
			close(connection);
			continue;
		}
		if (!says)
			send_back(connection);
		else
			say(connection);
		_exit(0);
	}
}

static void answer(int socket)
{
	static char data[65536];

	for (;;) {
		struct sockaddr_storage who;
		socklen_t size = sizeof who;
		ssize_t n = recvfrom(socket, data, sizeof data, 0, (struct sockaddr *)&who, &size);

		if (n >= 0)
			sendto(socket, data, n, 0, (struct sockaddr *)&who, size);
	}
}

int main(int argc, char **argv)
{
	int datagrams = argc > 2 && strcmp(argv[1], "udp") == 0, yes = 1;
	struct sockaddr_in place = { .sin_family = AF_INET };
	int fd = socket(AF_INET, datagrams ? SOCK_DGRAM : SOCK_STREAM, 0);

	if (argc < 3)
		return 2;
	place.sin_port = htons(atoi(argv[2]));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(fd, (struct sockaddr *)&place, sizeof place) < 0)
		return 1;
	signal(SIGCHLD, SIG_IGN);
	if (datagrams)
		answer(fd);
	if (listen(fd, 64) < 0)
		return 1;
	serve(fd, strcmp(argv[1], "say") == 0);
}
