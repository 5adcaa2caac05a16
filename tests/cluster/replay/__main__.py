"""Prints how many recorded cases of each file pass: ``python -m tests.cluster.replay [TOPIC ...] [-v]``.

A topic is a file, ``exchanges/lists``, or a folder of them, ``watches``.
"""

from __future__ import annotations

import sys
import time

from tests.cluster.replay.exchanges import Outcome
from tests.cluster.replay.known import unexplained
from tests.cluster.replay.running import TOPICS, outcomes


def main(words: list[str]) -> int:
    """Play the topics that are named, or all; returns 0 when every difference is a known one."""
    is_wordy = "-v" in words
    named = [word for word in words if word != "-v"]
    chosen = [topic for topic in TOPICS if not named or any(_is_in(topic, word) for word in named)]
    surprises = 0
    for topic in chosen:
        begin_s = time.monotonic()
        found = list(outcomes(topic))
        bad = [one for one in found if not one.is_passed]
        new = sum(bool(unexplained(topic, one)) for one in bad)
        surprises += new
        row = f"{topic:<62}{len(found) - len(bad):>5} passed{len(bad):>5} failed"
        row += f"{time.monotonic() - begin_s:>7.1f} s"
        print(row + (f" ({len(bad) - new} as explained)" if bad else ""), flush=True)
        for one in bad if is_wordy else ():
            _show(one)
    return 1 if surprises else 0


def _is_in(topic: str, word: str) -> bool:
    return topic == word or topic.startswith(f"{word}/")


def _show(outcome: Outcome) -> None:
    print(f"  {outcome.id}")
    for line in (*outcome.wrong[:12], *outcome.words[:6]):
        print(f"    {line}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
