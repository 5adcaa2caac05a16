/* Network namespaces, links, addresses and routes, by netlink.  All functions return 0 (or what is said) or -errno.
 *
 * user_namespace and net_namespace are descriptors; -1 means the caller's.  `route` is a netlink socket, which
 * decides whose links are meant.  *words, of CK_NET_WORDS bytes, gets the kernel's own words of an error. */

#define CK_NET_WORDS 128

/* A new namespace, owned by user_namespace, its loopback up, and a netlink socket inside of it.  settings: see
 * ck_net_settings; they are written before any link is up. */
int ck_net_namespace(struct ck_descriptor *held, struct ck_descriptor *route, int user_namespace,
		     const char *settings, char *where, unsigned int size);
/* New IPC and UTS namespaces, owned by user_namespace: what containers of a pod share beside the network. */
int ck_shared_namespaces(struct ck_descriptor *ipc, struct ck_descriptor *uts, int user_namespace);
/* As socket(2), inside of a namespace; a netlink socket is set up as the functions below want it. */
int ck_net_socket(struct ck_descriptor *held, int user_namespace, int net_namespace, int family, int kind,
		  int protocol);
/* Write settings inside of a namespace: names below /proc/sys and values in turn, each ended by NUL, then an empty
 * name.  *where gets the name of the one that failed. */
int ck_net_settings(int user_namespace, int net_namespace, const char *settings, char *where, unsigned int size);
/* Read one; the length. */
int ck_net_setting(int user_namespace, int net_namespace, const char *name, char *value, unsigned int size);

struct ck_net_address {
	unsigned char bytes[16];
	int family; /* AF_INET, AF_INET6; 0: none */
	int prefix;
};

struct ck_net_bridge {
	const char *name;
	unsigned char mac[6];
	unsigned int mtu;
	struct ck_net_address addresses[3];
};
/* A bridge that is up and has these addresses; may be repeated.  -EEXIST: there is a link of this name that is no
 * bridge, or has another MAC address. */
int ck_net_bridge(int route, const struct ck_net_bridge *bridge, char *words);

/* A pair of interfaces: `name` here, in the bridge, up; `inner` in the other namespace, down. */
struct ck_net_pair {
	const char *name, *inner;
	int bridge; /* its index */
	int namespace;
	unsigned char mac[6]; /* of the inner one */
	unsigned int mtu;
	int isolated; /* whether members of the bridge that are isolated, too, are out of reach */
	int hairpin; /* whether it may reach itself by an address that is translated to its own */
};
int ck_net_pair(int route, const struct ck_net_pair *pair, char *words);

/* An interface with a MAC address of its own on the link `parent` (an index), put into another namespace. */
struct ck_net_macvlan {
	const char *inner;
	int parent, namespace;
	unsigned char mac[6];
	unsigned int mtu, mode; /* MACVLAN_MODE_*, of linux/if_link.h */
};
int ck_net_macvlan(int route, const struct ck_net_macvlan *macvlan, char *words);

/* A link with an 802.1Q tag on the link `parent`, up; -EEXIST when there is a link of this name. */
int ck_net_vlan(int route, const char *name, int parent, unsigned short tag, char *words);

/* Give the interface of this name (in the namespace of `route`) its addresses and default routes, and set it up. */
struct ck_net_interface {
	const char *name;
	struct ck_net_address addresses[2], gateways[2];
};
int ck_net_configure(int route, const struct ck_net_interface *interface, char *words);

/* The default route by a gateway on the interface, instead of another one. */
int ck_net_default_route(int route, const char *name, const struct ck_net_address *gateway, char *words);

/* Let the link with this index know that the addresses are at a MAC address, for as long as neighbours usually are
 * remembered: who asks first need not wait for an answer. Without a MAC address it forgets them. */
int ck_net_neighbours(int route, int index, const struct ck_net_address addresses[2], const unsigned char *mac,
		      char *words);

struct ck_net_link {
	int index, up;
	unsigned int mtu;
	unsigned char mac[6];
	unsigned long long received_bytes, received_packets, received_errors, received_dropped;
	unsigned long long sent_bytes, sent_packets, sent_errors, sent_dropped;
	char name[16], kind[16]; /* "bridge", "veth", ...; empty for hardware */
};
/* By its name; when that is NULL, by its index.  -ENODEV: there is none. */
int ck_net_link(int route, const char *name, int index, struct ck_net_link *link);

int ck_net_delete(int route, const char *name, char *words);
/* The message that does this, for somebody else to send; its length. */
int ck_net_delete_message(const char *name, char *data, unsigned int size);

/* Wait until the namespace takes packets to this address as its own, but not longer than about limit_ms: a new address
 * of IPv6 is in force when a worker of the kernel's has had its turn.  1 when it is, 0 when it still is not. */
int ck_net_settled(int route, const struct ck_net_address *address, int limit_ms);

/* Routes of the main table, default routes among them (prefix 0). */
struct ck_net_route {
	struct ck_net_address target;
	int link; /* index */
};
struct ck_net_routes {
	struct ck_net_route *routes;
	unsigned int count, room;
};
int ck_net_routes(int route, int family, struct ck_net_routes *found);
/* What the two above do with an answer of the kernel's, whatever is in it: 1 at the end of a dump. */
int ck_net_take_link(const char *answer, unsigned int size, struct ck_net_link *link);
int ck_net_take_routes(const char *answer, unsigned int size, unsigned int sequence, struct ck_net_routes *found);
void ck_net_routes_free(struct ck_net_routes *found);
