"""The same bundle under us, crun and runc: what its program sees is the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.bundles import Runtime, crun, make_bundle, ours, runc

pytestmark = [pytest.mark.root, pytest.mark.tool("busybox")]

WORLD = """
id; pwd; hostname; env | sort
grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status
ulimit -n; ulimit -c
ls /dev | sort; ls -la /dev/null /dev/fd /dev/ptmx | cut -c1-10
cut -d' ' -f5,6 /proc/self/mountinfo | cut -d, -f1 | grep -v -e /sys/fs/cgroup -e '^/dev/[a-z]* r' | sort
for f in /proc/kcore /proc/keys /proc/timer_list; do head -c 1 $f 2>&1 | wc -c; done
touch /root-is-writable 2>/dev/null && echo writable
echo x > /proc/sys/kernel/hostname 2>/dev/null && echo sysctl
cat /proc/1/cmdline | tr '\\0' ' '; ls /proc/self/fd | wc -l; cat /proc/self/oom_score_adj
cat /proc/self/uid_map; ls -ldn / /bin/busybox
readlink /proc/self/ns/* | cut -d: -f1 | sort
umask
"""


def plain(config: dict[str, Any]) -> None:
    """What `spec` writes, as it is."""


def with_user(config: dict[str, Any]) -> None:
    """Another user, groups, environment, directory, limits, capabilities."""
    config["process"].update(
        user={"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o27},
        env=["PATH=/bin", "A=b c", "EMPTY="],
        cwd="/tmp",
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}],
        oomScoreAdj=100,
    )
    config["process"]["capabilities"] = {
        name: ["CAP_KILL", "CAP_CHOWN"] for name in ("bounding", "effective", "permitted")
    }


def with_mounts(config: dict[str, Any]) -> None:
    """A writable root, memory, a bind mount, and paths that are read-only or hidden."""
    config["root"]["readonly"] = False
    config["mounts"] += [
        {
            "destination": "/scratch",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["size=1m", "mode=700", "nosuid"],
        },
        {"destination": "/host", "type": "bind", "source": "/usr/share", "options": ["rbind", "ro", "nodev"]},
    ]
    config["linux"]["maskedPaths"] += ["/etc/passwd", "/tmp"]
    config["linux"]["readonlyPaths"] += ["/bin"]


def with_seccomp(config: dict[str, Any]) -> None:
    """A filter that refuses mkdir with a peculiar error."""
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}],
    }


def without_namespaces(config: dict[str, Any]) -> None:
    """The host's network, ipc and uts."""
    kept = ("mount", "pid", "cgroup")
    config["linux"]["namespaces"] = [{"type": name} for name in kept]
    del config["hostname"]


def with_user_namespace(config: dict[str, Any]) -> None:
    """A user namespace that shows other ids, and a root whose files have the ids that they have."""
    config["linux"]["namespaces"].append({"type": "user"})
    for name in ("uidMappings", "gidMappings"):
        config["linux"][name] = [{"containerID": 0, "hostID": 0, "size": 1000}]


@pytest.mark.tool("crun")
@pytest.mark.tool("runc")
@pytest.mark.parametrize(
    "change",
    [plain, with_user, with_mounts, with_seccomp, without_namespaces, with_user_namespace],
    ids=lambda change: change.__name__,
)
def test_program_sees_the_same_under_every_runtime(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    """Users, rights, limits, devices, mounts, walls and streams are those that crun or runc give."""
    tail = "; mkdir /tmp/new 2>&1" if change is with_seccomp else ""
    bundle = make_bundle(f"{tmp_path}/bundle", "sh", "-c", WORLD + tail, change=change)
    seen = {runtime.name: see(runtime, bundle) for runtime in (r(str(tmp_path)) for r in (ours, crun, runc))}

    # Where the two differ from each other we may be like either.
    allowed = {name: set(lines) for name, lines in seen.items() if name != "ours"}
    strange = [line for line in seen["ours"] if not any(line in lines for lines in allowed.values())]
    missing = (allowed["crun"] & allowed["runc"]) - set(seen["ours"])
    assert not strange and not missing, (strange, missing)


def see(runtime: Runtime, bundle: str) -> list[str]:
    """What the program prints under one runtime."""
    done = runtime("run", "--bundle", bundle, "differential")
    assert done.stdout, (runtime.name, done.stderr)
    return done.stdout.splitlines()
