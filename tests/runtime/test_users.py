"""S08: who a container's process is, from files of an image that may be anything."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import ContainerKitError, InvalidInput, LimitExceeded
from container_kit.runtime import users
from container_kit.runtime.users import (
    ResolvedUser,
    layers_reader,
    resolve_in_layers,
    resolve_user,
    root_reader,
)

MOST_S, MOST_KB = 0.05, 10 * 1024  # processor time and memory for one look-up

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
app:x:1000:1000::/home/app:/bin/sh
1001:x:0:0:digits as a name:/root:/bin/sh
big:x:2147483648:0::/:/bin/sh
minus:x:-1:0::/:/bin/sh
short:x:5
relative:x:7:7::home:/bin/sh
"""
GROUP = (
    "root:x:0:\nwheel:x:10:root,app\napp:x:1000:\naudio:x:29:app\nrapp:x:30:xapp,appx\nbig:x:4294967296:\n"
)


def from_texts(path: str) -> bytes | None:
    return {"/etc/passwd": PASSWD.encode(), "/etc/group": GROUP.encode()}.get(path)


RIGHT = [
    ("", ResolvedUser(0, 0, (0, 10), "root", "/root")),
    ("0", ResolvedUser(0, 0, (0, 10), "root", "/root")),
    ("root", ResolvedUser(0, 0, (0, 10), "root", "/root")),
    ("app", ResolvedUser(1000, 1000, (1000, 10, 29), "app", "/home/app")),
    ("1000", ResolvedUser(1000, 1000, (1000, 10, 29), "app", "/home/app")),
    ("01000", ResolvedUser(1000, 1000, (1000, 10, 29), "app", "/home/app")),
    ("1000:", ResolvedUser(1000, 1000, (1000, 10, 29), "app", "/home/app")),
    ("app:audio", ResolvedUser(1000, 29, (29,), "app", "/home/app")),
    ("app:0", ResolvedUser(1000, 0, (0,), "app", "/home/app")),
    ("1001", ResolvedUser(1001, 0, (0,))),
    ("4242:4343", ResolvedUser(4242, 4343, (4343,))),
    ("2147483647", ResolvedUser(2147483647, 0, (0,))),
    ("relative", ResolvedUser(7, 7, (7,), "relative", "/")),
]


@pytest.mark.parametrize(("user", "expected"), RIGHT)
def test_a_user_is_the_right_one(user: str, expected: ResolvedUser) -> None:
    """Names by the files, digits always as a number, groups as the account has them."""
    assert resolve_user(user, from_texts) == expected


WRONG = [
    "0x0", "-1", "+1", "1e3", " 1", "1 ", "2147483648", "4294967295", "4294967296",
    "18446744073709551616", "9" * 100_000, ":0", ":", "app:missing", "missing", "app:-1",
    "app:4294967296", "app:big", "app:app:app", "big", "minus", "short", "app\n", "ap\0p", "\u0661",
    "root:x", "1000:1000:0", "../../etc/passwd", "x" * 300,
]  # fmt: skip


@pytest.mark.parametrize("user", WRONG, ids=lambda user: repr(user[:24]))
def test_anything_else_is_an_error_and_never_root(user: str) -> None:
    """A number that would wrap, a sign, another base, an unknown name: none of them becomes uid 0."""
    started = time.process_time()
    with pytest.raises(InvalidInput):
        resolve_user(user, from_texts)
    assert time.process_time() - started < MOST_S


@given(st.text(max_size=20))
def test_only_root_becomes_root(user: str) -> None:
    """Whatever the text, uid 0 comes only from nothing, zero, or the name of an account with uid 0."""
    try:
        found = resolve_user(user, from_texts)
    except ContainerKitError:
        return
    name = user.partition(":")[0]
    assert (found.uid == 0) == (name in ("", "root") or name.strip("0") == "")


def test_further_groups_are_added() -> None:
    """By name and number, each once, the account's own first."""
    assert resolve_user("app", from_texts, ("audio", "77", "77")).additional_gids == (1000, 10, 29, 77)
    with pytest.raises(InvalidInput, match="missing"):
        resolve_user("app", from_texts, ("missing",))


def test_without_files_numbers_still_work() -> None:
    """An image without /etc/passwd runs as a number, or as root; a name cannot be looked up."""
    assert resolve_user("1000", lambda path: None) == ResolvedUser(1000, 0, (0,))
    with pytest.raises(InvalidInput, match="use a number"):
        resolve_user("app", lambda path: None)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    """A root directory with an /etc."""
    (tmp_path / "etc").mkdir()
    yield tmp_path


def resolve_in(root: Path, user: str) -> ResolvedUser:
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        by_root = resolve_user(user, root_reader(fd))
    finally:
        os.close(fd)
    assert by_root == resolve_user(user, layers_reader([str(root)]))
    return by_root


def cost_of(image: Path) -> tuple[float, int]:
    """Processor time in seconds, and kB of memory, that looking a user up takes; it may be refused."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before, started = _memory_kb("VmRSS"), time.process_time()
    with contextlib.suppress(ContainerKitError):
        resolve_in(image, "user")
    return time.process_time() - started, _memory_kb("VmHWM") - before


def _memory_kb(name: str) -> int:
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0])


@pytest.mark.parametrize("size", [None, 1 << 40], ids=["a million lines", "a terabyte"])
def test_a_passwd_without_end_is_refused_at_once(image: Path, size: int | None) -> None:
    """More than 2 MiB are not read, which takes less than 50 ms and 10 MB (CVE-2026-47262)."""
    (image / "etc/passwd").write_text("user:x:1:1::/:/bin/sh\n" * 1_000_000)
    if size is not None:
        os.truncate(image / "etc/passwd", size)
    with pytest.raises(LimitExceeded, match="bytes"):
        resolve_in(image, "user")
    seconds, kilobytes = cost_of(image)
    assert seconds < MOST_S and kilobytes < MOST_KB


def test_control_without_the_limit_it_costs_more(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a reader that takes the whole file needs more than it may."""
    (image / "etc/passwd").write_text("user%:x:1:1::/:/bin/sh\n" * 1_000_000)
    monkeypatch.setattr(users, "_LARGEST_FILE", 1 << 30)
    seconds, kilobytes = cost_of(image)
    assert seconds > MOST_S or kilobytes > MOST_KB


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def _link_to_device(path: Path) -> None:
    os.mknod(path.parent / "zero", 0o20666, os.makedev(1, 5))
    path.symlink_to("zero")


@pytest.mark.root
@pytest.mark.parametrize("make", [_fifo, _socket, _link_to_device, Path.mkdir])
def test_a_passwd_that_is_no_file_is_refused_without_opening_it(image: Path, make: object) -> None:
    """A FIFO would wait for ever, a device might do anything (CVE-2024-9676)."""
    assert callable(make)
    make(image / "etc/passwd")
    with pytest.raises(InvalidInput, match="not a regular file"):
        resolve_in(image, "app")


@pytest.mark.parametrize("target", ["/etc/real", "../etc/real", "../../../../etc/real", "real"])
def test_links_stay_inside_the_image(image: Path, target: str) -> None:
    """A link is followed as the container would follow it, never to the host's file."""
    (image / "etc/real").write_text(PASSWD)
    (image / "etc/passwd").symlink_to(target)
    assert resolve_in(image, "app").uid == 1000


def test_a_link_to_the_hosts_passwd_finds_nothing(image: Path) -> None:
    """The host's accounts do not exist in the image."""
    (image / "etc/passwd").symlink_to("/proc/self/root/etc/passwd")
    with pytest.raises(InvalidInput):
        resolve_in(image, "daemon")


def test_a_chain_of_links_ends(image: Path) -> None:
    """Links that lead in a circle are an error, not a loop."""
    (image / "etc/passwd").symlink_to("group")
    (image / "etc/group").symlink_to("passwd")
    with pytest.raises(InvalidInput):
        fd = os.open(image, os.O_PATH)
        try:
            resolve_user("app", root_reader(fd))
        finally:
            os.close(fd)
    with pytest.raises(LimitExceeded, match="links"):
        resolve_user("app", layers_reader([str(image)]))


@pytest.fixture
def layers(tmp_path: Path) -> tuple[str, ...]:
    """Two layers; the lower one has accounts."""
    for name in ("upper", "lower"):
        (tmp_path / name / "etc").mkdir(parents=True)
    (tmp_path / "lower/etc/passwd").write_text(PASSWD)
    (tmp_path / "lower/etc/group").write_text(GROUP)
    return str(tmp_path / "upper"), str(tmp_path / "lower")


def test_the_uppermost_layer_decides(layers: tuple[str, ...]) -> None:
    """A file in an upper layer hides the lower one's; what it lacks comes from below."""
    assert resolve_in_layers(layers, "app").uid == 1000
    Path(layers[0], "etc/passwd").write_text("app:x:2000:2000::/:\n")
    assert resolve_user("app", layers_reader(layers)) == ResolvedUser(2000, 2000, (2000, 10, 29), "app", "/")


@pytest.mark.root
@pytest.mark.parametrize("hider", ["whiteout", "opaque", "file", "link"])
def test_what_an_upper_layer_hides_stays_hidden(layers: tuple[str, ...], hider: str) -> None:
    """A deleted file, an opaque directory, and a file or link in place of the directory."""
    etc = Path(layers[0], "etc")
    if hider == "whiteout":
        os.mknod(etc / "passwd", 0o20000, 0)
    elif hider == "opaque":
        os.setxattr(etc, "trusted.overlay.opaque", b"y")
    else:
        etc.rmdir()
        etc.write_text("") if hider == "file" else etc.symlink_to("/nowhere")
    with pytest.raises(InvalidInput):
        resolve_user("app", layers_reader(layers))
