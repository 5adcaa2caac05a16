"""Sets of completion indexes, as a Job writes them: ``0-2,5``.

Source: API reference, batch/v1 JobStatus (completedIndexes, failedIndexes).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

__all__ = ["format_indexes", "parse_indexes"]


def parse_indexes(text: str | None, below: int | None = None) -> set[int]:
    """The indexes that *text* means, those of *below* on left out."""
    found: set[int] = set()
    for part in filter(None, (text or "").split(",")):
        first, _, last = part.partition("-")
        end = int(last or first) + 1
        found.update(range(int(first), end if below is None else min(end, below)))
    return found


def format_indexes(indexes: Collection[int]) -> str:
    """The text for *indexes*: the inverse of `parse_indexes`; two neighbours are no range."""
    return ",".join(_runs(sorted(indexes)))


def _runs(ordered: list[int]) -> Iterator[str]:
    start = 0
    for at in range(1, len(ordered) + 1):
        if at == len(ordered) or ordered[at] != ordered[at - 1] + 1:
            run = ordered[start:at]
            yield ",".join(map(str, run)) if len(run) <= 2 else f"{run[0]}-{run[-1]}"
            start = at
