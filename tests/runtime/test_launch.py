"""Starting programs: what they find, how they end, and what is said when they cannot start."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
from pathlib import Path

import attrs
import pytest

from container_kit.errors import KernelError, StartFailed, TimedOut
from container_kit.native import process
from container_kit.oci.rootfs import Directory
from container_kit.oci.runtime_spec import (
    Capabilities,
    ConsoleSize,
    Hook,
    Hooks,
    IdMapping,
    Mount,
    Namespace,
    Rlimit,
    Root,
    TimeOffset,
    User,
)
from container_kit.runtime.compile import compile_plan
from container_kit.runtime.host import Host
from container_kit.runtime.landlock import PathRule, Ruleset
from container_kit.runtime.launch import failure_of, launch
from tests.runtime.boxes import CAPS, NAMESPACES, Box, Pipes, spec

pytestmark = pytest.mark.root

MAPS = (IdMapping(0, 100000, 65536),)


def test_a_program_finds_the_world_of_its_specification(box: Box) -> None:
    """Identity, names, directory, environment and namespaces are those that were asked for."""
    told = box.ask(spec(process={"env": ("PATH=/bin", "A=b c"), "cwd": "/a/b", "args": ("probe", "x y")}))

    assert told["argv"] == ["probe", "x y"]
    assert told["env"] == ["PATH=/bin", "A=b c"]
    assert (told["cwd"], told["hostname"], told["pid"]) == ("/a/b", "box", 1)
    assert (told["uids"], told["gids"], told["groups"]) == ([0, 0, 0], [0, 0, 0], [])
    assert told["umask"] == 0o022
    ours = os.listdir("/proc/self/ns")
    shared = {name for name in ours if told["namespaces"].get(name) == os.readlink(f"/proc/self/ns/{name}")}
    assert shared == {"user", "time", "time_for_children"}


def test_nothing_of_the_caller_gets_in(box: Box) -> None:
    """S04: however many files the caller has open, a program has its three streams and no more."""
    opened = [os.open(path, os.O_RDONLY) for path in ("/", "/etc/passwd") * 100]
    opened += [os.open("/", os.O_PATH), socket.socket().detach()]
    try:
        for descriptor in opened:
            os.set_inheritable(descriptor, True)
        told = box.ask(spec())
    finally:
        for descriptor in opened:
            os.close(descriptor)

    assert sorted(told["fds"]) == ["0", "1", "2"]
    assert told["blocked_signals"] == 0
    assert told["ignored_signals"] == 0, "Python ignores SIGPIPE; its children must not"
    assert told["sid"] == 1


def test_preserved_descriptors_are_all_that_is_added(box: Box) -> None:
    """Descriptors that were asked for are found from 3 on, whatever their numbers were before."""
    read, write = os.pipe()
    try:
        told = box.ask(spec(), preserve_fds=(write, read))
    finally:
        os.close(read)
        os.close(write)

    assert sorted(told["fds"]) == ["0", "1", "2", "3", "4"]
    assert told["fds"]["3"] == told["fds"]["4"]


@pytest.mark.parametrize("number", range(12))
def test_a_working_directory_outside_the_root_is_refused(box: Box, number: int) -> None:
    """S04: no descriptor of ours is reachable as a working directory (CVE-2024-21626)."""
    with pytest.raises(StartFailed) as caught:
        box.run(spec(process={"cwd": f"/proc/self/fd/{number}"}))

    assert caught.value.exit_code == 125
    assert f"/proc/self/fd/{number}" in str(caught.value)


def test_capabilities_are_exactly_those_given(box: Box) -> None:
    """Every set holds what the specification lists and nothing else; new privileges are off."""
    told = box.ask(spec())

    mask = 1 << 0 | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7
    sets = told["capabilities"]
    assert (sets["bounding"], sets["effective"], sets["permitted"]) == (mask, mask, mask)
    assert (sets["inheritable"], sets["ambient"]) == (0, 0)
    assert told["no_new_privs"] == 1


def test_another_user_keeps_only_ambient_capabilities(box: Box) -> None:
    """A user other than root has its ids and groups; capabilities survive its exec only as ambient ones."""
    person = User(1000, 1001, 0o027, (7, 8))
    plain = box.ask(spec(process={"user": person}))
    kill = ("CAP_KILL",)
    ambient = box.ask(
        spec(process={"user": person, "capabilities": Capabilities(CAPS, kill, kill, kill, kill)})
    )

    assert (plain["uids"], plain["gids"], plain["groups"]) == ([1000] * 3, [1001] * 3, [7, 8])
    assert (plain["capabilities"]["effective"], plain["umask"]) == (0, 0o027)
    assert ambient["capabilities"]["effective"] == 1 << 5


def test_limits_and_scores_are_set(box: Box) -> None:
    """Resource limits are set as far as this process may set them, and the OOM score with them."""
    limits = (Rlimit("RLIMIT_NOFILE", 512, 2**63), Rlimit("RLIMIT_CORE", 0, 0))
    told = box.ask(spec(process={"rlimits": limits, "oom_score_adj": 321}))

    assert told["rlimits"][7][0] == 512
    assert told["rlimits"][4] == [0, 0]
    assert told["oom_score_adj"] == ["321"]


def test_root_can_be_read_only(box: Box) -> None:
    """In a read-only root only what is mounted for writing can be written, mount points made in time."""
    mounts = (*spec().mounts, Mount("/not/there/yet", "tmpfs", "tmpfs", ("nosuid",)))
    (box.lower / "file").touch()
    done = box.run(spec("/bin/probe", "open", "/file", root=Root("r", readonly=True), mounts=mounts))

    assert done.stdout.split()[-1] == b"30", "EROFS"
    assert (box.upper / "not/there/yet").is_dir()


def test_masked_paths_show_nothing_and_read_only_ones_cannot_be_written(box: Box) -> None:
    """A masked file reads as empty, and what is read-only answers EROFS."""
    done = box.run(spec("/bin/probe", "open", "/proc/keys", "/proc/sys/kernel/hostname"))

    keys, hostname = (line.split()[1:] for line in done.stdout.decode().splitlines())
    assert keys == ["0", "0", "0"]
    assert hostname[2] == "30"


def test_sysctls_are_written_to_the_containers_own_namespaces(box: Box) -> None:
    """A sysctl changes inside and not outside."""
    before = Path("/proc/sys/kernel/msgmax").read_text()
    wanted = spec(
        "/bin/probe", "print", "/proc/sys/kernel/msgmax", linux={"sysctl": {"kernel.msgmax": "12345"}}
    )

    assert box.run(wanted).stdout == b"12345\n"
    assert Path("/proc/sys/kernel/msgmax").read_text() == before


def test_bind_mounts_carry_their_options(box: Box, tmp_path: Path) -> None:
    """A directory and a file of the host appear where they are wanted, read-only where asked."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("x")
    mounts = (
        *spec().mounts,
        Mount("/data", "bind", str(tmp_path / "data"), ("rbind", "ro", "nosuid")),
        Mount("/etc/one", "bind", str(tmp_path / "data" / "file"), ("bind",)),
    )
    done = box.run(spec("/bin/probe", "open", "/data/file", "/etc/one", mounts=mounts))

    assert done.stdout.decode().splitlines() == ["/data/file 0 1 30", "/etc/one 0 1 0"]


def test_a_temporary_file_system_can_begin_with_the_images_files(box: Box) -> None:
    """With tmpcopyup, files, directories and links of the image are found in the new file system."""
    (box.lower / "run" / "deep").mkdir(parents=True)
    (box.lower / "run" / "deep" / "file").write_text("kept")
    (box.lower / "run" / "deep").chmod(0o1777)
    (box.lower / "run" / "link").symlink_to("deep/file")
    mounts = (*spec().mounts, Mount("/run", "tmpfs", "tmpfs", ("tmpcopyup", "nosuid", "mode=755")))
    done = box.run(spec("/bin/probe", "print", "/run/link", mounts=mounts))

    assert done.stdout == b"kept"
    assert not (box.upper / "run").exists()


def test_a_plain_directory_serves_as_root(box: Box) -> None:
    """A root that is no overlay is used as it is, and what is written stays there."""
    told = box.ask(spec(process={"cwd": "/made"}), Directory(str(box.lower)))

    assert told["cwd"] == "/made"
    assert (box.lower / "made").is_dir()


def test_user_namespace_shifts_the_layers(box: Box) -> None:
    """In a user namespace root is nobody outside, yet owns the image's files and writes new ones."""
    namespaces = tuple(Namespace(name) for name in (*NAMESPACES, "user"))
    linux = {"namespaces": namespaces, "uid_mappings": MAPS, "gid_mappings": MAPS}
    told = box.ask(spec(linux=linux, process={"cwd": "/made"}))

    assert told["uids"] == [0, 0, 0]
    assert [line.split() for line in told["uid_map"]] == [["0", "100000", "65536"]]
    assert os.stat(box.upper / "made").st_uid == 100000
    assert os.stat(box.lower / "bin" / "probe").st_uid == 0


def test_namespaces_of_another_container_can_be_joined(box: Box, tmp_path: Path) -> None:
    """A second container shares the first one's processes and network."""
    first = box.start(spec("/bin/probe", "sleep", "60"))
    joined = (("pid", "pid"), ("network", "net"), ("ipc", "ipc"))
    namespaces = tuple(Namespace(kind, f"/proc/{first.pid}/ns/{file}") for kind, file in joined)
    second = Box(tmp_path / "second")
    second.lower.mkdir(parents=True)
    (second.lower / "bin").mkdir()
    os.link(box.lower / "bin" / "probe", second.lower / "bin" / "probe")
    told = second.ask(spec(linux={"namespaces": (*namespaces, Namespace("mount"))}, hostname=""))
    second.close()

    assert told["pid"] > 1
    assert told["namespaces"]["net"] == os.readlink(f"/proc/{first.pid}/ns/net")


def test_time_namespace_has_its_own_clocks(box: Box) -> None:
    """Offsets of the boot clock hold for the program itself."""
    linux = {
        "namespaces": tuple(Namespace(name) for name in (*NAMESPACES, "time")),
        "time_offsets": {"boottime": TimeOffset(10_000_000, 0)},
    }
    launched = box.start(spec("/bin/probe", "sleep", "60", linux=linux))
    offsets = Path(f"/proc/{launched.pid}/timens_offsets").read_text().split()

    assert "10000000" in offsets


def test_a_terminal_is_the_programs_own(box: Box) -> None:
    """With a terminal, the three streams are one, of the wanted size, and it controls the session."""
    wanted = spec(process={"terminal": True, "console_size": ConsoleSize(30, 100)})
    launched = box.start(wanted)
    os.set_blocking(launched.terminal_fd, False)
    done = process.Talk(launched.pidfd, stdout_fd=launched.terminal_fd).run(20)
    told = json.loads(done.stdout)

    assert set(told["fds"].values()) == {"/dev/pts/0"}
    assert os.get_terminal_size(launched.terminal_fd) == (100, 30)


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (("nope",), 127, "not found in PATH"),
        (("/bin/nope",), 127, "no such file"),
        (("/bin",), 126, "executable file"),
        (("/bin/text",), 126, "neither a program"),
        (("/bin/script",), 127, "interpreter"),
    ],
)
def test_programs_that_cannot_start(box: Box, args: tuple[str, ...], code: int, word: str) -> None:
    """The error says which program, why, and has the exit code that a shell would give."""
    (box.lower / "bin" / "text").write_text("just words")
    (box.lower / "bin" / "script").write_text("#!/bin/missing\n")
    for name in ("text", "script"):
        (box.lower / "bin" / name).chmod(0o755)

    with pytest.raises(StartFailed) as caught:
        box.run(spec(*args))

    assert caught.value.exit_code == code
    assert word in str(caught.value)
    assert args[0] in str(caught.value)


def test_a_missing_mount_source_is_named(box: Box) -> None:
    """The message says what is missing and what to do; nothing is left of the start."""
    mounts = (Mount("/data", "bind", "/not/here", ("bind",)),)

    with pytest.raises(StartFailed, match=r"/not/here.*make it first"):
        box.run(spec(mounts=mounts))


def test_init_reaps_orphans_and_ends_as_the_program(box: Box) -> None:
    """R16: a small PID 1 leaves no zombie, and its exit code is the program's."""
    done = box.run(spec("/bin/probe", "orphans", "100"), init=True)
    without = box.run(spec("/bin/probe", "exit", "7"), init=True)

    assert done.stdout == b"0\n"
    assert without.exit_code == 7


def test_init_forwards_signals(box: Box) -> None:
    """A signal sent to PID 1 ends the program, which as PID 1 it would not."""
    launched = box.start(spec("/bin/probe", "sleep", "60"), init=True)
    process.send_signal(launched.pidfd, 15)

    assert process.wait(launched.pidfd, 20) == 128 + 15


def test_a_created_container_waits_for_its_start(box: Box, tmp_path: Path) -> None:
    """It has its namespaces and its pid, but its program begins when someone connects."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(1)
        launched = box.start(spec("/bin/probe", "exit", "5"), wait_for_start=True, slots=(listener.fileno(),))
    assert launched.waiting
    assert process.reap(launched.pidfd) is None
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.connect(str(tmp_path / "s"))
        assert caller.recv(4096) == b""

    assert process.wait(launched.pidfd, 20) == 5


def test_a_failed_start_is_told_to_whoever_starts(box: Box, tmp_path: Path) -> None:
    """A program that vanished between create and start is an error for the caller of start."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(1)
        root = Directory(str(box.lower))
        launched = box.start(spec(), root, wait_for_start=True, slots=(listener.fileno(),))
    (box.lower / "bin" / "probe").unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.connect(str(tmp_path / "s"))
        error = failure_of(caller.recv(4096))

    assert error.exit_code == 127
    assert process.wait(launched.pidfd, 20) == 125


def test_hooks_run_with_the_state_that_the_launcher_gave(box: Box, tmp_path: Path) -> None:
    """A hook of the container's creation runs on the host's files and reads the state."""
    script = tmp_path / "hook"
    script.write_text(f"#!/bin/sh\n(cat; echo $1 $X) > {tmp_path}/said\n")
    script.chmod(0o755)
    hook = Hook(str(script), ("hook", "arg"), ("X=y",), 20)
    wanted = attrs.evolve(spec("/bin/probe", "exit", "0"), hooks=Hooks(create_container=(hook,)))
    seen = []

    def meet(place: int, pid: int) -> bytes:
        seen.append((place, pid > 0))
        return b"state\n"

    box.run(wanted, on_sync=meet)

    assert seen == [(1, True)]
    assert (tmp_path / "said").read_text() == "state\narg y\n"


def test_a_failing_hook_stops_the_start(box: Box) -> None:
    """The start fails when a hook does, and the message names the hook."""
    for hook, word in (
        (Hook("/bin/false"), "error"),
        (Hook("/bin/sleep", ("sleep", "60"), (), 1), "timeout"),
    ):
        with pytest.raises(StartFailed, match=f"{hook.path}.*{word}"):
            box.run(attrs.evolve(spec(), hooks=Hooks(create_container=(hook,))))


def test_a_caller_that_gives_up_leaves_nothing(box: Box) -> None:
    """An exception at a meeting point ends the half-made container."""

    def refuse(place: int, pid: int) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        box.run(spec(), sync_create=True, on_sync=refuse)


def test_exec_enters_a_running_container(box: Box) -> None:
    """A program that is executed later sees the same namespaces, root and walls, and is our child."""
    first = box.start(spec("/bin/probe", "sleep", "60"))
    told = json.loads(box.execute(first, "/bin/probe", cwd="/bin").stdout)

    assert told["pid"] > 1
    assert (told["cwd"], told["hostname"], told["no_new_privs"]) == ("/bin", "box", 1)
    assert sorted(told["fds"]) == ["0", "1", "2"]
    for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
        assert told["namespaces"][name] == os.readlink(f"/proc/{first.pid}/ns/{name}")


def test_exec_in_a_user_namespace(box: Box) -> None:
    """Ids and rights of an executed program are those of the container's user namespace."""
    kinds = (*NAMESPACES, "user")
    linux = {
        "namespaces": tuple(Namespace(name) for name in kinds),
        "uid_mappings": MAPS,
        "gid_mappings": MAPS,
    }
    first = box.start(spec("/bin/probe", "sleep", "60", linux=linux))
    told = json.loads(box.execute(first, "/bin/probe", namespaces=kinds, user=User(5, 6)).stdout)

    assert (told["uids"], told["gids"]) == ([5, 5, 5], [6, 6, 6])
    assert told["namespaces"]["user"] == os.readlink(f"/proc/{first.pid}/ns/user")


def test_exec_in_an_ended_container_fails(box: Box) -> None:
    """The error says that the container has ended."""
    first = box.start(spec("/bin/probe", "exit", "0"))
    process.wait(first.pidfd, 20)

    with pytest.raises((StartFailed, KernelError)) as caught:
        box.execute(first, "/bin/probe")
    assert "ended" in str(caught.value)


def test_much_in_both_directions(box: Box) -> None:
    """Fifty million bytes go in and come out, and neither side waits for the other for ever."""
    data = os.urandom(1 << 16) * 800
    done = box.run(spec("/bin/probe", "cat"), input=data)

    assert done.exit_code == 0
    assert done.stdout == data


def test_a_child_left_behind_does_not_hold_up_the_result(box: Box) -> None:
    """R16: exec returns with its output although a child of it keeps the streams open."""
    first = box.start(spec("/bin/probe", "sleep", "60"))
    done = box.execute(first, "/bin/probe", "hold", "50")

    assert (done.exit_code, done.stdout) == (0, b"done\n")


def test_a_child_that_writes_for_ever_does_not_hold_up_the_result(box: Box) -> None:
    """The result comes although a process left behind fills the pipe without end."""
    first = box.start(spec("/bin/probe", "sleep", "60"))
    done = box.execute(first, "/bin/probe", "flood")

    assert done.exit_code == 0
    assert done.stdout.startswith(b"done\n")


def test_a_seccomp_listener_is_handed_over(box: Box) -> None:
    """A filter that asks for a listener has it sent to the launcher."""
    allow_all = struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)
    launched = box.start(spec("/bin/probe", "sleep", "60"), seccomp=allow_all, seccomp_flags=8)

    assert os.readlink(f"/proc/self/fd/{launched.seccomp_fd}") == "anon_inode:seccomp notify"


def test_a_conversation_survives_its_timeout(box: Box) -> None:
    """After a timeout the program goes on, and the same conversation can be continued."""
    with Pipes() as pipes:
        launched = box.start(spec("/bin/probe", "sleep", "1"), **pipes.inside)
        pipes.close_inside()
        talk = process.Talk(launched.pidfd)
        with pytest.raises(TimedOut):
            talk.run(0.01)
        assert talk.run(20).exit_code == 0


def test_ended_by_a_signal(box: Box) -> None:
    """The exit code of a killed program is 128 and the signal's number."""
    launched = box.start(spec("/bin/probe", "sleep", "60"))
    process.send_signal(launched.pidfd, 9)

    assert process.wait(launched.pidfd, 20) == 137
    assert process.send_signal(launched.pidfd, 9) is False


def test_a_child_reaped_by_other_code_still_tells_its_end(box: Box) -> None:
    """``waitpid(-1)`` somewhere in the program does not lose a container's exit status."""
    launched = box.start(spec("/bin/probe", "exit", "3"))
    os.waitpid(-1, 0)

    assert process.wait(launched.pidfd, 20) == 3


def _as_nobody(box: Box) -> bytes:
    """What the probe's file check says in a container of an unprivileged process (this one, from here on)."""
    Host.probe()
    process._forget_sealed()  # of root; an unprivileged process has one of its own
    os.fchmod(process.init_fd(), 0o555)
    os.setgroups([])
    os.setresgid(4242, 4242, 4242)
    os.setresuid(4242, 4242, 4242)
    libc = ctypes.CDLL(None)
    libc.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which the change of ids took away
    kinds = tuple(Namespace(name) for name in (*NAMESPACES, "user"))
    maps = (IdMapping(0, 4242, 1),)
    wanted = spec(
        "/bin/probe",
        "open",
        "/bin/probe",
        "/proc/self/uid_map",
        process={"capabilities": None, "cwd": "/made"},
        linux={"namespaces": kinds, "uid_mappings": maps, "gid_mappings": maps},
    )
    with Pipes() as pipes:
        plan = compile_plan(wanted, Directory(str(box.lower)), host=Host.probe_again())
        launched = launch(plan, **pipes.inside)
        pipes.close_inside()
        return pipes.talk(launched.pidfd, b"").stdout


def test_without_privileges_a_user_namespace_is_enough(box: Box) -> None:
    """A caller who is nobody special starts a container in which it is root."""
    ctypes.CDLL(None)
    for folder in (box.folder, *box.folder.parents):
        if folder.stat().st_uid == 0 and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    for path in (box.lower, box.lower / "bin"):
        os.chown(path, 4242, 4242)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, _as_nobody(box))
        except BaseException as error:
            os.write(write, repr(error).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as said:
        answer = said.read().decode()

    assert answer.splitlines()[1].startswith("/proc/self/uid_map 0 1"), answer
    assert (box.lower / "made").stat().st_uid == 4242


def test_landlock_holds_where_capabilities_would_not(box: Box) -> None:
    """A rule set that allows reading only stops root, with every capability, from writing."""
    read = 1 << 0 | 1 << 2 | 1 << 3  # EXECUTE, READ_FILE, READ_DIR
    rules = Ruleset(handled_fs=read | 1 << 1, paths=(PathRule("/", read), PathRule("/dev", read | 1 << 1)))
    (box.lower / "file").touch()
    free = box.run(spec("/bin/probe", "open", "/file"))
    walled = box.run(spec("/bin/probe", "open", "/file", "/dev/null"), landlock=rules)

    assert free.stdout.split()[-1] == b"0"
    assert [line.split()[3] for line in walled.stdout.splitlines()] == [b"13", b"0"]


def test_hooks_inherit_nothing_of_the_caller(box: Box, tmp_path: Path) -> None:
    """S04: a hook has its input and the container's output and error, and an environment of its own."""
    script = tmp_path / "hook"
    script.write_text(f"#!/bin/sh\nls /proc/self/fd > {tmp_path}/fds; env > {tmp_path}/env\n")
    script.chmod(0o755)
    hook = Hook(str(script), ("hook",), ("X=y", "PATH=/usr/bin:/bin"), 20)
    opened = [os.open(path, flags) for flags in (os.O_PATH, os.O_RDONLY) for path in ("/", "/etc") * 50]
    try:
        for descriptor in opened:
            os.set_inheritable(descriptor, True)
        box.run(attrs.evolve(spec("/bin/probe", "exit", "0"), hooks=Hooks(create_container=(hook,))))
    finally:
        for descriptor in opened:
            os.close(descriptor)

    assert (tmp_path / "fds").read_text().split() == ["0", "1", "2", "3"], "3 is the directory that ls reads"
    names = {line.split("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert names <= {"X", "PATH", "PWD", "OLDPWD", "SHLVL", "_"}
