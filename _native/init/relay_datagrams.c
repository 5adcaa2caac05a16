/* UDP through published ports of an ordinary user: each client that speaks to a door has a socket of its own inside,
 * whose answers go back to it.  The place that was used longest ago is given to the next client. */
#include "holder.h"

#define DATAGRAM 2     /* SOCK_DGRAM */
#define NO_WAIT 04000  /* SOCK_NONBLOCK */
#define AT_ONCE 64     /* datagrams before others have their turn */
#define DO_NOT_WAIT 64 /* MSG_DONTWAIT */

static struct talk talks[MAX_TALKS];
static char data[65536];

static struct talk *find_talk(int door, const char *client, uint32_t size)
{
	for (int i = 0; i < MAX_TALKS; i++)
		if (talks[i].inner && talks[i].door == door && talks[i].size == size) {
			uint32_t n = 0;
			while (n < size && talks[i].client[n] == client[n])
				n++;
			if (n == size)
				return &talks[i];
		}
	return NULL;
}

static struct talk *oldest_talk(void)
{
	struct talk *oldest = &talks[0];

	for (int i = 0; i < MAX_TALKS; i++) {
		if (!talks[i].inner)
			return &talks[i];
		if (talks[i].used_ms < oldest->used_ms)
			oldest = &talks[i];
	}
	return oldest;
}

static struct talk *begin_talk(int door, const char *client, uint32_t size)
{
	const struct door *to = &holder.doors[door];
	struct talk *talk = oldest_talk();
	long inner = sys(socket, *(const unsigned short *)(const void *)to->address, DATAGRAM | O_CLOEXEC | NO_WAIT, 0);

	if (inner < 0)
		return NULL;
	if (sys(connect, inner, to->address, to->size) < 0) {
		sys(close, inner);
		return NULL;
	}
	close_place(&talk->inner);
	talk->inner = (int)inner;
	talk->door = door;
	talk->size = size;
	memcpy(talk->client, client, size);
	return talk;
}

void datagram_from_outside(int door)
{
	for (int i = 0; i < AT_ONCE; i++) {
		char client[SOCKADDR_SIZE];
		uint32_t size = sizeof client;
		long n = sys(recvfrom, holder.doors[door].fd, data, sizeof data, DO_NOT_WAIT, client, &size);
		struct talk *talk;

		if (n < 0 || size > sizeof client)
			return;
		talk = find_talk(door, client, size);
		if (!talk)
			talk = begin_talk(door, client, size);
		if (!talk)
			continue;
		talk->used_ms = now_ms();
		sys(sendto, talk->inner, data, n, DO_NOT_WAIT, NULL, 0);
	}
}

void datagram_from_inside(int index)
{
	struct talk *talk = &talks[index];

	for (int i = 0; i < AT_ONCE && talk->inner; i++) {
		long n = sys(recvfrom, talk->inner, data, sizeof data, DO_NOT_WAIT, NULL, NULL);

		if (n < 0)
			return;
		talk->used_ms = now_ms();
		sys(sendto, holder.doors[talk->door].fd, data, n, DO_NOT_WAIT, talk->client, talk->size);
	}
}

void talks_watch(void)
{
	for (int i = 0; i < MAX_TALKS; i++)
		if (talks[i].inner)
			poll_for(talks[i].inner, POLLIN, POLLED_TALK, i);
}

void talks_end(int door)
{
	for (int i = 0; i < MAX_TALKS; i++)
		if (talks[i].inner && talks[i].door == door)
			close_place(&talks[i].inner);
}
