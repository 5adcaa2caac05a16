"""``type=local,dest=out`` and its kin: what outputs and caches are described with, as docker's flags do."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping

import attrs

from container_kit.errors import InvalidInput

__all__ = ["Words"]


@attrs.frozen
class Words:
    """A kind, and values by name."""

    type: str
    values: Mapping[str, str]
    text: str
    field: str

    @classmethod
    def parse(cls, text: str, field: str, *, plain: str) -> Words:
        """What *text* means.

        Args:
            field: The argument that it was given for, for errors.
            plain: The type of a text without ``=``, which then is its one value.

        Raises:
            InvalidInput: A word has no value, or there is no type.
        """
        if "=" not in text:
            return cls(plain, {"": text}, text, field)
        try:
            [row] = csv.reader([text], strict=True)
        except (ValueError, csv.Error):
            raise InvalidInput(f"{field} {text!r} is no list of key=value between commas") from None
        values = {}
        for word in row:
            key, sign, value = word.partition("=")
            if not sign or not key.strip():
                raise InvalidInput(f"{field} {text!r}: {word!r} is not written key=value")
            values[key.strip().lower()] = value
        kind = values.pop("type", "")
        if not kind:
            raise InvalidInput(f"{field} {text!r} has no type: write type=…")
        return cls(kind.lower(), values, text, field)

    def get(self, name: str, default: str = "") -> str:
        return self.values.get(name, self.values.get("", default))

    def required(self, name: str) -> str:
        """The value of *name*.

        Raises:
            InvalidInput: It was not given.
        """
        value = self.get(name)
        if not value:
            raise InvalidInput(f"{self.field} type={self.type} needs {name}=…")
        return value

    def path(self, name: str) -> str:
        """The value of *name* as an absolute path."""
        return os.path.abspath(self.required(name))

    def __str__(self) -> str:
        return self.text
