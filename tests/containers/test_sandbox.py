"""Sandbox: whatever the code does comes back as a result, and no promised wall is ever left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import container_kit as ck
from container_kit.containers import sandbox as module
from container_kit.containers.engine import Engine
from container_kit.errors import InvalidInput, LimitExceeded, NotFound, UnsupportedFeature
from container_kit.runtime.cgroups.layout import Layout
from container_kit.runtime.host import Host

pytestmark = pytest.mark.root


@pytest.fixture(scope="session")
def boxed_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with an image of a shell and a few programs."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    root = tmp_path_factory.mktemp("boxed") / "root"
    with Engine(root) as engine:
        ck.Image.from_host(
            *("sh", "cat", "id", "sleep", "yes", "dd", "mkdir", "ln", "ls", "mkfifo", "busybox"),
            tag="box",
            engine=engine,
        )
    return root


@pytest.fixture
def box(boxed_root: Path) -> ck.Sandbox:
    """A sandbox with small limits, in an engine of its own that the test closes by leaving."""
    with Engine(boxed_root) as engine:
        yield ck.Sandbox("box", timeout=20, memory="64m", output="10k", workspace="4m", engine=engine)


def _with(box: ck.Sandbox, **changes: object) -> ck.Sandbox:
    import attrs

    return attrs.evolve(box, **changes)


def test_files_go_in_and_come_out(box: ck.Sandbox, tmp_path: Path) -> None:
    """Text, bytes and files of the host go in; what fits the patterns comes out, bytes as they are."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nmkdir -p out/deep; cat in/a in/b > out/deep/sum; echo no > other\n")
    program.chmod(0o755)
    files = {"in/a": "text\n", "in/b": b"\xff\n", "run/it": program}
    done = box.run(["run/it"], files=files, collect=["out/*"])
    assert done.ok and done.files == {"out/deep/sum": b"text\n\xff\n"}


def test_it_talks_like_any_run(box: ck.Sandbox) -> None:
    """Input, output and exit code are those of the program; as root inside it is nobody outside."""
    done = box.run(["sh", "-c", "cat; id -u >&2; echo x > /file; exit 3"], input="said\n")
    assert (done.stdout, done.exit_code, done.reason, done.ok) == ("said\n", 3, "ended", False)
    assert done.stderr.startswith("0\n") and "Read-only" in done.stderr


def test_too_long(box: ck.Sandbox) -> None:
    """The end of the time is a result, with what was written and left until then."""
    script = "echo begun; echo kept > file; exec sleep 60"
    done = _with(box, timeout=1.0).run(["sh", "-c", script], files={"a": ""}, collect="file")
    assert (done.reason, done.exit_code, done.stdout) == ("timeout", 137, "begun\n")
    assert done.files == {"file": b"kept\n"} and done.duration_s < 10


def test_too_much_output(box: ck.Sandbox) -> None:
    """Who writes without end is stopped, and exactly as much as was allowed comes back."""
    for script in ("yes", "yes >&2", "echo begun; yes >&2"):
        done = box.run(["sh", "-c", script])
        assert done.reason == "output" and len(done.stdout) + len(done.stderr) == 10 * 1024


def test_too_much_memory(box: ck.Sandbox) -> None:
    """Memory of programs and what they write to the workspace count together."""
    grows = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"
    done = box.run(["sh", "-c", grows])
    assert done.reason == "memory" and done.oom_killed


def test_a_workspace_has_a_size(box: ck.Sandbox) -> None:
    """It cannot be filled beyond its size, neither with bytes nor with files."""
    full = (
        "dd if=/dev/zero of=big bs=1M count=8; echo $?; i=0; while true > f$i; do i=$((i+1)); done; echo $i"
    )
    done = box.run(["sh", "-c", full], files={"a": ""})
    failed, count = [int(line) for line in done.stdout.split()]
    assert failed == 1 and count < 1100
    with pytest.raises(LimitExceeded, match="'big'"):
        box.run(["id"], files={"big": b"x" * (5 << 20)})


def test_hostile_leftovers(box: ck.Sandbox) -> None:
    """Links, FIFOs and directories without end are left out; a file that pretends to be large is told of."""
    script = (
        "ln -s /etc/passwd out/link; ln -s / out/root; mkfifo out/fifo; echo fine > out/file; "
        "cd out; i=0; while [ $i -lt 100 ]; do mkdir d; cd d; i=$((i+1)); done; echo deep > file"
    )
    done = box.run(["sh", "-c", script], files={"out/a": ""}, collect="*")
    assert done.files == {"out/a": b"", "out/file": b"fine\n"}
    sparse = "dd if=/dev/zero of=huge bs=1 count=1 seek=1T"
    done = box.run(["sh", "-c", sparse], files={"a": ""}, collect="*")
    assert (done.reason, done.files) == ("files", {})


def test_without_places_there_is_no_network(box: ck.Sandbox) -> None:
    """There is nothing but loopback."""
    assert box.run(["sh", "-c", "cd /sys/class/net; echo *"]).stdout == "lo\n"


@pytest.fixture
def server(box: ck.Sandbox, own_network: None) -> Iterator[str]:
    """The address of a container on the default network that says hi to everybody on port 8000."""
    assert box.engine is not None
    speak = "while :; do echo hi | busybox nc -l -p 8000; done"
    with box.engine.start("box", ["sh", "-c", speak], network="bridge") as container:
        container.wait_for(8000)
        yield str(container.inspect()["NetworkSettings"]["Networks"]["bridge"]["IPAddress"])


@pytest.mark.tool("busybox")
def test_only_places_are_reached(box: ck.Sandbox, server: str) -> None:
    """What is listed can be connected to, with files in and out as ever; nothing else can."""
    ask = ["sh", "-c", f"busybox nc -w 2 {server} 8000 > got; cat got in; id -u"]

    def said(*egress: str) -> str:
        done = _with(box, egress=egress).run(ask, files={"in": "file\n"}, collect="got")
        assert done.files["got"] in (b"", b"hi\n")
        return str(done.stdout)

    assert said(f"{server}:8000") == "hi\nfile\n0\n"
    assert said(server) == "hi\nfile\n0\n"
    for other in (f"{server}:9000", "10.255.0.0/16", "10.255.0.1:8000"):
        assert said(other) == "file\n0\n", other


@pytest.mark.tool("busybox")
def test_a_supervised_container_of_the_profile_has_a_network(box: ck.Sandbox, server: str) -> None:
    """Its user namespace owns its network, from the first start to the last that its monitor makes."""
    assert box.engine is not None
    script = f"busybox nc -w 2 {server} 8000; cat /proc/self/uid_map; exit 1"
    with box.engine.start(
        "box", ["sh", "-c", script], profile="sandbox", network="bridge", restart="on-failure:1"
    ) as container:
        assert container.wait() == 1
        lines = [line.text.split() for line in container.logs()]
    assert [line[0] for line in lines] == ["hi", "0"] * 2 and lines[1] == lines[3]
    assert int(lines[1][1]) > 0, "root inside is nobody outside"


def test_no_wall_no_start(box: ck.Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a wall or a limit cannot be had, nothing is started, and the error names it."""
    import attrs

    def on(**facts: object) -> None:
        host = attrs.evolve(Host.probe(), **facts)
        monkeypatch.setattr(module, "Host", type("Host", (), {"probe": staticmethod(lambda: host)}))

    real = Host.probe()
    on(user_namespaces=False)
    with pytest.raises(UnsupportedFeature, match="user namespaces"):
        box.run(["id"])
    on(user_namespaces=True, has_seccomp=False)
    with pytest.raises(UnsupportedFeature, match="system calls"):
        box.run(["id"])
    on(has_seccomp=True, cgroups=Layout(v2=real.cgroups.v2))
    with pytest.raises(UnsupportedFeature, match="memory"):
        box.run(["id"])
    monkeypatch.undo()
    assert box.run(["id", "-u"]).ok, "the control: with all walls it starts"


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../up", "", ".", "nul\0"])
def test_paths_stay_inside(box: ck.Sandbox, path: str) -> None:
    """A file cannot be put anywhere but into the workspace."""
    with pytest.raises(InvalidInput):
        box.run(["id"], files={path: "x"})


@pytest.mark.parametrize(
    "wishes",
    [
        {"timeout": None},
        {"timeout": -1},
        {"memory": "1k"},
        {"pids": -1},
        {"output": 0},
        {"egress": "a.example"},
    ],
)
def test_limits_are_limits(wishes: dict[str, object]) -> None:
    """There is no sandbox without a limit, or with one that no kernel takes."""
    with pytest.raises(InvalidInput):
        ck.Sandbox("box", **wishes)  # type: ignore[arg-type]


def test_missing_files_are_named(box: ck.Sandbox) -> None:
    """A file of the host that is not there is told before anything starts."""
    with pytest.raises(NotFound, match="/no/such"):
        box.run(["id"], files={"a": Path("/no/such")})


@pytest.mark.parametrize(
    ("egress", "ports"),
    [
        (("example.org:443",), [53, 443]),
        (("[::1]:80", "10.0.0.1:8080"), [53, 80, 8080]),
        (("10.0.0.0/8", "example.org:443"), None),
        (("2001:db8::1",), None),
    ],
)
def test_ports_of_places(egress: tuple[str, ...], ports: list[int] | None) -> None:
    """Landlock lets TCP go to the ports of the places, where each of them has one."""
    rules = module._ruleset(egress)
    assert [rule.port for rule in rules.ports] == (ports or [])
    assert bool(rules.handled_net) == (ports is not None)
