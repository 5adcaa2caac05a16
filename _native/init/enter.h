/* Entering a user namespace, for everything that is begun in one. */
#ifndef CKIT_ENTER_H
#define CKIT_ENTER_H

#include "sys.h"

#define ENTER_USER 0x10000000 /* CLONE_NEWUSER */

/* As its id 0, with all rights there.  Its owner keeps the ids that the host knows it by. */
static inline long enter_user_namespace(int user_namespace)
{
	long result = sys(setns, user_namespace, ENTER_USER);

	if (result >= 0)
		result = sys(setresgid, 0, 0, 0);
	return result < 0 ? result : sys(setresuid, 0, 0, 0);
}

#endif
