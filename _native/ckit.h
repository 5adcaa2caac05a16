/* container_kit's native library: every function returns 0 (or a count) or -errno, prints nothing,
 * holds no Python object and frees what it took.  The prototypes that Python sees stand in cdef/. */
#ifndef CKIT_H
#define CKIT_H

#include <stddef.h>
#include <stdint.h>

#include "cdef/descriptors.h"
#include "cdef/image_mount.h"
#include "cdef/monitor.h"
#include "cdef/net_filter.h"
#include "cdef/layers.h"
#include "cdef/listing.h"
#include "cdef/layers_inflate.h"
#include "cdef/layers_deflate.h"
#include "cdef/network.h"
#include "cdef/process.h"
#include "cdef/resolver.h"
#include "cdef/sha256.h"
#include "cdef/socket_in.h"
#include "cdef/surroundings.h"
#include "cdef/trees.h"
#include "cdef/user_namespace.h"
#include "cdef/bpf.h"
#include "cdef/durability.h"
#include "cdef/landlock.h"

#endif
