"""Trees by descriptor: no path, link or depth leads out of the root."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.errors import KernelError
from container_kit.native._binding import lib
from container_kit.native.trees import mkdirs_beneath, open_beneath, remove_tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory with a secret beside it."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def root_fd(root: Path) -> Iterator[int]:
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture(autouse=True, params=["openat2", "walk"])
def either_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """With openat2, and as on a host whose sandbox refuses it."""
    lib.ck_beneath_force_walk(request.param == "walk")
    yield
    lib.ck_beneath_force_walk(False)


def _errno(call: object, *arguments: object, **options: object) -> int:
    assert callable(call)
    with pytest.raises(KernelError) as caught:
        call(*arguments, **options)
    assert caught.value.errno is not None
    return caught.value.errno


@pytest.mark.parametrize(
    "path", ["../secret", "/../secret", "link", "absolute", "up/secret", "a/../../secret"]
)
def test_no_path_leads_out(root: Path, root_fd: int, path: str) -> None:
    """Dot-dot, absolute paths and links end inside the root, where there is no such file."""
    (root / "a").mkdir()
    (root / "link").symlink_to("../secret")
    (root / "absolute").symlink_to(root.parent / "secret")
    (root / "up").symlink_to("..")
    assert _errno(open_beneath, root_fd, path, os.O_RDONLY) == errno.ENOENT
    assert _errno(open_beneath, root_fd, path, os.O_RDONLY, in_root=False) == errno.EXDEV


def test_inner_links_resolve_as_in_a_chroot(root: Path, root_fd: int) -> None:
    """An absolute link means the root, not the host; no_symlinks refuses it."""
    (root / "file").write_text("inside")
    (root / "link").symlink_to("/file")
    fd = open_beneath(root_fd, "/link", os.O_RDONLY)
    assert os.read(fd, 100) == b"inside"
    assert not os.get_inheritable(fd)
    os.close(fd)
    assert _errno(open_beneath, root_fd, "link", os.O_RDONLY, no_symlinks=True) == errno.ELOOP


def test_mkdirs_makes_what_is_missing(root: Path, root_fd: int) -> None:
    """Missing parents appear; existing ones, and links to directories inside, are used."""
    (root / "real").mkdir()
    (root / "link").symlink_to("/real")
    for _ in range(2):
        os.close(mkdirs_beneath(root_fd, "/link//x/y/", 0o700))
    assert (root / "real/x/y").is_dir()


def test_mkdirs_stays_inside(root: Path, root_fd: int) -> None:
    """Links that point out, dangling links and files in the way make nothing outside."""
    (root / "out").symlink_to("../new")
    (root / "file").write_text("")
    assert _errno(mkdirs_beneath, root_fd, "out/x") == errno.ENOENT
    assert _errno(mkdirs_beneath, root_fd, "file/x") == errno.ENOTDIR
    os.close(mkdirs_beneath(root_fd, "../../up"))
    assert (root / "up").is_dir()
    assert not (root.parent / "new").exists() and not (root.parent / "up").exists()


def test_remove_tree_removes_everything_and_follows_nothing(root: Path, root_fd: int) -> None:
    """Files, links, FIFOs and closed directories go; what links point to stays."""
    tree = root / "tree"
    (tree / "a/b").mkdir(parents=True)
    for number in range(2000):
        (tree / f"a/{number}").write_text("")
    (tree / "out").symlink_to(root.parent)
    (tree / "a/b/out").symlink_to(root.parent / "secret")
    os.mkfifo(tree / "fifo")
    (tree / "a/b").chmod(0)
    remove_tree(root_fd, "tree")
    remove_tree(root_fd, "tree")
    assert os.listdir(root) == []
    assert (root.parent / "secret").read_text() == "secret"


def test_remove_tree_of_any_depth(root: Path, root_fd: int) -> None:
    """A tree far deeper than PATH_MAX, or than the limit of open files, is removed."""
    fd = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=fd)
        below = os.open("deep", os.O_RDONLY, dir_fd=fd)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=below))
        os.close(fd)
        fd = below
    os.close(fd)
    remove_tree(root_fd, "deep")
    assert os.listdir(root) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/"])
def test_remove_tree_takes_a_name_not_a_path(root_fd: int, name: str) -> None:
    """Anything but a single name is refused before the file system is touched."""
    assert _errno(remove_tree, root_fd, name) == errno.EINVAL


@pytest.mark.root
@pytest.mark.parametrize("walk", [False, True])
@pytest.mark.parametrize("mount", ["mount -t tmpfs none", "mount --bind {}/elsewhere"])
def test_remove_tree_stops_at_a_mount_point(root: Path, walk: bool, mount: str) -> None:
    """A file system mounted in the tree is neither entered nor emptied."""
    script = f"""
    mkdir -p {root}/tree/mnt {root}/elsewhere && {mount.format(root)} {root}/tree/mnt
    touch {root}/tree/mnt/kept
    {sys.executable} -c 'import os
from container_kit.errors import KernelError
from container_kit.native._binding import lib
from container_kit.native.trees import remove_tree
lib.ck_beneath_force_walk({walk})
try: remove_tree(os.open("{root}", os.O_PATH), "tree")
except KernelError as error: print(error.errno)'
    ls {root}/tree/mnt
    """
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(errno.EBUSY), "kept"], done.stderr
