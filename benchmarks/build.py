"""Builds beside buildah and BuildKit: six steps, three of them programs, and a context of 20 000 small files.

All sides begin with the same root file system; cold means that no step is taken from the cache. Ours is
measured in this process and as the whole command; the others are commands, BuildKit's to a running daemon.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import attrs

import container_kit as ck
from benchmarks.docker import Docker
from benchmarks.harness import Side, Table, interleaved, timed
from benchmarks.runner import Runner
from benchmarks.stage import Stage, copy_host_programs

SIX = """FROM {base}
WORKDIR /app
COPY a /app/a
RUN cat a > b
ENV A=b
RUN echo 1 > /one
COPY a /app/c
RUN cat a c > d
"""
MANY = "FROM {base}\nCOPY . /app\n"
DIRECTORIES, FILES = 200, 100


def run(stage: Stage) -> None:
    """Rows: each build cold, and again when all of it is cached."""
    copy_host_programs(stage)
    (stage.rootfs / "bin").symlink_to("usr/bin")
    six, many = _six(stage.path / "six"), _many(stage.path / "many")
    with Runner() as runner, ck.Engine(stage.store) as engine, Docker.started(stage) as docker:
        ck.Image.from_rootfs(stage.rootfs, tag="bench", engine=engine)
        buildah = Buildah(runner, stage)
        buildah.prepare()
        if docker is not None:
            print(f"- {docker.version()}")
            docker.import_tree(stage.rootfs, "bench")
        table = Table("Build: six steps, and a copy of 20 000 small files")
        for name, context, rounds in (("six steps", six, 15), ("20 000 files", many, 5)):
            for cold in (True, False):
                sides = {
                    "container_kit": _ours(engine, context, cold),
                    "container-kit build": _command(stage, context, cold),
                    "buildah": buildah.build(context, cold),
                }
                if docker is not None:
                    sides["BuildKit"] = docker.build(context, cold)
                table.add(f"{name}, {'cold' if cold else 'cached'}", interleaved(sides, rounds))
        table.show()


def _six(path: Path) -> Path:
    path.mkdir()
    (path / "a").write_text("a\n")
    return _dockerfiles(path, SIX)


def _many(path: Path) -> Path:
    for directory in range(DIRECTORIES):
        (path / f"d{directory}").mkdir(parents=True)
        for number in range(FILES):
            (path / f"d{directory}/f{number}").write_text(f"{directory}.{number}\n" * 20)
    return _dockerfiles(path, MANY)


def _dockerfiles(path: Path, text: str) -> Path:
    (path / "Dockerfile").write_text(text.format(base="bench"))
    (path / "Dockerfile.buildah").write_text(text.format(base="localhost/bench"))
    (path / ".dockerignore").write_text("Dockerfile*\n.dockerignore\n")
    return path


def _ours(engine: ck.Engine, context: Path, cold: bool) -> Side:
    return timed(lambda: ck.Image.build(context, tag="built", no_cache=cold, engine=engine))


def _command(stage: Stage, context: Path, cold: bool) -> Side:
    program = "from container_kit.cli import main; main()"
    command = [sys.executable, "-c", program, "--root", str(stage.store), "build", "-q", "-t", "built"]
    command += ["--no-cache"] if cold else []
    return timed(lambda: subprocess.run([*command, str(context)], check=True, stdout=subprocess.DEVNULL))


@attrs.frozen
class Buildah:
    """buildah with store and configuration on the stage."""

    runner: Runner
    stage: Stage

    def command(self, *arguments: str) -> list[str]:
        base = self.stage.path / "buildah"
        return [
            "env", f"CONTAINERS_CONF={base}/containers.conf", f"CONTAINERS_STORAGE_CONF={base}/storage.conf",
            "buildah", "--root", f"{base}/root", "--runroot", f"{base}/run", "--storage-driver", "overlay",
            *arguments,
        ]  # fmt: skip

    def prepare(self) -> None:
        """Write its configuration and make the base image ``bench``."""
        base = self.stage.path / "buildah"
        base.mkdir()
        limits = 'default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]\n'
        (base / "containers.conf").write_text(f'[containers]\n{limits}[engine]\nevents_logger = "file"\n')
        (base / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\nrunroot = "{base}/run"\ngraphroot = "{base}/root"\n'
        )
        version = subprocess.run(["buildah", "--version"], capture_output=True, text=True, check=True).stdout
        print(f"- {version.strip()}")
        self.runner.run(*self.command("from", "--name", "base", "scratch"))
        self.runner.run(*self.command("add", "-q", "base", str(self.stage.rootfs), "/"))
        self.runner.run(*self.command("commit", "-q", "base", "bench"))

    def build(self, context: Path, cold: bool) -> Side:
        """``buildah build`` without a network, as our steps have none."""
        options = ["build", "-q", "--layers", "--network", "none", "-t", "built"]
        options += ["--no-cache"] if cold else []
        command = self.command(*options, "-f", str(context / "Dockerfile.buildah"), str(context))
        return lambda: self.runner.run(*command)
