"""Hostile images and hostile neighbours: trials S03, S05 and S06, each with its control."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from container_kit.errors import ContainerKitError, StartFailed
from container_kit.native import process
from container_kit.oci.rootfs import Directory
from container_kit.oci.runtime_spec import Capabilities, Mount
from tests.runtime.boxes import CAPS, MASKED, MOUNTS, Box, spec

pytestmark = pytest.mark.root

PLACES = (
    "dev",
    "dev/null",
    "dev/pts",
    "dev/console",
    "proc",
    "sys",
    "etc/resolv.conf",
    "etc/hosts",
    "etc/mtab",
)


def canary(tmp_path: Path) -> Path:
    """A directory outside every root, to which hostile links point."""
    outside = tmp_path / "canary"
    outside.mkdir()
    (outside / "file").write_text("untouched")
    return outside


def state_of(outside: Path) -> list[tuple[str, int, str]]:
    return [
        (str(path), path.lstat().st_mode, path.read_text() if path.is_file() else "")
        for path in sorted(outside.rglob("*"))
    ]


def link_outside(place: Path, outside: Path) -> None:
    place.symlink_to(outside)


def link_outside_by_dots(place: Path, outside: Path) -> None:
    place.symlink_to("../" * 30 + str(outside).lstrip("/"))


def link_to_file_outside(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "file")


def link_to_our_descriptors(place: Path, outside: Path) -> None:
    place.symlink_to("/proc/self/fd/0")


def link_to_itself(place: Path, outside: Path) -> None:
    place.symlink_to(place.name)


def fifo(place: Path, outside: Path) -> None:
    os.mkfifo(place)


def device(place: Path, outside: Path) -> None:
    os.mknod(place, 0o020666, os.makedev(1, 11))


def directory(place: Path, outside: Path) -> None:
    place.mkdir()


def huge_file(place: Path, outside: Path) -> None:
    with place.open("wb") as file:
        file.truncate(2 << 30)


TRAPS = (
    link_outside, link_outside_by_dots, link_to_file_outside, link_to_our_descriptors, link_to_itself, fifo,
    device, directory, huge_file,
)  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
@pytest.mark.parametrize("where", PLACES)
def test_traps_at_mount_points_are_confined(
    box: Box, tmp_path: Path, where: str, trap: Callable[[Path, Path], None]
) -> None:
    """S03: whatever an image has in the way of a mount, nothing outside its root is touched.

    Either the start is refused, or the program runs and finds every masked path masked.
    """
    outside = canary(tmp_path)
    before = state_of(outside)
    place = box.lower / where
    place.parent.mkdir(parents=True, exist_ok=True)
    trap(place, outside)
    source = tmp_path / "resolv.conf"
    source.write_text("nameserver 127.0.0.1\n")
    mounts = (*MOUNTS, Mount("/etc/resolv.conf", "bind", str(source), ("bind", "ro")))

    try:
        done = box.run(spec("/bin/probe", "open", *MASKED, mounts=mounts))
    except StartFailed as error:
        assert error.exit_code in (125, 126, 127)
    else:
        for line in done.stdout.decode().splitlines():
            path, read_error, read, _ = line.split()
            assert read_error != "0" or read in ("0", "-1"), f"{path} can be read"
    assert state_of(outside) == before
    assert source.read_text() == "nameserver 127.0.0.1\n"


@pytest.mark.parametrize("where", ["proc", "sys"])
def test_kernel_file_systems_are_not_mounted_behind_links(box: Box, where: str) -> None:
    """S03: a link below /dev leads elsewhere once /dev is mounted: masks would miss what lies behind."""
    (box.lower / "dev").mkdir()
    (box.lower / "real").mkdir()
    (box.lower / where).symlink_to("/dev/trap")
    (box.lower / "dev" / "trap").symlink_to("/real")

    with pytest.raises(StartFailed, match=f"'/{where}'.* link"):
        box.run(spec("/bin/probe", "exit", "0"))


def test_nodes_are_not_made_where_a_link_leads(box: Box, tmp_path: Path) -> None:
    """S03: /dev behind a link could, by the time its nodes are made, lie in a directory of the host."""
    (box.lower / "data" / "dev").mkdir(parents=True)
    (box.lower / "dev").symlink_to("/data/dev")
    (tmp_path / "data").mkdir()
    mounts = (*MOUNTS, Mount("/data", "bind", str(tmp_path / "data"), ("bind",)))

    with pytest.raises(StartFailed, match=r"'/dev'.* link"):
        box.run(spec("/bin/probe", "exit", "0", mounts=mounts))
    assert list((tmp_path / "data").iterdir()) == []


def test_control_unmasked_paths_can_be_read(box: Box) -> None:
    """The control of S03: without the mask, the same probe reads the same files."""
    done = box.run(spec("/bin/probe", "open", "/proc/keys", "/proc/timer_list", linux={"masked_paths": ()}))

    assert any(line.split()[2] == "1" for line in done.stdout.decode().splitlines())


def test_a_dangling_link_is_filled_below_the_root(box: Box, tmp_path: Path) -> None:
    """A link such as resolv.conf's, whose target is made at run time, gets its file inside the root."""
    (box.lower / "etc").mkdir()
    (box.lower / "etc" / "resolv.conf").symlink_to("../run/resolve/stub.conf")
    source = tmp_path / "resolv.conf"
    source.write_text("x")
    mounts = (*MOUNTS, Mount("/etc/resolv.conf", "bind", str(source), ("bind", "ro")))
    done = box.run(spec("/bin/probe", "print", "/run/resolve/stub.conf", mounts=mounts))

    assert done.stdout == b"x"
    assert (box.upper / "run/resolve/stub.conf").read_text() == ""


def test_devices_of_the_image_are_not_those_that_we_make(box: Box) -> None:
    """S03: /dev is a file system of our own, so a false /dev/null in the image is never seen."""
    (box.lower / "dev").mkdir()
    (box.lower / "dev" / "null").write_text("not null")
    done = box.run(spec("/bin/probe", "open", "/dev/null", "/proc/keys"))

    null, keys = (line.split()[1:] for line in done.stdout.decode().splitlines())
    assert null == ["0", "0", "0"]
    assert keys[:2] == ["0", "0"]


def test_what_masks_a_file_keeps_its_mode(box: Box) -> None:
    """What covers a masked file is the host's /dev/null: root inside cannot change it for everybody."""
    rights = (*CAPS, "CAP_FOWNER")
    before = os.stat("/dev/null")
    wanted = spec(
        "/bin/probe",
        "chmod",
        "666",
        "/proc/keys",
        process={"capabilities": Capabilities(rights, rights, rights)},
    )

    assert box.run(wanted).exit_code == errno.EROFS
    assert os.stat("/dev/null").st_ctime_ns == before.st_ctime_ns


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _hunt(box: Box, capabilities: tuple[str, ...], times: int) -> str:
    """What a hunter inside saw of the programs of others while *times* programs were executed there."""
    read, write = os.pipe()
    granted = Capabilities(capabilities, capabilities, capabilities)
    wanted = spec("/bin/probe", "hunt", process={"capabilities": granted})
    try:
        hunter = box.start(wanted, stdout=write)
        os.close(write)
        for _ in range(times):
            box.execute(hunter, "/bin/probe", "exit", "0")
        process.send_signal(hunter.pidfd, 9)
        assert process.wait(hunter.pidfd, 60) == 137
        with os.fdopen(read, "rb", closefd=False) as said:
            return said.read().decode()
    finally:
        os.close(read)


def test_nobody_inside_reaches_the_program_that_enters(box: Box) -> None:
    """S05: a container that watches every exec sees no program but its own, and ours stay as they are."""
    init, before = _digest(process._EXECUTABLE), _programs_of_the_caller()

    assert _hunt(box, CAPS, 300) == ""
    assert _programs_of_the_caller() == before
    assert _digest(f"/proc/self/fd/{process.init_fd()}") == init


def test_control_even_with_the_right_to_look_nothing_can_be_written(box: Box) -> None:
    """The control of S05: a hunter who may trace does see the sealed init, and still cannot change it."""
    seen = _hunt(box, (*CAPS, "CAP_SYS_PTRACE"), 300)

    assert "memfd:ckit-init" in seen, "the hunter hunts"
    assert "WRITTEN" not in seen
    assert {line for line in seen.splitlines() if "ckit-init" not in line} == set()


def _programs_of_the_caller() -> dict[str, tuple[int, int, str]]:
    """The interpreter, each library that it has mapped, and our helper: when changed, how large, and what."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    paths = {line.split(maxsplit=5)[5] for line in maps if " r-xp " in line and line.count("/")}
    found = [Path(path) for path in (*paths, process._EXECUTABLE) if os.path.isfile(path)]
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size, _digest(str(path))) for path in found}


def test_a_preload_of_the_image_is_the_images_own(box: Box, tmp_path: Path) -> None:
    """S05: what an image wants loaded into every program is not loaded into those that enter it.

    Whoever opened the library, a FIFO, would wait for ever.
    """
    (box.lower / "etc").mkdir()
    (box.lower / "etc" / "ld.so.preload").write_text("/evil.so\n")
    os.mkfifo(box.lower / "evil.so")
    before = _programs_of_the_caller()
    env = {"env": ("PATH=/bin", "LD_PRELOAD=/evil.so", "LD_LIBRARY_PATH=/")}

    assert len(before) > 3
    assert box.run(spec("/bin/probe", "exit", "4", process=env)).exit_code == 4
    target = box.start(spec("/bin/probe", "sleep", "60", process=env))
    assert box.execute(target, "/bin/probe", "exit", "5", env=env["env"]).exit_code == 5
    assert _programs_of_the_caller() == before


def test_a_script_that_names_our_program_gets_its_own(box: Box) -> None:
    """S05: ``#!/proc/self/exe`` leads to the sealed init at most, which has nothing to do there."""
    script = box.lower / "bin" / "script"
    script.write_text("#!/proc/self/exe\n")
    script.chmod(0o755)
    init = _digest(process._EXECUTABLE)

    assert box.run(spec("/bin/script")).exit_code == 125
    assert _digest(process._EXECUTABLE) == init


def test_no_descriptor_of_ours_leads_to_a_program(box: Box, tmp_path: Path) -> None:
    """S04: a program that is named by a number finds nothing of the host, however its root was made."""
    (tmp_path / "shared").mkdir()
    shutil.copy(box.lower / "bin" / "probe", tmp_path / "shared" / "probe")
    mounts = (*MOUNTS, Mount("/shared", "bind", str(tmp_path / "shared"), ("bind",)))

    for number in range(3, 24):
        with pytest.raises(StartFailed) as caught:
            box.run(spec(f"/proc/self/fd/{number}/probe", "exit", "0", mounts=mounts))
        assert caught.value.exit_code == 127


def test_sysctls_land_in_the_real_procfs_or_not_at_all(box: Box, tmp_path: Path) -> None:
    """S06: a file mounted over /proc/sys does not receive what is meant for the kernel."""
    trap = tmp_path / "kernel"
    trap.mkdir()
    (trap / "msgmax").write_text("trap")
    mounts = (*MOUNTS, Mount("/proc/sys/kernel", "bind", str(trap), ("bind",)))
    wanted = spec("/bin/probe", "exit", "0", mounts=mounts, linux={"sysctl": {"kernel.msgmax": "4242"}})

    with pytest.raises(StartFailed, match="sysctl"):
        box.run(wanted)
    assert (trap / "msgmax").read_text() == "trap"


def test_control_the_same_trap_is_what_a_path_leads_to(box: Box, tmp_path: Path) -> None:
    """The control of S06: by its path the trap is found, so only the private procfs avoids it."""
    trap = tmp_path / "kernel"
    trap.mkdir()
    (trap / "msgmax").write_text("trap")
    mounts = (*MOUNTS, Mount("/proc/sys/kernel", "bind", str(trap), ("bind",)))

    assert box.run(spec("/bin/probe", "print", "/proc/sys/kernel/msgmax", mounts=mounts)).stdout == b"trap"


@pytest.mark.trial
def test_ten_thousand_entries_show_nothing(box: Box) -> None:
    """S05 at length: a hunter sees none of 10 000 programs on their way in."""
    init = _digest(process._EXECUTABLE)

    assert _hunt(box, CAPS, 10_000) == ""
    assert _digest(f"/proc/self/fd/{process.init_fd()}") == init


def test_masks_stay_with_a_procfs_whose_directory_is_renamed(box: Box) -> None:
    """What is masked cannot be read under any name, whoever renames directories of the root under a start."""
    root, stop = box.lower, threading.Event()
    (root / "proc").mkdir(exist_ok=True)
    (root / "other").mkdir()

    def rename() -> None:
        while not stop.is_set():
            os.rename(root / "proc", root / "aside")
            os.rename(root / "other", root / "proc")
            os.rename(root / "aside", root / "other")

    masked = {"masked_paths": ("/proc/cpuinfo",)}
    renamer, ran = threading.Thread(target=rename), 0
    renamer.start()
    try:
        for place in ("/proc", "/other") * 20:
            wanted = spec("/bin/probe", "print", f"{place}/cpuinfo", linux=masked)
            with contextlib.suppress(ContainerKitError, OSError):
                assert box.run(wanted, Directory(str(root))).stdout == b""
                ran += 1
    finally:
        stop.set()
        renamer.join()
    assert ran > 0
