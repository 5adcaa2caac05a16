"""The driver ``local``: a directory below the store's root, or what the words of mount(8) name.

Where a volume has a size of its own it is a file system in a file, as no quota can be relied on: the file
takes as much of the disk as has been written.  Nothing is mounted on the host for any of these: each
container mounts what it needs in its own namespace, so nothing stays mounted when it ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Mapping

from container_kit.errors import InvalidInput, KernelError, StoreFull, UnsupportedFeature
from container_kit.native.descriptors import mount_disk, open_path
from container_kit.volumes.drivers import VolumeSource
from container_kit.volumes.record import VolumeRecord
from container_kit.volumes.sizes import size_bytes

__all__ = ["CONTENT", "LocalDriver", "lacking_for_sizes"]

CONTENT = "data"
_DISK, _LOCK = "disk.ext4", "disk.lock"
_KNOWN = ("type", "device", "o", "size")
_SMALLEST_BYTES = 1 << 20
_NO_TYPE = ("", "none", "bind")


class LocalDriver:
    """Content on this host.

    Its options are ``type``, ``device`` and ``o`` as of mount(8): ``{"type": "nfs", "device": ":/data", "o":
    "addr=10.0.0.1"}``, ``{"type": "tmpfs", "o": "size=64m"}`` (memory, a new one for each container), or
    ``{"o": "bind", "device": "/srv/data"}`` for a directory of this host; and ``size``, the most that it may
    hold, such as ``64m``, which needs root and mkfs.ext4.
    """

    def validate(self, options: Mapping[str, str]) -> None:
        unknown = [name for name in options if name not in _KNOWN]
        if unknown:
            raise InvalidInput(f"volume option {unknown[0]!r} is not known: local knows {', '.join(_KNOWN)}")
        if "size" in options:
            _check_size(options)
        elif options.get("type", "") not in _NO_TYPE:
            if not options.get("device") and options["type"] != "tmpfs":
                raise InvalidInput(f"a volume of type {options['type']!r} needs the option device")
        elif options.get("device") or options.get("o") or options.get("type"):
            _check_bind(options)

    def create(self, volume: VolumeRecord, directory: str) -> None:
        size = dict(volume.options).get("size")
        if size is not None:
            _make_disk(directory, size_bytes(size))
        os.mkdir(f"{directory}/{CONTENT}", 0o755)

    def source(self, volume: VolumeRecord, directory: str) -> VolumeSource:
        options = dict(volume.options)
        if "size" in options:
            return VolumeSource(disk=f"{directory}/{_DISK}", lock=f"{directory}/{_LOCK}")
        kind, words = options.get("type", ""), _words(options.get("o", ""))
        if kind not in _NO_TYPE:
            return VolumeSource(file_system=kind, device=options.get("device", ""), options=words)
        device = options.get("device")
        if device is None:
            return VolumeSource(path=f"{directory}/{CONTENT}")
        if not os.path.exists(device):
            raise InvalidInput(
                f"volume {volume.name!r} is the directory {device!r}, which is not there: make it first"
            )
        return VolumeSource(path=device, options=tuple(word for word in words if "bind" not in word))

    def release(self, volume: VolumeRecord, directory: str) -> None:
        """What was mounted has ended with the last container."""

    def remove(self, volume: VolumeRecord, directory: str) -> None:
        """All content lies in the directory, or is not ours."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _check_size(options: Mapping[str, str]) -> None:
    if len(options) > 1:
        raise InvalidInput("a volume with a size is a file of this host: type, device and o exclude it")
    if size_bytes(options["size"]) < _SMALLEST_BYTES:
        raise InvalidInput(f"volume size {options['size']!r} is too small: a file system needs 1m")
    lacking, remedy = lacking_for_sizes()
    if lacking:
        raise UnsupportedFeature(f"a volume with a size needs {lacking}: {remedy}")


def lacking_for_sizes() -> tuple[str, str]:
    """What a volume with a size lacks here, and what to do; empty when it lacks nothing."""
    if not os.access("/dev/loop-control", os.R_OK | os.W_OK):
        return "root and /dev/loop-control", "leave the size out, or use memory (type=tmpfs, o=size=…)"
    if shutil.which("mkfs.ext4") is None:
        return "mkfs.ext4", "install e2fsprogs"
    return "", ""


def _check_bind(options: Mapping[str, str]) -> None:
    if not options.get("device", "").startswith("/") or "bind" not in options.get("o", "").replace(
        "rbind", "bind"
    ).split(","):
        raise InvalidInput(
            "a volume that is a directory of this host needs device=/an/absolute/path and o=bind"
        )


def _error_of(words: list[str]) -> str | None:
    """Run a program of this host; what it said when it failed.

    In a thread, because signal handlers that raise do so in the main one, and a child whose start is cut off
    there is never reaped.
    """
    done: list[subprocess.CompletedProcess[str]] = []
    environment = {"PATH": os.environ.get("PATH", "")}

    def run() -> None:
        done.append(subprocess.run(words, capture_output=True, text=True, env=environment))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return done[0].stderr if done[0].returncode != 0 else None


def _make_disk(directory: str, size: int) -> None:
    """An empty file system of *size* bytes in a file that takes only what is written."""
    path = f"{directory}/{_DISK}"
    open_path(f"{directory}/{_LOCK}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600).close()
    with open_path(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600) as file:
        os.ftruncate(file.fileno(), size)
    # No blocks are kept back for root, who is the one to write.
    words = ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,root_owner=0:0", path]
    said = _error_of(words)
    if said is not None:
        last = said.strip().splitlines()[-1:] or ["?"]
        raise UnsupportedFeature(f"cannot make a file system of {size} bytes: mkfs.ext4 says {last[0]!r}")
    try:
        with mount_disk(path, f"{directory}/{_LOCK}") as root:
            os.rmdir("lost+found", dir_fd=root.fileno())  # programs want an empty directory to begin with
            os.chmod(f"/proc/self/fd/{root.fileno()}", 0o755)  # noqa: S103 (as every new volume)
    except OSError as error:
        if isinstance(error, StoreFull):
            raise
        raise KernelError.of(error.errno or 0, "cannot mount the file system of a new volume", path) from None
