"""Image configurations: what to run, as whom, and what the layers are.

Everything in here was written by whoever built the image.  Only its shape is checked; paths, users and
variables are resolved later, inside the container.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from container_kit._values import frozen
from container_kit.errors import InvalidInput
from container_kit.oci.digest import Digest
from container_kit.oci.json_document import Fields, encode, load_object
from container_kit.oci.platform import Platform

__all__ = ["ContainerConfig", "Healthcheck", "History", "ImageConfig"]

_DOCUMENT: Final = (
    "created", "author", "architecture", "os", "os.version", "os.features", "variant", "config", "rootfs",
    "history",
)  # fmt: skip
_CONFIG: Final = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal",
    "ArgsEscaped", "Healthcheck", "Shell", "OnBuild", "StopTimeout",
)  # fmt: skip
_HEALTH: Final = ("Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")
_HISTORY: Final = ("created", "author", "created_by", "comment", "empty_layer")
_MAX_LAYERS: Final = 500


@frozen
class Healthcheck:
    """How to find out whether a container works.

    Args:
        test: ``("NONE",)``, ``("CMD", program, *arguments)`` or ``("CMD-SHELL", line)``; empty inherits.
        interval_ns, timeout_ns, start_period_ns, start_interval_ns: Nanoseconds; 0 inherits.
        retries: Failures in a row that mean unhealthy; 0 inherits.

    Source: moby, "HealthConfig"; Docker's extension of the OCI image configuration.
    """

    test: tuple[str, ...] = ()
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0

    @classmethod
    def from_json(cls, value: Any, where: str) -> Healthcheck:
        fields = Fields(value, where, _HEALTH)
        return cls(
            test=fields.texts("Test"),
            interval_ns=fields.integer("Interval"),
            timeout_ns=fields.integer("Timeout"),
            start_period_ns=fields.integer("StartPeriod"),
            start_interval_ns=fields.integer("StartInterval"),
            retries=fields.integer("Retries", high=2**31 - 1),
        )

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {"Test": list(self.test)} if self.test else {}
        times = (
            self.interval_ns,
            self.timeout_ns,
            self.start_period_ns,
            self.start_interval_ns,
            self.retries,
        )
        value.update({name: number for name, number in zip(_HEALTH[1:], times, strict=True) if number})
        return value


@frozen
class ContainerConfig:
    """What a container of the image does unless told otherwise.

    Args:
        user: ``user[:group]`` by name or number; empty means 0.
        env: ``NAME=value`` strings, in order.
        entrypoint, cmd: The program and its arguments; *cmd* is what a caller replaces.
        working_dir: Where the program starts; empty means ``/``.
        exposed_ports: Such as ``80/tcp``.
        volumes: Paths that want a volume.
        labels: Free text, by key.
        stop_signal: Name or number of the signal that asks the program to end; empty means SIGTERM.
        healthcheck: How to find out whether it works, or None.
        shell: The shell of shell-form instructions; empty means ``/bin/sh -c``.
        on_build: Instructions for images built from this one.

    Source: OCI image-spec, config.md, "config".
    """

    user: str = ""
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    working_dir: str = ""
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] = ()
    on_build: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: Any, where: str) -> ContainerConfig:
        fields = Fields(value, where, _CONFIG)
        return cls(
            user=fields.text("User"),
            env=fields.texts("Env"),
            entrypoint=fields.texts("Entrypoint"),
            cmd=fields.texts("Cmd"),
            working_dir=fields.text("WorkingDir"),
            exposed_ports=fields.key_set("ExposedPorts"),
            volumes=fields.key_set("Volumes"),
            labels=fields.text_map("Labels"),
            stop_signal=fields.text("StopSignal"),
            healthcheck=Healthcheck.from_json(fields.raw("Healthcheck"), fields.where("Healthcheck"))
            if "Healthcheck" in fields
            else None,
            shell=fields.texts("Shell"),
            on_build=fields.texts("OnBuild"),
        )

    def to_json(self) -> dict[str, Any]:
        """The members that are set, in alphabetical order."""
        value: dict[str, Any] = {
            "Cmd": list(self.cmd),
            "Entrypoint": list(self.entrypoint),
            "Env": list(self.env),
            "ExposedPorts": {port: {} for port in self.exposed_ports},
            "Healthcheck": self.healthcheck.to_json() if self.healthcheck else None,
            "Labels": dict(self.labels),
            "OnBuild": list(self.on_build),
            "Shell": list(self.shell),
            "StopSignal": self.stop_signal,
            "User": self.user,
            "Volumes": {path: {} for path in self.volumes},
            "WorkingDir": self.working_dir,
        }
        return {name: member for name, member in value.items() if member}

    @property
    def command(self) -> tuple[str, ...]:
        """What runs when the caller says nothing: the entrypoint, then *cmd*."""
        return self.entrypoint + self.cmd


@frozen
class History:
    """How one layer came to be; a step that made no layer is *empty_layer*."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False

    @classmethod
    def from_json(cls, value: Any, where: str) -> History:
        fields = Fields(value, where, _HISTORY)
        return cls(
            created=fields.text("created"),
            created_by=fields.text("created_by"),
            author=fields.text("author"),
            comment=fields.text("comment"),
            empty_layer=fields.boolean("empty_layer"),
        )

    def to_json(self) -> dict[str, Any]:
        members = attrs.asdict(self)
        return {name: member for name, member in members.items() if member}


@frozen
class ImageConfig:
    """The configuration document of an image; its digest is the image's id.

    Made by :meth:`parse` or :meth:`build`; *raw* holds the exact bytes that *digest* names.

    Args:
        created: When it was built, as RFC 3339 text, or empty.
        diff_ids: Digests of the plain (uncompressed) layer archives, lowest first.

    Source: OCI image-spec, config.md.
    """

    raw: bytes = attrs.field(repr=False)
    digest: Digest
    platform: Platform
    config: ContainerConfig
    diff_ids: tuple[Digest, ...]
    history: tuple[History, ...] = ()
    created: str = ""
    author: str = ""

    @classmethod
    def parse(cls, raw: bytes) -> ImageConfig:
        """The configuration in *raw*.

        Raises:
            InvalidInput: Not an image configuration; names the member.
            LimitExceeded: Larger or with more layers than any image.
        """
        document = load_object(raw, "the image configuration")
        fields = Fields(document, "config", _DOCUMENT)
        return cls(
            raw=raw,
            digest=Digest.of(raw),
            platform=Platform.from_json(
                {name: document[name] for name in _DOCUMENT[2:7] if name in document}, "config"
            ),
            config=ContainerConfig.from_json(fields.raw("config") or {}, fields.where("config")),
            diff_ids=_diff_ids(fields),
            history=fields.items("history", History.from_json),
            created=fields.text("created"),
            author=fields.text("author"),
        )

    @classmethod
    def build(
        cls,
        diff_ids: Sequence[Digest],
        config: ContainerConfig | None = None,
        platform: Platform | None = None,
        history: Sequence[History] = (),
        created: str = "",
        author: str = "",
    ) -> ImageConfig:
        """A new configuration; equal arguments give equal bytes.

        Args:
            platform: None means that of this machine.
            created: RFC 3339 text; leave it out for an image that depends on its inputs alone.
        """
        document = {
            "created": created,
            "author": author,
            **(platform or Platform.host()).to_json(),
            "config": (config or ContainerConfig()).to_json(),
            "rootfs": {"type": "layers", "diff_ids": [str(diff_id) for diff_id in diff_ids]},
            "history": [step.to_json() for step in history],
        }
        return cls.parse(encode({name: member for name, member in document.items() if member}))


def _diff_ids(fields: Fields) -> tuple[Digest, ...]:
    rootfs = Fields(fields.raw("rootfs"), fields.where("rootfs"), ("type", "diff_ids"))
    if rootfs.text("type", "layers") != "layers":
        raise InvalidInput(f"{rootfs.where('type')} is not 'layers'")
    return rootfs.items("diff_ids", lambda value, where: _digest(value, where), _MAX_LAYERS)


def _digest(value: Any, where: str) -> Digest:
    if not isinstance(value, str):
        raise InvalidInput(f"{where} is not a digest")
    return Digest.parse(value)
