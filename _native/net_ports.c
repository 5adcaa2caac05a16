/* Keeping a port of the host for a container, so that no other program takes it while connections to it are sent on. */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "ckit.h"

union place {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

static socklen_t set_place(union place *place, int family, const char *address, unsigned short port)
{
	memset(place, 0, sizeof *place);
	if (family == AF_INET) {
		place->ipv4.sin_family = AF_INET;
		place->ipv4.sin_port = htons(port);
		memcpy(&place->ipv4.sin_addr, address, sizeof place->ipv4.sin_addr);
		return sizeof place->ipv4;
	}
	place->ipv6.sin6_family = AF_INET6;
	place->ipv6.sin6_port = htons(port);
	memcpy(&place->ipv6.sin6_addr, address, sizeof place->ipv6.sin6_addr);
	return sizeof place->ipv6;
}

/* Whatever arrives is dropped before the socket sees it.  Without this, what comes while somebody reloads the packet
 * filter would be answered by "refused", and that ends connections. */
static int become_deaf(int fd)
{
	struct sock_filter nothing = { BPF_RET | BPF_K, 0, 0, 0 };
	struct sock_fprog filter = { 1, &nothing };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

int ck_port_hold(int fd, int family, int kind, const char *address, unsigned short *port)
{
	union place place;
	socklen_t size = set_place(&place, family, address, *port);
	int only = 1;

	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) < 0)
		return -errno;
	/* Where only root may filter, who holds a port passes on what comes, and hears it all. */
	if (become_deaf(fd) < 0 && errno != EPERM)
		return -errno;
	if (bind(fd, &place.any, size) < 0)
		return -errno;
	if (kind == SOCK_STREAM && listen(fd, 1) < 0)
		return -errno;
	if (getsockname(fd, &place.any, &size) < 0)
		return -errno;
	*port = ntohs(family == AF_INET ? place.ipv4.sin_port : place.ipv6.sin6_port);
	return 0;
}
