"""Buildah with a storage of its own, in a mount namespace of its own: what our builds are compared with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import attrs

from container_kit.containers.engine import Engine
from container_kit.images import Image

__all__ = ["Buildah"]


@attrs.frozen
class Buildah:
    """Builds in *directory*, which may be removed afterwards."""

    directory: Path

    def pull(self, archive: Path) -> None:
        """Take the images of a docker archive in."""
        self._run("pull", "--quiet", f"docker-archive:{archive}")

    def build(self, name: str, dockerfile: str, context: Path, engine: Engine, *flags: str) -> Image:
        """The image that buildah makes of *dockerfile*, in the store of *engine*."""
        file = self.directory / f"{name}.Dockerfile"
        file.write_bytes(dockerfile.encode("utf-8", "surrogateescape"))
        build = ("bud", "--isolation", "chroot", "--format", "docker", "--identity-label=false", "--quiet")
        self._run(*build, "--layers=false", "-t", name, "-f", str(file), *flags, str(context))
        archive = self.directory / f"{name}.tar"
        self._run("push", "--quiet", name, f"docker-archive:{archive}:{name}:theirs")
        [image] = Image.load(archive, engine=engine)
        archive.unlink()
        return image

    def _run(self, *words: str) -> None:
        place = str(self.directory)
        storage = ("--root", f"{place}/root", "--runroot", f"{place}/run", "--storage-driver", "vfs")
        command = ["unshare", "--mount", "buildah", *storage, *words]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"buildah {' '.join(words)}: {done.stderr}"
