/* The monitor's configuration, from the fields that the library wrote. */
#include "monitor.h"

static int take_text(const struct field *field, const char **text)
{
	if (field->size == 0 || field->data[field->size - 1] != 0)
		return -EINVAL;
	*text = field->data;
	return 0;
}

static int take(const struct field *field, void *value, uint32_t size)
{
	if (field->size != size)
		return -EINVAL;
	memcpy(value, field->data, size);
	return 0;
}

static int take_cgroup(const struct field *field, struct cgroups *groups)
{
	if (groups->v1_count == MAX_CGROUPS)
		return -E2BIG;
	return take_text(field, &groups->v1[groups->v1_count++]);
}

static int take_bytes(const struct field *field, const char **data, uint32_t *size)
{
	*data = field->data;
	*size = field->size;
	return 0;
}

static int set_flag(int *flag)
{
	*flag = 1;
	return 0;
}

static int take_log(const struct field *field, struct config *config)
{
	struct {
		uint64_t max_size;
		uint32_t max_files, enabled;
	} log;
	int error = take(field, &log, sizeof log);

	if (error == 0) {
		config->log_max_size = log.max_size;
		config->log_max_files = log.max_files;
		config->log_enabled = log.enabled;
	}
	return error;
}

static int take_pair(const struct field *field, uint32_t *first, uint32_t *second)
{
	uint32_t pair[2];
	int error = take(field, pair, sizeof pair);

	if (error == 0) {
		*first = pair[0];
		*second = pair[1];
	}
	return error;
}

/* Two texts in one field. */
static int take_disk(const struct field *field, struct config *config)
{
	const char *file = NULL;
	uint64_t length;

	if (config->disk_count == MOST_DISKS)
		return -E2BIG;
	if (take_text(field, &file) < 0)
		return -EINVAL;
	length = ck_strlen(file) + 1;
	if (length >= field->size)
		return -EINVAL;
	config->disks[config->disk_count++] = (struct disk){ file, file + length };
	return 0;
}

static int take_field(struct config *config, const struct field *field)
{
	switch (field->tag) {
	case FIELD_ID:
		return take_text(field, &config->id);
	case FIELD_DIRECTORY:
		return take_text(field, &config->directory);
	case FIELD_PLAN:
		return take_bytes(field, &config->plan, &config->plan_size);
	case FIELD_CGROUP2:
		return take_text(field, &config->cgroups.v2);
	case FIELD_CGROUP:
		return take_cgroup(field, &config->cgroups);
	case FIELD_STDIO:
		return take(field, &config->stdio, sizeof config->stdio);
	case FIELD_LOG:
		return take_log(field, config);
	case FIELD_RESTART:
		return take_pair(field, &config->restart_mode, &config->restart_retries);
	case FIELD_STOP:
		return take_pair(field, &config->stop_signal, &config->stop_timeout_ms);
	case FIELD_HEALTH:
		return take(field, &config->health, sizeof config->health);
	case FIELD_HEALTH_PLAN:
		return take_bytes(field, &config->health_plan, &config->health_plan_size);
	case FIELD_AUTO_REMOVE:
		return set_flag(&config->auto_remove);
	case FIELD_NAME_FILE:
		return take_text(field, &config->name_file);
	case FIELD_EVENTS:
		return take_text(field, &config->events);
	case FIELD_EVENT_FIELDS:
		return take_text(field, &config->event_fields);
	case FIELD_ATTACH:
		return take(field, &config->attach, sizeof config->attach);
	case FIELD_OWNED:
		return set_flag(&config->owned);
	case FIELD_DISK:
		return take_disk(field, config);
	case FIELD_SHARED:
		return take(field, &config->shared, sizeof config->shared);
	case FIELD_UNDO_FILE:
	case FIELD_UNDO_MESSAGE:
		return 0; /* `undo` reads them */
	}
	return -EINVAL;
}

/* The plan of a container says in its head how many namespaces and disks it is to be passed. */
static int count_namespaces(struct config *config)
{
	const struct plan_header *header = (const void *)config->plan;
	uint64_t others = (uint64_t)config->disk_count + config->shared;

	if (config->plan_size < sizeof *header || config->shared > SHARED_END - SHARED_FD || header->slots < others)
		return -EINVAL;
	if (header->slots - others > HELD_FD - NETWORK_FD)
		return -EINVAL;
	config->namespaces = header->slots - others;
	return 0;
}

int config_parse(struct config *config, const char *data, uint64_t size)
{
	const char *at = data;
	struct field field;
	int more = 1;

	config->undo = data;
	config->undo_size = size;
	while (more > 0 && (more = next_field(&at, data + size, &field)) > 0) {
		int error = take_field(config, &field);
		if (error < 0)
			return error;
	}
	if (more < 0 || !config->id || !config->directory || !config->plan)
		return -EINVAL;
	if (config->events && !config->event_fields)
		return -EINVAL;
	return count_namespaces(config);
}
