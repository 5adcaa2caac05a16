"""What ``doctor`` says about hosts of every kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from container_kit.cli import main
from container_kit.cli.doctor import examine
from container_kit.cli.doctor_user import examine_cgroups, examine_ids, examine_way_out
from container_kit.native.own_ids import IdMaps
from container_kit.runtime.cgroups import Layout
from container_kit.runtime.host import Host
from tests.cli.forked import run_forked

ALL = (1 << 41) - 1
V2 = Layout(v2="/sys/fs/cgroup", v2_controllers=frozenset(("cpu", "io", "memory", "pids")))
GOOD = Host(
    kernel=(6, 1),
    machine="x86_64",
    uid=0,
    capabilities=ALL,
    bounding=ALL,
    rlimits={},
    cgroups=V2,
    landlock_abi=3,
    has_seccomp=True,
    user_namespaces=True,
)


def verdicts(host: Host, root: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for finding in examine(host, str(root)):
        found.setdefault(finding.verdict, set()).add(finding.subject)
    return found


def test_good_host_has_nothing_missing(tmp_path: Path) -> None:
    """A host with everything gets only good news."""
    assert verdicts(GOOD, tmp_path).get("missing", set()) == set()
    assert {"kernel", "rights", "cgroups", "seccomp", "landlock"} <= verdicts(GOOD, tmp_path)["ok"]


@pytest.mark.parametrize(
    ("change", "verdict", "subject", "remedy"),
    [
        ({"kernel": (5, 4)}, "missing", "kernel", "newer kernel"),
        ({"kernel": (5, 10)}, "limited", "kernel", "5.13"),
        ({"machine": "riscv64"}, "missing", "processor", ""),
        ({"capabilities": ALL & ~(1 << 24)}, "limited", "rights", "CAP_SYS_RESOURCE"),
        ({"cgroups": Layout()}, "missing", "cgroups", "mount -t cgroup2"),
        (
            {"cgroups": Layout(v2="/x", v2_controllers=frozenset(("cpu", "pids")))},
            "limited",
            "cgroups",
            "+memory",
        ),
        (
            {"cgroups": Layout(v1={"memory": "/m", "pids": "/p", "cpu": "/c"})},
            "limited",
            "cgroups",
            "mount -t cgroup2",
        ),
        ({"has_seccomp": False}, "missing", "seccomp", "CONFIG_SECCOMP"),
        ({"landlock_abi": 0}, "limited", "landlock", "lsm="),
        ({"user_namespaces": False}, "limited", "user namespaces", "sysctl"),
    ],
)
def test_each_lack_is_told_with_its_remedy(
    tmp_path: Path, change: dict[str, Any], verdict: str, subject: str, remedy: str
) -> None:
    """What is missing is named, together with the one command or step that would enable it."""
    findings = examine(attrs.evolve(GOOD, **change), str(tmp_path))
    assert any((f.verdict, f.subject) == (verdict, subject) and remedy in f.remedy for f in findings)


def test_an_ordinary_user_has_rights_in_a_user_namespace(tmp_path: Path) -> None:
    """Without the rights of root nothing is missing where a user namespace can be made."""
    found = verdicts(attrs.evolve(GOOD, uid=1000, capabilities=0, cgroups=Layout()), tmp_path)
    assert "rights" in found["ok"]
    assert "cgroups" in found["limited"]


def test_a_user_without_subordinate_ids_is_told_how_to_get_them() -> None:
    """The command names the user, and the package that has the programs."""
    lacking = IdMaps(uid=1000, gid=1000, lacking="no subordinate ids in /etc/subuid and /etc/subgid")
    (finding,) = examine_ids(lacking, "ann")
    assert finding.verdict == "limited"
    assert finding.remedy.startswith("apt install uidmap && usermod --add-subuids 100000-165535")
    assert finding.remedy.endswith(" ann")
    (finding,) = examine_ids(IdMaps(uid=1000, gid=1000, count=65537), "ann")
    assert (finding.verdict, finding.fact) == ("ok", "65536 beside its own")


def test_a_user_is_told_what_its_cgroup_lacks() -> None:
    """No cgroup at all, and one without a useful controller, have different remedies."""
    (none,) = examine_cgroups(Layout(is_delegated=True))
    assert "systemd-run --user" in none.remedy
    given = Layout("/sys/fs/cgroup/user", {}, frozenset(("pids", "memory")), is_delegated=True)
    kinds = {(one.verdict, one.fact, "Delegate=" in one.remedy) for one in examine_cgroups(given)}
    assert ("limited", "no cpu controller: no processor limits", True) in kinds


def test_a_user_is_told_who_leads_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pasta and slirp4netns the command that brings one is named."""
    monkeypatch.setattr("container_kit.network.guide.GUIDES", ("no-such-program",))
    (finding,) = examine_way_out()
    assert (finding.verdict, finding.remedy) == ("limited", "apt install passt")


def test_store_that_cannot_be_made(tmp_path: Path) -> None:
    """A root below a file is told before any command fails on it."""
    (tmp_path / "file").write_text("")
    assert "store" in verdicts(GOOD, tmp_path / "file" / "root").get("missing", set())


def test_doctor_for_programs(tmp_path: Path) -> None:
    """--format json gives every finding, and the exit code says whether containers can run."""
    done = run_forked(main, ("ckit", "--root", str(tmp_path), "doctor", "--format", "json"))
    findings = json.loads(done.stdout)
    assert {"subject", "verdict", "fact", "remedy"} == set(findings[0])
    assert done.returncode == int(any(finding["verdict"] == "missing" for finding in findings))
