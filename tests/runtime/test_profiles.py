"""Profiles: the published walls, and what they become in a configuration."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import InvalidInput, UnsupportedFeature
from container_kit.oci.runtime_spec import IdMapping, Mount, Namespace, Process, Rlimit, Root, Spec
from container_kit.runtime import profiles, seccomp_profiles
from container_kit.runtime.devices import DEFAULT_NODES, Device
from container_kit.runtime.host import Host
from container_kit.runtime.limits import Limits
from container_kit.runtime.policy import apply, own_ids
from container_kit.runtime.profiles import NAMES, Profile, profile

PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "security-profile.md"
SPEC = Spec(process=Process(("true",)), root=Root("/rootfs"))


def _table() -> dict[str, dict[str, str]]:
    """The published table: wall, then preset, then what stands in the cell."""
    rows = [
        line.strip("| \n").split(" | ") for line in PUBLISHED.read_text().splitlines() if line[:2] == "| "
    ]
    header = next(row for row in rows if row[0] == "Wall")
    return {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows if len(row) == len(header)}


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _row(preset: Profile) -> dict[str, str]:
    """What the published table must say about *preset*, derived from the value itself."""
    limits = preset.limits
    return {
        "capabilities": " ".join(name.removeprefix("CAP_") for name in preset.capabilities) or "none"
        if preset.name != "privileged" else "all 41",
        "no_new_privs": _yes(preset.no_new_privileges),
        "system calls": preset.seccomp or "unfiltered",
        "32-bit programs": _yes(preset.allow_32bit or preset.seccomp is None),
        "user namespace": _yes(preset.user_namespace),
        "read-only root": _yes(preset.read_only_root),
        "masked paths": _yes(bool(preset.masked_paths)),
        "read-only paths": _yes(bool(preset.readonly_paths)),
        "writable /sys and cgroups": _yes(preset.writable_system),
        "devices": "all" if preset.all_devices else "the usual six",
        "Landlock": ("no" if preset.landlock is None else "beneath the root")
        + (", no TCP" if preset.landlock is not None and preset.landlock.handled_net else ""),
        "RLIMIT_CORE": _rlimit(preset, "RLIMIT_CORE"),
        "RLIMIT_NOFILE": _rlimit(preset, "RLIMIT_NOFILE"),
        "processes": str(limits.pids or "unlimited"),
        "memory": f"{limits.memory >> 20} MiB" if limits.memory else "unlimited",
        "processors": f"{limits.cpus:g}" if limits.cpus else "unlimited",
    }  # fmt: skip


def _rlimit(preset: Profile, name: str) -> str:
    return "{}:{}".format(*preset.rlimits[name]) if name in preset.rlimits else "the caller's"


@pytest.mark.parametrize("name", NAMES)
def test_the_published_table_is_what_the_presets_are(name: str) -> None:
    """Wall by wall: nothing is promised that is not set, and nothing is set that is not told."""
    table = _table()
    assert {wall: cells[name] for wall, cells in table.items() if wall != "Wall"} == _row(profile(name))


def test_the_published_lists_are_what_the_default_is() -> None:
    """Masked and read-only paths, sysctls and namespaces stand in the text one by one."""
    text = PUBLISHED.read_text()
    preset = profile("default")
    for path in (*preset.readonly_paths, *(p for p in preset.masked_paths if "/cpu/" not in p)):
        assert f"`{path}`" in text
    for name, value in preset.sysctl.items():
        assert f"`{name} = {value}`" in text
    for node in DEFAULT_NODES:
        assert f"`{node.path}`" in text


def test_the_published_system_calls_are_those_of_the_tables() -> None:
    """Each list in the text has exactly the calls of the table it is made from."""
    text = PUBLISHED.read_text()
    for heading, words in (
        ("Only with a capability", " ".join(seccomp_profiles.BY_CAPABILITY.values())),
        ("Not in `sandbox`", seccomp_profiles.NOT_IN_SANDBOX),
    ):
        section = re.split(r"\n#+ ", text.split(heading, 1)[1])[0]
        assert set(re.findall(r"`([a-z0-9_]+)`", section)) >= set(words.split())


def test_the_default_is_narrower_than_dockers() -> None:
    """Every wall of ours is Docker's or stricter."""
    ours, dockers = profile("default"), profile("docker")
    assert set(ours.capabilities) < set(dockers.capabilities)
    assert len(dockers.capabilities) == 14 and len(ours.capabilities) == 11
    assert ours.no_new_privileges and not dockers.no_new_privileges
    assert set(ours.masked_paths) == set(dockers.masked_paths)
    assert set(ours.device_rules) < set(dockers.device_rules)


def test_a_wall_that_cannot_be_built_is_an_error() -> None:
    """No filter and no user namespaces are refused; a profile without those walls does not mind."""
    host = attrs.evolve(Host.probe(), has_seccomp=False, user_namespaces=False)
    with pytest.raises(UnsupportedFeature, match="filters system calls"):
        profile("default").require(host)
    with pytest.raises(UnsupportedFeature, match="max_user_namespaces"):
        profile("sandbox").require(attrs.evolve(host, has_seccomp=True))
    profile("privileged").require(host)


def test_an_unknown_profile_is_refused() -> None:
    """With the names that there are."""
    with pytest.raises(InvalidInput, match="default, docker, sandbox, privileged"):
        profile("none")


def test_applying_fills_every_wall() -> None:
    """What a bare program gets, in the words of the OCI specification."""
    spec = apply(profile("default"), SPEC)
    assert spec.process is not None and spec.process.capabilities is not None
    names = profile("default").capabilities
    assert spec.process.capabilities.bounding == spec.process.capabilities.permitted == names
    assert spec.process.capabilities.inheritable == spec.process.capabilities.ambient == ()
    assert spec.process.no_new_privileges
    assert spec.process.rlimits == (Rlimit("RLIMIT_CORE", 0, 0), Rlimit("RLIMIT_NOFILE", 1024, 524_288))
    assert {n.type for n in spec.linux.namespaces} == {"pid", "network", "ipc", "uts", "mount", "cgroup"}
    assert spec.linux.devices == ()  # the runtime makes the usual ones
    assert all(rule.allow for rule in spec.linux.resources.devices)
    assert spec.linux.masked_paths == profile("default").masked_paths
    by_place = {mount.destination: mount for mount in spec.mounts}
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(by_place["/sys/fs/cgroup"].options)
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(by_place["/sys"].options)
    assert list(by_place)[:2] == ["/proc", "/dev"]


def test_what_the_caller_said_is_kept() -> None:
    """Namespaces to join, rlimits, sysctls and mounts of the caller win over the preset's."""
    asked = attrs.evolve(
        SPEC,
        process=Process(("true",), rlimits=(Rlimit("RLIMIT_CORE", 5, 5),)),
        mounts=(Mount("/dev/shm", "bind", "/x"),),
        linux=attrs.evolve(
            SPEC.linux,
            namespaces=(Namespace("network", "/proc/1/ns/net"),),
            sysctl={"net.core.somaxconn": "1"},
        ),
    )
    spec = apply(profile("default"), asked, devices=(Device("/dev/fuse", "c", 10, 229, access="r"),))
    assert spec.process is not None
    assert [r for r in spec.process.rlimits if r.type == "RLIMIT_CORE"] == [Rlimit("RLIMIT_CORE", 5, 5)]
    assert [n for n in spec.linux.namespaces if n.type == "network"] == [
        Namespace("network", "/proc/1/ns/net")
    ]
    assert spec.linux.sysctl == {"net.core.somaxconn": "1"}
    assert [m for m in spec.mounts if m.destination == "/dev/shm"] == [Mount("/dev/shm", "bind", "/x")]
    assert spec.linux.devices[-1].path == "/dev/fuse"
    assert spec.linux.resources.devices[-1].access == "rm"


def test_the_sandbox_has_ids_of_its_own_and_a_root_that_stays() -> None:
    """A user namespace with a range that nobody has, a read-only root and a small /tmp."""
    spec = apply(profile("sandbox"), SPEC, container_id="c1")
    assert spec.root is not None and spec.root.readonly
    assert Namespace("user") in spec.linux.namespaces
    assert spec.linux.uid_mappings == spec.linux.gid_mappings == (own_ids("c1"),)
    assert [m.type for m in spec.mounts if m.destination == "/tmp"] == ["tmpfs"]
    assert spec.process is not None and spec.process.capabilities is not None
    assert spec.process.capabilities.bounding == ()


@given(st.text(max_size=64))
def test_ids_of_containers_are_a_range_that_belongs_to_nobody(container_id: str) -> None:
    """65536 ids, aligned, between 524288 and 1879048191, the same for the same container."""
    mapping = own_ids(container_id)
    assert mapping == own_ids(container_id) and mapping.size == 65536 and mapping.container_id == 0
    assert mapping.host_id % 65536 == 0 and 0x80000 <= mapping.host_id <= 0x6FFFFFFF - 65535
    assert isinstance(mapping, IdMapping)


@pytest.mark.root
def test_privileged_takes_every_wall_down() -> None:
    """All capabilities, every device, nothing masked, no filter: what it says."""
    preset = profile("privileged")
    spec = apply(preset, SPEC)
    assert spec.linux.masked_paths == spec.linux.readonly_paths == ()
    assert preset.filter("x86_64") is None and preset.ruleset(7) is None
    assert spec.process is not None and not spec.process.no_new_privileges
    made = {device.path for device in spec.linux.devices}
    assert "/dev/kmsg" in made and not made & {"/dev/null", "/dev/ptmx", "/dev/console"}
    assert "ro" not in next(m for m in spec.mounts if m.destination == "/sys").options


def test_capabilities_can_be_added_and_dropped() -> None:
    """By name; the system call filter follows."""
    preset = profile("default")
    wider = preset.with_capabilities(add=["sys_admin"], drop=["CHOWN"])
    assert set(wider.capabilities) - set(preset.capabilities) == {"CAP_SYS_ADMIN"}
    assert "CAP_CHOWN" not in wider.capabilities
    assert wider.filter("x86_64") != preset.filter("x86_64")
    assert preset.with_capabilities() is preset


def test_limits_of_the_preset_hold_unless_the_caller_sets_them() -> None:
    """2048 processes in the default; a caller's memory limit stands beside it."""
    assert profile("default").limits_with(None).pids == 2048
    assert profile("default").limits_with(Limits(memory="64m")) == Limits(memory="64m", pids=2048)
    assert profile("default").limits_with(Limits(pids=-1)).pids == -1
    assert profile("sandbox").limits_with(Limits(memory="1g")).memory == 1 << 30


def test_landlock_rules_fit_the_kernel() -> None:
    """No right is named that the kernel does not know, and none that it knows is left out."""
    rules = profile("sandbox").landlock
    assert rules is not None and rules.fitted(0) is None
    expected = {1: (13, 0), 2: (14, 0), 3: (15, 0), 4: (15, 2), 5: (16, 2), 6: (16, 2), 99: (16, 2)}
    for abi, (file_bits, net_bits) in expected.items():
        fitted = rules.fitted(abi)
        assert fitted is not None
        assert fitted.handled_fs == (1 << file_bits) - 1 == fitted.paths[0].access
        assert fitted.handled_net == (1 << net_bits) - 1


def test_masked_paths_hide_the_processors_temperature(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a machine that has the counters, each processor's is masked (moby GHSA-6fw5-f8r9-fgfm)."""
    found = [tmp_path / f"cpu{number}" / "thermal_throttle" for number in (0, 1)]
    for folder in (*found, tmp_path / "power"):
        folder.mkdir(parents=True)
    monkeypatch.setattr(profiles, "_PROCESSORS", str(tmp_path))
    assert profiles._masked()[-2:] == tuple(map(str, found))
