"""Builds the two native parts: the cffi extension and the static helper ``ckit-init``.

Everything else about the package is declared in pyproject.toml.
"""

import os
import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

NATIVE = Path("_native")

# Freestanding: no C library, so the program stays far below 100 kB and starts in microseconds.
INIT_FLAGS = [
    "-std=gnu11", "-Os", "-g0", "-Wall", "-Wextra", "-Werror",
    "-static", "-nostdlib", "-nostartfiles", "-ffreestanding", "-fno-builtin",
    "-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fcf-protection=none",
    "-fno-pie", "-ffunction-sections", "-fdata-sections",
    "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-z,norelro",
    "-Wl,-z,noseparate-code",
]  # fmt: skip


class BuildNative(build_ext):
    """Builds ``ckit-init`` beside the extension, so that one ``pip install`` gives both."""

    def run(self) -> None:
        super().run()
        target = Path(".") if self.inplace else Path(self.build_lib)
        build_init(target / "container_kit" / "native" / "ckit-init")


def build_init(output: Path) -> None:
    sources = sorted(str(path) for path in (NATIVE / "init").glob("*.c"))
    if not sources:
        return
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler.split()[0]) is None:
        raise SystemExit(f"cannot build ckit-init: no C compiler named {compiler!r}; install gcc or set CC")
    output.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([*compiler.split(), *INIT_FLAGS, "-o", str(output), *sources], check=True)


setup(
    cffi_modules=["_native/build.py:ffibuilder"],
    cmdclass={"build_ext": BuildNative},
)
