"""The words of ELF files, and the search for libraries."""

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import CorruptData
from container_kit.images.elf import read_elf
from container_kit.images.libraries import Loader, search_directories

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="builds its own libraries")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program with a library that only its RUNPATH, written with $ORIGIN, can find."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib.c").write_text("int answer(void) { return 42; }\n")
    (tmp_path / "main.c").write_text("int answer(void); int main(void) { return answer() - 42; }\n")
    build = ["cc", "-w", "-o"]
    library = [*build, "lib/libanswer.so.1", "-shared", "-fPIC", "-Wl,-soname,libanswer.so.1", "lib.c"]
    main = [*build, "main", "main.c", "lib/libanswer.so.1", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/lib"]
    for command in (library, main):
        subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path / "main"


@needs_compiler
def test_words_are_what_the_linker_was_told(program: Path) -> None:
    """Needed libraries, run path, loader and soname are read as they were linked."""
    elf = read_elf(str(program))
    library = read_elf(str(program.parent / "lib/libanswer.so.1"))

    assert elf is not None and library is not None
    assert elf.needed[0] == "libanswer.so.1" and any(name.startswith("libc.") for name in elf.needed)
    assert elf.runpath == ("$ORIGIN/lib",)
    assert elf.interpreter is not None and os.path.exists(elf.interpreter)
    assert library.soname == "libanswer.so.1" and library.interpreter is None
    assert elf.kind == library.kind


@needs_compiler
def test_libraries_are_found_as_the_loader_finds_them(program: Path) -> None:
    """Every library resolves to the file that ldd, which asks the real loader, names."""
    elf = read_elf(str(program))
    assert elf is not None
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    expected = {line.split()[0]: line.split()[2] for line in listing.splitlines() if "=>" in line}

    loader = Loader()
    for name in elf.needed:
        found = loader.find(name, elf, str(program), (elf, str(program)))
        assert found is not None
        assert os.path.realpath(found) == os.path.realpath(expected[name])


@needs_compiler
def test_a_library_of_another_class_is_passed_over(program: Path) -> None:
    """A file of the right name but the wrong machine is skipped, as the loader skips it."""
    elf = read_elf(str(program))
    assert elf is not None
    library = program.parent / "lib/libanswer.so.1"
    damaged = bytearray(library.read_bytes())
    damaged[18:20] = struct.pack("<H", 40)  # e_machine: ARM
    library.write_bytes(damaged)

    assert Loader().find("libanswer.so.1", elf, str(program), (elf, str(program))) is None


def test_other_files_are_no_elf(tmp_path: Path) -> None:
    """Text, an empty file and a short file are told apart from ELF without an error."""
    for content in (b"", b"\x7fEL", b"#!/bin/sh\n", b"hello"):
        (tmp_path / "file").write_bytes(content)
        assert read_elf(str(tmp_path / "file")) is None


@given(damage=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), min_size=1, max_size=30))
def test_damaged_headers_are_an_error_or_read(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    """Whatever stands in the headers, the answer is words, None or CorruptData: never another error."""
    content = bytearray(Path("/bin/sh").read_bytes())
    for offset, value in damage:
        content[offset] = value
    file = tmp_path_factory.mktemp("elf") / "file"
    file.write_bytes(content)

    try:
        read_elf(str(file))
    except CorruptData as error:
        assert str(file) in str(error)


def test_a_file_cut_off_anywhere_is_corrupt(tmp_path: Path) -> None:
    """A program whose tail is missing is named as corrupt when its words lie in the tail."""
    content = Path("/bin/sh").read_bytes()
    file = tmp_path / "file"
    file.write_bytes(content[: len(content) // 8])

    with pytest.raises(CorruptData, match="cannot be one"):
        read_elf(str(file))


def test_directories_come_from_conf_and_its_includes(tmp_path: Path) -> None:
    """ld.so.conf is read with its includes and comments; a circle of includes ends."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/b.conf").write_text("/opt/b\n")
    (tmp_path / "conf.d/a.conf").write_text("# first\n/opt/a  # trailing\n")
    conf = tmp_path / "ld.so.conf"
    conf.write_text(f"include conf.d/*.conf\n/opt/c\ninclude {conf}\n")

    assert search_directories(str(conf)) == ("/opt/a", "/opt/b", "/opt/c")
    assert search_directories(str(tmp_path / "absent")) == ()
