"""Questions and orders to the kernel that policy needs: Landlock's version, device filters of cgroup v2."""

from __future__ import annotations

from container_kit.errors import KernelError
from container_kit.native._binding import check, ffi, lib

__all__ = ["device_filter_count", "landlock_abi", "replace_device_filter"]

_LOG_SIZE = 4096


def landlock_abi() -> int:
    """The version of Landlock's interface that this kernel offers; 0 means that it has none.

    Raises:
        KernelError: The kernel answered with something else than a version or "not there".
    """
    return check(lib.ck_landlock_abi(), "cannot ask for Landlock's version")


def replace_device_filter(cgroup_fd: int, program: bytes) -> None:
    """Make *program* (BPF instructions of 8 bytes) the only device filter of a v2 cgroup.

    Raises:
        KernelError: It could not be loaded or attached; tells what the verifier said.
    """
    log = ffi.new("char[]", _LOG_SIZE)
    # Without a log first: the verifier fails a good program whose log does not fit.
    result = lib.ck_device_filter_replace(cgroup_fd, program, len(program) // 8, ffi.NULL, 0)
    if result < 0:
        lib.ck_device_filter_replace(cgroup_fd, program, len(program) // 8, log, _LOG_SIZE)
        said = ffi.string(log).decode(errors="replace").strip()
        raise KernelError.of(
            -result, "cannot attach a device filter to a cgroup" + (f" ({said})" if said else "")
        )


def device_filter_count(cgroup_fd: int) -> int:
    """How many device filters are attached to this v2 cgroup itself, its parents not counted."""
    return check(lib.ck_device_filter_count(cgroup_fd), "cannot list the device filters of a cgroup")
