"""Image references: the names people type, and their one full form.

Docker's rules of abbreviation apply: ``ubuntu`` is ``docker.io/library/ubuntu:latest``.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from container_kit.errors import InvalidInput
from container_kit.oci.digest import Digest

__all__ = ["DEFAULT_DOMAIN", "Reference"]

DEFAULT_DOMAIN: Final = "docker.io"
_LEGACY_DOMAIN: Final = "index.docker.io"
_OFFICIAL: Final = "library/"
_MAX_NAME: Final = 255

_LABEL: Final = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_is_domain: Final = re.compile(
    rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?", re.ASCII
).fullmatch
_PART: Final = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_is_path: Final = re.compile(f"{_PART}(?:/{_PART})*", re.ASCII).fullmatch
_is_tag: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII).fullmatch
_is_image_id: Final = re.compile("[a-f0-9]{64}").fullmatch


@attrs.frozen
class Reference:
    """The full name of an image: ``domain/path[:tag][@digest]``.

    Args:
        domain: The registry's host name, with its port if it has one.
        path: The repository in that registry.
        tag: A name that may move; None if only the digest counts.
        digest: The address of one manifest; None if the tag decides.

    Raises:
        InvalidInput: A part is not written as registries ask.

    Source: distribution, "reference" grammar; OCI distribution-spec, "Pulling manifests".
    """

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    def __attrs_post_init__(self) -> None:
        if len(self.domain) + len(self.path) >= _MAX_NAME:
            raise InvalidInput(f"image name {self.path[:40]!r}... is longer than {_MAX_NAME} characters")
        if not _is_domain(self.domain):
            raise InvalidInput(f"{self.domain!r} is not the name of a registry")
        if not _is_path(self.path):
            given = self.path.removeprefix(_OFFICIAL)
            raise InvalidInput(f"{given!r} is not the name of an image: use lower-case words and '/'")
        if self.tag is not None and not _is_tag(self.tag):
            raise InvalidInput(
                f"{self.tag[:140]!r} is not a tag: up to 128 letters, digits, '_', '.' and '-'"
            )

    @classmethod
    def parse(cls, text: str, default_tag: str | None = "latest") -> Reference:
        """The reference that a person means by *text*.

        Args:
            default_tag: The tag when *text* has neither tag nor digest; None leaves it out.
        """
        if not isinstance(text, str):
            raise InvalidInput(f"image name {text!r} is not text: write such as 'team/app:1'")
        if len(text) > 4 * _MAX_NAME:
            raise InvalidInput(f"image name {text[:40]!r}... is too long")
        if _is_image_id(text):
            raise InvalidInput(f"{text!r} is the id of an image, not a name")
        name, at, digest = text.partition("@")
        name, tag = _split_tag(name)
        domain, path = _split_domain(name)
        if tag is None and not at:
            tag = default_tag
        return cls(domain, path, tag, Digest.parse(digest) if at else None)

    @property
    def repository(self) -> str:
        """The full name without tag and digest."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """The repository as docker shows it: without the parts that it adds itself."""
        short = self.path.removeprefix(_OFFICIAL)
        if "/" in short:
            short = self.path
        # A path that starts like the name of a registry has no short form.
        return short if _split_domain(short) == (self.domain, self.path) else self.repository

    @property
    def familiar(self) -> str:
        """The short form that docker shows; parsing it gives this reference again."""
        return self.familiar_repository + self._suffix()

    def with_tag(self, tag: str) -> Reference:
        """The same repository, named by *tag* alone."""
        return Reference(self.domain, self.path, tag)

    def with_digest(self, digest: Digest) -> Reference:
        """The same repository, named by *digest* alone."""
        return Reference(self.domain, self.path, None, digest)

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.repository + self._suffix()


def _split_tag(name: str) -> tuple[str, str | None]:
    """The colon of a tag comes after the last slash; one before it belongs to a port."""
    head, colon, tail = name.rpartition(":")
    if not colon or "/" in tail:
        return name, None
    return head, tail


def _split_domain(name: str) -> tuple[str, str]:
    """A first part with a dot, a colon or a capital, or ``localhost``, names a registry."""
    first, slash, rest = name.partition("/")
    named = slash and (any(c in first for c in ".:[") or first == "localhost" or first != first.lower())
    domain, path = (first, rest) if named else (DEFAULT_DOMAIN, name)
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = _OFFICIAL + path
    return domain, path
