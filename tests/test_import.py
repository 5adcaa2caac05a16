"""``import container_kit`` stays light: what is heavy loads on first use."""

from __future__ import annotations

import subprocess
import sys

import container_kit as ck

HEAVY = {"attr", "attrs", "cffi", "click", "json", "sqlite3", "subprocess", "threading", "_cffi_backend"}


def test_import_loads_nothing_heavy() -> None:
    """Only the package's own first module is loaded by the import."""
    program = "import sys; before = set(sys.modules); import container_kit; print(*set(sys.modules) - before)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    ours = {name for name in loaded if name.startswith("container_kit")}
    assert ours <= {"container_kit", "container_kit._lazy", "container_kit._version"}
    assert not HEAVY & {name.split(".")[0] for name in loaded}


def test_every_public_name_resolves() -> None:
    """The table of names has no entry that leads nowhere, and a wrong name is an AttributeError."""
    for name in ck.__all__:
        assert getattr(ck, name) is not None
    assert not hasattr(ck, "no_such_name")


def test_a_missing_extra_is_named() -> None:
    """Without the packages of a cluster the error says how to get them, and containers do without."""
    program = (
        "import sys; sys.modules['msgspec'] = None\n"
        "import container_kit as ck\n"
        "ck.Container\n"
        "try: ck.Cluster\n"
        "except ck.UnsupportedFeature as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "the package 'msgspec' is not installed; it comes with `pip install 'container-kit[cluster]'`" in (
        done.stdout
    )
