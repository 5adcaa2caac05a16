/* The resolver's decisions, compiled into the extension as well: they are the same files, so that tests, fuzzers and
 * sanitizers see every byte that the keeper would read. */
#include "ckit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "init/address.c"
#include "init/dns_answer.c"
#include "init/dns_message.c"
#include "init/dns_names.c"

static void read_endpoints(struct endpoints *table, const char *const *owners, const char *const *texts, int count)
{
	static __thread union {
		struct endpoint endpoint;
		char room[ENDPOINT_ROOM];
	} parsed;

	for (int i = 0; i < count; i++) {
		endpoint_parse(&parsed.endpoint, owners[i], texts[i], strlen(texts[i]));
		endpoints_put(table, &parsed.endpoint);
	}
}

static int answer(const struct dns_view *view, const unsigned char *message, unsigned int size,
		  struct dns_reply *reply)
{
	struct dns_query query;
	int code = dns_parse(&query, message, size);

	if (code < 0)
		return -1;
	if (reply->limit > query.payload)
		reply->limit = query.payload;
	dns_reply_begin(reply, &query, message);
	if (code > 0)
		dns_reply_end(reply, &query, code);
	else if (!dns_answer(reply, &query, view))
		return 0;
	return reply->size;
}

/* On copies that are exactly as long as they say: a sanitizer sees who reads or writes behind them. */
static int answer_copy(const struct dns_view *view, const unsigned char *question, unsigned int size,
		       unsigned char *to, unsigned int limit)
{
	struct dns_reply reply = { .data = malloc(limit), .limit = limit };
	unsigned char *message = malloc(size ? size : 1);
	int result = -ENOMEM;

	if (reply.data && message) {
		memcpy(message, question, size);
		result = answer(view, message, size, &reply);
		memcpy(to, reply.data, result > 0 ? result : 0);
	}
	free(reply.data);
	free(message);
	return result;
}

int ck_resolve(const char *const *owners, const char *const *texts, int count, const char *client, const char *subnet,
	       const char *domain, int internal, const unsigned char *question, unsigned int size, unsigned char *reply,
	       unsigned int limit)
{
	struct endpoints table = { 0 };
	const struct endpoints *tables[] = { &table };
	struct subnet own;
	struct dns_view view = { .tables = tables, .table_count = 1, .subnets = &own, .subnet_count = 1 };
	struct address address;
	int result;

	if (subnet_parse(&own, subnet, strlen(subnet)) < 0 || limit < DNS_UDP_SMALL)
		return -EINVAL;
	read_endpoints(&table, owners, texts, count);
	if (address_parse(&address, client, strlen(client)) == 0)
		view.client = endpoints_at(&table, &address);
	view.domain = domain;
	view.internal = internal;
	result = answer_copy(&view, question, size, reply, limit);
	endpoints_clear(&table);
	return result;
}
