"""Long work in C: how it is run, stopped, and how its faults become errors."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import weakref
from typing import Any, Literal

from container_kit.errors import (
    ContainerKitError,
    CorruptData,
    InvalidInput,
    KernelError,
    LimitExceeded,
    TimedOut,
    UnsupportedFeature,
)
from container_kit.native import interrupts
from container_kit.native._binding import ffi, lib
from container_kit.native.user_namespace import prepare_job, run_job

__all__ = [
    "COMPRESSIONS",
    "FORMS",
    "Cancellation",
    "Compression",
    "Form",
    "digest_text",
    "or_absent",
    "run",
    "run_with_rights",
]

Compression = Literal["auto", "none", "gzip", "zstd"]
Form = Literal["overlay", "plain", "archive"]

COMPRESSIONS = {"auto": lib.CK_AUTO, "none": lib.CK_PLAIN, "gzip": lib.CK_GZIP, "zstd": lib.CK_ZSTD}
FORMS = {"overlay": lib.CK_FORM_OVERLAY, "plain": lib.CK_FORM_PLAIN, "archive": lib.CK_FORM_ARCHIVE}

_ERRORS: dict[int, type[ContainerKitError]] = {
    lib.CK_FAULT_CORRUPT: CorruptData,
    lib.CK_FAULT_REFUSED: InvalidInput,
    lib.CK_FAULT_LIMIT: LimitExceeded,
    lib.CK_FAULT_UNSUPPORTED: UnsupportedFeature,
    lib.CK_FAULT_CANCELLED: TimedOut,
}


class Cancellation:
    """Stops work that other threads do in C: `cancel` reaches what runs now and what starts later."""

    def __init__(self) -> None:
        self._jobs: weakref.WeakSet[Any] = weakref.WeakSet()
        self._mutex = threading.Lock()
        self._cancelled = False

    def cancel(self) -> None:
        """Make the work end with TimedOut, within milliseconds."""
        with self._mutex:
            self._cancelled = True
            for job in self._jobs:
                _cancel(job)

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` has been called."""
        return self._cancelled

    def watch(self, job: Any) -> None:
        """Have *job* stopped by `cancel`."""
        with self._mutex:
            job.cancelled = int(self._cancelled)
            self._jobs.add(job)


def run(function: Any, job: Any, doing: str, cancellation: Cancellation | None = None) -> None:
    """Run *function* on *job* without the GIL and raise what it recorded.

    In the main thread, Ctrl-C stops the work and is raised once nothing is running any more; in others,
    *cancellation* and an interrupt do.

    Raises:
        ContainerKitError: The class that fits the fault; the message starts with *doing* and names the entry.
    """
    if cancellation is not None:
        cancellation.watch(job)
    if threading.current_thread() is threading.main_thread():
        _run_interruptibly(function, job)
    else:
        with interrupts.hooked(lambda: _cancel(job)):
            function(job)
    _check_fault(job.fault, doing)


def run_with_rights(name: str, job: Any, doing: str, cancellation: Cancellation | None = None) -> None:
    """As `run`, the C function *name*, with rights over files of any owner: `native.user_namespace`."""
    prepare_job()  # what forbids that is told here and not in a thread
    run(functools.partial(run_job, name), job, doing, cancellation)


def _run_interruptibly(function: Any, job: Any) -> None:
    # An Event, not Thread.join: an interrupted join takes a running thread for an ended one (CPython 3.11).
    finished = threading.Event()

    def work() -> None:
        try:
            function(job)
        finally:
            finished.set()

    threading.Thread(target=work, name="container-kit-layer").start()
    try:
        finished.wait()
    except BaseException:
        _cancel(job)
        _wait_in_any_case(finished)
        raise


def _cancel(job: Any) -> None:
    lib.ck_cancel(ffi.addressof(job, "cancelled"))


def _wait_in_any_case(finished: threading.Event) -> None:
    """C still uses the caller's descriptors: not even a second Ctrl-C may end the wait, which is short."""
    while not finished.is_set():
        with contextlib.suppress(BaseException):
            finished.wait()


def _check_fault(fault: Any, doing: str) -> None:
    if fault.kind == lib.CK_FAULT_NONE:
        return
    entry = os.fsdecode(ffi.string(fault.entry))
    what = ffi.string(fault.what).decode(errors="replace")
    message = f"{doing}: {entry!r}: {what}" if entry else f"{doing}: {what}"
    if fault.kind == lib.CK_FAULT_KERNEL:
        raise KernelError.of(fault.error, message, entry or None)
    raise _ERRORS[fault.kind](message)


def or_absent(value: int | None) -> int:
    """How C says that a descriptor or a number is not given."""
    return -1 if value is None else value


def digest_text(raw: Any) -> str:
    """A digest as OCI writes it: ``sha256:`` and 64 hexadecimal digits."""
    return f"sha256:{bytes(raw).hex()}"
