"""Contexts of every kind give one tree; what the network gives is checked and bounded."""

from __future__ import annotations

import bz2
import gzip
import http.server
import io
import lzma
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from container_kit.build import archives
from container_kit.build.archives import is_tar, unpacked_fd
from container_kit.build.contexts import ContextSource, open_context
from container_kit.build.copying import TreeSource, plan_copy
from container_kit.build.downloading import downloaded
from container_kit.build.gitsource import GitReference
from container_kit.build.trees import Tree
from container_kit.errors import ContainerKitError, CorruptData, InvalidInput, LimitExceeded

FILES = {"Dockerfile": "FROM scratch\n", "a": "1", "d/b": "2", "d/c.log": "3", ".dockerignore": "**/*.log\n"}


def tar_of(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    return out.getvalue()


def as_directory(top: Path) -> ContextSource:
    for name, content in FILES.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(content)
    return top


def as_archive(compress: Callable[[bytes], bytes]) -> Callable[[Path], ContextSource]:
    def make(top: Path) -> ContextSource:
        (top / "context.tar").write_bytes(compress(tar_of(FILES)))
        return str(top / "context.tar")

    return make


def as_repository(top: Path) -> ContextSource:
    as_directory(top)
    git = ("git", "-C", str(top), "-c", "user.name=x", "-c", "user.email=x@x")
    for words in (("init", "-q", "-b", "main"), ("add", "-A", "-f"), ("commit", "-q", "-m", "x")):
        subprocess.run([*git, *words], check=True)
    return f"file://{top}"


KINDS = {
    "directory": as_directory,
    "mapping": lambda _: dict(FILES),
    "stream": lambda _: io.BytesIO(tar_of(FILES)),
    "tar": as_archive(bytes),
    "tar.gz": as_archive(gzip.compress),
    "tar.bz2": as_archive(bz2.compress),
    "tar.xz": as_archive(lzma.compress),
    "git": as_repository,
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_are_the_same_context(kind: str, tmp_path: Path) -> None:
    """Whatever a context comes from, it has the same files by the same rules, and gives the same key."""
    top, scratch = tmp_path / "top", tmp_path / "scratch"
    top.mkdir()
    scratch.mkdir()
    with open_context(KINDS[kind](top), scratch=str(scratch)) as context:
        assert context.dockerfile == b"FROM scratch\n"
        names = [node.path for node in context.tree.walk("")]
        assert names == [".dockerignore", "Dockerfile", "a", "d", "d/b"]
        assert context.tree.find("d/c.log") is None
        key = plan_copy([TreeSource(context.tree, "d")], "/x", parent_fd=None).key
    with open_context(FILES) as same:
        assert key == plan_copy([TreeSource(same.tree, "d")], "/x", parent_fd=None).key
    assert list(scratch.iterdir()) == []


def test_a_stream_may_be_a_dockerfile() -> None:
    """What is no archive is a Dockerfile with an empty context, as on docker's standard input."""
    with open_context(io.BytesIO(b"FROM x\n")) as context:
        assert context.dockerfile == b"FROM x\n"
        assert list(context.tree.walk("")) == []


def test_ignore_files_belong_to_their_dockerfile(tmp_path: Path) -> None:
    """``<Dockerfile>.dockerignore`` comes before ``.dockerignore``, inside and outside of the context."""
    files = {"x.Dockerfile": "", "x.Dockerfile.dockerignore": "a", ".dockerignore": "b", "a": "", "b": ""}
    with open_context(files, dockerfile="x.Dockerfile") as context:
        assert context.tree.find("a") is None
        assert context.tree.find("b") is not None
    (tmp_path / "out").write_text("FROM y\n")
    with open_context(files, dockerfile=tmp_path / "out") as context:
        assert context.dockerfile == b"FROM y\n"
        assert context.tree.find("b") is None
    (tmp_path / "out.dockerignore").write_text("a\n")
    with open_context(files, dockerfile=tmp_path / "out") as context:
        assert context.tree.find("b") is not None


def test_files_taken_back_from_an_ignored_directory_are_there() -> None:
    """A directory that is ignored is there with what a later rule takes back, and with nothing else."""
    files = {"d/a": "", "d/e/keep": "", "d/e/f": "", "g/h": "", ".dockerignore": "*\n!d/e/keep\n"}
    with open_context(files, dockerfile=None) as context:
        assert [node.path for node in context.tree.walk("")] == ["d", "d/e", "d/e/keep"]
        assert context.tree.find("d") is not None
        assert context.tree.find("g") is None


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("/no/such/place", "No such file"),
        ("/etc/hostname", "no directory and no archive"),
        ({}, "'Dockerfile'"),
        (3, "a path, a URL, an open file or a mapping"),
    ],
)
def test_what_is_no_context_is_told(source: ContextSource, part: str) -> None:
    """Missing places, other files and missing Dockerfiles are errors that say what was looked for."""
    with pytest.raises(InvalidInput, match=part), open_context(source):
        pass


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_archives_are_told_by_content(compress: Callable[[bytes], bytes]) -> None:
    """A tar is one whatever its name; other bytes are none, compressed or not."""
    assert is_tar(compress(tar_of(FILES)), "x")
    assert not is_tar(compress(b"no archive" * 100), "x.tar")
    assert not is_tar(compress(b""), "x.tar")
    assert not is_tar(compress(tar_of(FILES))[:20], "x.tar")


@pytest.mark.parametrize("compress", [bz2.compress, lzma.compress])
def test_archives_that_blow_up_meet_a_limit(
    compress: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive that unpacks to more than 200 times its size stops; one that is cut off is damaged."""
    monkeypatch.setattr(archives, "_RATIO_GRACE", 8 << 20)
    zeros = bytes(1 << 20)
    header = tarfile.TarInfo("zeros")
    header.size = 1 << 40
    part, beginning = (
        compress(zeros),
        compress(header.tobuf(tarfile.USTAR_FORMAT if header.size < 8 << 30 else tarfile.GNU_FORMAT)),
    )
    (tmp_path / "bomb").write_bytes(beginning + part * 20)
    for content, error in ((None, LimitExceeded), (compress(tar_of(FILES) * 10)[:-5], CorruptData)):
        if content is not None:
            (tmp_path / "bomb").write_bytes(content)
        with (
            open(tmp_path / "bomb", "rb") as file,
            pytest.raises(error),
            unpacked_fd(file.fileno(), "bomb", str(tmp_path)),
        ):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["bomb"]


REFERENCES = [
    ("https://h/a.git", ("https://h/a.git", "", "")),
    ("https://h/a.git#main:sub/dir", ("https://h/a.git", "main", "sub/dir")),
    ("https://h/a.git?ref=v1&subdir=x", ("https://h/a.git", "v1", "x")),
    ("git@h:a/b.git#v1.0", ("git@h:a/b.git", "v1.0", "")),
    ("ssh://git@h/a#:x", ("ssh://git@h/a", "", "x")),
    ("git://h/a", ("git://h/a", "", "")),
    ("github.com/a/b", ("https://github.com/a/b", "", "")),
    ("https://h/a.tar.gz", None),
    ("https://h/a", None),
    ("./a.git", None),
    ("file:///a.git", None),
    ("-oX@h:a", None),
    ("ext::sh -c x.git", None),
    ("git@h:a b", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "parts"), REFERENCES, ids=[text for text, _ in REFERENCES])
def test_git_references(text: str, parts: tuple[str, str, str] | None) -> None:
    """What is a repository is told from what is not, with its ref and directory."""
    found = GitReference.parse(text)
    assert (found and (found.url, found.ref, found.directory)) == parts


@pytest.mark.parametrize(
    "text",
    ["https://h/a.git#--upload-pack=x", "https://h/a.git#a..b", "https://h/a.git#main:../x",
     "https://h/a.git#a b",
     "https://h/a.git#:a/../../b", "https://h/a.git?evil=1", "https://h/a.git#a@{1}"],
)  # fmt: skip
def test_git_references_that_cannot_be_meant(text: str) -> None:
    """Refs that look like options or ranges, and directories that lead out, are refused."""
    with pytest.raises(InvalidInput):
        GitReference.parse(text)


@pytest.mark.tool("git")
def test_repositories_by_branch_tag_and_commit(tmp_path: Path) -> None:
    """A context is the commit that was asked for, with the commit's time, and a checksum is checked."""
    top = tmp_path / "repository"
    top.mkdir()
    address = as_repository(top)
    git = ("git", "-C", str(top), "-c", "user.name=x", "-c", "user.email=x@x")
    first = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    (top / "a").write_text("changed")
    subprocess.run([*git, "commit", "-q", "-a", "-m", "y"], check=True)
    subprocess.run([*git, "tag", "v1", first], check=True)
    for ref, content in (("", b"changed"), ("#main", b"changed"), ("#v1", b"1"), (f"#{first}", b"1")):
        with open_context(f"{address}{ref}", dockerfile=None) as context:
            with open(context.tree.open("a"), "rb") as file:
                assert file.read() == content
            assert context.tree.find(".git") is None
            assert context.tree.time_ns
    with open_context(f"{address}#v1:d", dockerfile=None) as context:
        assert [node.path for node in context.tree.walk("")] == ["b", "c.log"]
    for wrong, part in ((f"{address}?checksum=0000000#v1", "not 0000000"), (f"{address}#nope", "fetch"),
                        (f"{address}#v1:nope", "no directory")):  # fmt: skip
        with pytest.raises(ContainerKitError, match=part), open_context(wrong, dockerfile=None):
            pass


@pytest.fixture
def site() -> Iterator[str]:
    """A server on loopback: a file, a tar, a redirect to itself, and a body without an end."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/loop":
                self.send_response(302)
                self.send_header("Location", "/loop")
                self.end_headers()
                return
            self.send_response(200 if self.path in ("/f", "/f?x=y", "/t", "/endless") else 404)
            self.send_header("Last-Modified", "Thu, 01 Jan 2015 00:00:00 GMT")
            self.end_headers()
            if self.path == "/endless":
                try:
                    while True:
                        self.wfile.write(bytes(1 << 16))
                except OSError:
                    return
            self.wfile.write(tar_of(FILES) if self.path == "/t" else b"content")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_downloads_are_files_with_the_servers_time(site: str, tmp_path: Path) -> None:
    """A URL gives one file of mode 0600, called as the path ends, as old as the server says."""
    right = f"sha256:{sha256(b'content').hexdigest()}"
    with downloaded(f"{site}/f?x=y", scratch=str(tmp_path)) as download:
        listed = download.tree.lstat(download.name)
        assert listed is not None
        assert (download.name, listed.mode & 0o777, listed.modified_ns) == ("f", 0o600, 1420070400 * 10**9)
    with downloaded(f"{site}/f", checksum=right, scratch=str(tmp_path)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_downloads_are_checked_and_bounded(site: str, tmp_path: Path) -> None:
    """A wrong digest, an endless body, a circle of redirects and a missing file end with what went wrong."""
    wrong = f"sha256:{'0' * 64}"
    for path, arguments, error in (
        ("/f", {"checksum": wrong}, CorruptData),
        ("/f", {"checksum": "md5:00"}, InvalidInput),
        ("/endless", {"max_bytes": 1 << 20}, LimitExceeded),
        ("/loop", {}, ContainerKitError),
        ("/missing", {}, InvalidInput),
    ):
        with pytest.raises(error), downloaded(f"{site}{path}", scratch=str(tmp_path), **arguments):  # type: ignore[arg-type]
            pass
    assert list(tmp_path.iterdir()) == []


def test_an_archive_on_the_web_is_a_context(site: str) -> None:
    """A URL of a tar is a context as the tar is."""
    with open_context(f"{site}/t") as context:
        assert context.dockerfile == b"FROM scratch\n"


def test_a_deep_tree_is_refused(tmp_path: Path) -> None:
    """A context deeper than 256 directories is an error, not an exhausted stack."""
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=here)
        there = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    os.close(here)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(LimitExceeded, match="deeper than 256"):
            list(Tree(fd).walk(""))
    finally:
        os.close(fd)
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)
