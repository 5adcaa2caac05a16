"""What is wrong with a Dockerfile: where, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from container_kit.errors import InvalidInput

__all__ = ["DockerfileError", "closest"]


class DockerfileError(InvalidInput):
    """A Dockerfile cannot be understood, or a word of it cannot be expanded.

    Attributes:
        file: The name that the Dockerfile was given; empty while it is not known.
        line: First line of the instruction, from 1; 0 while it is not known.
        suggestion: What was probably meant, or None.
    """

    def __init__(self, reason: str, *, file: str = "", line: int = 0, suggestion: str | None = None) -> None:
        self.reason, self.file, self.line, self.suggestion = reason, file, line, suggestion
        super().__init__(self._sentence())

    def located(self, file: str, line: int) -> DockerfileError:
        """The same error with *file* and *line* where it does not know them yet."""
        return DockerfileError(
            self.reason, file=self.file or file, line=self.line or line, suggestion=self.suggestion
        )

    def _sentence(self) -> str:
        where = f"{self.file or 'Dockerfile'}:{self.line}: " if self.line else ""
        hint = f" (did you mean {self.suggestion}?)" if self.suggestion else ""
        return f"{where}{self.reason}{hint}"


def closest(word: str, known: Iterable[str]) -> str | None:
    """The word of *known* that *word* is probably a slip of, or None."""
    spelled = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower()[:64], spelled, n=1, cutoff=0.6)
    return spelled[found[0]] if found else None
