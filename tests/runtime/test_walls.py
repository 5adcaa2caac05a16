"""S07 and S09: the walls of each profile as a program inside finds them, on run and on exec.

What is expected is worked out from the profile's value, which another test compares with the
published table; what the kernel answers without our filter comes from the same container with the
filter left out, which is the control.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from container_kit.errors import InvalidInput
from container_kit.oci.rootfs import Directory
from container_kit.oci.runtime_spec import (
    Linux,
    Namespace,
    Process,
    Resources,
    Rlimit,
    Root,
    Seccomp,
    Spec,
    User,
)
from container_kit.runtime import capabilities, syscalls
from container_kit.runtime.cgroups import Cgroups
from container_kit.runtime.compile import compile_exec, compile_plan
from container_kit.runtime.host import Host
from container_kit.runtime.launch import execute, launch
from container_kit.runtime.policy import apply, own_ids
from container_kit.runtime.profiles import Profile, profile
from container_kit.runtime.seccomp import named_profile
from tests.runtime.boxes import Box, Pipes, launch_parked
from tests.runtime.bpf_machine import ALLOW
from tests.runtime.bpf_machine import run as verdict

pytestmark = pytest.mark.root

PARENT = f"container-kit-test-{os.getpid()}"
ALL_ONES = (1 << 64) - 1
# The resource numbers of asm-generic/resource.h, by which the probe lists them.
RESOURCES = {"RLIMIT_CORE": 4, "RLIMIT_NOFILE": 7}
FAMILIES = {"inet": 2, "inet6": 10, "unix": 1, "netlink": 16, "alg": 38, "vsock": 40, "packet": 17}


@attrs.frozen
class Case:
    """One configuration: a profile, who runs in it, and what of the host it shares."""

    walls: Profile
    user: User = attrs.field(factory=User)
    shared: tuple[str, ...] = ()


DEFAULT = profile("default")
CASES = {
    "default": Case(DEFAULT),
    "docker": Case(profile("docker")),
    "sandbox": Case(profile("sandbox")),
    "privileged": Case(profile("privileged")),
    "default as a user": Case(DEFAULT, User(1000, 1000, additional_gids=(1000, 2000))),
    "docker as a user": Case(profile("docker"), User(1000, 1000)),
    "sandbox as a user": Case(profile("sandbox"), User(1000, 1000, additional_gids=(1000,))),
    "default with CAP_SYS_ADMIN": Case(DEFAULT.with_capabilities(add=["SYS_ADMIN"])),
    "default without capabilities": Case(DEFAULT.with_capabilities(drop=["ALL"])),
    "default with 32-bit programs": Case(attrs.evolve(DEFAULT, allow_32bit=True)),
    "default with a user namespace": Case(attrs.evolve(DEFAULT, user_namespace=True)),
    "default in the host's network": Case(DEFAULT, shared=("network",)),
}


@attrs.define
class Walled:
    """Starts the probe behind walls, in a cgroup of its own, and on top of it by exec."""

    box: Box
    cgroups: Cgroups

    def ask(self, case: Case, how: str) -> dict[str, Any]:
        """What the probe tells when it is run, run in a parked world, or executed beside one that waits."""
        if how == "exec":
            return self._json(self.execute(case, ("/bin/probe",)))
        return self._json(self._run(case, ("/bin/probe",), how == "parked"))

    @staticmethod
    def _json(text: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(text)
        return told

    def open(self, case: Case, *paths: str) -> dict[str, tuple[int, int, int]]:
        """(errno of opening for reading, bytes read, errno of opening for writing) by path."""
        lines = self._run(case, ("/bin/probe", "open", *paths)).splitlines()
        found = (line.rsplit(" ", 3) for line in lines)
        return {path: (int(reading), int(count), int(writing)) for path, reading, count, writing in found}

    def spec(self, case: Case, args: tuple[str, ...]) -> Spec:
        own = tuple(kind for kind in case.walls.namespaces if kind not in case.shared)
        walls = attrs.evolve(case.walls, namespaces=own)
        process = Process(args, env=("PATH=/bin",), user=case.user)
        return apply(walls, Spec(process, Root("rootfs"), "box"), container_id="walls")

    def _run(self, case: Case, args: tuple[str, ...], is_parked: bool = False) -> str:
        with Pipes() as pipes:
            launched = self._start(case, args, pipes, is_parked)
            pipes.close_inside()
            done = pipes.talk(launched.pidfd, b"")
        assert done.exit_code == 0, done
        return done.stdout.decode()

    def _start(self, case: Case, args: tuple[str, ...], pipes: Pipes, is_parked: bool = False) -> Any:
        host, walls = Host.probe(), case.walls
        group = self.cgroups.create(f"c{len(self.box.running)}", walls.limits, walls.device_rules)
        filter = walls.filter(host.machine)
        root = self.box.overlay()
        plan = compile_plan(
            self.spec(case, args),
            root,
            host=host,
            cgroup_tasks=group.tasks_files,
            seccomp=filter.program if filter else b"",
            landlock=walls.ruleset(host.landlock_abi),
        )
        with contextlib.closing(group):
            if is_parked:
                launched = launch_parked(plan, cgroup_fd=group.v2_fd, **pipes.inside)
            else:
                launched = launch(plan, cgroup_fd=group.v2_fd, **pipes.inside)
        self.box.running.append(launched)
        return launched

    def execute(self, case: Case, args: tuple[str, ...]) -> str:
        host, walls = Host.probe(), case.walls
        with Pipes() as idle, Pipes() as pipes:
            target = self._start(case, ("/bin/probe", "sleep", "60"), idle)
            filter = walls.filter(host.machine)
            kinds = [kind for kind in walls.namespaces if kind not in case.shared]
            process = self.spec(case, args).process
            assert process is not None
            plan = compile_exec(
                process,
                [*(["user"] if walls.user_namespace else []), *kinds],
                host=host,
                seccomp=filter.program if filter else b"",
                landlock=walls.ruleset(host.landlock_abi),
            )
            launched = execute(plan, target.pidfd, **pipes.inside)
            self.box.running.append(launched)
            pipes.close_inside()
            done = pipes.talk(launched.pidfd, b"")
        assert done.exit_code == 0, done
        return done.stdout.decode()


@pytest.fixture
def walled(box: Box) -> Iterator[Walled]:
    """A box whose containers have cgroups."""
    cgroups = Cgroups(Host.probe().cgroups, PARENT)
    yield Walled(box, cgroups)
    box.close()
    for name in cgroups.names():
        cgroups.open(name).kill()
        cgroups.open(name).remove()
    cgroups.remove_parent()


def _filtered(case: Case, name: str, number: int, free: int, *arguments: int) -> int:
    """The errno of a call: what the filter says, or what it is without one."""
    filter = case.walls.filter(platform.machine())
    action = ALLOW if filter is None else verdict(filter.program, platform.machine(), number, arguments)
    return free if action == ALLOW else action & 0xFFFF


@pytest.mark.parametrize("how", ["run", "parked", "exec"])
@pytest.mark.parametrize("name", CASES)
def test_the_walls_are_those_that_are_published(walled: Walled, name: str, how: str) -> None:
    """S07: capabilities, privileges, filter, ids, namespaces, limits and some 110 calls, exactly."""
    case = CASES[name]
    told = walled.ask(case, how)
    free = walled.ask(attrs.evolve(case, walls=attrs.evolve(case.walls, seccomp=None)), how)
    assert told["capabilities"] == _capabilities(case)
    assert told["no_new_privs"] == int(case.walls.no_new_privileges)
    assert told["seccomp"] == (0 if case.walls.seccomp is None else 2)
    assert (told["uids"], told["gids"]) == ([case.user.uid] * 3, [case.user.gid] * 3)
    assert set(told["groups"]) == set(case.user.additional_gids)
    assert told["blocked_signals"] == 0
    _check_namespaces(case, told)
    _check_rlimits(case, told)
    _check_calls(case, told, free)
    assert told["i386_getpid"] == (told_pid(told) if _runs_32bit(case) else -errno.ENOSYS)


@pytest.mark.parametrize("name", ["default", "docker as a user", "sandbox"])
def test_a_parked_start_is_as_any_other_for_the_program(walled: Walled, name: str) -> None:
    """All that the probe sees is the same: descriptors, session, signals, mounts and so on."""
    cold, parked = (walled.ask(CASES[name], how) for how in ("run", "parked"))
    for told in (cold, parked):
        for key in ("namespaces", "i386_getpid"):
            del told[key]
    assert _settled(parked) == _settled(cold)


def _settled(told: dict[str, Any]) -> str:
    """As text, without the numbers that the kernel or a test gives anew to each container."""
    own = r'pipe:\[\d+\]|minor \d+|/c\d+|"\d+ \d+ \d+:\d+'
    return re.sub(own, "*", json.dumps(told, indent=1, sort_keys=True))


def told_pid(told: dict[str, Any]) -> int:
    """The probe asks by the 32-bit entry from a child, whose number is the next one or so."""
    answer = int(told["i386_getpid"])
    return answer if answer > told["pid"] else -1


def _runs_32bit(case: Case) -> bool:
    return case.walls.allow_32bit or case.walls.seccomp is None


def _capabilities(case: Case) -> dict[str, int]:
    host = Host.probe()
    mask = capabilities.to_mask(case.walls.capabilities)
    if not case.walls.user_namespace:
        mask &= host.capabilities & host.bounding
    # A user other than root keeps none over the start of a program: nothing is ambient.
    held = mask if case.user.uid == 0 else 0
    return {"bounding": mask, "effective": held, "permitted": held, "inheritable": 0, "ambient": 0}


def _check_namespaces(case: Case, told: dict[str, Any]) -> None:
    kinds = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "mount": "mnt", "cgroup": "cgroup"}
    own = {kinds[kind] for kind in case.walls.namespaces if kind not in case.shared}
    own |= {"user"} if case.walls.user_namespace else set()
    for kind in (*kinds.values(), "user"):
        ours = os.readlink(f"/proc/self/ns/{kind}")
        assert (told["namespaces"][kind] != ours) == (kind in own), kind
    if case.walls.user_namespace:
        mapping = own_ids("walls")
        assert [line.split() for line in told["uid_map"]] == [["0", str(mapping.host_id), "65536"]]
        assert [line.split() for line in told["gid_map"]] == [["0", str(mapping.host_id), "65536"]]


def _check_rlimits(case: Case, told: dict[str, Any]) -> None:
    for kind, (soft, hard) in case.walls.rlimits.items():
        assert told["rlimits"][RESOURCES[kind]] == list(Host.probe().clamp_rlimit(kind, soft, hard)), kind


def _check_calls(case: Case, told: dict[str, Any], free: dict[str, Any]) -> None:
    numbers = syscalls.numbers(platform.machine())
    arguments = [ALL_ONES] * 6
    expected = {
        call: _filtered(case, call, numbers[call], without, *arguments)
        for call, without in free["syscalls"].items()
    }
    assert told["syscalls"] == expected and len(expected) > 100
    sockets = {
        family: _filtered(case, family, numbers["socket"], without, FAMILIES[family])
        for family, without in free["sockets"].items()
    }
    assert told["sockets"] == sockets


def _as_bundle(spec: Spec, seccomp: Seccomp, folder: Path) -> None:
    """*spec* as another runtime can start it here: no cgroups to share, no rlimit above our own."""
    host = Host.probe()
    limits = [
        (limit.type, *host.clamp_rlimit(limit.type, limit.soft, limit.hard)) for limit in _rlimits(spec)
    ]
    process = spec.process or Process()
    linux = attrs.evolve(
        spec.linux,
        resources=Resources(),
        seccomp=seccomp,
        namespaces=tuple(each for each in spec.linux.namespaces if each.type not in ("cgroup", "user")),
        uid_mappings=(),
        gid_mappings=(),
    )
    alone = attrs.evolve(
        spec,
        process=attrs.evolve(process, rlimits=tuple(Rlimit(*limit) for limit in limits)),
        mounts=tuple(mount for mount in spec.mounts if mount.type != "cgroup"),
        linux=linux,
    )
    (folder / "config.json").write_text(json.dumps(alone.to_dict()))


def _rlimits(spec: Spec) -> tuple[Rlimit, ...]:
    return spec.process.rlimits if spec.process is not None else ()


@pytest.mark.tool("runc")
@pytest.mark.parametrize("name", ["default", "docker", "sandbox"])
def test_libseccomp_reads_the_published_filter_as_we_do(walled: Walled, tmp_path: Path, name: str) -> None:
    """The same OCI document, compiled by us and by the library of the other runtimes: one verdict each."""
    case = Case(attrs.evolve(profile(name), user_namespace=False, landlock=None))
    held = capabilities.to_mask(case.walls.capabilities)
    document = named_profile(name, held, platform.machine(), case.walls.allow_32bit)
    bundle = tmp_path / "bundle"
    shutil.copytree(walled.box.lower, bundle / "rootfs")
    _as_bundle(walled.spec(case, ("/bin/probe",)), document, bundle)
    command = [
        "runc",
        "--root",
        str(tmp_path / "state"),
        "run",
        "--bundle",
        str(bundle),
        f"ck-test-{os.getpid()}",
    ]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    theirs, ours = json.loads(done.stdout), walled.ask(case, "run")
    assert ours["syscalls"] == theirs["syscalls"]
    assert ours["sockets"] == theirs["sockets"]
    assert ours["capabilities"] == theirs["capabilities"]


def test_without_a_filter_the_walls_are_not_there(walled: Walled) -> None:
    """The control: the same container without its filter answers otherwise to many of the calls."""
    told = walled.ask(CASES["default"], "run")
    free = walled.ask(Case(attrs.evolve(DEFAULT, seccomp=None)), "run")
    differing = {name for name, answer in told["syscalls"].items() if answer != free["syscalls"][name]}
    assert {"io_uring_setup", "userfaultfd", "keyctl", "unshare", "clone3"} <= differing
    assert free["i386_getpid"] > 0


@pytest.mark.parametrize("name", ["default", "docker", "sandbox"])
def test_masked_paths_are_empty_and_read_only_paths_refuse(walled: Walled, name: str) -> None:
    """Every masked path that this host has reads as nothing, every read-only one as EROFS."""
    walls = profile(name)
    masked = [path for path in walls.masked_paths if os.path.isfile(path)]
    everywhere = ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger")
    settings = [path for path in everywhere if os.path.exists(path)]
    answers = walled.open(Case(walls), *masked, *settings)
    assert masked
    # In a user namespace the owner of a file is nobody that we are: EACCES comes before EROFS.
    refused = (errno.EROFS, errno.EACCES) if walls.user_namespace else (errno.EROFS,)
    assert {path: answers[path][1] <= 0 for path in masked} == dict.fromkeys(masked, True)
    assert {path: answers[path][2] in refused for path in settings} == dict.fromkeys(settings, True)


def test_without_masks_the_kernel_tells(walled: Walled) -> None:
    """The control: unmasked, the same files have content."""
    bare = Case(attrs.evolve(DEFAULT, masked_paths=()))
    answers = walled.open(bare, "/proc/interrupts", "/proc/keys")
    assert answers["/proc/interrupts"][1] == 1


def test_control_files_of_cgroups_cannot_be_written(walled: Walled) -> None:
    """S09: no limit, no release agent, no membership can be changed from inside (CVE-2022-0492)."""
    told = walled.ask(CASES["default"], "run")
    places = [line.split()[4] for line in told["mounts"] if " - cgroup" in line]
    files = (
        "cgroup.procs",
        "tasks",
        "release_agent",
        "notify_on_release",
        "memory.limit_in_bytes",
        "pids.max",
    )
    wanted = [f"{place}/{file}" for place in places for file in (*files, "devices.allow", "memory.max")]
    answers = walled.open(CASES["default"], *wanted)
    assert places and {answer[2] for answer in answers.values()} <= {errno.EROFS, errno.ENOENT}
    assert errno.EROFS in {answer[2] for answer in answers.values()}
    assert all(line.split(":", 2)[2] == "/" for line in told["cgroup"] if "name=" not in line)


def test_only_listed_devices_open(walled: Walled) -> None:
    """S09: a node in the image for a device that is not listed stays closed; the control opens it."""
    for name, number in (("kmsg", (1, 11)), ("hosts-console", (5, 1)), ("zero", (1, 5))):
        os.mknod(walled.box.lower / name, 0o20666, os.makedev(*number))
    answers = walled.open(CASES["default"], "/kmsg", "/hosts-console", "/zero", "/dev/null")
    assert {answers["/kmsg"][0], answers["/hosts-console"][0]} <= {errno.EPERM, errno.EACCES}
    assert answers["/zero"][0] == answers["/dev/null"][0] == 0
    assert walled.open(CASES["privileged"], "/kmsg")["/kmsg"][0] == 0


HOSTILE_SYSCTLS: list[dict[str, str]] = [
    {"kernel.core_pattern": "|/evil"},
    {"kernel.shm_rmid_forced+kernel.core_pattern": "1"},
    {"kernel.shm_rmid_forced\nkernel.core_pattern": "1"},
    {"net/../kernel/core_pattern": "1"},
    {"net..kernel": "1"},
    {"../../sysrq-trigger": "b"},
    {"net.core.somaxconn\0": "1"},
    {"net.core.somaxconn": "1\0002"},
    {"vm.drop_caches": "1"},
]


@pytest.mark.parametrize("sysctl", HOSTILE_SYSCTLS, ids=str)
def test_a_sysctl_never_reaches_beyond_its_namespace(sysctl: dict[str, str]) -> None:
    """S09: injected names and values, and settings of the whole host, are refused (CVE-2022-0811)."""
    linux = Linux(
        namespaces=tuple(Namespace(kind) for kind in ("mount", "ipc", "network", "uts")), sysctl=sysctl
    )
    with pytest.raises(InvalidInput, match=r"sysctl|NUL"):
        compile_plan(Spec(Process(("true",)), Root("/"), linux=linux), Directory("/"), host=Host.probe())


def test_a_plus_in_a_value_changes_one_setting_only(walled: Walled) -> None:
    """S09: the text after the plus is a value that the kernel refuses, not another setting."""
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    injected = attrs.evolve(DEFAULT, sysctl={"kernel.shm_rmid_forced": "1+kernel.core_pattern=|/evil"})
    with pytest.raises(Exception, match="shm_rmid_forced"):
        walled.ask(Case(injected), "run")
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before
