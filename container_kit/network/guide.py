"""The way from an ordinary user's networks to the outside: pasta or slirp4netns, whichever is there.

Both take packets from an interface in the holder's namespace and send them as this user's own connections.
They run in the user's namespace, beside the holder, and end with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable

from container_kit.native.user_namespace import within

__all__ = ["GUIDES", "find_guides", "lead_outside"]

GUIDES = ("pasta", "slirp4netns")
# Where each answers for names, with what this host's own resolver says.
_PASTA_RESOLVER, _SLIRP_RESOLVER = "169.254.153.53", "10.0.2.3"
_PATIENCE_S = 10.0


def find_guides() -> dict[str, str]:
    """The programs that there are, in the order in which they are tried, and their paths."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/bin", "/bin"))
    found = ((name, shutil.which(name, path=path)) for name in GUIDES)
    return {name: place for name, place in found if place}


def lead_outside(holder: int, resolver_file: str) -> int | None:
    """Start a guide for the network namespace of the process *holder*; its process id.

    None when there is none, or none can work here (a host without any route has no outside to lead to).

    Args:
        resolver_file: Is written: whom to ask for names, as in ``resolv.conf``.
    """
    with open(resolver_file, "w", encoding="ascii"):
        pass  # without a guide nobody can be asked
    for name, path in find_guides().items():
        start, resolver = _STARTS[name]
        pid = within(start, path, f"/proc/{holder}/ns/net")
        if pid is not None:
            with open(resolver_file, "w", encoding="ascii") as file:
                file.write(f"nameserver {resolver}\n")
            return pid
    return None


def _pasta(path: str, namespace: str) -> int | None:
    """It goes into the background by itself when the way is open."""
    nothing = subprocess.DEVNULL
    with tempfile.NamedTemporaryFile(prefix="ckit-pasta-") as pid_file:
        options = [word for option in ("-t", "-u", "-T", "-U") for word in (option, "none")]
        command = [path, "--config-net", "--quiet", "--no-map-gw", *options]
        command += ["--dns-forward", _PASTA_RESOLVER, "--pid", pid_file.name, "--netns", namespace]
        try:
            # No pipes: what goes into the background would hold them.
            done = subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            return None
        text = pid_file.read()
    return int(text) if done.returncode == 0 and text.strip() else None


def _slirp(path: str, namespace: str) -> int | None:
    """It writes a byte when the way is open."""
    nothing = subprocess.DEVNULL
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as ready:
        try:
            command = [path, "--configure", "--mtu=65520", "--disable-host-loopback", f"--ready-fd={writing}"]
            process = subprocess.Popen(
                [*command, "--netns-type=path", namespace, "tap0"],
                stdin=nothing,
                stdout=nothing,
                stderr=nothing,
                pass_fds=[writing],
                start_new_session=True,
            )
        finally:
            os.close(writing)
        process.returncode = 0  # its parent is not this process, which has no end of it to wait for
        return process.pid if ready.read(1) else None


_STARTS: dict[str, tuple[Callable[[str, str], int | None], str]] = {
    "pasta": (_pasta, _PASTA_RESOLVER),
    "slirp4netns": (_slirp, _SLIRP_RESOLVER),
}
