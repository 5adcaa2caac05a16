"""Fair comparison: interleaved rounds, medians with extremes, the load recorded, ratios printed.

A *side* is a name and a function that does the work once and returns how long it took in milliseconds.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

Side = Callable[[], float]

RESULTS = Path(__file__).parent / "results"


@attrs.frozen
class Measured:
    """All samples of one side in one condition, in the unit of its table."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({min(self.samples):.2f}-{max(self.samples):.2f})"


@attrs.define
class Table:
    """One condition a row, one side a column."""

    title: str
    unit: str = "ms"
    rows: dict[str, dict[str, Measured]] = attrs.field(factory=dict)
    loads: dict[str, str] = attrs.field(factory=dict)

    def add(self, condition: str, sides: dict[str, Measured]) -> None:
        self.rows[condition] = sides
        self.loads[condition] = f"{os.getloadavg()[0]:.2f}"

    def show(self, ours: str = "container_kit") -> None:
        """Print as Markdown: median (min-max), then every other side's median divided by ours."""
        names = list(dict.fromkeys(name for sides in self.rows.values() for name in sides))
        others = [name for name in names if name != ours]
        print(f"\n### {self.title} ({self.unit}; median (min-max))\n")
        print(
            "| condition | "
            + " | ".join(names)
            + " | "
            + " | ".join(f"{o}/ours" for o in others)
            + " | load |"
        )
        print("|---" * (len(names) + len(others) + 2) + "|")
        for condition, sides in self.rows.items():
            cells = [str(sides.get(name, "")) for name in names]
            ratios = [f"{sides[o].median / sides[ours].median:.2f}" if o in sides else "" for o in others]
            print("| " + " | ".join([condition, *cells, *ratios, self.loads[condition]]) + " |")
        sys.stdout.flush()
        self._save()

    def _save(self) -> None:
        RESULTS.mkdir(exist_ok=True)
        rows = {c: {n: m.samples for n, m in sides.items()} for c, sides in self.rows.items()}
        name = self.title.split(":")[0].replace(" ", "-").lower()
        (RESULTS / f"{name}.json").write_text(json.dumps({"unit": self.unit, "rows": rows}, indent=1))


def interleaved(sides: dict[str, Side], rounds: int, pause_s: float = 0.0) -> dict[str, Measured]:
    """Each round runs every side once, after a pause; one round before it warms up and is not counted."""
    samples: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            if pause_s:
                time.sleep(pause_s)
            elapsed = side()
            if number > 0:
                samples[name].append(elapsed)
    return {name: Measured(tuple(values)) for name, values in samples.items()}


def in_runs(sides: dict[str, Side], rounds: int, run: int = 5, pause_s: float = 0.0) -> dict[str, Measured]:
    """Each side *run* times in a row, back to back or with pauses between; sides interleaved run by run."""

    def sample(side: Side) -> float:
        time.sleep(pause_s)
        return side()

    samples: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(-(-rounds // run)):
        for name, side in sides.items():
            sample(side)
            samples[name].extend(sample(side) for _ in range(run))
    return {name: Measured(tuple(values)) for name, values in samples.items()}


def timed(work: Callable[[], object]) -> Side:
    """A side from plain work: its wall-clock time in milliseconds."""

    def side() -> float:
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) * 1e3

    return side


@contextmanager
def both_cores_busy() -> Iterator[None]:
    """Keeps every processor busy with plain computation while the block runs."""
    children = [_spin() for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for pid in children:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def _spin() -> int:
    pid = os.fork()
    if pid == 0:
        while True:
            pass
    return pid


def versions(programs: Sequence[str]) -> None:
    """Print what is compared: a claim without versions is none."""
    for program in programs:
        first = os.popen(f"{program} --version 2>&1").readline().strip()
        print(f"- {first}")
