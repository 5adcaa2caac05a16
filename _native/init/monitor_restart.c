/* The restart policy's decision; a test compares it with container_kit/containers/restart.py. */
#include "monitor.h"

#define FIRST_DELAY_MS 100
#define LONGEST_DELAY_MS 60000
#define MOST_DOUBLINGS 10

/* How long to wait before the next start; -1: stay down. */
int64_t restart_delay_ms(const struct config *config, int exit_code, uint32_t restarts)
{
	uint32_t doublings = restarts < MOST_DOUBLINGS ? restarts : MOST_DOUBLINGS;
	int64_t delay = (int64_t)FIRST_DELAY_MS << doublings;
	int tries_left = config->restart_retries == 0 || restarts < config->restart_retries;

	if (config->restart_mode == RESTART_NO)
		return -1;
	if (config->restart_mode == RESTART_ON_FAILURE && (exit_code == 0 || !tries_left))
		return -1;
	return delay < LONGEST_DELAY_MS ? delay : LONGEST_DELAY_MS;
}
