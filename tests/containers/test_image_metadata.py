"""What an image says about running it is data (trial S12): it never reaches the host or our own switches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from container_kit.containers.engine import Engine
from container_kit.errors import ContainerKitError
from container_kit.images import Image

pytestmark = pytest.mark.root

TEXT = st.text(max_size=12) | st.sampled_from(
    ["/", "..", "../../../etc", "/proc/self/cwd", "a\nb", "a\0b", "x" * 9999]
)
CONFIG = st.fixed_dictionaries(
    {},
    optional={
        "WorkingDir": TEXT,
        "User": TEXT | st.sampled_from(["-1", "4294967295", "0:4294967296", "root:nobody", "1000:"]),
        "Env": st.lists(TEXT, max_size=3),
        "StopSignal": TEXT | st.sampled_from(["SIGKILL", "99", "-1", "RTMIN+99"]),
        "Labels": st.dictionaries(st.sampled_from(["container-kit.owner", "io.container-kit.x", "ok"]), TEXT),
        "Volumes": st.dictionaries(TEXT, st.just({}), max_size=2),
        "Healthcheck": st.fixed_dictionaries({"Test": st.lists(TEXT, max_size=3), "Interval": st.integers()}),
        "ExposedPorts": st.dictionaries(TEXT, st.just({}), max_size=2),
    },
)
CAREFUL = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@CAREFUL
@given(config=CONFIG)
def test_any_metadata_runs_or_is_refused(engine: Engine, config: dict[str, Any]) -> None:
    """Whatever stands in the configuration: a typed error, or a program that runs inside its root."""
    base = Image.get("tools", engine=engine)
    try:
        image = Image.from_rootfs(_tree(base), "odd", config, engine=engine)
        result = engine.run(image, ["/usr/bin/cat", "/etc/passwd"])
    except ContainerKitError:
        return
    assert result.exit_code == 0 and result.stdout.startswith("root:")


def _tree(image: Image) -> str:
    """A directory, or a tar."""
    return image.store.tree_path(image.layers[0]).replace("layer.erofs", "layer.tar")


@pytest.mark.parametrize("target", ["/proc/self/cwd", "/proc/1/root", "/link-out"])
def test_a_working_directory_cannot_lead_out(engine: Engine, tmp_path: Path, target: str) -> None:
    """Neither by a magic link nor by one that the image brings: the program is inside or does not start."""
    with engine.create("tools", ["true"]) as container:
        from container_kit.containers.roots import open_root

        with open_root(container) as root:
            import os

            os.symlink(f"/proc/self/fd/../../../..{tmp_path}", "link-out", dir_fd=root)
        (tmp_path / "canary").write_text("of the host")
        container.commit("odd", changes=[f"WORKDIR {target}"])
    try:
        result = engine.run("odd", ["sh", "-c", "ls; cat canary"])
    except ContainerKitError:
        return
    assert "of the host" not in result.stdout


def test_labels_of_an_image_do_not_become_ours(engine: Engine) -> None:
    """Reserved labels are dropped; the caller's own are refused."""
    base = Image.get("tools", engine=engine)
    Image.from_rootfs(
        _tree(base), "odd", {"Labels": {"container-kit.owner": "me", "fine": "yes"}}, engine=engine
    )
    with engine.create("odd", ["true"]) as container:
        assert container.info().labels == {"fine": "yes"}
