"""Contents in flight: pushed, but not yet named by a manifest.

They are held by leases, which end with this process, so no clock of another one decides.  Two leases take
turns: what was kept before the last turn but one is let go.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from container_kit.oci import Digest
from container_kit.store import Lease
from container_kit.store.catalog import blob_key

__all__ = ["InFlight"]


class InFlight:
    """What a collection has to spare because someone is about to name it."""

    def __init__(self, new_lease: Callable[[], Lease]) -> None:
        self._new_lease = new_lease
        self._mutex = threading.Lock()
        self._old, self.lease = new_lease(), new_lease()

    def keep(self, digest: Digest) -> None:
        """Spare *digest* for at least one turn from now."""
        with self._mutex:
            self.lease.add_keys([blob_key(digest)], check=False)

    def rotate(self) -> None:
        """Take a turn."""
        with self._mutex:
            self._old.close()
            self._old, self.lease = self.lease, self._new_lease()

    def close(self) -> None:
        with self._mutex:
            self._old.close()
            self.lease.close()
