"""What was promised, what we take, and what a real Kubernetes took: one line each."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from benchmarks.harness import RESULTS, Measured

__all__ = ["Goal", "Goals", "growth_table"]

_LIVE = "this KUBECONFIG"


@attrs.frozen
class Goal:
    """One line: a figure that has to be at most *target* (or at least, for rates).

    Args:
        recorded: Of a Kubernetes 1.32.12 on a machine of this kind; None where nothing was recorded.
    """

    what: str
    unit: str
    target: float | None = None
    recorded: float | None = None
    more_is_better: bool = False


@attrs.define
class Goals:
    """A table that is printed line by line, as the measuring takes minutes."""

    title: str
    is_live: bool = False  # whether a cluster that runs elsewhere is measured as well
    lines: dict[str, object] = attrs.field(factory=dict)

    def begin(self) -> None:
        """Print the head."""
        print(f"\n### {self.title} (median (min-max))\n")
        live = [_LIVE] if self.is_live else []
        names = ["case", "ours", "target", "", "recorded", "times better", *live, "load"]
        print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|", flush=True)

    def add(self, goal: Goal, ours: Sequence[float], live: Sequence[float] | None = None) -> None:
        """Print a line: *ours* and *live* are samples in the goal's unit."""
        measured = Measured(tuple(ours))
        unit = goal.unit
        cells = [
            goal.what,
            _shown(measured, unit),
            "" if goal.target is None else f"{'≥' if goal.more_is_better else '≤'} {goal.target:g} {unit}",
            "" if goal.target is None else _verdict(goal, measured.median),
            "" if goal.recorded is None else f"{goal.recorded:g} {unit}",
            "" if goal.recorded is None else f"{_times(goal, measured.median, goal.recorded):.1f}",
            *([self._beside(goal, measured, live or ())] if self.is_live else []),
            f"{os.getloadavg()[0]:.1f}",
        ]
        print("| " + " | ".join(cells) + " |", flush=True)
        self.lines[goal.what] = {"goal": attrs.asdict(goal), "ours": list(ours), "live": list(live or ())}

    @staticmethod
    def _beside(goal: Goal, ours: Measured, live: Sequence[float]) -> str:
        if not live:
            return ""
        other = Measured(tuple(live))
        return f"{_shown(other, goal.unit)}, {_times(goal, ours.median, other.median):.1f} times"

    def save(self) -> None:
        """Keep all samples beside those of the other tables."""
        RESULTS.mkdir(exist_ok=True)
        name = self.title.split(":")[0].replace(" ", "-").lower()
        Path(RESULTS, f"{name}.json").write_text(json.dumps(self.lines, indent=1))


def growth_table(title: str, rows: Mapping[str, Mapping[str, str]]) -> None:
    """One size a row, one figure a column."""
    names = list(next(iter(rows.values())))
    print(f"\n### {title}\n\n| pods | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
    for size, cells in rows.items():
        print("| " + " | ".join([size, *(cells[name] for name in names)]) + " |")
    sys.stdout.flush()


def _shown(measured: Measured, unit: str) -> str:
    low, high = min(measured.samples), max(measured.samples)
    extremes = f" ({_digits(low)}-{_digits(high)})" if len(measured.samples) > 1 else ""
    return f"{_digits(measured.median)} {unit}{extremes}"


def _digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _verdict(goal: Goal, median: float) -> str:
    assert goal.target is not None
    kept = median >= goal.target if goal.more_is_better else median <= goal.target
    return "kept" if kept else "**missed**"


def _times(goal: Goal, ours: float, other: float) -> float:
    return ours / other if goal.more_is_better else other / ours
