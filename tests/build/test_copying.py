"""Plans of COPY and ADD: keys by content, layers that are the same bytes, and what stands in the way."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from container_kit.build import hashes
from container_kit.build.copying import CopyOptions, CopyPlan, Source, TextSource, TreeSource, plan_copy
from container_kit.build.dockerfile import IgnoreRules
from container_kit.build.hashes import HashCache
from container_kit.build.ownership import parse_chmod, resolve_owner
from container_kit.build.trees import Tree
from container_kit.errors import Conflict, InvalidInput
from container_kit.images.layers import stream

DIGESTS = Tree.digests


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Tree]:
    """A context with a file, two directories and a link; its files belong to root in images."""
    top = tmp_path / "context"
    (top / "dir/sub").mkdir(parents=True)
    (top / "one").write_text("1")
    (top / "dir/a").write_text("a")
    (top / "dir/sub/b").write_text("b")
    (top / "dir/l").symlink_to("../one")
    fd = os.open(top, os.O_RDONLY)
    yield Tree(fd, owner=(0, 0))
    os.close(fd)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[int]:
    """The root of an image with a directory, a file, and links to both."""
    top = tmp_path / "image"
    (top / "etc/deep").mkdir(parents=True)
    (top / "etc/file").write_text("x")
    (top / "etc/deep").chmod(0o700)
    (top / "to-etc").symlink_to("/etc")
    (top / "to-file").symlink_to("etc/file")
    (top / "loose").symlink_to("not/there")
    fd = os.open(top, os.O_RDONLY)
    yield fd
    os.close(fd)


def plan(sources: Sequence[Source] | Source, to: str, image: int | None = None, **options: Any) -> CopyPlan:
    listed = sources if isinstance(sources, Sequence) else [sources]
    return plan_copy(listed, to, parent_fd=image, options=CopyOptions(**options))


def written(of: CopyPlan) -> bytes:
    def read(fd: int) -> bytes:
        with open(fd, "rb", closefd=False) as file:
            return file.read()

    return stream(of.write, read)


def entries(of: CopyPlan) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(written(of))) as archive:
        return [f"{member.mode:o} {member.uid}:{member.gid} {member.name}" for member in archive]


def test_the_same_plan_is_the_same_bytes(context: Tree) -> None:
    """A layer does not depend on when or how often it is written."""
    first, second = (plan(TreeSource(context, "."), "/x/") for _ in range(2))
    assert written(first) == written(first) == written(second)
    assert first.key == second.key


def test_times_alone_change_no_key(context: Tree, tmp_path: Path) -> None:
    """Touching files leaves the key; any other change of a file gives another."""
    source = TreeSource(context, ".")
    before = plan(source, "/x/").key
    os.utime(tmp_path / "context/one", (1, 1))
    os.utime(tmp_path / "context/dir", (1, 1))
    assert plan(source, "/x/").key == before
    (tmp_path / "context/one").chmod(0o600)
    assert plan(source, "/x/").key != before


def _other_content(top: Path) -> None:
    (top / "dir/a").write_text("A")


def _other_name(top: Path) -> None:
    (top / "dir/a").rename(top / "dir/aa")


def _other_link(top: Path) -> None:
    (top / "dir/l").unlink()
    (top / "dir/l").symlink_to("../two")


def _more(top: Path) -> None:
    (top / "dir/new").mkdir()


def _other_type(top: Path) -> None:
    (top / "dir/a").unlink()
    (top / "dir/a").mkdir()


def _other_xattr(top: Path) -> None:
    os.setxattr(top / "dir/a", "user.x", b"y")


@pytest.mark.parametrize(
    "change", [_other_content, _other_name, _other_link, _more, _other_type, _other_xattr]
)
def test_every_change_changes_the_key(change: Callable[[Path], None], context: Tree, tmp_path: Path) -> None:
    """Content, names, targets of links, types and attributes are part of the key, if they are copied."""
    source, aside = TreeSource(context, "dir"), TreeSource(context, "one")
    before, before_aside = plan(source, "/x").key, plan(aside, "/x").key
    change(tmp_path / "context")
    assert plan(source, "/x").key != before
    assert plan(aside, "/x").key == before_aside


@pytest.mark.parametrize(
    "change", [_other_content, _other_name, _other_link, _more, _other_type, _other_xattr, None]
)
def test_remembered_keys_are_those_that_would_be_computed(
    change: Callable[[Path], None] | None, context: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key is found again without a look at any file's content, and only while nothing has changed."""
    monkeypatch.setattr(hashes, "_TICK_NS", -(1 << 62))  # the files of this test are a moment old
    monkeypatch.setattr(hashes, "_COARSE_TICK_NS", -(1 << 62))
    place = str(tmp_path / "hashes")
    for _ in range(2):
        cached = attrs.evolve(context, hashes=HashCache(place))
        before = plan(TreeSource(cached, "dir"), "/x").key
        assert cached.hashes is not None
        cached.hashes.save()
    assert before == plan(TreeSource(context, "dir"), "/x").key
    if change is not None:
        change(tmp_path / "context")
    seen: list[object] = []
    monkeypatch.setattr(Tree, "digests", lambda self, nodes: seen.append(nodes) or DIGESTS(self, nodes))
    again = attrs.evolve(context, hashes=HashCache(place))
    after = plan(TreeSource(again, "dir"), "/x")
    key = after.key
    assert bool(seen) == (change is not None)
    assert key == plan(TreeSource(context, "dir"), "/x").key
    assert (key == before) == (change is None)
    assert written(after) == written(plan(TreeSource(context, "dir"), "/x"))
    for other in ({"exclude": ("sub",)}, {"chmod": "700"}, {"owner": (1, 1)}):
        assert plan(TreeSource(again, "dir"), "/x", **other).key != key
    assert plan(TreeSource(again, "dir"), "/y").key != key
    ignoring = attrs.evolve(again, rules=IgnoreRules.parse("**/sub"))
    assert plan(TreeSource(ignoring, "dir"), "/x").key != key


OPTIONS = st.fixed_dictionaries(
    {
        "owner": st.none() | st.tuples(st.integers(0, 3), st.integers(0, 3)),
        "chmod": st.sampled_from(["", "600", "u+s", "a=r"]),
        "exclude": st.sampled_from([(), ("a",), ("sub",)]),
    }
)
STEPS = st.tuples(
    st.sampled_from(["one", "dir", "dir/sub/", "d*"]), st.sampled_from(["/x", "/x/", "/y/z"]), OPTIONS
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(first=STEPS, second=STEPS)
def test_equal_keys_are_equal_layers(first: Any, second: Any, context: Tree) -> None:
    """Two copies have one key exactly when they write the same bytes."""
    plans = [plan(TreeSource(context, path), to, **options) for path, to, options in (first, second)]
    layers = [written(each) for each in plans]
    assert (plans[0].key == plans[1].key) == (layers[0] == layers[1])


def test_names_with_line_ends_cannot_forge_another_key(context: Tree, tmp_path: Path) -> None:
    """No name of a file can look like the end of one entry and the beginning of another."""
    directory = tmp_path / "context/n"
    directory.mkdir()
    (directory / "a\n100644 0 0 0 1 0").write_text("1")
    (directory / "b").write_text("2")
    before = plan(TreeSource(context, "n"), "/x").key
    (directory / "a\n100644 0 0 0 1 0").rename(directory / "a\n100644 0 0 0 1 0 ")
    assert plan(TreeSource(context, "n"), "/x").key != before


def test_directories_on_the_way_are_those_of_the_image(context: Tree, image: int) -> None:
    """What the image has keeps owner and mode, what it lacks is root's with 0755, or --chown's."""
    one = TreeSource(context, "one")
    user = f"{os.getuid()}:{os.getgid()}"
    assert entries(plan(one, "/etc/deep/n/x", image)) == [
        f"755 {user} etc", f"700 {user} etc/deep", "755 0:0 etc/deep/n", "644 0:0 etc/deep/n/x",
    ]  # fmt: skip
    assert entries(plan(one, "/n/x", image, owner=(5, 6))) == ["755 5:6 n", "644 5:6 n/x"]
    assert entries(plan(one, "/n/x", image, chmod="600")) == ["755 0:0 n", "600 0:0 n/x"]


@pytest.mark.parametrize(
    ("source", "to", "path"),
    [
        ("one", "/to-etc/x", "etc/x"), ("one", "/to-etc", "etc/one"),
        ("one", "/to-etc/deep/", "etc/deep/one"),
        ("one", "/to-file", "etc/file"), ("one", "/loose", "not/there"), ("one", "/loose/", "not/there/one"),
        ("one", "/", "one"), ("one", "/../..", "one"), ("one", "/etc/../n", "n"),
        ("dir", "/to-etc", "etc/sub/b"),
        ("dir", "/loose", "not/there/a"), ("one", "/etc/file", "etc/file"),
    ],
)  # fmt: skip
def test_destinations_follow_the_links_of_the_image(
    source: str, to: str, path: str, context: Tree, image: int
) -> None:
    """A destination through links lands where they lead inside the image."""
    assert path in [entry.split()[2] for entry in entries(plan(TreeSource(context, source), to, image))]


@pytest.mark.parametrize(
    ("source", "to", "why"),
    [
        ("one", "/etc/file/x", "no directory"),
        ("one", "/etc/file/", "no directory"),
        ("dir", "/etc/file", "no directory"),
        ("etc", "/", "is a file"),
        ("etc2", "/", "with a file"),
        ("missing", "/x", "no such file"),
        ("dri", "/x", "did you mean 'dir'"),
        ("dir/l/x", "/x", "no such file"),
    ],
)
def test_what_stands_in_the_way_is_named(
    source: str, to: str, why: str, context: Tree, image: int, tmp_path: Path
) -> None:
    """Files where a directory must be, directories where a file must be, and missing sources are errors."""
    (tmp_path / "context/etc/etc/file").mkdir(parents=True)
    (tmp_path / "context/etc2").mkdir()
    (tmp_path / "context/etc2/etc").write_text("")
    with pytest.raises(InvalidInput, match=why):
        plan(TreeSource(context, source), to, image)


def test_several_sources_need_a_directory(context: Tree, image: int) -> None:
    """Two sources to a name without a slash are refused, unless the image has a directory there."""
    sources = [TreeSource(context, "one"), TextSource("doc", b"text")]
    with pytest.raises(InvalidInput, match=r"slash: /x/"):
        plan(sources, "/x", image)
    assert [entry.split()[2] for entry in entries(plan(sources, "/etc", image))] == [
        "etc",
        "etc/doc",
        "etc/one",
    ]


def test_files_that_change_meanwhile_are_told(context: Tree, tmp_path: Path) -> None:
    """A file that is another one when it is written than when it was planned is a conflict."""
    planned = plan(TreeSource(context, "."), "/x/")
    assert planned.key
    (tmp_path / "context/one").write_text("longer")
    with pytest.raises(Conflict, match="'one'"):
        written(planned)


def test_hard_links_stay_links(context: Tree, tmp_path: Path) -> None:
    """Two names of one file are two names of one file in the layer, with one content."""
    os.link(tmp_path / "context/dir/a", tmp_path / "context/dir/sub/z")
    with tarfile.open(fileobj=io.BytesIO(written(plan(TreeSource(context, "dir"), "/x")))) as archive:
        assert archive.getmember("x/sub/z").linkname == "x/a"


def test_capabilities_are_kept(context: Tree, tmp_path: Path) -> None:
    """Attributes of the user, and capabilities, are in the layer."""
    os.setxattr(tmp_path / "context/one", "user.colour", b"red")
    with tarfile.open(fileobj=io.BytesIO(written(plan(TreeSource(context, "one"), "/x")))) as archive:
        assert archive.getmember("x").pax_headers["SCHILY.xattr.user.colour"] == "red"


@pytest.mark.parametrize(("epoch", "newest"), [(None, 300), (200, 200), (500, 300)])
def test_times_are_those_of_the_inputs_and_never_after_the_epoch(
    epoch: int | None, newest: int, context: Tree, tmp_path: Path
) -> None:
    """Files keep their times up to the epoch; new directories are as new as the newest input."""
    for name, time in (("dir/a", 100), ("dir/sub/b", 300), ("dir/sub", 300), ("dir", 100)):
        os.utime(tmp_path / "context" / name, (time, time))
    os.utime(tmp_path / "context/dir/l", (100, 100), follow_symlinks=False)
    layer = written(plan(TreeSource(context, "dir"), "/new/x", epoch=epoch))
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        times = {member.name: member.mtime for member in archive}
    assert times == {"new": newest, "new/x": newest, "new/x/a": 100, "new/x/l": 100, "new/x/sub": newest,
                     "new/x/sub/b": newest}  # fmt: skip


def test_known_digests_are_not_read_again(context: Tree, tmp_path: Path) -> None:
    """A cache gives the digest of a file that is as it was, survives in a file, and never a stale one."""
    place = str(tmp_path / "hashes")
    os.utime(tmp_path / "context/one", (1, 1))
    listed = context.lstat("one")
    assert listed is not None
    cache = HashCache(place)
    cache._used[listed[2], listed[3], listed[5], listed[6], listed[7]] = b"k" * 32, False
    cache._is_new = True
    cache.save()
    again = HashCache(place)
    assert again.get(listed) == (b"k" * 32, False)
    (tmp_path / "context/one").write_text("2")
    changed = context.lstat("one")
    assert changed is not None
    assert again.get(changed) is None
    again.put(changed, b"n" * 32, False)
    assert again.get(changed) is None  # it changed a moment ago, and may again within the same tick
    Path(place).write_bytes(Path(place).read_bytes()[:-1] + b"!")
    assert HashCache(place).get(listed) is None


MODES = [
    ("644", 0o755, False, 0o644), ("4755", 0o600, False, 0o4755), ("0", 0o777, False, 0),
    ("u+x", 0o644, False, 0o744), ("+x", 0o644, False, 0o755), ("+w", 0o444, False, 0o644),
    ("go-rwx", 0o777, False, 0o700),
    ("a=r", 0o777, False, 0o444), ("u=rwX,go=rX", 0o600, False, 0o644), ("u=rwX,go=rX", 0o600, True, 0o755),
    ("u=rwX,go=rX", 0o711, False, 0o755), ("g=u", 0o640, False, 0o660), ("u+s,g+s,+t", 0o755, False, 0o7755),
    ("o=", 0o777, False, 0o770), ("u-s", 0o4755, False, 0o755), ("u+r-w", 0o200, False, 0o400),
]  # fmt: skip


@pytest.mark.parametrize(("text", "before", "is_dir", "after"), MODES, ids=[mode[0] for mode in MODES])
def test_modes(text: str, before: int, is_dir: bool, after: int) -> None:
    """Octal modes replace, symbolic ones change as chmod does."""
    change = parse_chmod(text)
    assert change is not None
    assert change(before, is_dir) == after


@pytest.mark.parametrize("text", ["8", "77777", "u", "u+y", "x+r", "u+x,", "u=rg", "-1", "0x1"])
def test_modes_that_are_none(text: str) -> None:
    """Anything else is an error that says what a mode is."""
    with pytest.raises(InvalidInput, match="octal such as 0755"):
        parse_chmod(text)


@pytest.mark.parametrize(
    ("chown", "owner"),
    [
        ("5", (5, 5)),
        ("5:6", (5, 6)),
        ("app", (7, 8)),
        ("app:9", (7, 9)),
        ("5:staff", (5, 50)),
        (":6", (0, 6)),
    ],
)
def test_owners(chown: str, owner: tuple[int, int]) -> None:
    """Numbers are taken as they are, names are looked up in the image."""
    accounts = {"/etc/passwd": b"app:x:7:8::/:/bin/sh\n", "/etc/group": b"staff:x:50:\n"}
    assert resolve_owner(chown, accounts.get) == owner


@pytest.mark.parametrize("chown", ["nobody-here", "5:no-group", "4294967296", "app:-1", "a b"])
def test_owners_that_are_unknown(chown: str) -> None:
    """Unknown names and impossible numbers are errors."""
    with pytest.raises(InvalidInput):
        resolve_owner(chown, lambda _: b"")


def test_special_files_of_an_image_are_copied(context: Tree, tmp_path: Path) -> None:
    """Pipes are copied, sockets are not: nobody listens to them."""
    os.mkfifo(tmp_path / "context/dir/pipe")
    os.mknod(tmp_path / "context/dir/socket", stat.S_IFSOCK | 0o600)
    names = [entry.split()[2] for entry in entries(plan(TreeSource(context, "dir"), "/x"))]
    assert "x/pipe" in names
    assert "x/socket" not in names
