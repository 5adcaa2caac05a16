"""Secrets of a build: where a value comes from; it is read when a step needs it, and never shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from container_kit.errors import InvalidInput, NotFound

__all__ = ["Secret", "as_secrets"]

_LARGEST = 500 * 1024  # as in BuildKit


class Secret:
    """A value that steps of a build may see and that stays in nothing the build makes.

    Made by :meth:`env`, :meth:`file` or :meth:`value`; what it holds is not part of its ``repr``.
    """

    __slots__ = ("_origin", "_read")

    def __init__(self, origin: str, read: Callable[[], bytes]) -> None:
        self._origin, self._read = origin, read

    @classmethod
    def env(cls, name: str) -> Secret:
        """What the environment variable *name* of this process holds when a step asks for it."""

        def read() -> bytes:
            if name not in os.environ:
                raise NotFound("environment variable", name, "a secret of the build is to be taken from it")
            return os.fsencode(os.environ[name])

        return cls(f"env({name!r})", read)

    @classmethod
    def file(cls, path: str | os.PathLike[str]) -> Secret:
        """What the file *path* of this host holds when a step asks for it, at most 500 KiB."""
        place = os.path.abspath(path)

        def read() -> bytes:
            try:
                with open(place, "rb") as file:
                    return file.read(_LARGEST + 1)
            except OSError as error:
                raise NotFound("secret file", place, os.strerror(error.errno or 0)) from None

        return cls(f"file({place!r})", read)

    @classmethod
    def value(cls, value: str | bytes) -> Secret:
        """This value."""
        data = value.encode() if isinstance(value, str) else bytes(value)
        return cls("value(…)", lambda: data)

    def read(self) -> bytes:
        """The value now.

        Raises:
            NotFound: The variable or file is not there.
            InvalidInput: It is larger than 500 KiB.
        """
        data = self._read()
        if len(data) > _LARGEST:
            raise InvalidInput(f"the secret {self!r} is larger than {_LARGEST} bytes")
        return data

    def __repr__(self) -> str:
        return f"Secret.{self._origin}"


def as_secrets(given: Mapping[str, Secret]) -> dict[str, Secret]:
    """Secrets by id.

    Raises:
        InvalidInput: A value is a plain text, which is likely to be a mistake: it says what to write.
    """
    if not isinstance(given, Mapping):
        raise InvalidInput("secrets are given by their ids: {'token': Secret.env('TOKEN')}")
    for name, secret in given.items():
        if not isinstance(secret, Secret):
            raise InvalidInput(
                f"secret {name!r} is no Secret: use Secret.env(NAME), Secret.file(PATH) or Secret.value(TEXT)"
            )
    return dict(given)
