"""The rarer parts of a specification: devices, propagation, scheduling, shifted mounts, joined users."""

from __future__ import annotations

import json
import os
from pathlib import Path

import attrs
import pytest

from container_kit.errors import StartFailed
from container_kit.oci.runtime_spec import (
    Device,
    IdMapping,
    IoPriority,
    Mount,
    Namespace,
    Personality,
    Scheduler,
)
from tests.runtime.boxes import MOUNTS, NAMESPACES, Box, spec

pytestmark = pytest.mark.root

MAPS = (IdMapping(0, 100000, 65536),)
OWN_USERS = {
    "namespaces": tuple(Namespace(name) for name in (*NAMESPACES, "user")),
    "uid_mappings": MAPS,
    "gid_mappings": MAPS,
}


def test_devices_have_their_mode_and_owner(box: Box) -> None:
    """A device of the specification is made beside the usual ones."""
    device = Device("/dev/deep/zero", "c", 1, 5, 0o640, 7, 8)
    launched = box.start(spec("/bin/probe", "sleep", "60", linux={"devices": (device,)}))
    found = os.stat(f"/proc/{launched.pid}/root/dev/deep/zero")

    assert (found.st_rdev, found.st_mode & 0o7777) == (os.makedev(1, 5), 0o640)
    assert (found.st_uid, found.st_gid) == (7, 8)


def test_a_device_that_is_there_must_be_the_same(box: Box) -> None:
    """A usual device may be listed once more; another file in its place is never removed for it."""
    same = box.run(spec("/bin/probe", "exit", "0", linux={"devices": (Device("/dev/null", "c", 1, 3),)}))
    assert same.exit_code == 0
    (box.lower / "etc").mkdir()
    (box.lower / "etc" / "file").write_text("kept")

    with pytest.raises(StartFailed, match="/etc/file"):
        box.run(spec(linux={"devices": (Device("/etc/file", "c", 1, 3),)}))
    assert (box.lower / "etc" / "file").read_text() == "kept"


def test_in_a_user_namespace_a_bound_device_must_be_the_wanted_one(box: Box) -> None:
    """Where nodes cannot be made, the host's node stands in, but only if its numbers are right."""
    right = box.run(
        spec(
            "/bin/probe",
            "open",
            "/dev/full",
            linux={**OWN_USERS, "devices": (Device("/dev/full", "c", 1, 7),)},
        )
    )
    assert right.stdout == b"/dev/full 0 1 0\n"

    with pytest.raises(StartFailed, match="/dev/full"):
        box.run(spec(linux={**OWN_USERS, "devices": (Device("/dev/full", "c", 1, 9),)}))


def test_a_bind_can_be_shifted_for_the_user_namespace(box: Box, tmp_path: Path) -> None:
    """With idmap, a directory of root's belongs to the container's root; without, to nobody."""
    (tmp_path / "data").mkdir()
    binds = (
        Mount("/shifted", "bind", str(tmp_path / "data"), ("bind", "idmap")),
        Mount("/plain", "bind", str(tmp_path / "data"), ("bind",)),
    )
    launched = box.start(spec("/bin/probe", "sleep", "60", linux=OWN_USERS, mounts=(*MOUNTS, *binds)))
    root = f"/proc/{launched.pid}/root"

    assert os.stat(f"{root}/shifted").st_uid == 100000
    assert os.stat(f"{root}/plain").st_uid == 0


def test_a_user_namespace_can_be_joined(box: Box, tmp_path: Path) -> None:
    """A second container in the first one's user namespace sees its own layers shifted as well."""
    first = box.start(spec("/bin/probe", "sleep", "60", linux=OWN_USERS))
    second = Box(tmp_path / "second")
    (second.lower / "bin").mkdir(parents=True)
    os.link(box.lower / "bin" / "probe", second.lower / "bin" / "probe")
    joined = Namespace("user", f"/proc/{first.pid}/ns/user")
    namespaces = (*(Namespace(name) for name in NAMESPACES), joined)
    told = second.ask(spec(linux={"namespaces": namespaces}, process={"cwd": "/made"}))
    second.close()

    assert told["uids"] == [0, 0, 0]
    assert told["namespaces"]["user"] == os.readlink(f"/proc/{first.pid}/ns/user")
    assert os.stat(second.upper / "made").st_uid == 100000


def test_the_root_can_be_shared_with_what_the_container_makes(box: Box) -> None:
    """The propagation of the root is the one that was asked for."""
    for word, mark in (("rshared", "shared:"), ("private", "")):
        mounts = box.ask(spec(linux={"rootfs_propagation": word}))["mounts"]
        (root,) = [line for line in mounts if line.split()[4] == "/"]
        assert (mark in root) if mark else ("shared:" not in root)


def test_personality_and_scheduling_are_set(box: Box) -> None:
    """Domain, scheduling policy and I/O class are those of the specification."""
    wanted = spec(
        "/bin/probe",
        "sleep",
        "60",
        process={"scheduler": Scheduler("SCHED_BATCH", 5), "io_priority": IoPriority("IOPRIO_CLASS_IDLE", 0)},
        linux={"personality": Personality("LINUX32")},
    )
    launched = box.start(wanted)

    assert os.sched_getscheduler(launched.pid) == os.SCHED_BATCH
    assert os.getpriority(os.PRIO_PROCESS, launched.pid) == 5
    assert Path(f"/proc/{launched.pid}/personality").read_text().strip() == "00000008"


def test_names_of_any_bytes_reach_the_program(box: Box) -> None:
    """Arguments and variables that are not UTF-8 arrive byte by byte."""
    odd = b"\xff\xfe".decode("utf-8", "surrogateescape")
    launched = box.start(spec("/bin/probe", "sleep", "60", odd, process={"env": (f"X={odd}",)}))

    assert Path(f"/proc/{launched.pid}/cmdline").read_bytes().split(b"\0")[3] == b"\xff\xfe"
    assert Path(f"/proc/{launched.pid}/environ").read_bytes() == b"X=\xff\xfe\0"


def test_a_large_environment_arrives_whole(box: Box) -> None:
    """A plan that is sent in many pieces gives the same program as one that fits into one."""
    variables = tuple(f"V{number}={'x' * 1000}" for number in range(700))
    told = box.ask(spec(process={"env": variables}))

    assert told["env"] == list(variables)


def test_forty_layers_and_long_paths(box: Box) -> None:
    """Neither the number of layers nor the length of their paths is limited by an option's 255 bytes."""
    overlay = box.overlay()
    deep = box.folder / ("d" * 200) / ("e" * 200)
    lowers = []
    for number in range(40):
        layer = deep / str(number)
        layer.mkdir(parents=True)
        (layer / f"file{number}").touch()
        lowers.append(str(layer))
    root = attrs.evolve(overlay, lowers=(*lowers, *overlay.lowers))
    done = box.run(spec("/bin/probe", "open", "/file0", "/file39"), root)

    assert [line.split()[1] for line in done.stdout.decode().splitlines()] == ["0", "0"]
    assert json.loads(box.run(spec()).stdout)["end"] is True
