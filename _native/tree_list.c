/* Directories as arrays, and the digests of many small files: what a build reads of its context. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "beneath.h"
#include "ckit.h"

enum { TARGET_ROOM = 4096, READ_SIZE = 128 * 1024, BATCH = 64, NAMES_ROOM = 65536 };

static int64_t nanoseconds(struct timespec time)
{
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int grow(void **array, size_t *room, size_t wanted, size_t unit)
{
	size_t larger = *room ? *room * 2 : 64;

	if (wanted <= *room)
		return 0;
	while (larger < wanted)
		larger *= 2;
	void *moved = realloc(*array, larger * unit);

	if (!moved)
		return -ENOMEM;
	*array = moved;
	*room = larger;
	return 0;
}

static void fill(struct ck_listed *entry, const struct stat *status)
{
	*entry = (struct ck_listed){
		.device = status->st_dev, .inode = status->st_ino, .rdev = status->st_rdev, .size = status->st_size,
		.modified_ns = nanoseconds(status->st_mtim), .changed_ns = nanoseconds(status->st_ctim),
		.mode = status->st_mode, .uid = status->st_uid, .gid = status->st_gid,
		.links = (uint32_t)status->st_nlink,
	};
}

static int add_entry(struct ck_listing *listing, size_t *entries_room, size_t *names_room, int dir_fd,
		     const char *name)
{
	char target[TARGET_ROOM];
	ssize_t target_size = 0;
	struct stat status;

	if (fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno; /* removed meanwhile */
	if (S_ISLNK(status.st_mode)) {
		target_size = readlinkat(dir_fd, name, target, sizeof(target) - 1);
		if (target_size < 0)
			return errno == ENOENT || errno == EINVAL ? 0 : -errno;
	}
	target[target_size] = 0;
	size_t name_size = strlen(name) + 1, wanted = listing->names_size + name_size + (size_t)target_size + 1;
	int error = grow((void **)&listing->entries, entries_room, listing->count + 1, sizeof(struct ck_listed));

	if (!error)
		error = grow((void **)&listing->names, names_room, wanted, 1);
	if (error)
		return error;
	fill(&listing->entries[listing->count++], &status);
	memcpy(listing->names + listing->names_size, name, name_size);
	memcpy(listing->names + listing->names_size + name_size, target, (size_t)target_size + 1);
	listing->names_size = wanted;
	return 0;
}

int ck_list_directory(int dir_fd, struct ck_listing *listing)
{
	size_t entries_room = 0, names_room = 0;
	int error = 0;

	*listing = (struct ck_listing){0};
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	DIR *directory = fdopendir(fd);

	if (!directory) {
		error = -errno;
		close(fd);
		return error;
	}
	while (!error) {
		errno = 0;
		struct dirent *entry = readdir(directory);

		if (!entry) {
			error = -errno;
			break;
		}
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = add_entry(listing, &entries_room, &names_room, fd, entry->d_name);
	}
	closedir(directory);
	if (error)
		ck_listing_free(listing);
	return error;
}

void ck_listing_free(struct ck_listing *listing)
{
	free(listing->entries);
	free(listing->names);
	*listing = (struct ck_listing){0};
}

/* The threads take files in batches from here. */
struct digesting {
	int root_fd;
	const char *next_path;
	size_t next, count;
	struct ck_file_digest *out;
	pthread_mutex_t lock;
};

static uint32_t wanted_xattrs(int fd)
{
	char names[NAMES_ROOM];
	ssize_t size = flistxattr(fd, names, sizeof(names));

	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1)
		if (strcmp(names + at, "security.capability") == 0 || strncmp(names + at, "user.", 5) == 0)
			return 1;
	return 0;
}

static int hash_open_file(int fd, struct ck_file_digest *out, void *buffer)
{
	struct ck_sha256 hash;
	struct stat before, after;
	ssize_t size;

	if (fstat(fd, &before) < 0)
		return -errno;
	if (!S_ISREG(before.st_mode))
		return -EAGAIN; /* it was one a moment ago */
	ck_sha256_start(&hash);
	while ((size = read(fd, buffer, READ_SIZE)) != 0) {
		if (size < 0 && errno != EINTR)
			return -errno;
		if (size > 0)
			ck_sha256_update(&hash, buffer, (size_t)size);
	}
	ck_sha256_digest(&hash, out->sha256);
	if (fstat(fd, &after) < 0)
		return -errno;
	out->has_xattrs = wanted_xattrs(fd);
	out->device = before.st_dev;
	out->inode = before.st_ino;
	out->size = before.st_size;
	out->modified_ns = nanoseconds(before.st_mtim);
	out->changed_ns = nanoseconds(before.st_ctim);
	return out->modified_ns == nanoseconds(after.st_mtim) && out->changed_ns == nanoseconds(after.st_ctim)
		? 0 : -EAGAIN;
}

static int hash_file(int root_fd, const char *path, struct ck_file_digest *out, void *buffer)
{
	/* Not blocking: what was a file a moment ago may be a FIFO now. */
	int fd = ck_openat2(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
			    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);

	if (fd < 0)
		return fd;
	int error = hash_open_file(fd, out, buffer);

	close(fd);
	return error;
}

static void *hash_batches(void *argument)
{
	struct digesting *digesting = argument;
	void *buffer = malloc(READ_SIZE);

	for (;;) {
		pthread_mutex_lock(&digesting->lock);
		size_t at = digesting->next, left = digesting->count - at, end = at + (left < BATCH ? left : BATCH);
		const char *path = digesting->next_path;

		for (size_t i = at; i < end; i++)
			digesting->next_path += strlen(digesting->next_path) + 1;
		digesting->next = end;
		pthread_mutex_unlock(&digesting->lock);
		if (at == end)
			break;
		for (; at < end; at++, path += strlen(path) + 1) {
			struct ck_file_digest *out = &digesting->out[at];

			out->error = buffer ? hash_file(digesting->root_fd, path, out, buffer) : -ENOMEM;
		}
	}
	free(buffer);
	return NULL;
}

int ck_digest_files(int root_fd, const char *paths, size_t count, struct ck_file_digest *out)
{
	struct digesting digesting = {.root_fd = root_fd, .next_path = paths, .count = count, .out = out,
				      .lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_t second;
	int has_second = count > BATCH && pthread_create(&second, NULL, hash_batches, &digesting) == 0;

	hash_batches(&digesting);
	if (has_second)
		pthread_join(second, NULL);
	pthread_mutex_destroy(&digesting.lock);
	return 0;
}
