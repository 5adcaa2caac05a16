"""Where things stand below the root directory, and who may read them: this user alone."""

from __future__ import annotations

import os
import stat
from typing import Final

from container_kit.errors import PermissionMissing
from container_kit.native.descriptors import open_path
from container_kit.oci.digest import Digest
from container_kit.store import files

__all__ = ["Layout", "default_root"]

_ALGORITHMS: Final = ("sha256", "sha512")


def default_root() -> str:
    """The root directory when nobody names one: ``CONTAINER_KIT_ROOT``, else the usual place of this user."""
    chosen = os.environ.get("CONTAINER_KIT_ROOT")
    if chosen:
        return chosen
    if os.geteuid() == 0:
        return "/var/lib/container-kit"
    data_home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(data_home, "container-kit")


class Layout:
    """The paths of one store.

    Every directory has mode 0700 and every file 0600: the trees hold other systems' setuid programs.
    """

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self.database = f"{self.root}/store.db"
        self.blobs = f"{self.root}/blobs"
        self.trees = f"{self.root}/trees"
        self.temporary = f"{self.root}/tmp"  # noqa: S108 (below our own root)
        self.leases = f"{self.root}/leases"
        self.quarantine = f"{self.root}/quarantine"
        self.write_lock = f"{self.root}/lock"
        self.gate = f"{self.root}/gate"

    def blob(self, digest: Digest) -> str:
        return f"{self.blobs}/{digest.algorithm}/{digest.hex}"

    def tree(self, diff_id: Digest) -> str:
        """The directory that holds ``fs`` and ``recipe`` of one layer."""
        return f"{self.trees}/{diff_id.algorithm}-{diff_id.hex}"

    def blob_directories(self) -> list[str]:
        return [f"{self.blobs}/{algorithm}" for algorithm in _ALGORITHMS]

    def ensure(self) -> None:
        """Create what is missing; safe when several processes do it at once.

        Raises:
            PermissionMissing: The root belongs to another user, or cannot be created.
        """
        if not os.path.exists(self.gate):
            self._create()
        self._refuse_other_owner()

    def _create(self) -> None:
        with files.translated("create the store", self.root):
            os.makedirs(os.path.dirname(self.root), exist_ok=True)
            top = (self.root, self.blobs, self.trees, self.temporary, self.leases, self.quarantine)
            for directory in (*top, *self.blob_directories()):
                files.ensure_directory(directory)
            for lock in (self.write_lock, self.gate):  # the gate last: it says that all is there
                open_path(lock, os.O_CREAT | os.O_RDWR, 0o600).close()
            files.sync_directory(self.root, "layout.sync-dir")

    def _refuse_other_owner(self) -> None:
        status = os.stat(self.root)
        if status.st_uid != os.geteuid():
            raise PermissionMissing(
                f"cannot use the store {self.root!r}: it belongs to user {status.st_uid}, not to "
                f"{os.geteuid()}; set CONTAINER_KIT_ROOT to a directory of your own"
            )
        if stat.S_IMODE(status.st_mode) & 0o077:
            os.chmod(self.root, 0o700)
