/* Which inodes this layer made: a whiteout spares them (image-spec layer.md, "Whiteouts"). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "layer_extract.h"

static size_t place(const struct layer_made *made, uint64_t inode)
{
	size_t at = (size_t)(inode * 0x9e3779b97f4a7c15u) & (made->capacity - 1);

	while (made->slots[at] && made->slots[at] != inode)
		at = (at + 1) & (made->capacity - 1);
	return at;
}

static int grow(struct layer_made *made)
{
	struct layer_made bigger = {.capacity = made->capacity ? made->capacity * 2 : 1024, .used = made->used};

	bigger.slots = calloc(bigger.capacity, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < made->capacity; i++)
		if (made->slots[i])
			bigger.slots[place(&bigger, made->slots[i])] = made->slots[i];
	free(made->slots);
	*made = bigger;
	return 0;
}

int layer_made_add(struct layer_extract *x, int dir_fd, const char *name)
{
	struct layer_made *made = &x->made;
	struct stat status;

	if (x->job->form == CK_FORM_OVERLAY)
		return 0;
	if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return ck_fail_errno(x->fault, x->reader.entry.path, "cannot look at what was made");
	if (made->used * 2 >= made->capacity && grow(made))
		return ck_fail(x->fault, CK_FAULT_KERNEL, ENOMEM, NULL, "no memory for the files of the layer");
	size_t at = place(made, status.st_ino);

	made->used += made->slots[at] == 0;
	made->slots[at] = status.st_ino;
	return 0;
}

int layer_made_has(struct layer_extract *x, const struct stat *status)
{
	return x->made.capacity && x->made.slots[place(&x->made, status->st_ino)] == status->st_ino;
}

void layer_made_close(struct layer_made *made)
{
	free(made->slots);
}
