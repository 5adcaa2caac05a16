"""OCI runtime bundles: a directory with ``config.json`` and a root file system.

What a bundle says is read and checked here; `bundle_runtime` brings it to life for other engines.

Source: OCI runtime-spec 1.2, bundle.md and config.md.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.errors import ContainerKitError, InvalidInput, LimitExceeded, NotFound
from container_kit.native.descriptors import open_path
from container_kit.oci.rootfs import Directory
from container_kit.oci.runtime_spec import Hooks, Process, Spec
from container_kit.runtime.users import resolve_user, root_reader

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.containers.engine import Engine

__all__ = ["DEFAULT_PARENT", "Bundle", "bundle_root", "cgroup_place", "container_from_bundle", "with_home"]

_CONFIG = "config.json"
_OWN_NODES = ("/dev/ptmx", "/dev/console")
_LARGEST_CONFIG_BYTES = 4 << 20
DEFAULT_PARENT = "container-kit-runtime"  # not that of an engine, which sweeps its own


@attrs.frozen
class Bundle:
    """A bundle as it was read.

    Args:
        path: Its directory, absolute.
        root: The directory of its root file system, absolute.
        spec: What its ``config.json`` says.
        document: The bytes of ``config.json``.
    """

    path: str
    root: str
    spec: Spec
    document: bytes

    @property
    def rootfs(self) -> Directory:
        """Its root file system, for the plan."""
        return Directory(self.root, shift_owners=False)

    @classmethod
    def read(cls, path: str) -> Bundle:
        """The bundle in the directory *path*.

        Raises:
            NotFound: There is no bundle, or no root file system where it says.
            InvalidInput: Its configuration cannot be used; names the field.
        """
        directory = os.path.abspath(path)
        document = _read_config(directory)
        spec = _without_own_nodes(Spec.parse(document))
        if spec.root is None or not spec.root.path:
            raise InvalidInput(f"bundle {directory!r}: config.json has no root.path")
        root = os.path.join(directory, spec.root.path)
        if not os.path.isdir(root):
            raise NotFound(
                "root file system", root, "no such file or directory; make it, or correct root.path"
            )
        return cls(directory, os.path.realpath(root), spec, document)


def _without_own_nodes(spec: Spec) -> Spec:
    """Without the nodes that every container gets with its own terminals, and engines list all the same."""
    devices = tuple(device for device in spec.linux.devices if device.path not in _OWN_NODES)
    return attrs.evolve(spec, linux=attrs.evolve(spec.linux, devices=devices))


def _read_config(directory: str) -> bytes:
    try:
        with open(os.path.join(directory, _CONFIG), "rb") as file:
            document = file.read(_LARGEST_CONFIG_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("bundle", directory, f"it has no {_CONFIG}") from None
    if len(document) > _LARGEST_CONFIG_BYTES:
        raise LimitExceeded(f"{_CONFIG} of bundle {directory!r} is larger than {_LARGEST_CONFIG_BYTES} bytes")
    return document


def with_home(process: Process, root: str) -> Process:
    """*process* with the ``HOME`` of its user in the root directory *root*, unless it has one.

    Engines rely on the runtime for it, as runc and crun have always set it.
    """
    if any(variable.startswith("HOME=") for variable in process.env):
        return process
    home = "/"
    # An account file that cannot be read names no home.
    with open_path(root, os.O_PATH | os.O_DIRECTORY) as folder, contextlib.suppress(ContainerKitError):
        home = resolve_user(str(process.user.uid), root_reader(folder.fileno())).home
    return attrs.evolve(process, env=(*process.env, f"HOME={home}"))


def cgroup_place(spec: Spec, container_id: str, *, systemd: bool = False) -> tuple[str, str]:
    """(parent, name) of the cgroup that ``linux.cgroupsPath`` asks for, below each hierarchy's root.

    With *systemd* the form is ``slice:prefix:name``; the scope is made as a directory below the slice.

    Raises:
        InvalidInput: The path leads upwards, or the form is wrong.
    """
    path = spec.linux.cgroups_path
    if not path:
        return DEFAULT_PARENT, container_id
    if systemd:
        path = _scope_path(path)
    parts = [part for part in path.split("/") if part]
    if ".." in parts or not parts:
        raise InvalidInput(f"linux.cgroupsPath {path!r} does not name a cgroup")
    return "/".join(parts[:-1]) or DEFAULT_PARENT, parts[-1]


def _scope_path(path: str) -> str:
    fields = path.split(":")
    if len(fields) != 3 or not fields[2]:
        raise InvalidInput(f"linux.cgroupsPath {path!r} is not of the form slice:prefix:name")
    slice_, prefix, name = fields
    unit = name if name.endswith(".slice") else f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    return "/".join((*_slice_directories(slice_ or "system.slice"), unit))


def _slice_directories(name: str) -> list[str]:
    """``a-b.slice`` lies in ``a.slice``: the directories from the top."""
    words = name.removesuffix(".slice").split("-")
    return ["-".join(words[: i + 1]) + ".slice" for i in range(len(words)) if name != "-.slice"]


def bundle_root(path: str) -> Directory:
    """The root file system of the bundle in the directory *path*; errors as `Bundle.read`."""
    return Bundle.read(path).rootfs


def container_from_bundle(path: str, *, engine: Engine, detach: bool = True, **options: Any) -> Container:
    """A new container of *engine*; see :meth:`Container.from_bundle`.

    Raises:
        NotFound, InvalidInput: The bundle is missing or cannot be used; also when it has hooks or names a
            cgroup, which only ``container-kit runtime`` serves.
    """
    from container_kit.containers import names
    from container_kit.containers.creation import establish
    from container_kit.containers.options import ContainerOptions
    from container_kit.containers.record import Record

    engine.check_open()
    bundle = Bundle.read(path)
    process = _startable_process(bundle)
    container_id = names.new_id()
    asked = ContainerOptions(**{"tty": process.terminal, **options})
    record = Record(
        id=container_id,
        name=asked.name or names.generated_name(container_id),
        created_ns=time.time_ns(),
        command=process.args,
        options=asked,
        owner="" if detach else engine.owner_token.token,
        bundle=bundle.path,
    )
    return establish(engine, record, lambda directory: None)


def _startable_process(bundle: Bundle) -> Process:
    spec = bundle.spec
    if spec.process is None or not spec.process.args:
        raise InvalidInput(f"bundle {bundle.path!r}: config.json has no process.args to start")
    if spec.hooks != Hooks():
        raise InvalidInput(
            f"bundle {bundle.path!r} has hooks: start it with `container-kit runtime run`, or take them out"
        )
    return spec.process
