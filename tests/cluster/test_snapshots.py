"""A snapshot of a cluster is the beginning of another one."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest

from container_kit.cluster import Cluster
from container_kit.containers import Engine
from container_kit.errors import Conflict, CorruptData, NameInUse, NotFound, WrongState
from tests.cluster.manifests import config_map, deployment


def test_a_snapshot_starts_others(tmp_path: Path) -> None:
    """In memory and in a folder: objects with their identities and versions; controllers go on with them."""
    with Cluster(nodes=0, simulated_nodes=1) as first:
        first.apply([config_map("kept", a="1"), deployment("web")])
        first.rollout("deployment/web").wait(60)
        kept = first.get("cm/kept")
        first.snapshot(tmp_path / "saved")
        first.delete("cm/kept")
        with pytest.raises(NameInUse, match="saved"):
            first.snapshot(tmp_path / "saved")
    assert stat.S_IMODE((tmp_path / "saved").stat().st_mode) == 0o600
    folder = tmp_path / "folder"
    for path in (None, folder):
        with Cluster(nodes=0, simulated_nodes=1, path=path, snapshot=tmp_path / "saved") as again:
            assert again.get("cm/kept") == kept
            later = again.apply(config_map("later"))[0]
            assert int(later["metadata"]["resourceVersion"]) > int(kept["metadata"]["resourceVersion"])
            again.rollout("deployment/web").wait(60)
            again.scale("deployment/web", 3)
            again.rollout("deployment/web").wait(60)
            assert len(again.list("pods")) == 3
    with pytest.raises(Conflict, match="has a cluster already: restore into another folder"):
        Cluster(nodes=0, path=folder, snapshot=tmp_path / "saved")


def test_what_is_no_snapshot_is_refused(tmp_path: Path) -> None:
    """A file that is not there, or is something else; a cluster elsewhere."""
    with pytest.raises(NotFound, match="no snapshot named"):
        Cluster(nodes=0, snapshot=tmp_path / "none")
    (tmp_path / "words").write_text("no snapshot, but long enough to be looked at")
    for path in (None, tmp_path / "folder"):
        with pytest.raises(CorruptData, match="words"):
            Cluster(nodes=0, path=path, snapshot=tmp_path / "words")
    with Cluster(nodes=0) as cluster:
        cluster.kubeconfig(tmp_path / "kubeconfig")
        with (
            Cluster.connect(tmp_path / "kubeconfig") as other,
            pytest.raises(WrongState, match="runs elsewhere"),
        ):
            other.snapshot(tmp_path / "saved")


def _containers(cluster: Cluster) -> set[str]:
    """The containers of all pods; an empty one where there is none yet."""
    statuses = [one["status"].get("containerStatuses", [{}])[0] for one in cluster.list("pods")]
    return {one.get("containerID", "") for one in statuses}


@pytest.mark.root
@pytest.mark.usefixtures("real_cluster")  # which has what an engine keeps from its first pods on
def test_pods_of_a_snapshot_are_started_anew(tmp_path: Path, stocked: Engine) -> None:
    """They were running when it was made, and run in the cluster that begins with it, under their names."""
    with Cluster(engine=stocked) as first:
        first.apply(deployment("web"))
        first.rollout("deployment/web").wait(60)
        first.snapshot(tmp_path / "saved")
        before = {one["metadata"]["name"] for one in first.list("pods")}
        ended = _containers(first)
    with Cluster(engine=stocked, snapshot=tmp_path / "saved") as again:
        deadline = time.monotonic() + 60
        while _containers(again) & {*ended, ""}:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        again.wait("deployment/web", "Available", 60)
        for name in before:
            again.wait(f"pod/{name}", "Ready", 60)
            assert again.exec(f"pod/{name}", ["sh", "-c", "echo $HOSTNAME"]).stdout == f"{name}\n"
