"""The same Dockerfiles, built by us and by buildah: equal files, modes, owners and configurations.

Where buildah 1.28 does something else than BuildKit, or does not know a word, the expected listing
stands in `tests.build.dockerfiles`.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.build.trees import Tree
from container_kit.containers.engine import Engine
from container_kit.images import Image
from container_kit.images.views import view
from tests.build.buildah import Buildah
from tests.build.dockerfiles import EQUAL, EVERY_TIME, EXPECTED
from tests.build.listing import configuration, files, listing

pytestmark = [pytest.mark.root, pytest.mark.tool("buildah")]

APPLETS = (
    "sh", "cat", "chmod", "chown", "cp", "echo", "env", "grep", "id", "ln", "ls", "mkdir", "mkfifo", "pwd",
    "rm", "test", "touch", "true",
)  # fmt: skip
PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:App:/home/app:/bin/sh\nweb:x:33:33::/:/bin/sh\n"
GROUP = "root:x:0:\napp:x:1001:\nweb:x:33:\nstaff:x:50:app\n"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of every kind that a context can have."""
    top = tmp_path_factory.mktemp("context")
    contents = {
        "one.txt": "1\n", "two.txt": "2\n", "three.md": "3\n", "with space.txt": "s\n", "brackets[1]": "b\n",
        "dir/a": "a\n", "dir/sub/b": "b\n", "dir/sub/deep/c": "c\n", "dir2/a": "other\n", "dir2/z": "z\n",
        "many/x1.c": "1\n", "many/x2.c": "2\n", "many/y1.h": "h\n", "many/in/x3.c": "3\n",
        "script.sh": "#!/bin/sh\n",
        "secret": "s\n", "empty": "", "ünïcode": "u\n", ".hidden": "h\n", "dir/.hidden": "h\n",
    }  # fmt: skip
    for path, content in contents.items():
        place = top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    (top / "script.sh").chmod(0o755)
    (top / "secret").chmod(0o600)
    (top / "dir2").chmod(0o750)
    (top / "dir/sub").chmod(0o711)
    (top / "void").mkdir()
    (top / "to-one").symlink_to("one.txt")
    (top / "to-dir").symlink_to("dir")
    (top / "dir/up").symlink_to("../one.txt")
    (top / "dangling").symlink_to("nowhere")
    os.link(top / "dir/a", top / "dir/a-too")
    for name, mode in (("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tar.bz2", "w:bz2"), ("a.tar.xz", "w:xz")):
        with tarfile.open(top / name, mode) as archive:  # type: ignore[call-overload]
            for member in ("dir2", "one.txt", "to-one"):
                archive.add(top / member, f"packed/{member}", filter=_owned_by_seven)
    (top / "no.tar").write_text("no archive\n")
    return top


def _owned_by_seven(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid, member.gid, member.uname, member.gname = 7, 8, "", ""
    return member


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A docker archive of the image ``base``: busybox, three accounts, and links for directories."""
    top = tmp_path_factory.mktemp("base")
    root = top / "root"
    for directory in ("bin", "etc", "usr/lib", "var/data", "tmp", "home/app", "opt/there", "root"):
        (root / directory).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for name in APPLETS:
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    for directory in ("dev", "proc", "sys", "run"):  # what buildah makes for every RUN and leaves
        (root / directory).mkdir()
    for name in ("hostname", "hosts", "resolv.conf"):
        (root / "etc" / name).touch(0o755)
    (root / "lib").symlink_to("usr/lib")
    (root / "data").symlink_to("/var/data")
    (root / "loose").symlink_to("/var/not/there")
    (root / "opt/there/old").write_text("old\n")
    (root / "opt/there").chmod(0o700)
    os.chown(root / "opt/there", 33, 33)
    (root / "tmp").chmod(0o1777)
    with Engine(top / "store") as engine:
        image = Image.from_rootfs(
            root, "base:1", {"Env": ["PATH=/bin", "FROM_BASE=yes"], "Cmd": ["/bin/sh"]}, engine=engine
        )
        image.save(top / "base.tar")
    shutil.rmtree(top / "store")
    return top / "base.tar"


@pytest.fixture(scope="module")
def engine(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(tmp_path_factory.mktemp("ours") / "root") as engine:
        Image.load(base, engine=engine)
        yield engine


@pytest.fixture(scope="module")
def buildah(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Buildah:
    found = Buildah(tmp_path_factory.mktemp("theirs"))
    found.pull(base)
    return found


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in EVERY_TIME else pytest.mark.trial) for name in EQUAL]
)
def test_builds_are_equal(name: str, context: Path, engine: Engine, buildah: Buildah) -> None:
    """Files with types, modes, owners and contents, and the configuration, are those that buildah makes."""
    dockerfile = f"FROM base:1 AS first\n{EQUAL[name]}\n"
    theirs = buildah.build(f"case-{name}", dockerfile, context, engine)
    ours = Image.build(context, dockerfile=dockerfile.encode(), engine=engine)
    assert files(ours, engine) == files(theirs, engine)
    assert configuration(ours) == configuration(theirs)


@pytest.mark.parametrize("name", EXPECTED)
def test_what_only_buildkit_has(name: str, context: Path, engine: Engine) -> None:
    """Flags and forms that buildah 1.28 lacks give the files that BuildKit's reference describes."""
    dockerfile, expected = EXPECTED[name]
    image = Image.build(context, dockerfile=f"FROM base:1 AS first\n{dockerfile}\n".encode(), engine=engine)
    assert listing(image, engine, "new") == expected


def test_configurations_that_buildah_writes_otherwise(context: Path, engine: Engine) -> None:
    """SHELL is what runs a CMD in shell form; paths of volumes may have blanks."""
    text = b'FROM base:1\nSHELL ["/bin/sh", "-xc"]\nCMD echo hi\nVOLUME ["/x y"]\n'
    found = configuration(Image.build(context, dockerfile=text, engine=engine))
    assert found["Cmd"] == ["/bin/sh", "-xc", "echo hi"]
    assert found["Volumes"] == {"/x y": {}}


def test_documents_are_expanded_as_they_say(context: Path, engine: Engine) -> None:
    """A heredoc has its variables replaced unless its name is quoted; ``<<-`` takes tabs away."""
    text = b"FROM base:1\nENV a=1\nCOPY <<E <<-'F' /new/\n$a '$a' \\$a\nE\n\t$a\n\tF\n"
    image = Image.build(context, dockerfile=text, engine=engine)
    assert _content(image, engine, "new/E") == "1 '1' $a\n"
    assert _content(image, engine, "new/F") == "$a\n"


def _content(image: Image, engine: Engine, path: str) -> str:
    with view(engine.store, image.layers) as root, open(Tree(root).open(path), encoding="utf-8") as file:
        return file.read()
