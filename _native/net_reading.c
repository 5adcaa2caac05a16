/* What links and routes there are: questions to a netlink socket, and the kernel's answers, which are checked. */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ckit.h"
#include "init/netlink.h"

enum { QUESTION = 256, ANSWER = 32768, FIRST_ROOM = 64, PAUSE_US = 100 };

static int error_of(const struct nlmsghdr *message)
{
	int error;

	if (message->nlmsg_len < sizeof *message + sizeof error)
		return -EPROTO;
	memcpy(&error, message + 1, sizeof error);
	return error < 0 ? error : -EPROTO;
}

static void take_counters(const struct nlattr *attribute, struct ck_net_link *link)
{
	struct rtnl_link_stats64 s = { 0 };
	unsigned int size = netlink_length(attribute);

	memcpy(&s, netlink_value(attribute), size < sizeof s ? size : sizeof s); /* older kernels know fewer */
	link->received_bytes = s.rx_bytes;
	link->received_packets = s.rx_packets;
	link->received_errors = s.rx_errors;
	link->received_dropped = s.rx_dropped;
	link->sent_bytes = s.tx_bytes;
	link->sent_packets = s.tx_packets;
	link->sent_errors = s.tx_errors;
	link->sent_dropped = s.tx_dropped;
}

/* A word of at most 15 letters, with or without NUL at its end. */
static void take_word(const struct nlattr *attribute, char word[16])
{
	unsigned int size = attribute ? netlink_length(attribute) : 0;

	if (size > 15)
		size = 15;
	memcpy(word, attribute ? netlink_value(attribute) : "", size);
	word[size] = 0;
}

static int take_one_link(const struct nlmsghdr *message, struct ck_net_link *link)
{
	const unsigned int head = sizeof *message + sizeof(struct ifinfomsg);
	const char *attributes = (const char *)message + head;
	const struct nlattr *found;
	struct ifinfomsg info;
	unsigned int size;

	if (message->nlmsg_len < head)
		return -EPROTO;
	size = message->nlmsg_len - head;
	memcpy(&info, message + 1, sizeof info);
	link->index = info.ifi_index;
	link->up = !!(info.ifi_flags & IFF_UP);
	link->mtu = netlink_u32(netlink_find(attributes, size, IFLA_MTU), 0);
	found = netlink_find(attributes, size, IFLA_ADDRESS);
	if (found && netlink_length(found) == sizeof link->mac)
		memcpy(link->mac, netlink_value(found), sizeof link->mac);
	found = netlink_find(attributes, size, IFLA_STATS64);
	if (found)
		take_counters(found, link);
	take_word(netlink_find(attributes, size, IFLA_IFNAME), link->name);
	found = netlink_find(attributes, size, IFLA_LINKINFO);
	if (found)
		take_word(netlink_find(netlink_value(found), netlink_length(found), IFLA_INFO_KIND), link->kind);
	return 0;
}

static int take_link(const char *answer, unsigned int size, unsigned int sequence, struct ck_net_link *link)
{
	const struct nlmsghdr *message;
	unsigned int at = 0;

	while ((message = netlink_next(answer, size, &at)))
		if (message->nlmsg_seq == sequence)
			return message->nlmsg_type == RTM_NEWLINK ? take_one_link(message, link) : error_of(message);
	return -EAGAIN; /* the answer to something else */
}

int ck_net_take_link(const char *answer, unsigned int size, struct ck_net_link *link)
{
	memset(link, 0, sizeof *link);
	return take_link(answer, size, 0, link);
}

int ck_net_link(int route, const char *name, int index, struct ck_net_link *link)
{
	char question[QUESTION] __attribute__((aligned(8))), answer[ANSWER] __attribute__((aligned(8)));
	struct ifinfomsg head = { .ifi_family = AF_UNSPEC, .ifi_index = name ? 0 : index };
	struct netlink_buffer b;
	long n, result;

	memset(link, 0, sizeof *link);
	netlink_begin(&b, question, sizeof question);
	netlink_message(&b, RTM_GETLINK, 0, &head, sizeof head);
	if (name)
		netlink_put_text(&b, IFLA_IFNAME, name);
	n = b.full || (name && ck_strlen(name) >= IFNAMSIZ) ? -ENODEV : netlink_send(route, b.data, b.used);
	if (n < 0)
		return n;
	do {
		n = netlink_receive(route, answer, sizeof answer);
		result = n < 0 ? n : take_link(answer, n, b.sequence, link);
	} while (result == -EAGAIN);
	return result;
}

static int make_room(struct ck_net_routes *found)
{
	unsigned int room = found->room ? found->room * 2 : FIRST_ROOM;
	struct ck_net_route *grown;

	if (found->count < found->room)
		return 0;
	grown = realloc(found->routes, room * sizeof *grown);
	if (!grown)
		return -ENOMEM;
	found->routes = grown;
	found->room = room;
	return 0;
}

/* A route of the main table that leads somewhere. */
static int take_route(const struct nlmsghdr *message, struct ck_net_routes *found)
{
	const unsigned int head = sizeof *message + sizeof(struct rtmsg);
	const char *attributes = (const char *)message + head;
	struct ck_net_route route = { 0 };
	const struct nlattr *target;
	struct rtmsg r;

	if (message->nlmsg_len < head)
		return -EPROTO;
	memcpy(&r, message + 1, sizeof r);
	if (r.rtm_table != RT_TABLE_MAIN || r.rtm_type != RTN_UNICAST)
		return 0;
	route.target.family = r.rtm_family;
	route.target.prefix = r.rtm_dst_len;
	target = netlink_find(attributes, message->nlmsg_len - head, RTA_DST);
	if (target && netlink_length(target) <= sizeof route.target.bytes)
		memcpy(route.target.bytes, netlink_value(target), netlink_length(target));
	route.link = netlink_u32(netlink_find(attributes, message->nlmsg_len - head, RTA_OIF), 0);
	if (make_room(found) < 0)
		return -ENOMEM;
	found->routes[found->count++] = route;
	return 0;
}

/* One answer to a dump; 1 at its end. */
int ck_net_take_routes(const char *answer, unsigned int size, unsigned int sequence, struct ck_net_routes *found)
{
	const struct nlmsghdr *message;
	unsigned int at = 0;

	while ((message = netlink_next(answer, size, &at))) {
		int result = 0;

		if (message->nlmsg_seq != sequence)
			continue;
		if (message->nlmsg_type == NLMSG_DONE)
			return 1;
		if (message->nlmsg_type == NLMSG_ERROR)
			return error_of(message);
		if (message->nlmsg_type == RTM_NEWROUTE)
			result = take_route(message, found);
		if (result < 0)
			return result;
	}
	return 0;
}

int ck_net_routes(int route, int family, struct ck_net_routes *found)
{
	char question[QUESTION] __attribute__((aligned(8))), answer[ANSWER] __attribute__((aligned(8)));
	struct rtmsg head = { .rtm_family = family };
	struct netlink_buffer b;
	long result;

	netlink_begin(&b, question, sizeof question);
	netlink_message(&b, RTM_GETROUTE, NLM_F_DUMP, &head, sizeof head);
	result = netlink_send(route, b.data, b.used);
	while (result == 0) {
		long n = netlink_receive(route, answer, sizeof answer);

		result = n < 0 ? n : ck_net_take_routes(answer, n, b.sequence, found);
	}
	if (result < 0)
		ck_net_routes_free(found);
	return result < 0 ? (int)result : 0;
}

void ck_net_routes_free(struct ck_net_routes *found)
{
	free(found->routes);
	memset(found, 0, sizeof *found);
}

/* Whether the way to an address ends here: 1 or 0. */
static int is_local(int route, const struct ck_net_address *address)
{
	char question[QUESTION] __attribute__((aligned(8))), answer[ANSWER] __attribute__((aligned(8)));
	unsigned int bytes = address->family == AF_INET6 ? 16 : 4;
	struct rtmsg head = { .rtm_family = address->family, .rtm_dst_len = 8 * bytes };
	struct netlink_buffer b;
	long n;

	netlink_begin(&b, question, sizeof question);
	netlink_message(&b, RTM_GETROUTE, 0, &head, sizeof head);
	netlink_put(&b, RTA_DST, address->bytes, bytes);
	n = netlink_send(route, b.data, b.used);
	while (n >= 0) {
		const struct nlmsghdr *message;
		unsigned int at = 0;

		n = netlink_receive(route, answer, sizeof answer);
		while (n > 0 && (message = netlink_next(answer, n, &at))) {
			struct rtmsg r = { 0 };

			if (message->nlmsg_seq != b.sequence)
				continue;
			if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < sizeof *message + sizeof r)
				return 0; /* an error: there is no way to it yet */
			memcpy(&r, message + 1, sizeof r);
			return r.rtm_type == RTN_LOCAL;
		}
	}
	return (int)n;
}

int ck_net_settled(int route, const struct ck_net_address *address, int limit_ms)
{
	const long long pause[2] = { 0, PAUSE_US * 1000 };

	for (int waited_us = 0;; waited_us += PAUSE_US) {
		int result = is_local(route, address);

		if (result != 0 || waited_us >= limit_ms * 1000)
			return result;
		sys(nanosleep, pause, NULL);
	}
}
