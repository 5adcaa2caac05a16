"""Root file systems of Debian's packages, made once and kept outside of the project.

Also a program that stands for mmdebstrap in the documentation's examples: ``python -m tests.debian …`` makes
what its arguments make, or takes what they made the last time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from container_kit.testing.locks import locked
from tests.own_network import host_network

CACHE = Path(os.environ.get("CK_TEST_CACHE", "/var/cache/container-kit-tests"))
SUITE = "bookworm"
# What no service needs, and is most of some packages.
_LEFT_OUT = ("doc", "man", "locale", "info")
_EXCLUDED = [
    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT),
    "--dpkgopt=path-exclude=/usr/lib/*/libLLVM*",
    "--dpkgopt=path-exclude=/usr/lib/postgresql/*/lib/bitcode/*",
]


def root_file_system(*packages: str) -> Path:
    """The tar of a small Debian with *packages*."""
    return made(["--variant=minbase", f"--include={','.join(sorted(packages))}", SUITE])


def made(arguments: Sequence[str]) -> Path:
    """The tar that mmdebstrap makes with *arguments*, but for what no service needs."""
    arguments = [*_EXCLUDED, *arguments]
    digest = hashlib.sha256("\0".join(arguments).encode()).hexdigest()[:16]
    archive = CACHE / f"{digest}.tar"
    if not archive.exists():
        CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
        with locked(str(CACHE / f"{digest}.lock")), host_network():
            if not archive.exists():
                _make(arguments, archive)
    return archive


def _make(arguments: Sequence[str], archive: Path) -> None:
    draft = archive.with_suffix(".new.tar")
    environment = {**os.environ, "TMPDIR": "/tmp"}
    command = [real_mmdebstrap(), *arguments, str(draft)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stderr[-4000:]}"
    draft.rename(archive)


def real_mmdebstrap() -> str:
    """The program itself, not what stands for it."""
    found = shutil.which("mmdebstrap", path="/usr/bin:/bin")
    assert found is not None, "mmdebstrap is not installed"
    return found


if __name__ == "__main__":
    *given, target = sys.argv[1:]
    shutil.copyfile(made(given), target)
