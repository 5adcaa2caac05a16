"""Containers inside of our own containers, with and without rights there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from container_kit.containers.engine import Engine
from container_kit.images import Image

pytestmark = pytest.mark.root

_PROJECT = str(Path(__file__).parents[2])
_OPEN: dict[str, Any] = {
    "profile": "docker",
    "seccomp": "unconfined",
    "masked_paths": (),
    "readonly_paths": (),
}
INNER = """
import container_kit as ck
engine = ck.Engine("/store/own")
image = ck.Image.from_host("busybox", "sh", engine=engine)
print(engine.run(image, ["busybox", "id", "-u"]).stdout.strip())
script = "busybox ip -o addr show eth0 | busybox grep -c inet"
print(engine.run(image, ["sh", "-c", script], network="bridge").stdout.strip())
engine.close()
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "outer") as opened:
        yield opened


def run_inside(engine: Engine, **options: Any) -> tuple[int, str, str]:
    """Run `INNER` in a container that sees this interpreter, this project and the host's programs."""
    image = Image.from_host("busybox", "sh", engine=engine)
    seen = dict.fromkeys(("/usr", "/etc/ld.so.cache", sys.base_prefix, sys.prefix, _PROJECT))
    ran = engine.run(
        image,
        [sys.executable, "-c", INNER],
        mounts=[f"{path}:{path}:ro" for path in seen if os.path.exists(path)],
        tmpfs={"/store": "mode=777"},
        env={"PYTHONPATH": _PROJECT, "HOME": "/store", "PYTHONDONTWRITEBYTECODE": "1"},
        **options,
    )
    return ran.exit_code, ran.stdout, ran.stderr


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"profile": "privileged"}, id="privileged"),
        pytest.param(_OPEN, id="root without rights"),
        pytest.param({**_OPEN, "user": "1000:1000"}, id="ordinary user"),
        pytest.param({**_OPEN, "userns": "private"}, id="user namespace"),
    ],
)
def test_containers_run_in_containers(engine: Engine, options: dict[str, Any]) -> None:
    """Where the outer walls let user namespaces through, there are containers and networks inside."""
    code, said, errors = run_inside(engine, **options)
    assert (code, said) == (0, "0\n1\n"), errors


def test_walls_that_forbid_it_are_named(engine: Engine) -> None:
    """In a container with the default walls the error says how the outer one has to be started."""
    code, _, errors = run_inside(engine)
    assert code == 1
    assert "PermissionMissing" in errors
    assert "profile='privileged'" in errors and "seccomp='unconfined'" in errors
