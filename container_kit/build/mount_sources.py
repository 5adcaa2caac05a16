"""The mounts of RUN: what a key knows of them, and what is mounted while the command runs.

Everything that is mounted is opened here and passed as a descriptor, so no path of an image or a context is
resolved on the host.  Secrets live in memory only, and end with their descriptor.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import attrs

from container_kit.build.cache_mounts import CacheMounts
from container_kit.build.dockerfile import DockerfileError, RunMount
from container_kit.build.keys import MountInput
from container_kit.build.mounted_copies import copied, file_in_memory
from container_kit.build.scratch import scratch_directory, writable_root
from container_kit.build.ssh import forwarded_agent
from container_kit.containers.mounts import Mount
from container_kit.errors import InvalidInput, KernelError, NotFound
from container_kit.native.mounts import detached_tmpfs
from container_kit.native.own_ids import needs_namespace
from container_kit.native.trees import copy_tree, open_beneath
from container_kit.native.user_namespace import within

if TYPE_CHECKING:
    from container_kit.build.session import Session
    from container_kit.oci import Digest

__all__ = ["OpenMounts", "ResolvedMount", "resolve_mounts"]

_SECRETS = "/run/secrets"
_AGENT = "/run/buildkit/ssh_agent"
_ROOM = 1 << 20
_NOTICED = ("mode", "uid", "gid", "size_bytes", "env")  # what a program can see of any mount


@attrs.frozen(kw_only=True)
class ResolvedMount:
    """A mount whose source is known.

    Args:
        mount: As the Dockerfile has it.
        target: Absolute; empty for a secret that is only a variable.
        layers: Diff ids of what a bind shows, or a cache begins with.
        id: Of a cache, secret or agent.
    """

    mount: RunMount
    target: str
    layers: tuple[Digest, ...] = ()
    id: str = ""

    @property
    def input(self) -> MountInput:
        """What the key knows of it."""
        mount = self.mount
        wishes = {name: getattr(mount, name) for name in _NOTICED}
        if mount.type == "bind":
            wishes["source"] = mount.source
        elif mount.type == "cache":
            wishes |= {"source": mount.source, "sharing": mount.sharing}
        return MountInput(
            type=mount.type,
            target=self.target,
            content=" ".join(map(str, self.layers)),
            id=self.id,
            read_only=mount.read_only,
            detail={name: value for name, value in wishes.items() if value is not None},
        )


def resolve_mounts(
    session: Session,
    mounts: tuple[RunMount, ...],
    working_dir: str,
    layers_of: Callable[[str], tuple[Digest, ...]],
) -> tuple[ResolvedMount, ...]:
    """What the mounts of one RUN are; secrets and agents that are neither there nor required are left out.

    Args:
        working_dir: Relative targets start here.
        layers_of: The layers of a stage, an image or a named context; of the build context for an empty name.

    Raises:
        NotFound: A required secret or agent was not given.
        DockerfileError: A target is missing or is the root.
    """
    found: list[ResolvedMount] = []
    for mount in mounts:
        resolved = _resolve(session, mount, working_dir, layers_of, len(found))
        if resolved is not None:
            found.append(resolved)
    return tuple(found)


def _resolve(
    session: Session,
    mount: RunMount,
    working_dir: str,
    layers_of: Callable[[str], tuple[Digest, ...]],
    number: int,
) -> ResolvedMount | None:
    match mount.type:
        case "secret":
            return _secret(session, mount, working_dir)
        case "ssh":
            return _agent(session, mount, working_dir, number)
        case "cache":
            target = _target(mount, working_dir)
            layers = layers_of(mount.from_) if mount.from_ else ()
            return ResolvedMount(mount=mount, target=target, layers=layers, id=mount.id or target)
        case "tmpfs":
            return ResolvedMount(mount=mount, target=_target(mount, working_dir))
    return ResolvedMount(mount=mount, target=_target(mount, working_dir), layers=layers_of(mount.from_))


def _target(mount: RunMount, working_dir: str, default: str = "") -> str:
    target = posixpath.normpath(posixpath.join("/", working_dir, mount.target or default))
    if target.strip("/") == "":
        raise DockerfileError(f"--mount=type={mount.type} needs a target below the root, such as target=/src")
    return "/" + target.lstrip("/")


def _secret(session: Session, mount: RunMount, working_dir: str) -> ResolvedMount | None:
    name = mount.id or mount.source or posixpath.basename(mount.target)
    if not name:
        raise DockerfileError("--mount=type=secret needs an id")
    if name not in session.options.secrets:
        if mount.required:
            known = ", ".join(session.options.secrets) or "none was given"
            raise NotFound("secret", name, f"the step requires it; of the build's secrets: {known}")
        return None
    wants_file = mount.env is None or mount.target
    target = _target(mount, working_dir, f"{_SECRETS}/{name}") if wants_file else ""
    return ResolvedMount(mount=mount, target=target, id=name)


def _agent(session: Session, mount: RunMount, working_dir: str, number: int) -> ResolvedMount | None:
    name = mount.id or "default"
    if name not in session.options.ssh:
        if mount.required:
            raise NotFound("SSH agent", name, "the step requires it: pass ssh=… to the build")
        return None
    return ResolvedMount(mount=mount, target=_target(mount, working_dir, f"{_AGENT}.{number}"), id=name)


class OpenMounts:
    """The mounts of one RUN while it runs; a context manager.

    Attributes:
        mounts: For the container.
        secret_env: Variables that hold secrets, and where agents are.
        secret_values: What is not to be shown in what the command writes.
    """

    def __init__(self, session: Session, resolved: tuple[ResolvedMount, ...]) -> None:
        self._session, self._resolved = session, resolved
        self._stack = ExitStack()
        self.mounts: list[Mount] = []
        self.secret_env: dict[str, str] = {}
        self.secret_values: list[bytes] = []

    def __enter__(self) -> OpenMounts:
        try:
            for resolved in self._resolved:
                self._open(resolved)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add_script(self, target: str, text: str) -> None:
        """A file in memory that can be executed."""
        self._add_file(target, text.encode(), mode=0o755, uid=0, gid=0)

    def _open(self, resolved: ResolvedMount) -> None:
        match resolved.mount.type:
            case "bind":
                self._bind(resolved)
            case "cache":
                self._cache(resolved)
            case "tmpfs":
                self._tmpfs(resolved)
            case "secret":
                self._secret(resolved)
            case "ssh":
                self._agent(resolved)

    def _bind(self, resolved: ResolvedMount) -> None:
        """What the layers show; what is written to it goes to a directory that ends with the step."""
        _, root = self._stack.enter_context(writable_root(self._session.engine, resolved.layers))
        fd = self._beneath(root, resolved)
        self._add(fd, resolved.target, read_only=resolved.mount.read_only)

    def _beneath(self, root: int, resolved: ResolvedMount) -> int:
        source = resolved.mount.source
        try:
            fd = open_beneath(root, source.lstrip("/"), os.O_PATH)
        except KernelError as error:
            where = resolved.mount.from_ or "the build context"
            raise NotFound("mount source", source, f"{where} has no such file ({error.strerror})") from None
        self._stack.callback(os.close, fd)
        return fd

    def _cache(self, resolved: ResolvedMount) -> None:
        mount = resolved.mount
        caches = CacheMounts(self._session.store.root)

        def fill(directory: int) -> None:
            with writable_root(self._session.engine, resolved.layers) as (_, root):
                source = open_beneath(root, mount.source.lstrip("/"), os.O_RDONLY | os.O_DIRECTORY)
                try:
                    copy_tree(source, directory)
                finally:
                    os.close(source)

        path = self._stack.enter_context(
            caches.use(
                resolved.id,
                sharing=mount.sharing,
                owner=(mount.uid or 0, mount.gid or 0),
                mode=0o755 if mount.mode is None else mount.mode,
                fill=fill if resolved.layers else None,
                wait=self._session.check_going_on,
            )
        )
        self.mounts.append(Mount.bind(path, resolved.target, read_only=mount.read_only))

    def _tmpfs(self, resolved: ResolvedMount) -> None:
        size = resolved.mount.size_bytes
        options = ("exec", *((f"size={size}",) if size else ()))
        self.mounts.append(Mount(target=resolved.target, type="tmpfs", options=options))

    def _secret(self, resolved: ResolvedMount) -> None:
        mount = resolved.mount
        value = self._session.options.secrets[resolved.id].read()
        self.secret_values.append(value)
        if mount.env is not None:
            self.secret_env[mount.env] = _text(resolved.id, value)
        if resolved.target:
            mode = 0o400 if mount.mode is None else mount.mode
            self._add_file(resolved.target, value, mode=mode, uid=mount.uid or 0, gid=mount.gid or 0)

    def _agent(self, resolved: ResolvedMount) -> None:
        mount = resolved.mount
        socket = self._stack.enter_context(
            forwarded_agent(
                self._session.store,
                self._session.options.ssh[resolved.id],
                mode=0o600 if mount.mode is None else mount.mode,
                owner=(mount.uid or 0, mount.gid or 0),
            )
        )
        self.mounts.append(Mount.bind(socket, resolved.target))
        self.secret_env.setdefault("SSH_AUTH_SOCK", resolved.target)

    def _add_file(self, target: str, content: bytes, *, mode: int, uid: int, gid: int) -> None:
        if needs_namespace():
            path = self._stack.enter_context(file_in_memory(content, mode=mode, uid=uid, gid=gid))
            self.mounts.append(Mount.bind(path, target, read_only=True))
            return
        root = self._stack.enter_context(detached_tmpfs(len(content) + _ROOM))
        directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root.fileno())
        self._stack.callback(os.close, directory)
        with open(
            os.open("file", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=directory), "wb"
        ) as file:
            file.write(content)
            os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode)
        fd = os.open("file", os.O_PATH | os.O_CLOEXEC, dir_fd=directory)
        self._stack.callback(os.close, fd)
        self._add(fd, target, read_only=True)

    def _add(self, fd: int, target: str, *, read_only: bool) -> None:
        """Mount what the descriptor *fd* is."""
        source = f"/proc/{os.getpid()}/fd/{fd}"
        if needs_namespace():
            source = within(copied, fd, self._stack.enter_context(scratch_directory(self._session.store)))
        self.mounts.append(Mount.bind(source, target, read_only=read_only))


def _text(name: str, value: bytes) -> str:
    text = value.decode("utf-8", "surrogateescape")
    if "\0" in text:
        raise InvalidInput(f"the secret {name!r} has a NUL character: it cannot be a variable, only a file")
    return text
