"""Describes the extension ``container_kit.native._ckit`` to cffi (API mode, limited API).

Every C file in this folder is compiled in; what Python may call is declared in ``cdef/``.
Set ``CK_SANITIZE=address`` for an address and undefined-behaviour sanitizer build, in which a test can also
make the n-th allocation fail; ``CK_SANITIZE=thread`` for a thread sanitizer build.
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
SANITIZERS = {"address": "-fsanitize=address,undefined", "thread": "-fsanitize=thread"}
DEBUGGABLE = ["-O1", "-g", "-fno-omit-frame-pointer"]
# In the address build: calls of these lead to faults/allocations.c, also those of static libraries.
WRAPPED = ("malloc", "calloc", "realloc", "strdup")

# Decompressors are linked when their headers are there; a build without one says so in `features`.
OPTIONAL = [
    ("CK_HAVE_ISAL", "isa-l/igzip_lib.h", "isal", "isal_inflate"),
    ("CK_HAVE_ZLIB", "zlib.h", "z", "inflate"),
    ("CK_HAVE_ZSTD", "zstd.h", "zstd", "ZSTD_decompressStream"),
]


def _links(header: str, library: str, symbol: str) -> bool:
    """Whether a shared object that includes *header* and calls *symbol* can be linked with *library* here."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.c"
        source.write_text(f"#include <stdio.h>\n#include <{header}>\nvoid *probe = (void *){symbol};\n")
        output = str(source.with_suffix(".so"))
        command = [
            *os.environ.get("CC", "cc").split(),
            "-shared",
            "-fPIC",
            str(source),
            "-o",
            output,
            library,
        ]
        return subprocess.run(command, capture_output=True).returncode == 0


def _choose(header: str, library: str, symbol: str) -> str | None:
    """How to link *library*: its static archive, so that a wheel needs no package at run time, or shared."""
    static = f"-l:lib{library}.a"
    return next((way for way in (static, f"-l{library}") if _links(header, way, symbol)), None)


sanitize = SANITIZERS.get(os.environ.get("CK_SANITIZE", ""))
with_faults = os.environ.get("CK_SANITIZE") == "address"
chosen = {macro: _choose(header, library, symbol) for macro, header, library, symbol in OPTIONAL}
found = {macro: way for macro, way in chosen.items() if way}

ffibuilder = FFI()
for fragment in sorted((HERE / "cdef").glob("*.h")):
    ffibuilder.cdef(fragment.read_text())
ffibuilder.set_source(
    "container_kit.native._ckit",
    '#include "ckit.h"',
    # Relative to the project: setuptools refuses absolute source paths.
    sources=sorted(f"_native/{path.name}" for path in HERE.glob("*.c"))
    + (["_native/faults/allocations.c"] if with_faults else []),
    include_dirs=["_native"],
    depends=sorted(f"_native/{path.name}" for path in HERE.glob("*.h")),
    define_macros=[("_GNU_SOURCE", "1"), *((macro, "1") for macro in found)],
    libraries=["pthread"],
    extra_compile_args=[*WARNINGS, *([*DEBUGGABLE, sanitize] if sanitize else HARDENING)],
    # Symbols of static archives stay inside: another extension may bring its own version of the library.
    extra_link_args=[
        *found.values(),
        "-Wl,--exclude-libs,ALL",
        *([sanitize] if sanitize else HARDENED_LINK),
        *(f"-Wl,--wrap={name}" for name in WRAPPED if with_faults),
    ],
    py_limited_api=True,
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
