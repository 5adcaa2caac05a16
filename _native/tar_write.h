/* Tar as written: ustar headers, and pax records only where an entry needs them. */
#ifndef CK_TAR_WRITE_H
#define CK_TAR_WRITE_H

#include "layer_sink.h"
#include "tar.h"

/* The header of an entry; what must follow is entry->stored bytes and tar_write_padding.  A file with extents is
 * written in GNU's sparse format 1.0, whose map this writes too. */
int tar_write_header(struct ck_sink *sink, const struct tar_entry *entry);
int tar_write_padding(struct ck_sink *sink, uint64_t stored);
/* Two blocks of zeros. */
int tar_write_end(struct ck_sink *sink);

#endif
