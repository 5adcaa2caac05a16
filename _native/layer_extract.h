/* The second half of unpacking: entries of a tar become files below one directory, and nowhere else. */
#ifndef CK_LAYER_EXTRACT_H
#define CK_LAYER_EXTRACT_H

#include "layer.h"
#include "layer_recipe.h"
#include "tar.h"

/* A path cut into components: each is a NUL-terminated name, none is empty, "." or "..". */
struct layer_path {
	char **names;
	size_t depth;
};

/* One open directory on the way to the current one. */
struct layer_frame {
	int fd;
	size_t name; /* where its name stands in layer_dirs.names; that of the root is empty */
	struct timespec times[2]; /* what it shall have once nothing more is written into it */
	unsigned int touched : 1; /* its times must be set */
	unsigned int setgid : 1;  /* what is made in it inherits its group */
};

/* The chain of open directories from the root of the tree to where the last entry went. */
struct layer_dirs {
	struct layer_frame *frames;
	size_t depth; /* frames in use; frames[0] is the root */
	char *names;
	size_t names_used;
};

/* Paths that this layer made, by hash; only where whiteouts delete and must spare them. */
struct layer_made {
	uint64_t *slots;
	size_t capacity, used;
};

struct layer_extract {
	struct ck_unpack *job;
	struct ck_fault *fault;
	struct tar_reader reader;
	struct ck_stream stream;
	struct ck_recipe *recipe;
	struct layer_dirs dirs;
	struct layer_made made;
	struct layer_path path, target;
	char *path_text, *target_text;
	uid_t uid;
	gid_t gid;
	int umask_is_zero;
	struct erofs_tree *erofs; /* where the entries go instead, when there shall be an image */
};

/* layer_path.c: copies what is written into text, path_size + 1 bytes, and cuts it there. */
int layer_path_cut(struct layer_extract *x, struct layer_path *path, char *text, const char *written,
		   const char *entry);

/* layer_dirs.c */
int layer_dirs_open(struct layer_extract *x);
void layer_dirs_close(struct layer_extract *x);
/* Makes the directory of the first `depth` components the current one, creating what is missing. */
int layer_dirs_enter(struct layer_extract *x, const struct layer_path *path, size_t depth);
/* Opens the directory `name` of the current one, which becomes the current one. */
int layer_dirs_push(struct layer_extract *x, const char *name);
struct layer_frame *layer_dirs_current(struct layer_extract *x);
int layer_dirs_finish(struct layer_extract *x);

/* layer_entries.c: one entry into the tree. */
int layer_apply(struct layer_extract *x);
/* Counts the entry, and cuts its path into x->path. */
int layer_begin(struct layer_extract *x);

/* layer_replace.c: removes whatever has this name in the current directory; its content goes into the recipe. */
int layer_make_way(struct layer_extract *x, const char *name, const struct stat *there);

/* layer_attributes.c */
int layer_xattr_allowed(const char *name);
int layer_set_attributes(struct layer_extract *x, int fd, int made_with_mode);
int layer_wants_chown(struct layer_extract *x);
int layer_set_opaque(struct layer_extract *x, int fd);

/* layer_whiteout.c: what the entry's name says about the layers below; *name then is the one that is gone. */
enum layer_marker { LAYER_MARKER_NONE, LAYER_MARKER_IGNORED, LAYER_MARKER_OPAQUE, LAYER_MARKER_GONE };
int layer_marker(struct layer_extract *x, const char **name);
/* 1 when the name was a marker and has been dealt with. */
int layer_whiteout(struct layer_extract *x);
int layer_is_whiteout(const struct stat *status);

/* layer_made.c */
int layer_made_add(struct layer_extract *x, int dir_fd, const char *name);
int layer_made_has(struct layer_extract *x, const struct stat *status);
void layer_made_close(struct layer_made *made);

#endif
