"""Describes the extension ``container_kit.native._ckit`` to cffi (API mode, limited API).

Every C file in this folder is compiled in; what Python may call is declared in ``cdef/``.
Set ``CK_SANITIZE=1`` for an address and undefined-behaviour sanitizer build.
"""

import os
import subprocess
import tempfile
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent

WARNINGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-unused-function"]
HARDENING = ["-O2", "-fstack-protector-strong", "-fstack-clash-protection", "-fvisibility=hidden"]
HARDENED_LINK = ["-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]
SANITIZE = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-omit-frame-pointer"]

# Decompressors are linked when their headers are there; a build without one says so in `features`.
OPTIONAL = [
    ("CK_HAVE_ISAL", "isa-l/igzip_lib.h", "isal"),
    ("CK_HAVE_ZLIB", "zlib.h", "z"),
    ("CK_HAVE_ZSTD", "zstd.h", "zstd"),
]


def _links(header: str, library: str) -> bool:
    """Whether a program that includes *header* and links *library* can be built here."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.c"
        source.write_text(f"#include <stdio.h>\n#include <{header}>\nint main(void) {{ return 0; }}\n")
        command = [
            *os.environ.get("CC", "cc").split(),
            str(source),
            "-o",
            str(source.with_suffix("")),
            f"-l{library}",
        ]
        return subprocess.run(command, capture_output=True).returncode == 0


sanitize = os.environ.get("CK_SANITIZE") == "1"
found = [(macro, library) for macro, header, library in OPTIONAL if _links(header, library)]

ffibuilder = FFI()
for fragment in sorted((HERE / "cdef").glob("*.h")):
    ffibuilder.cdef(fragment.read_text())
ffibuilder.set_source(
    "container_kit.native._ckit",
    '#include "ckit.h"',
    # Relative to the project: setuptools refuses absolute source paths.
    sources=sorted(f"_native/{path.name}" for path in HERE.glob("*.c")),
    include_dirs=["_native"],
    depends=sorted(f"_native/{path.name}" for path in HERE.glob("*.h")),
    define_macros=[("_GNU_SOURCE", "1"), *((macro, "1") for macro, _ in found)],
    libraries=["pthread", *(library for _, library in found)],
    extra_compile_args=[*WARNINGS, *(SANITIZE if sanitize else HARDENING)],
    extra_link_args=SANITIZE[2:3] if sanitize else HARDENED_LINK,
    py_limited_api=True,
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
