/* What is answered to whom.
 *
 * Names of the network are the resolver's own: they are answered here, also when there is no address of the wanted
 * kind, and never asked of a server.  So are addresses of the network.  All else is a server's, unless the network
 * is internal or the endpoint may ask for some names only: what goes to a server could carry secrets out. */
#include "dns.h"

int memcmp(const void *a, const void *b, size_t size);

static void add_addresses(struct dns_reply *reply, const struct endpoint *endpoint, uint16_t type)
{
	if (endpoint->ipv4.family && (type == DNS_A || type == DNS_ANY))
		dns_reply_record(reply, DNS_A, endpoint->ipv4.bytes, 4);
	if (endpoint->ipv6.family && (type == DNS_AAAA || type == DNS_ANY))
		dns_reply_record(reply, DNS_AAAA, endpoint->ipv6.bytes, 16);
}

/* Records of the endpoints with the name, from the one numbered first on; returns how many there are. */
static uint32_t add_named(struct dns_reply *reply, const struct endpoints *table, const char *name, size_t size,
			  uint16_t type, uint32_t first, uint32_t last)
{
	const struct endpoint *endpoint = NULL;
	uint32_t count = 0;

	while ((endpoint = endpoints_next(table, endpoint))) {
		if (!endpoint_has_name(endpoint, name, size))
			continue;
		if (count >= first && count < last)
			add_addresses(reply, endpoint, type);
		count++;
	}
	return count;
}

/* Several endpoints may share an alias: each answer begins with another one. */
static int answer_name(struct dns_reply *reply, const struct dns_query *query, const struct endpoints *table,
		       size_t size, uint32_t turn)
{
	uint32_t count = add_named(reply, table, query->name, size, query->type, 0, 0);

	if (count == 0)
		return 0;
	turn %= count;
	add_named(reply, table, query->name, size, query->type, turn, count);
	add_named(reply, table, query->name, size, query->type, 0, turn);
	return 1;
}

/* The length of the name without ".domain", or 0. */
static size_t without_domain(const struct dns_query *query, const char *domain)
{
	size_t size = ck_strlen(domain);

	if (size == 0 || query->name_size < size + 2 || query->name[query->name_size - size - 1] != '.')
		return 0;
	if (memcmp(query->name + query->name_size - size, domain, size) != 0)
		return 0;
	return query->name_size - size - 1;
}

static int answer_forward(struct dns_reply *reply, const struct dns_query *query, const struct dns_view *view)
{
	size_t bare = without_domain(query, view->domain);

	for (uint32_t i = 0; i < view->table_count; i++)
		if (answer_name(reply, query, view->tables[i], query->name_size, view->turn))
			return 1;
	return bare && view->table_count && answer_name(reply, query, view->tables[0], bare, view->turn);
}

static int is_ours(const struct dns_view *view, const struct address *address)
{
	for (uint32_t i = 0; i < view->subnet_count; i++)
		if (subnet_contains(&view->subnets[i], address))
			return 1;
	return 0;
}

static const struct endpoint *find_address(const struct dns_view *view, const struct address *address)
{
	const struct endpoint *found = NULL;

	for (uint32_t i = 0; i < view->table_count && !found; i++)
		found = endpoints_at(view->tables[i], address);
	return found;
}

/* The code of the answer to a question for the name of an address, or -1: not an address that we know of. */
static int answer_address(struct dns_reply *reply, const struct dns_query *query, const struct dns_view *view,
			  const struct address *address)
{
	const struct endpoint *endpoint = find_address(view, address);

	if (endpoint && endpoint->names_size) {
		if (query->type == DNS_PTR || query->type == DNS_ANY)
			dns_reply_name(reply, endpoint->texts, ck_strlen(endpoint->texts), view->domain);
		return DNS_NOERROR;
	}
	return endpoint || is_ours(view, address) ? DNS_NXDOMAIN : -1;
}

/* Whoever is in one network only hears at once that there is no such name; whoever is in several shall ask the
 * resolver of the next one. */
static int denial(const struct dns_view *view)
{
	return view->table_count > 1 ? DNS_REFUSED : DNS_NXDOMAIN;
}

static int may_ask_servers(const struct dns_query *query, const struct dns_view *view)
{
	if (view->internal)
		return 0;
	if (!view->client)
		return 1;
	return !view->client->limited ||
	       (query->plain && endpoint_may_ask(view->client, query->name, query->name_size));
}

int dns_answer(struct dns_reply *reply, const struct dns_query *query, const struct dns_view *view)
{
	struct address address;
	int code = -1;

	if (dns_reverse_address(query, &address) == 0)
		code = answer_address(reply, query, view, &address);
	else if (query->plain && query->name_size && answer_forward(reply, query, view))
		code = DNS_NOERROR;
	if (code < 0 && !may_ask_servers(query, view))
		code = denial(view);
	if (code >= 0)
		dns_reply_end(reply, query, code);
	return code >= 0;
}
