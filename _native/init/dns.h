/* The resolver of a network: messages, the names of its endpoints, and what is answered to whom.
 *
 * Decisions only, on bytes that are there: no file here makes a system call except for memory.  The keeper
 * (keeper.h) receives, sends and waits.  Source: RFC 1035 (messages), RFC 6891 (EDNS). */
#ifndef CKIT_DNS_H
#define CKIT_DNS_H

#include "address.h"

#define DNS_HEADER 12
#define DNS_NAME_MAX 255
#define DNS_LABEL_MAX 63
#define DNS_UDP_SMALL 512 /* what every client takes */
#define DNS_UDP_LARGE 1232 /* fits a frame of any link */
#define DNS_TCP_LARGEST 65535

enum { DNS_A = 1, DNS_PTR = 12, DNS_AAAA = 28, DNS_OPT = 41, DNS_IXFR = 251, DNS_AXFR = 252, DNS_ANY = 255 };
enum { DNS_NOERROR, DNS_FORMERR, DNS_SERVFAIL, DNS_NXDOMAIN, DNS_NOTIMP, DNS_REFUSED, DNS_BADVERS = 16 };
enum { DNS_CLASS_IN = 1 };

/* A question that was understood. */
struct dns_query {
	uint16_t id, flags, type, class;
	uint16_t question_end; /* the offset behind the question; 0: it was not understood */
	uint16_t payload;      /* the longest answer that the client takes over UDP */
	uint8_t has_edns, edns_version;
	uint8_t plain; /* the name has only letters, digits, "-" and "_" in its labels */
	uint8_t name_size;
	char name[DNS_NAME_MAX + 1]; /* lower case, labels joined by dots, no dot at the end */
};

struct dns_reply {
	uint8_t *data;
	size_t size, limit;
	uint16_t records;
	uint8_t cut; /* not all records had room */
};

/* dns_message.c */
/* 0, an error code to answer with, or -1: not worth an answer. */
int dns_parse(struct dns_query *query, const uint8_t *message, size_t size);
void dns_reply_begin(struct dns_reply *reply, const struct dns_query *query, const uint8_t *message);
void dns_reply_record(struct dns_reply *reply, uint16_t type, const uint8_t *data, size_t size);
void dns_reply_name(struct dns_reply *reply, const char *name, size_t size, const char *domain); /* a PTR record */
void dns_reply_end(struct dns_reply *reply, const struct dns_query *query, int code);
/* Whether an answer from a server is to that question. */
int dns_answers(const uint8_t *answer, size_t size, const uint8_t *question, size_t question_end);
/* The address that a name below in-addr.arpa or ip6.arpa stands for; 0 or -1. */
int dns_reverse_address(const struct dns_query *query, struct address *address);

#define OWNER_SIZE 64
#define MAX_SERVERS 3

/* What an endpoint's file says; its names follow, each ends with a NUL. */
struct endpoint {
	uint32_t size; /* with the texts, a multiple of eight */
	uint16_t names_size, allowed_size;
	char owner[OWNER_SIZE];
	struct address ipv4, ipv6;
	struct address servers[MAX_SERVERS]; /* that it wants to be asked, instead of the host's */
	uint8_t server_count;
	uint8_t limited; /* only the allowed names are asked of servers */
	char texts[];	 /* names_size bytes of names, allowed_size bytes of allowed names */
};

#define ENDPOINT_ROOM 16384 /* the longest file, and the longest endpoint */

/* The endpoints of one network, one after the other in memory that grows. */
struct endpoints {
	char *data;
	uint64_t used, room;
	uint32_t count;
};

/* dns_names.c */
int dns_is_name(const char *text, size_t size); /* lower case, of a length that a message can have */
void endpoint_parse(struct endpoint *endpoint, const char *owner, const char *text, size_t size);
int endpoint_has_name(const struct endpoint *endpoint, const char *name, size_t size);
int endpoint_may_ask(const struct endpoint *endpoint, const char *name, size_t size);
const struct endpoint *endpoints_next(const struct endpoints *endpoints, const struct endpoint *last);
const struct endpoint *endpoints_of(const struct endpoints *endpoints, const char *owner);
const struct endpoint *endpoints_at(const struct endpoints *endpoints, const struct address *address);
long endpoints_put(struct endpoints *endpoints, const struct endpoint *endpoint); /* 0 or -errno */
void endpoints_forget(struct endpoints *endpoints, const char *owner);
void endpoints_clear(struct endpoints *endpoints);

/* What an answer depends on besides the question. */
struct dns_view {
	const struct endpoints *const *tables; /* the network's own, then the others that the client is in */
	uint32_t table_count;
	const struct subnet *subnets; /* of the network */
	uint32_t subnet_count;
	const char *domain;	       /* the network's name: "db.shop" is db in the network shop */
	const struct endpoint *client; /* NULL: no endpoint, so the host itself */
	int internal;		       /* nothing is asked of servers */
	uint32_t turn;		       /* which of several addresses comes first */
};

/* dns_answer.c: 1 when the reply is complete, 0 when the question is one for a server. */
int dns_answer(struct dns_reply *reply, const struct dns_query *query, const struct dns_view *view);

#endif
