"""Platforms of a build: the arguments that tell a Dockerfile about them, and which can run programs here."""

from __future__ import annotations

import os

from container_kit.oci import Platform

__all__ = ["can_run", "platform_arguments"]

_BINFMT = "/proc/sys/fs/binfmt_misc"
# What QEMU's packages call their interpreters, by GOARCH.
_QEMU = {
    "386": "i386", "amd64": "x86_64", "arm": "arm", "arm64": "aarch64", "loong64": "loongarch64",
    "mips64le": "mips64el", "ppc64le": "ppc64le", "riscv64": "riscv64", "s390x": "s390x",
}  # fmt: skip


def platform_arguments(target: Platform, stage: str = "") -> dict[str, str]:
    """The predefined arguments about platforms, for use in FROM, or in a stage that declares them.

    Source: Dockerfile reference, "Automatic platform ARGs in the global scope".
    """
    found: dict[str, str] = {}
    for prefix, platform in (("BUILD", Platform.host()), ("TARGET", target)):
        found[f"{prefix}PLATFORM"] = str(platform)
        found[f"{prefix}OS"] = platform.os
        found[f"{prefix}ARCH"] = platform.architecture
        found[f"{prefix}VARIANT"] = platform.variant
    found["TARGETSTAGE"] = stage or "default"
    return found


def can_run(platform: Platform) -> bool:
    """Whether programs for *platform* run here: natively, or because the kernel has an interpreter."""
    host = Platform.host()
    if host.runs(platform):
        return True
    if platform.os != host.os:
        return False
    try:
        name = _QEMU.get(platform.architecture, platform.architecture)
        with open(os.path.join(_BINFMT, f"qemu-{name}")) as file:
            return file.readline().strip() == "enabled"
    except OSError:
        return False
