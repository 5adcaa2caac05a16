"""OCI bundles: what is read of them, and containers of an engine that are made from them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from container_kit.containers import Container, Engine
from container_kit.containers.bundle import Bundle, cgroup_place
from container_kit.containers.bundle_exec import ExecRequest
from container_kit.errors import InvalidInput, LimitExceeded, NotFound, StartFailed
from container_kit.oci.runtime_spec import Capabilities, Process, Spec, User
from tests.cli.bundles import make_bundle

PRINT = "id -u; id -g; pwd; echo $A"


def spec_with(cgroups_path: str) -> Spec:
    return Spec.parse({"ociVersion": "1.2.0", "linux": {"cgroupsPath": cgroups_path}})


@pytest.mark.parametrize(
    ("path", "systemd", "place"),
    [
        ("", False, ("container-kit-runtime", "c1")),
        ("/a/b/c", False, ("a/b", "c")),
        ("only", False, ("container-kit-runtime", "only")),
        ("user.slice:crio:abc", True, ("user.slice", "crio-abc.scope")),
        ("a-b.slice:p:n", True, ("a.slice/a-b.slice", "p-n.scope")),
        (":p:n", True, ("system.slice", "p-n.scope")),
    ],
)
def test_cgroup_place(path: str, systemd: bool, place: tuple[str, str]) -> None:
    """cgroupsPath is a path, or slice:prefix:name when the engine says so."""
    assert cgroup_place(spec_with(path), "c1", systemd=systemd) == place


@pytest.mark.parametrize(
    ("path", "systemd"), [("/a/../b", False), ("/", False), ("a:b", True), ("a:b:", True)]
)
def test_cgroup_places_that_lead_elsewhere_are_refused(path: str, systemd: bool) -> None:
    """No path leads upwards, and a systemd path has its three parts."""
    with pytest.raises(InvalidInput, match="cgroupsPath"):
        cgroup_place(spec_with(path), "c1", systemd=systemd)


def test_bundles_that_cannot_be_used(tmp_path: Path) -> None:
    """No directory, no configuration, no root, a huge configuration: each is told."""
    with pytest.raises(NotFound, match=r"config\.json"):
        Bundle.read(str(tmp_path / "nowhere"))
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"ociVersion": "1.2.0"}))
    with pytest.raises(InvalidInput, match=r"root\.path"):
        Bundle.read(str(tmp_path))
    config.write_text(json.dumps({"ociVersion": "1.2.0", "root": {"path": "gone"}}))
    with pytest.raises(NotFound, match="no such file or directory"):
        Bundle.read(str(tmp_path))
    config.write_text(" " * (5 << 20))
    with pytest.raises(LimitExceeded):
        Bundle.read(str(tmp_path))


def test_exec_request_changes_the_containers_process() -> None:
    """What is not asked for stays as the container has it."""
    own = Process(args=("a",), cwd="/w", env=("A=1",), user=User(uid=1, gid=2), capabilities=Capabilities())
    plain = ExecRequest(args=("b",)).applied_to(own)
    assert (plain.args, plain.cwd, plain.env, plain.user) == (("b",), "/w", ("A=1",), own.user)

    changed = ExecRequest(args=("b",), cwd="/x", env=("B=2",), user="7", cap=("net_raw",)).applied_to(own)
    assert (changed.cwd, changed.env, changed.user) == ("/x", ("A=1", "B=2"), User(uid=7, gid=2))
    assert changed.capabilities is not None and changed.capabilities.effective == ("CAP_NET_RAW",)
    assert changed.capabilities.ambient == ()


@pytest.mark.parametrize(
    "request_",
    [{}, {"args": ("b",), "user": "root"}, {"args": ("b",), "user": "4294967295"}, {"process": b"{}"}],
)
def test_exec_requests_that_cannot_be_used(request_: dict[str, Any]) -> None:
    """No program, a user that is no number or out of range."""
    with pytest.raises(InvalidInput):
        ExecRequest(**request_).applied_to(Process(args=("a",)))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine on a new root."""
    with Engine(tmp_path / "root") as found:
        yield found


@pytest.mark.root
@pytest.mark.tool("busybox")
def test_container_from_bundle_lives_like_any_other(engine: Engine, tmp_path: Path) -> None:
    """It is started, logged, executed in, copied from, stopped, started again and removed."""
    bundle = make_bundle(f"{tmp_path}/bundle", "sh", "-c", "hostname; id -u; exec sleep 100")
    with Container.from_bundle(bundle, engine=engine, name="boxed", stop_timeout_s=0) as container:
        assert container.status == "created" and engine.container("boxed").id == container.id
        container.start()
        done = container.exec(["sh", "-c", PRINT], user="12:34", working_dir="/tmp", env={"A": "1"})
        assert done.stdout == "12\n34\n/tmp\n1\n"
        assert container.fs.read_text("/etc/passwd").startswith("root:")
        container.stop()
        assert container.status == "exited"
        container.start()
        assert container.status == "running"
        container.stop()
        assert [line.text for line in container.logs()][:2] == ["container", "0"]
    assert engine.containers(all=True) == [] and os.path.isdir(f"{bundle}/rootfs")


@pytest.mark.root
@pytest.mark.tool("busybox")
def test_limits_of_the_bundle_apply(engine: Engine, tmp_path: Path) -> None:
    """linux.resources limits it."""

    def limit(config: dict[str, Any]) -> None:
        config["linux"]["resources"].update(memory={"limit": 64 << 20}, pids={"limit": 20})

    bundle = make_bundle(f"{tmp_path}/bundle", "sleep", "100", change=limit)
    with Container.from_bundle(bundle, engine=engine).start() as container:
        stats = container.stats()
        assert stats.memory is not None and stats.memory.limit == 64 << 20
        assert stats.pids is not None and stats.pids.limit == 20


@pytest.mark.root
@pytest.mark.tool("busybox")
def test_bundle_with_hooks_is_left_to_the_runtime_command(engine: Engine, tmp_path: Path) -> None:
    """Nobody would run the hooks of a container that restarts by itself: they are refused."""

    def hook(config: dict[str, Any]) -> None:
        config["hooks"] = {"poststop": [{"path": "/bin/true"}]}

    with pytest.raises(InvalidInput, match="hooks"):
        Container.from_bundle(make_bundle(f"{tmp_path}/bundle", "true", change=hook), engine=engine)


@pytest.mark.root
@pytest.mark.tool("busybox")
def test_program_of_a_bundle_that_is_not_there(engine: Engine, tmp_path: Path) -> None:
    """A missing program is 127, and the container can be removed."""
    container = Container.from_bundle(make_bundle(f"{tmp_path}/bundle", "/nowhere"), engine=engine)
    with pytest.raises(StartFailed) as failed:
        container.start()
    assert failed.value.exit_code == 127
    container.remove()
