"""What is in an image: one line for each file, and the part of its configuration that a Dockerfile writes."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from typing import Any

from container_kit.build.trees import Tree
from container_kit.containers.engine import Engine
from container_kit.images import Image
from container_kit.images.views import view

__all__ = ["configuration", "files", "listing"]


def files(image: Image, engine: Engine, below: str = "") -> dict[str, str]:
    """Type, mode, owner and content of each file below *below*, by path; no times."""
    found: dict[str, str] = {}
    with view(engine.store, image.layers) as root:
        tree = Tree(root)
        for node in tree.walk(below):
            listed = node.listed
            about = f"{stat.filemode(listed.mode)} {listed.uid}:{listed.gid}"
            if stat.S_ISREG(listed.mode):
                fd = tree.open(node.path)
                with open(fd, "rb") as file:
                    about += " " + sha256(file.read()).hexdigest()[:12]
            elif stat.S_ISLNK(listed.mode):
                about += f" -> {listed.target}"
            elif listed.rdev:
                about += f" {os.major(listed.rdev)},{os.minor(listed.rdev)}"
            found[node.path] = about
    return found


def listing(image: Image, engine: Engine, below: str) -> str:
    """As `files`, without contents, in lines to be compared with a text."""
    lines = (f"{' '.join(about.split()[:2])} {path}" for path, about in files(image, engine, below).items())
    return "\n".join(sorted(lines, key=lambda line: line.split()[2]))


def configuration(image: Image) -> dict[str, Any]:
    """What runs how, by the image's configuration; unset is what is empty."""
    config = dict(image.inspect()["Config"] or {})
    kept = ("Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "OnBuild", "Shell",
            "StopSignal", "User", "Volumes", "WorkingDir")  # fmt: skip
    return {key: config[key] for key in kept if config.get(key)}
