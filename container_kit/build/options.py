"""What a caller asks of a build, checked and frozen before anything is done."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias, get_args

import attrs

from container_kit.build.attestations.words import Mode
from container_kit.errors import InvalidInput, NotFound
from container_kit.images.secrets import Secret, as_secrets
from container_kit.oci import Platform, Reference

__all__ = ["BuildOptions", "Network"]

Network: TypeAlias = Literal["default", "none", "host"]

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
_ENTITLEMENTS = ("network.host", "security.insecure")
_LATEST = 1 << 33  # what a tar header holds


def _names(value: str | Iterable[str] | None) -> tuple[str, ...]:
    if value is None or isinstance(value, str):
        return () if value is None else (value,)
    words = tuple(value) if isinstance(value, Iterable) else (value,)
    for word in words:
        if not isinstance(word, str):
            raise InvalidInput(f"{word!r} is not text: options of a build that name things are strings")
    return words


def _texts(value: Mapping[str, Any] | Iterable[str] | None, what: str) -> dict[str, str]:
    """A mapping, or ``NAME=VALUE`` words."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {str(key): str(text) for key, text in value.items() if text is not None}
    pairs = [word.partition("=") for word in _names(value)]
    missing = [key for key, sign, _ in pairs if not sign]
    if missing:
        raise InvalidInput(f"{what} {missing[0]!r} has no value: write NAME=VALUE")
    return {key: text for key, _, text in pairs}


def _platforms(value: Platform | str | Iterable[Platform | str] | None) -> tuple[Platform, ...]:
    if value is None:
        return (Platform.host(),)
    many: Iterable[Platform | str]
    many = value.split(",") if isinstance(value, str) else (value,) if isinstance(value, Platform) else value
    found = [one if isinstance(one, Platform) else Platform.parse(one.strip()) for one in many]
    return tuple(dict.fromkeys(found)) or (Platform.host(),)


def _agents(value: Mapping[str, str] | Iterable[str] | str | bool | None) -> dict[str, str]:
    """Sockets of SSH agents by id: ``{"default": path}``, ``["default"]``, ``["id=path"]`` or True."""
    if not value:
        return {}
    if value is True:
        value = ("default",)
    if isinstance(value, Mapping):
        return {key: os.path.abspath(path) for key, path in value.items()}
    found = {}
    for word in _names(value):
        name, _, path = word.partition("=")
        path = path or os.environ.get("SSH_AUTH_SOCK", "")
        if not path:
            raise NotFound("SSH agent", name, "SSH_AUTH_SOCK is not set; write ID=PATH of its socket")
        found[name] = os.path.abspath(path)
    return found


def _no_cache(value: bool | str | Iterable[str]) -> bool | frozenset[str]:
    return value if isinstance(value, bool) else frozenset(name.lower() for name in _names(value))


def _references(value: str | Iterable[str] | None) -> tuple[Reference, ...]:
    return tuple(Reference.parse(name) for name in _names(value))


def _arguments(value: Mapping[str, Any] | Iterable[str] | None) -> dict[str, str]:
    return _texts(value, "build argument")


def _labels(value: Mapping[str, Any] | Iterable[str] | None) -> dict[str, str]:
    return _texts(value, "label")


def _annotations(value: Mapping[str, Any] | Iterable[str] | None) -> dict[str, str]:
    return _texts(value, "annotation")


def _entitlements(value: str | Iterable[str] | None) -> frozenset[str]:
    return frozenset(_names(value))


def _provenance(value: bool | str) -> Mode:
    """True, "min", "max", or docker's ``mode=max``."""
    text = ("min" if value else "") if isinstance(value, bool) else value.removeprefix("mode=")
    if text not in ("", "min", "max"):
        raise InvalidInput(f"provenance={value!r} is none of True, False, 'min', 'max'")
    return text  # type: ignore[return-value]  # one of them


def _names_only(value: Mapping[str, Any]) -> str:
    """Mappings as they are shown: their values are often secrets."""
    return repr(sorted(value))


@attrs.frozen(kw_only=True)
class BuildOptions:
    """See `Image.build`, whose arguments these are.

    Raises:
        InvalidInput: A value cannot be used; the message names the argument.
    """

    tags: tuple[Reference, ...] = attrs.field(default=None, converter=_references)
    target: str | None = None
    build_args: Mapping[str, str] = attrs.field(default=None, converter=_arguments, repr=_names_only)
    secrets: Mapping[str, Secret] = attrs.field(factory=dict, converter=as_secrets, repr=_names_only)
    ssh: Mapping[str, str] = attrs.field(default=None, converter=_agents)
    platforms: tuple[Platform, ...] = attrs.field(default=None, converter=_platforms)
    labels: Mapping[str, str] = attrs.field(default=None, converter=_labels)
    annotations: Mapping[str, str] = attrs.field(default=None, converter=_annotations)
    pull: bool = False
    no_cache: bool | frozenset[str] = attrs.field(default=False, converter=_no_cache)
    squash: bool = False
    cache_from: tuple[str, ...] = attrs.field(default=(), converter=_names)
    cache_to: tuple[str, ...] = attrs.field(default=(), converter=_names)
    network: Network = "default"
    allow: frozenset[str] = attrs.field(default=None, converter=_entitlements)
    sbom: bool = False
    provenance: Mode = attrs.field(default=False, converter=_provenance)
    epoch: int | None = None

    def __attrs_post_init__(self) -> None:
        for tag in self.tags:
            if tag.digest is not None:
                raise InvalidInput(f"tag {tag!s} cannot be given to an image: it names a digest")
        if self.network not in get_args(Network):
            raise InvalidInput(
                f"network={self.network!r} is not known: use {', '.join(get_args(Network))}; a step is "
                "on the default network, on none, or on this host's"
            )
        unknown = sorted(self.allow - set(_ENTITLEMENTS))
        if unknown:
            raise InvalidInput(f"allow={unknown[0]!r} is not known: use {' or '.join(_ENTITLEMENTS)}")
        if self.epoch is not None and not 0 <= self.epoch < _LATEST:
            raise InvalidInput(f"SOURCE_DATE_EPOCH {self.epoch} is not between 0 and {_LATEST - 1} seconds")

    @classmethod
    def of(cls, **given: Any) -> BuildOptions:
        """The options; ``SOURCE_DATE_EPOCH`` is an argument of the build, or a variable of this process."""
        options = cls(**given)
        text = options.build_args.get("SOURCE_DATE_EPOCH", os.environ.get("SOURCE_DATE_EPOCH", ""))
        if not text:
            return options
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            raise InvalidInput(f"SOURCE_DATE_EPOCH is {text!r}, which is no number of seconds since 1970")
        return cls(**{**given, "epoch": int(text)})

    @property
    def proxies(self) -> dict[str, str]:
        """Build arguments about proxies, which every RUN sees and no key or history has."""
        return {name: value for name, value in self.build_args.items() if name.upper() in _PROXIES}

    def ignores_cache(self, stage: str) -> bool:
        """Whether the steps of this stage are to run even when the cache has them."""
        return self.no_cache if isinstance(self.no_cache, bool) else stage.lower() in self.no_cache
