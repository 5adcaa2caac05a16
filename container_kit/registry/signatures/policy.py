"""The policy file: which images may be pulled, and how they have to be signed.

Source: containers-policy.json(5).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from container_kit._values import frozen
from container_kit.errors import InvalidInput, KernelError, Untrusted
from container_kit.oci import Digest, Reference
from container_kit.oci.json_document import Fields, load_object
from container_kit.registry.client.repository import Repository
from container_kit.registry.signatures.requirements import Requirement, parse_requirement

__all__ = ["SignaturePolicy"]

_SYSTEM: Final = "/etc/containers/policy.json"
_VARIABLE: Final = "CONTAINERS_POLICY"
_TRANSPORT: Final = "docker"
_MAX_BYTES: Final = 1 << 20
_Requirements = tuple[Requirement, ...]


@frozen
class SignaturePolicy:
    """What a policy file says about images of registries.

    Args:
        default: What is asked where no scope fits.
        scopes: Requirements by scope of the transport ``docker``: a host, a namespace, a repository, an
            image; ``*.example.org`` for all hosts there; empty for all.
        name: What it is called in errors.
    """

    default: _Requirements
    scopes: Mapping[str, _Requirements] = attrs.field(factory=dict)
    name: str = "the policy"

    @classmethod
    def read(cls, path: str | None = None) -> SignaturePolicy | None:
        """The policy that holds here; None when there is none, and so every image may be pulled.

        It is *path*, or what ``CONTAINERS_POLICY`` names; else that of the user
        (``~/.config/containers/policy.json``), else that of the host (``/etc/containers/policy.json``).

        Raises:
            InvalidInput: It cannot be understood; nothing is pulled then.
            KernelError: It is named, but not there; or it cannot be read.
        """
        chosen = path or os.environ.get(_VARIABLE)
        home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        for one in [chosen] if chosen else [f"{home}/containers/policy.json", _SYSTEM]:
            try:
                info = os.stat(one)
            except (FileNotFoundError, NotADirectoryError) as error:
                if chosen:
                    raise KernelError.of(error.errno or 0, "cannot read the signature policy", one) from None
                continue
            except OSError as error:
                raise KernelError.of(error.errno or 0, "cannot read the signature policy", one) from error
            return _load(one, info.st_mtime_ns, info.st_ino)
        return None

    @classmethod
    def parse(cls, raw: bytes, name: str = "the policy") -> SignaturePolicy:
        """The policy in *raw*.

        Raises:
            InvalidInput: It has a member that is not known, or one that is not what it has to be.
        """
        document = load_object(raw, name, _MAX_BYTES)
        strange = document.keys() - {"default", "transports"}
        if strange:
            raise InvalidInput(f"{name} has the member {min(strange)[:80]!r}, which is not known")
        fields = Fields(document, name, ("default", "transports"))
        transports = _object(fields.raw("transports"), fields.where("transports"))
        scopes: dict[str, _Requirements] = {}
        for transport, value in transports.items():
            where = f"{fields.where('transports')}.{transport}"
            found = {
                scope: _requirements(one, f"{where}.{scope}") for scope, one in _object(value, where).items()
            }
            if transport == _TRANSPORT:
                scopes = found
        return cls(_requirements(fields.raw("default"), fields.where("default")), scopes, name)

    def requirements(self, image: Reference) -> _Requirements:
        """Those of the most specific scope that *image* is in."""
        for scope in _scopes(image):
            if scope in self.scopes:
                return self.scopes[scope]
        return self.default

    def check(self, repository: Repository, image: Reference, digests: tuple[Digest, ...]) -> None:
        """Refuse *image* unless the policy allows it.

        Args:
            repository: Where it is, and its signatures.
            image: What it is called.
            digests: Of its manifest, and of the index that named that: one of them has to be signed.

        Raises:
            Untrusted: The policy does not allow it; says why.
            UnsupportedFeature: The policy asks for what cannot be checked here.
        """
        for requirement in self.requirements(image):
            try:
                requirement.check(repository, image, digests)
            except Untrusted as error:
                raise Untrusted(f"{self.name} does not allow {image.familiar}: {error}") from error


def _scopes(image: Reference) -> Iterator[str]:
    """All that *image* is in, the most specific first."""
    if image.digest is not None:
        yield f"{image.repository}@{image.digest}"
    elif image.tag is not None:
        yield f"{image.repository}:{image.tag}"
    name = image.repository
    while "/" in name:
        yield name
        name = name.rpartition("/")[0]
    yield name
    rest = name
    while "." in rest:
        rest = rest.partition(".")[2]
        yield f"*.{rest}"
    yield ""


def _requirements(value: Any, where: str) -> _Requirements:
    if not isinstance(value, list) or not value:
        raise InvalidInput(f"{where} has to be a list of at least one requirement")
    return tuple(parse_requirement(one, f"{where}[{number}]") for number, one in enumerate(value))


def _object(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{where} is not a JSON object")
    return value


@functools.lru_cache(maxsize=4)
def _load(path: str, changed_ns: int, inode: int) -> SignaturePolicy:
    """*changed_ns* and *inode* tell apart what the file was and what it is."""
    try:
        with open(path, "rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        return SignaturePolicy.parse(raw, f"the signature policy {path!r}")
    except OSError as error:
        raise KernelError.of(error.errno or 0, "cannot read the signature policy", path) from error
