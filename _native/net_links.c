/* Links, addresses and routes: messages for a netlink socket, whose namespace is the one that is acted in.
 *
 * Source: rtnetlink(7); Linux, Documentation/netlink/specs/rt-link.yaml, rt-addr.yaml, rt-route.yaml. */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>
#include <sys/socket.h>

#include "ckit.h"
#include "init/netlink.h"

enum { ROOM = 1024, NEW = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, AGAIN = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE };

static unsigned int bytes_of(const struct ck_net_address *address)
{
	return address->family == AF_INET6 ? 16 : 4;
}

static void put_name(struct netlink_buffer *b, const char *name)
{
	if (ck_strlen(name) >= IFNAMSIZ)
		b->full = 1; /* the kernel would refuse it as well */
	else
		netlink_put_text(b, IFLA_IFNAME, name);
}

static void begin_link(struct netlink_buffer *b, unsigned short type, unsigned short flags, int index, int is_up)
{
	struct ifinfomsg link = { .ifi_index = index };

	if (is_up)
		link.ifi_flags = link.ifi_change = IFF_UP;
	netlink_message(b, type, flags, &link, sizeof link);
}

/* IFLA_LINKINFO with a kind; its data begin where the second place says. */
static void begin_kind(struct netlink_buffer *b, const char *kind, unsigned int places[2])
{
	places[0] = netlink_nest(b, IFLA_LINKINFO);
	netlink_put(b, IFLA_INFO_KIND, kind, ck_strlen(kind));
	places[1] = netlink_nest(b, IFLA_INFO_DATA);
}

static void end_kind(struct netlink_buffer *b, const unsigned int places[2])
{
	netlink_close_nest(b, places[1]);
	netlink_close_nest(b, places[0]);
}

static void put_address(struct netlink_buffer *b, int index, unsigned short flags, const struct ck_net_address *address)
{
	struct ifaddrmsg head = { .ifa_family = address->family, .ifa_prefixlen = address->prefix, .ifa_index = index };

	if (address->family == 0)
		return;
	/* Nobody else has it: the wait for a duplicate to answer would be for nothing. */
	if (address->family == AF_INET6)
		head.ifa_flags = IFA_F_NODAD;
	netlink_message(b, RTM_NEWADDR, flags, &head, sizeof head);
	netlink_put(b, IFA_LOCAL, address->bytes, bytes_of(address));
	netlink_put(b, IFA_ADDRESS, address->bytes, bytes_of(address));
	if (address->family == AF_INET && address->prefix < 31) {
		unsigned char last[4];
		for (int i = 0; i < 4; i++) {
			int kept = address->prefix - 8 * i;
			unsigned int mask = kept >= 8 ? 0 : kept <= 0 ? 0xff : 0xff >> kept;
			last[i] = address->bytes[i] | mask;
		}
		netlink_put(b, IFA_BROADCAST, last, sizeof last);
	}
}

static void put_default_route(struct netlink_buffer *b, int index, unsigned short flags,
			      const struct ck_net_address *gateway)
{
	struct rtmsg head = { .rtm_family = gateway->family, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC,
			      .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST };

	if (gateway->family == 0)
		return;
	netlink_message(b, RTM_NEWROUTE, flags, &head, sizeof head);
	netlink_put(b, RTA_GATEWAY, gateway->bytes, bytes_of(gateway));
	netlink_put_u32(b, RTA_OIF, index);
}

static long talk(int route, const struct netlink_buffer *b, char *words)
{
	if (words)
		words[0] = 0;
	return netlink_talk(route, b, words, CK_NET_WORDS);
}

static void put_bridge(struct netlink_buffer *b, const struct ck_net_bridge *bridge)
{
	unsigned int places[2];

	begin_link(b, RTM_NEWLINK, NEW, 0, 1);
	put_name(b, bridge->name);
	netlink_put(b, IFLA_ADDRESS, bridge->mac, sizeof bridge->mac);
	if (bridge->mtu)
		netlink_put_u32(b, IFLA_MTU, bridge->mtu);
	begin_kind(b, "bridge", places);
	netlink_put_u32(b, IFLA_BR_FORWARD_DELAY, 0);
	end_kind(b, places);
}

int ck_net_bridge(int route, const struct ck_net_bridge *bridge, char *words)
{
	char data[ROOM] __attribute__((aligned(8)));
	struct netlink_buffer b;
	struct ck_net_link made;
	long result;

	netlink_begin(&b, data, sizeof data);
	put_bridge(&b, bridge);
	result = talk(route, &b, words);
	if (result < 0 && result != -EEXIST)
		return result;
	result = ck_net_link(route, bridge->name, 0, &made);
	if (result < 0)
		return result;
	if (strcmp(made.kind, "bridge") != 0 || memcmp(made.mac, bridge->mac, sizeof made.mac) != 0)
		return -EEXIST; /* somebody else's */
	netlink_begin(&b, data, sizeof data);
	begin_link(&b, RTM_NEWLINK, NLM_F_ACK, made.index, 1);
	for (int i = 0; i < 3; i++)
		put_address(&b, made.index, AGAIN, &bridge->addresses[i]);
	return talk(route, &b, words);
}

/* The end of a pair that is not here, in the form in which a pair nests it. */
static void put_peer(struct netlink_buffer *b, const struct ck_net_pair *pair)
{
	struct ifinfomsg head = { 0 }; /* not up: the kernel makes this end before it knows of the other */
	unsigned int place = b->used;

	netlink_put(b, VETH_INFO_PEER, &head, sizeof head);
	put_name(b, pair->inner);
	netlink_put(b, IFLA_ADDRESS, pair->mac, sizeof pair->mac);
	netlink_put_u32(b, IFLA_NET_NS_FD, pair->namespace);
	netlink_put_u32(b, IFLA_NUM_TX_QUEUES, 1);
	netlink_put_u32(b, IFLA_NUM_RX_QUEUES, 1);
	if (pair->mtu)
		netlink_put_u32(b, IFLA_MTU, pair->mtu);
	netlink_close_nest(b, place);
}

/* What is special about the bridge's port: isolated, it speaks only with members that are not, such as the bridge
 * itself; with hairpin, packets may leave by it that came in by it. */
static void put_port(struct netlink_buffer *b, const struct ck_net_pair *pair)
{
	unsigned int outer = netlink_nest(b, IFLA_LINKINFO), inner;

	netlink_put(b, IFLA_INFO_SLAVE_KIND, "bridge", 6);
	inner = netlink_nest(b, IFLA_INFO_SLAVE_DATA);
	netlink_put_u8(b, IFLA_BRPORT_ISOLATED, pair->isolated != 0);
	netlink_put_u8(b, IFLA_BRPORT_MODE, pair->hairpin != 0);
	netlink_close_nest(b, inner);
	netlink_close_nest(b, outer);
}

/* Set up the end of a pair that is here.  It belongs to the bridge: no address of its own, by which a container could
 * speak with the host beside the bridge, is made for it. */
static void put_outer_up(struct netlink_buffer *b, const struct ck_net_pair *pair)
{
	unsigned int outer, inner;

	begin_link(b, RTM_NEWLINK, NLM_F_ACK, 0, 1);
	put_name(b, pair->name);
	outer = netlink_nest(b, IFLA_AF_SPEC);
	inner = netlink_nest(b, AF_INET6);
	netlink_put_u8(b, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	netlink_close_nest(b, inner);
	netlink_close_nest(b, outer);
	if (pair->isolated || pair->hairpin)
		put_port(b, pair);
}

int ck_net_pair(int route, const struct ck_net_pair *pair, char *words)
{
	char data[ROOM] __attribute__((aligned(8)));
	struct netlink_buffer b;
	unsigned int places[2];

	netlink_begin(&b, data, sizeof data);
	begin_link(&b, RTM_NEWLINK, NEW, 0, 0);
	put_name(&b, pair->name);
	netlink_put_u32(&b, IFLA_MASTER, pair->bridge);
	netlink_put_u32(&b, IFLA_NUM_TX_QUEUES, 1);
	netlink_put_u32(&b, IFLA_NUM_RX_QUEUES, 1);
	if (pair->mtu)
		netlink_put_u32(&b, IFLA_MTU, pair->mtu);
	begin_kind(&b, "veth", places);
	put_peer(&b, pair);
	end_kind(&b, places);
	put_outer_up(&b, pair);
	return talk(route, &b, words);
}

int ck_net_macvlan(int route, const struct ck_net_macvlan *macvlan, char *words)
{
	char data[ROOM] __attribute__((aligned(8)));
	struct netlink_buffer b;
	unsigned int places[2];

	netlink_begin(&b, data, sizeof data);
	begin_link(&b, RTM_NEWLINK, NEW, 0, 0);
	put_name(&b, macvlan->inner);
	netlink_put_u32(&b, IFLA_LINK, macvlan->parent);
	netlink_put(&b, IFLA_ADDRESS, macvlan->mac, sizeof macvlan->mac);
	netlink_put_u32(&b, IFLA_NET_NS_FD, macvlan->namespace);
	if (macvlan->mtu)
		netlink_put_u32(&b, IFLA_MTU, macvlan->mtu);
	begin_kind(&b, "macvlan", places);
	netlink_put_u32(&b, IFLA_MACVLAN_MODE, macvlan->mode);
	end_kind(&b, places);
	return talk(route, &b, words);
}

int ck_net_vlan(int route, const char *name, int parent, unsigned short tag, char *words)
{
	char data[ROOM] __attribute__((aligned(8)));
	struct netlink_buffer b;
	unsigned int places[2];

	netlink_begin(&b, data, sizeof data);
	begin_link(&b, RTM_NEWLINK, NEW, 0, 1);
	put_name(&b, name);
	netlink_put_u32(&b, IFLA_LINK, parent);
	begin_kind(&b, "vlan", places);
	netlink_put(&b, IFLA_VLAN_ID, &tag, sizeof tag);
	end_kind(&b, places);
	return talk(route, &b, words);
}

static long index_of(int route, const char *name)
{
	struct ck_net_link link;
	long result = ck_net_link(route, name, 0, &link);

	return result < 0 ? result : link.index;
}

int ck_net_configure(int route, const struct ck_net_interface *interface, char *words)
{
	char data[ROOM] __attribute__((aligned(8)));
	struct netlink_buffer b;
	long index = index_of(route, interface->name);

	if (index < 0)
		return index;
	netlink_begin(&b, data, sizeof data);
	begin_link(&b, RTM_NEWLINK, NLM_F_ACK, index, 1);
	for (int i = 0; i < 2; i++)
		put_address(&b, index, NEW, &interface->addresses[i]);
	for (int i = 0; i < 2; i++)
		put_default_route(&b, index, NEW, &interface->gateways[i]);
	return talk(route, &b, words);
}

int ck_net_neighbours(int route, int index, const struct ck_net_address addresses[2], const unsigned char *mac,
		      char *words)
{
	char data[ROOM] __attribute__((aligned(8)));
	struct netlink_buffer b;

	netlink_begin(&b, data, sizeof data);
	for (int i = 0; i < 2; i++) {
		struct ndmsg head = { .ndm_family = addresses[i].family, .ndm_ifindex = index,
				      .ndm_state = NUD_REACHABLE, .ndm_type = RTN_UNICAST };

		if (addresses[i].family == 0)
			continue;
		netlink_message(&b, mac ? RTM_NEWNEIGH : RTM_DELNEIGH, mac ? AGAIN : NLM_F_ACK, &head, sizeof head);
		netlink_put(&b, NDA_DST, addresses[i].bytes, bytes_of(&addresses[i]));
		if (mac)
			netlink_put(&b, NDA_LLADDR, mac, ETH_ALEN);
	}
	return talk(route, &b, words);
}

int ck_net_default_route(int route, const char *name, const struct ck_net_address *gateway, char *words)
{
	char data[ROOM] __attribute__((aligned(8)));
	struct netlink_buffer b;
	long index = index_of(route, name);

	if (index < 0)
		return index;
	netlink_begin(&b, data, sizeof data);
	put_default_route(&b, index, AGAIN, gateway);
	return talk(route, &b, words);
}

int ck_net_delete(int route, const char *name, char *words)
{
	char data[ROOM] __attribute__((aligned(8)));
	struct netlink_buffer b;

	netlink_begin(&b, data, sizeof data);
	begin_link(&b, RTM_DELLINK, NLM_F_ACK, 0, 0);
	put_name(&b, name);
	return talk(route, &b, words);
}

int ck_net_delete_message(const char *name, char *data, unsigned int size)
{
	struct netlink_buffer b;

	netlink_begin(&b, data, size);
	begin_link(&b, RTM_DELLINK, NLM_F_ACK, 0, 0);
	put_name(&b, name);
	return b.full ? -EMSGSIZE : (int)b.used;
}
