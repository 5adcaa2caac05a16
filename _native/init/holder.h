/* The holder: the network namespace of an ordinary user's containers, and what passes between it and the host.
 *
 * It is told over `networks/holder.sock`: one message "P" and a struct wanted_door for each published port, with the
 * socket that holds it on the host.  Whoever has the connection keeps the doors open, and the holder alive. */
#ifndef CKIT_HOLDER_H
#define CKIT_HOLDER_H

#include "daemon.h"

#define MAX_PEERS 1024	 /* connections of containers */
#define MAX_DOORS 2048	 /* published ports */
#define MAX_STREAMS 1024 /* TCP connections through doors */
#define MAX_TALKS 512	 /* UDP conversations */
#define STREAM_BUFFER 65536
#define MAX_POLLS (2 + MAX_PEERS + MAX_DOORS + 2 * MAX_STREAMS + MAX_TALKS)
#define SOCKADDR_SIZE 28 /* of IPv6; IPv4's is 16 */

/* What comes with "P" (container_kit/network/holder.py). */
struct wanted_door {
	char kind;	  /* 'P' */
	char is_datagram; /* UDP */
	char padding[2];
	uint32_t size;	  /* of the address */
	char address[SOCKADDR_SIZE]; /* the container's, as the kernel takes it */
};

struct door {
	int fd;	  /* on the host; 0 for a free place */
	int peer; /* who opened it */
	int is_datagram;
	uint32_t size;
	char address[SOCKADDR_SIZE];
};

/* One direction of a connection. */
struct way {
	char data[STREAM_BUFFER];
	uint32_t have, sent;
	int ended; /* 1: nothing more comes, 2: the other side has been told */
};

struct stream {
	int outer, inner; /* 0 for a free place */
	int is_connecting;
	struct way in, out;
};

struct talk {
	int inner; /* 0 for a free place */
	int door;
	int64_t used_ms;
	uint32_t size;
	char client[SOCKADDR_SIZE];
};

/* Who is polled for what. */
enum polled { POLLED_LISTENER, POLLED_PEER, POLLED_DOOR, POLLED_OUTER, POLLED_INNER, POLLED_TALK };

struct holder {
	int listen_fd;
	int peers[MAX_PEERS]; /* 0 for a free place */
	int peer_count;
	struct door doors[MAX_DOORS];
	struct pollfd polls[MAX_POLLS];
	struct {
		uint8_t kind;
		uint16_t index;
	} polled[MAX_POLLS];
	int poll_count;
};

extern struct holder holder;

int close_place(int *fd); /* and leave it free */
void poll_for(int fd, int events, enum polled kind, int index);

/* relay_streams.c */
int streams_are_full(void);
void stream_accept(const struct door *door);
void streams_watch(void);
void stream_serve(int index);

/* relay_datagrams.c */
void datagram_from_outside(int door);
void datagram_from_inside(int talk);
void talks_watch(void);
void talks_end(int door);

#endif
