/* The keeper's configuration, from the fields that the library wrote. */
#include "keeper.h"

static int take_text(const struct field *field, const char **text)
{
	if (field->size == 0 || field->data[field->size - 1] != 0)
		return -EINVAL;
	*text = field->data;
	return 0;
}

static int take_number(const struct field *field, uint32_t *value)
{
	if (field->size != sizeof *value)
		return -EINVAL;
	memcpy(value, field->data, sizeof *value);
	return 0;
}

static int take_listen(const struct field *field, struct keeper_config *config)
{
	const char *text;

	if (take_text(field, &text) < 0 || config->listen_count == MAX_LISTENS)
		return -EINVAL;
	return subnet_parse(&config->listens[config->listen_count++], text, ck_strlen(text)) < 0 ? -EINVAL : 0;
}

static int take_server(const struct field *field, struct keeper_config *config)
{
	const char *text;

	if (take_text(field, &text) < 0 || config->server_count == MAX_SERVERS)
		return -EINVAL;
	return address_parse(&config->servers[config->server_count++], text, ck_strlen(text)) < 0 ? -EINVAL : 0;
}

static int take_domain(const struct field *field, struct keeper_config *config)
{
	if (take_text(field, &config->domain) < 0)
		return -EINVAL;
	return *config->domain && !dns_is_name(config->domain, ck_strlen(config->domain)) ? -EINVAL : 0;
}

static int take_field(const struct field *field, struct keeper_config *config)
{
	switch (field->tag) {
	case FIELD_DIRECTORY:
		return take_text(field, &config->directory);
	case KEEPER_DOMAIN:
		return take_domain(field, config);
	case KEEPER_LISTEN:
		return take_listen(field, config);
	case KEEPER_PORT:
		return take_number(field, &config->port);
	case KEEPER_SERVER:
		return take_server(field, config);
	case KEEPER_RESOLV_CONF:
		return take_text(field, &config->resolv_conf);
	case KEEPER_INTERNAL:
		return take_number(field, &config->internal);
	case KEEPER_LINGER:
		return take_number(field, &config->linger_ms);
	case FIELD_UNDO_MESSAGE:
		return 0;
	case KEEPER_OWN:
		config->own = field->data;
		config->own_size = field->size;
		return 0;
	case KEEPER_RESTORE:
		config->restore = field->data;
		config->restore_size = field->size;
		return 0;
	case KEEPER_TABLE:
		return take_text(field, &config->table);
	case KEEPER_NAMESPACES:
		return take_number(field, &config->namespaces);
	}
	return -EINVAL;
}

int keeper_config_parse(struct keeper_config *config, const char *data, uint64_t size)
{
	const char *at = data;
	struct field field;
	int more;

	config->data = data;
	config->size = size;
	config->domain = "";
	while ((more = next_field(&at, data + size, &field)) > 0)
		if (take_field(&field, config) < 0)
			return -EINVAL;
	return more < 0 || !config->directory ? -EINVAL : 0;
}
