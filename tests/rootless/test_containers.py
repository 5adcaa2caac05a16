"""Containers of an ordinary user: what runs in them, what they leave, and what is refused."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.rootless.users import OrdinaryUser

pytestmark = [pytest.mark.root, pytest.mark.tool("newuidmap"), pytest.mark.tool("setpriv")]

RUN = "import container_kit as ck\nran = ck.run('box:1', {words!r}, **{options!r})\n"
REPORT_RUN = RUN + "report([ran.exit_code, ran.stdout, ran.stderr])"


def run(user: OrdinaryUser, *words: str, **options: object) -> tuple[int, str, str]:
    exit_code, stdout, stderr = user.python(REPORT_RUN.format(words=words, options=options))
    return exit_code, stdout, stderr


def leftovers(user: OrdinaryUser) -> list[str]:
    """The directories of containers that are there still."""
    return [name for name in os.listdir(user.store / "containers") if len(name.lstrip(".gone-")) == 64]


def test_a_program_is_root_inside_and_the_user_outside(user: OrdinaryUser, tmp_path: Path) -> None:
    """Id 0 of a container is the user itself, the others are its subordinate ids; none is another's."""
    code, ids, _ = run(user, "sh", "-c", "cat /proc/self/uid_map; id -u; id -G")
    assert code == 0
    first, second, *rest = [line.split() for line in ids.splitlines()]
    assert first == ["0", str(user.uid), "1"]
    assert int(second[1]) >= 200_000_000
    assert rest == [["0"], ["0"]]


def test_walls_stand_without_root(user: OrdinaryUser) -> None:
    """The default walls are those of root's containers: filter, capabilities, masked and read-only paths."""
    script = "grep -E 'Seccomp:|NoNewPrivs|CapEff' /proc/self/status; echo x >/proc/sys/kernel/domainname"
    _, status, errors = run(user, "busybox", "sh", "-c", f"busybox {script}")
    assert "Seccomp:\t2" in status
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t00000000800405fb" in status
    assert "Read-only file system" in errors


def test_a_network_of_its_own_and_that_of_the_host(user: OrdinaryUser) -> None:
    """Without a network there is a loopback that is up; with the host's, its interfaces."""
    _, alone, _ = run(user, "busybox", "ip", "-o", "addr")
    assert "127.0.0.1/8" in alone
    _, own, _ = run(user, "busybox", "readlink", "/proc/self/ns/net")
    _, shared, _ = run(user, "busybox", "readlink", "/proc/self/ns/net", network="host")
    host = os.readlink("/proc/self/ns/net")
    assert own.strip() != host
    assert shared.strip() == host


@pytest.mark.parametrize("kind", ["pid", "ipc", "uts", "cgroupns"])
def test_other_namespaces_of_the_host_can_be_shared(user: OrdinaryUser, kind: str) -> None:
    """What only the owner of a namespace may mount is taken from the host where that is shared."""
    assert run(user, "busybox", "true", **{kind: "host"})[0] == 0


SUPERVISED = """
import container_kit as ck, io, os, tarfile
script = ("mkdir -p /data/in; echo kept >/data/in/file; chown -R 33:33 /data; chmod 700 /data /data/in; "
          "chmod 600 /data/in/file; rm /usr/bin/id; echo ready; exec sleep 1000")
with ck.Container.start("box:1", ["busybox", "sh", "-c", script], name="box") as box:
    next(line for line in box.logs(follow=True) if line.text == "ready")
    found = {"user": box.exec(["busybox", "id", "-u"], user="33").stdout.strip()}
    found["read"] = box.fs.read_text("/data/in/file")
    box.fs.write_text("/data/in/new", "x")
    box.fs.chown("/data/in/new", 44, 44)
    found["owner"] = box.fs.stat("/data/in/new").st_uid
    box.copy_in(io.BytesIO(open("copy.tar", "rb").read()), "/data/in")
    box.copy_out("/data", "copy")
    found["copied"] = [os.stat("copy/in/file").st_uid == os.getuid(), open("copy/in/file").read()]
    found["changes"] = sorted(str(change.kind) + change.path for change in box.diff())
    found["top"] = [process.command for process in box.top()]
    image = box.commit("box:2")
    box.stop(timeout=0)
    found["stopped"] = box.fs.read_text("/data/in/file")
    box.start()
    found["again"] = box.exec(["busybox", "stat", "-c", "%u", "/data/in"]).stdout
found["committed"] = ck.run("box:2", ["busybox", "ls", "-ln", "/data/in"]).stdout
image.remove(force=True)
report(found)
"""


def test_files_of_other_ids_are_the_users_to_handle(user: OrdinaryUser) -> None:
    """Private files of any id in a container are read, written, copied, compared, committed and removed."""
    import tarfile

    with tarfile.open(user.home / "copy.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("from-tar"))
    os.chmod(user.home / "copy.tar", 0o644)
    found = user.python(SUPERVISED)
    assert found["user"] == "33"
    assert found["read"] == found["stopped"] == "kept\n"
    assert found["again"] == "33\n"
    assert found["owner"] == 44
    assert found["copied"] == [True, "kept\n"]
    assert {"A/data/in/file", "A/data/in/from-tar", "D/usr/bin/id"} <= set(found["changes"])
    assert any("sleep 1000" in command for command in found["top"])
    owners = {line.split()[-1]: line.split()[2] for line in found["committed"].splitlines()[1:]}
    assert owners == {"file": "33", "new": "44", "from-tar": "0"}
    assert leftovers(user) == []


ANOTHER = """
import container_kit as ck
box = ck.Engine.default().container("lasting")
found = [box.exec(["busybox", "id", "-u"]).stdout, box.status, [line.text for line in box.logs()]]
box.restart(timeout=0)
found.append(box.exec(["busybox", "echo", "again"]).stdout)
box.remove(force=True)
report(found)
"""


def test_a_container_outlives_who_started_it(user: OrdinaryUser) -> None:
    """Another process of the user, with its own user namespace, finds, enters, restarts and removes it."""
    start = "ck.Container.start('box:1', ['sh', '-c', 'echo hello; sleep 1000'], name='lasting', detach=True)"
    user.python(f"import container_kit as ck\n{start}")
    assert user.python(ANOTHER) == ["0\n", "running", ["hello"], "again\n"]
    assert leftovers(user) == []


JOIN = """
import container_kit as ck
words = ["busybox", "readlink", "/proc/self/ns/net", "/proc/self/ns/pid", "/proc/self/ns/user"]
inside = ck.Engine.default().container("shared").exec(words).stdout
joined = ck.run("box:1", words, network="container:shared", pid="container:shared").stdout
report([inside, joined])
"""


def test_a_container_of_another_process_is_joined(user: OrdinaryUser) -> None:
    """Sharing namespaces means to live in the same user namespace, whoever made that."""
    start = "ck.Container.start('box:1', ['sleep', '1000'], name='shared', detach=True)"
    user.python(f"import container_kit as ck\n{start}")
    try:
        inside, joined = user.python(JOIN)
        assert inside == joined
    finally:
        user.python("import container_kit as ck\nck.Engine.default().container('shared').remove(force=True)")


HEALTH = """
import container_kit as ck
check = ck.HealthCheck(command=["busybox", "true"], interval_s=0.05)
with ck.Container.start("box:1", ["sleep", "1000"], health=check) as box:
    box.wait_healthy(timeout=20)
    report(box.inspect()["State"]["Health"]["Status"])
"""


def test_health_checks_run_without_the_caller(user: OrdinaryUser) -> None:
    """The monitor, which lives in the user's namespace, enters its container for a check."""
    assert user.python(HEALTH) == "healthy"


OWNER = """
import container_kit as ck, threading
threading.Thread(target=ck.run, args=("box:1", ["sleep", "1001"])).start()
with ck.Container.start("box:1", ["sleep", "1002"]) as box:
    while len(ck.Engine.default().containers()) < 2: pass
    print("ready", flush=True)
    input()
"""


def test_what_a_killed_program_owned_is_gone(user: OrdinaryUser) -> None:
    """Without a cgroup too, containers end with their owner, and nothing of them stays."""
    owner = user.begin(OWNER)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    assert len(leftovers(user)) >= 2
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 20
    while (leftovers(user) or processes(user)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (leftovers(user), processes(user)) == ([], [])


def processes(user: OrdinaryUser) -> list[str]:
    """The command lines of all that this user runs, on the host's side of the user's own id."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == user.uid:
                found.append(Path(f"/proc/{name}/cmdline").read_text().replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return [command for command in found if command]


PARALLEL = """
import container_kit as ck
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    codes = list(pool.map(lambda n: ck.run("box:1", ["sh", "-c", f"exit {n}"]).exit_code, range(40)))
report(codes)
"""


def test_many_threads_start_containers_at_once(user: OrdinaryUser) -> None:
    """Threads that work in the user namespace at the same time do not get into each other's way."""
    assert user.python(PARALLEL) == list(range(40))
    assert leftovers(user) == []


REFUSED = """
import container_kit as ck
for options in ({"limits": ck.Limits(memory="64m")}, {"profile": "sandbox"}, {"pause": True}):
    try:
        if options.pop("pause", False):
            with ck.Container.start("box:1", ["sleep", "9"]) as box: box.pause()
        else:
            ck.run("box:1", ["id"], **options)
    except ck.UnsupportedFeature as error:
        found = [*globals().get("found", []), str(error)]
report(found)
"""


def test_limits_that_cannot_be_set_are_refused_in_words(user: OrdinaryUser) -> None:
    """Who was given no cgroup is told so, and how to get one; a profile's promise is not broken silently."""
    memory, sandbox, pause = user.python(REFUSED)
    assert "memory.max" in memory and "systemd-run --user" in memory
    assert "pids.max" in sandbox
    assert "doctor" in pause


def test_the_sandbox_has_a_user_namespace_within(user: OrdinaryUser) -> None:
    """With no limits promised the sandbox starts: its namespaces are owned by one of its own."""
    code = (
        "import attrs, container_kit as ck\nfrom container_kit.runtime.profiles import profile\n"
        "walls = attrs.evolve(profile('sandbox'), limits=ck.Limits())\n"
        "ran = ck.run('box:1', ['sh', '-c', 'cat /proc/self/uid_map; busybox touch /x'], profile=walls)\n"
        "report([ran.stdout.split()[:3], ran.stderr])"
    )
    mapped, errors = user.python(code)
    assert mapped == ["0", "0", "1"]
    assert "Read-only file system" in errors


def test_a_user_without_subordinate_ids_has_one_id(lone_user: OrdinaryUser) -> None:
    """All files are root's inside then, other ids cannot be had, and the start says nothing against it."""
    code, shown, errors = run(lone_user, "sh", "-c", "cat /proc/self/uid_map; id -u; busybox chown 1 /etc")
    assert shown.split() == ["0", str(lone_user.uid), "1", "0"]
    assert "Invalid argument" in errors and code == 1


NO_NAMESPACE = """
from container_kit import PermissionMissing
from container_kit.native.user_namespace import enter_fd
try:
    enter_fd()
except PermissionMissing as error:
    report(str(error))
"""


def test_forbidden_user_namespaces_are_named_with_the_remedy(user: OrdinaryUser) -> None:
    """The switch that forbids them is in the message, and the command that allows them."""
    forbid = "echo 0 >/proc/sys/user/max_user_namespaces"
    giving_up = 'exec setpriv --bounding-set=-all --inh-caps=-all "$@"'
    wrapper = ("unshare", "--user", "--map-root-user", "sh", "-c", f"{forbid}; {giving_up}", "sh")
    message = user.python(NO_NAMESPACE, wrapper=wrapper)
    assert "user.max_user_namespaces is 0" in message
    assert "sysctl -w user.max_user_namespaces=28633" in message
