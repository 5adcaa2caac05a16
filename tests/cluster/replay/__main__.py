"""Prints how many recorded cases pass: ``python -m tests.cluster.replay [TOPIC ...] [-v]``."""

from __future__ import annotations

import sys
import time

from tests.cluster.replay.exchanges import Outcome
from tests.cluster.replay.running import TOPICS, outcomes, serving


def main(words: list[str]) -> int:
    """Play the topics that are named, or all; returns 0 when all cases pass."""
    is_wordy = "-v" in words
    chosen = [word for word in words if word != "-v"] or TOPICS
    failed = 0
    for topic in chosen:
        begin_s = time.monotonic()
        with serving() as target:
            found = list(outcomes(topic, target))
        bad = [one for one in found if not one.is_passed]
        failed += len(bad)
        only_words = sum(not one.wrong for one in bad)
        row = f"{topic:<32}{len(found) - len(bad):>5} passed{len(bad):>5} failed"
        row += f"{time.monotonic() - begin_s:>7.1f} s"
        print(row + (f" ({only_words} only in words)" if only_words else ""), flush=True)
        for one in bad if is_wordy else ():
            _show(one)
    return 1 if failed else 0


def _show(outcome: Outcome) -> None:
    print(f"  {outcome.id}")
    for line in (*outcome.wrong[:12], *outcome.words[:6]):
        print(f"    {line}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
