"""How much a provenance says: nothing, what the image was made of, and what was asked for too."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["Mode"]

Mode: TypeAlias = Literal["", "min", "max"]
