"""The user namespace in which an ordinary user's containers, layers and files are handled.

In it this user is id 0 and has every right over files, mounts and networks of its own; on the host it stays
the user that it is.  A process of several threads cannot enter a user namespace, so functions are run in it
by `within`: by a process that shares this one's memory and descriptors while the calling thread waits.

Root, also root of a container, needs none of this: there the functions are simply called.
"""

from __future__ import annotations

import errno
import functools
import os
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from container_kit.errors import KernelError, PermissionMissing
from container_kit.native import own_ids
from container_kit.native._binding import check, ffi, lib
from container_kit.native.descriptors import Descriptor, as_file, call, duplicate, memory_file, open_path
from container_kit.native.own_ids import IdMaps

__all__ = [
    "adopt",
    "adopt_that_of",
    "enter_fd",
    "mapped_namespace",
    "new_namespace",
    "prepare_job",
    "run_job",
    "with_mounts",
    "with_rights",
    "within",
    "within_mounts",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EUSERS, errno.ENOSYS)

_SYS_IOCTL = 16 if os.uname().machine == "x86_64" else 29
_NS_GET_PARENT = 0xB702

_lock = threading.Lock()
_thread = threading.local()  # has `inside` while a function runs with the rights
_own: tuple[Descriptor, int] | None = None  # and its inode


def _new_lock() -> None:
    """In a forked child: the lock may have been held by a thread that does not exist there."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)


def enter_fd() -> int:
    """The user namespace of this process, made on first use; 0 when this process has the rights itself.

    Raises:
        PermissionMissing: None can be made; says which switch forbids it, and the remedy.
    """
    global _own
    if not own_ids.needs_namespace() or _is_inside():
        return 0
    with _lock:
        if _own is None or not _is_open(*_own):
            made = new_namespace(own_ids.id_maps())
            _own = made, os.fstat(made.fileno()).st_ino
        return _own[0].fileno()


def adopt(other: Descriptor) -> int:
    """Use the namespace that *other* refers to from now on, one of this user's like that of this process.

    What began in the one that was used before goes on there.

    Returns:
        As `enter_fd`.
    """
    global _own
    inode = os.fstat(other.fileno()).st_ino
    with _lock:
        if _own is None or _own[1] != inode or not _is_open(*_own):
            _own = duplicate(other.fileno()), inode
        return _own[0].fileno()


def adopt_that_of(pid: int) -> None:
    """Use the user namespace in which the container of process *pid* was made, to share namespaces with it.

    Nothing happens for a process that has the rights itself.

    Raises:
        KernelError: The process has ended, or is another user's.
    """
    if not own_ids.needs_namespace():
        return
    try:
        found = open_path(f"/proc/{pid}/ns/user", os.O_RDONLY)
        ours = os.stat("/proc/self/ns/user").st_ino
        # A container may have a namespace within; the one of this user is the child of ours.
        while os.fstat((parent := _parent_of(found)).fileno()).st_ino != ours:
            found = parent
    except OSError as error:
        raise KernelError.of(error.errno or 0, "cannot find the user namespace of a container") from error
    adopt(found)


def _parent_of(namespace: Descriptor) -> Descriptor:
    return call(_SYS_IOCTL, namespace.fileno(), _NS_GET_PARENT)


def _is_inside() -> bool:
    return getattr(_thread, "inside", False)


def _is_open(held: Descriptor, inode: int) -> bool:
    """Whether the descriptor is still what it was: a program may have closed all that it does not know."""
    try:
        if os.fstat(held.fileno()).st_ino == inode:
            return True
    except OSError:
        pass
    held.give_up()  # the number may be another file by now
    return False


def new_namespace(maps: IdMaps) -> Descriptor:
    """A new user namespace with these maps, which ends with its last process and descriptor.

    Raises:
        PermissionMissing: This host, or what this process runs in, forbids it; says what would allow it.
        KernelError: Anything else.
    """
    held = Descriptor()
    with as_file(memory_file("messages"), "w+b") as messages:
        result = _make(held, maps, messages.fileno())
        messages.seek(0)
        said = messages.read(1000).decode(errors="replace").strip()
    if result == -errno.EACCES and said:
        raise PermissionMissing(
            f"cannot map the subordinate ids of user {maps.uid}: {said}; compare /etc/subuid and "
            "/etc/subgid, and look whether newuidmap and newgidmap are set-user-id"
        )
    if -result in _REFUSED:
        raise PermissionMissing(own_ids.why_no_namespace(-result))
    if result < 0:
        raise KernelError.of(-result, "cannot make a user namespace")
    return held


def _make(held: Descriptor, maps: IdMaps, messages_fd: int) -> int:
    words = [
        [ffi.new("char[]", word.encode()) for word in words] for words in (maps.uid_helper, maps.gid_helper)
    ]
    commands = [ffi.new("const char *[]", [*each, ffi.NULL]) if each else ffi.NULL for each in words]
    deny_groups = not maps.gid_helper
    result: int = lib.ck_user_namespace_new(
        held.cell, maps.uid_text.encode(), maps.gid_text.encode(), *commands, deny_groups, messages_fd
    )
    return result


def mapped_namespace(uid_map: str, gid_map: str) -> Descriptor:
    """A new user namespace with these maps (lines for ``uid_map``), for a process that may write any.

    Raises:
        PermissionMissing: This host, or what this process runs in, forbids it; says what would allow it.
        KernelError: Anything else.
    """
    held = Descriptor()
    result = lib.ck_user_namespace_new(
        held.cell, uid_map.encode(), gid_map.encode(), ffi.NULL, ffi.NULL, False, -1
    )
    if -result in _REFUSED:
        raise PermissionMissing(own_ids.why_no_namespace(-result))
    check(result, "cannot make a user namespace")
    return held


class _Call:
    """A function that the other process calls, and what came of it."""

    __slots__ = ("error", "function", "result")

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.result: Any = None
        self.error: BaseException | None = None


@ffi.def_extern(name="ck_call_python")  # type: ignore[untyped-decorator]
def _call_python(handle: Any) -> int:
    call: _Call = ffi.from_handle(handle)
    _thread.inside = True
    try:
        call.result = call.function()
    except BaseException as error:
        call.error = error
    finally:
        _thread.inside = False
    return 0


def within(function: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Call *function* with all rights over what belongs to this user; simply so where this process has them.

    Descriptors that it opens are this process's.  It must not begin threads that go on, nor ask for its
    process id, which is another one.

    Raises:
        PermissionMissing: As `enter_fd`; beside what *function* raises.
    """
    return _within(function, 0, *args, **kwargs)


def within_mounts(function: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """As `within`, also for making file systems: in a copy of the mounts, which ends with the call."""
    if not _is_inside():
        return _within(function, lib.CK_NEW_MOUNTS, *args, **kwargs)
    check(lib.ck_new_mounts(), "cannot make a mount namespace")  # of the process that is there for this call
    return function(*args, **kwargs)


def _within(function: Callable[..., _R], flags: int, /, *args: Any, **kwargs: Any) -> _R:
    namespace = enter_fd()
    if namespace == 0:
        return function(*args, **kwargs)
    call = _Call(functools.partial(function, *args, **kwargs))
    handle = ffi.new_handle(call)
    result = lib.ck_within(namespace, flags, lib.ck_call_python, handle)
    if call.error is not None:
        raise call.error
    if result < 0:
        raise KernelError.of(-result, "cannot work in the user namespace of this user")
    return call.result  # type: ignore[no-any-return]


def with_rights(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have every call of *function* made by `within`."""

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        return within(function, *args, **kwargs)

    return call


def with_mounts(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have every call of *function* made by `within_mounts`."""

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        return within_mounts(function, *args, **kwargs)

    return call


def prepare_job() -> int:
    """As `enter_fd`, for `run_job`: 0 also for a user with but one id where no namespace can be made."""
    try:
        return enter_fd()
    except PermissionMissing:
        if own_ids.mapped_ids() > 1:
            raise
        return 0


def run_job(name: str, job: Any) -> None:
    """Run the C function *name* on *job* as `within` would; what came of it stands in the job.

    A user with but one id, whose own all files are, does without where no namespace can be made.
    """
    namespace = prepare_job()
    if namespace == 0:
        getattr(lib, name)(job)
        return
    function = ffi.cast("int (*)(void *)", ffi.addressof(lib, name))
    result = lib.ck_within(namespace, 0, function, job)
    if result == -errno.EOWNERDEAD:
        raise KernelError.of(errno.EOWNERDEAD, "cannot work in the user namespace of this user")
