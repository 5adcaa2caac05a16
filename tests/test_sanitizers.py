"""R06 and R24: the sanitizers find nothing where allocations fail and where threads meet."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.mutants import Mutant
from tests.sanitize import KINDS

pytestmark = [pytest.mark.root, pytest.mark.trial]

RUNS = {"address": ("tests/native/test_memory.py", "tests/containers/test_memory.py"), "thread": ()}
CONTROLS = {
    "address": Mutant(
        "an allocation that failed is noticed",
        (("_native/beneath.c", "\tif (!made)\n\t\treturn -ENOMEM;\n", ""),),
    ),
    "thread": Mutant(
        "work is cancelled by an atomic store",
        (
            (
                "_native/layer_stream.c",
                "__atomic_store_n(cancelled, 1, __ATOMIC_RELAXED);",
                "*cancelled = 1;",
            ),
        ),
    ),
}


@pytest.mark.parametrize("kind", RUNS)
def test_the_sanitizer_finds_nothing(kind: str) -> None:
    """Every failing allocation, and every test with several threads in C, passes under its sanitizer."""
    assert KINDS[kind].run(*RUNS[kind]) == 0


@pytest.mark.parametrize("kind", RUNS)
def test_control_the_sanitizer_finds_a_fault(kind: str) -> None:
    """The control: with one fault put in, the same run ends in a report."""
    with tempfile.TemporaryDirectory(prefix="container-kit-mutant-") as folder:
        CONTROLS[kind].copy(Path(folder))
        assert KINDS[kind].run(*RUNS[kind], project=Path(folder)) != 0
