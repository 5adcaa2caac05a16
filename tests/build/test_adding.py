"""ADD of what the network has: URLs with checksums, repositories with refs; from loopback."""

from __future__ import annotations

import functools
import http.server
import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from container_kit.build import copies
from container_kit.containers.engine import Engine
from container_kit.errors import BuildFailed, ContainerKitError
from container_kit.images import Image
from tests.build.listing import files, listing

pytestmark = pytest.mark.root


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A directory served on loopback, with a file and an archive in it."""
    top = tmp_path / "site"
    top.mkdir()
    (top / "tool").write_text("tool\n")
    with tarfile.open(top / "packed.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("in/side")
        member.size, member.uid = 2, 7
        archive.addfile(member, io.BytesIO(b"x\n"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(top)))
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", top
    server.shutdown()
    thread.join()
    server.server_close()


def built(engine: Engine, line: str) -> str:
    image = Image.build({}, dockerfile=f"FROM scratch\n{line}\n".encode(), engine=engine)
    return listing(image, engine, "x")


def test_urls_become_files(engine: Engine, site: tuple[str, Path]) -> None:
    """A URL is a file of mode 0600, and an archive only where --unpack asks for it."""
    address, top = site
    digest = sha256((top / "tool").read_bytes()).hexdigest()
    assert (
        built(engine, f"ADD --checksum=sha256:{digest} --chmod=755 {address}/tool /x/")
        == "-rwxr-xr-x 0:0 x/tool"
    )
    assert built(engine, f"ADD --chown=5:6 {address}/tool?v=1 /x/named") == "-rw------- 5:6 x/named"
    assert built(engine, f"ADD {address}/packed.tar.gz /x/") == "-rw------- 0:0 x/packed.tar.gz"
    unpacked = built(engine, f"ADD --unpack {address}/packed.tar.gz /x/")
    assert unpacked == "drwxr-xr-x 0:0 x/in\n-rw-r--r-- 7:0 x/in/side"


def test_urls_that_are_not_what_was_asked_for(engine: Engine, site: tuple[str, Path]) -> None:
    """A wrong checksum, a checksum of a local file and a missing page fail with the line that asked."""
    address, _ = site
    for line, part in (
        (f"ADD --checksum=sha256:{'0' * 64} {address}/tool /x/", "not sha256:000"),
        ("ADD --checksum=sha256:00 local /x/", "for one URL"),
        (f"ADD {address}/missing /x/", "404"),
        ("ADD http://127.0.0.1:9/x /x/", "127.0.0.1"),
    ):
        with pytest.raises(ContainerKitError, match=part):
            built(engine, line)


@pytest.mark.tool("git")
def test_repositories_become_directories(engine: Engine, site: tuple[str, Path]) -> None:
    """A repository is added by ref and directory, without its history unless that is asked for."""
    address, top = site
    work = top / "work"
    git = ("git", "-C", str(work), "-c", "user.name=x", "-c", "user.email=x@x")
    subprocess.run(["git", "init", "-q", "-b", "main", str(work)], check=True)
    (work / "d").mkdir()
    (work / "d/f").write_text("1")
    (work / "top").write_text("1")
    for words in (("add", "-A"), ("commit", "-q", "-m", "x"), ("tag", "v1")):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(top / "r.git")], check=True)
    subprocess.run(["git", "-C", str(top / "r.git"), "update-server-info"], check=True)
    whole = "drwxr-xr-x 0:0 x/d\n-rw-r--r-- 0:0 x/d/f\n-rw-r--r-- 0:0 x/top"
    assert built(engine, f"ADD {address}/r.git /x") == whole
    assert built(engine, f"ADD --checksum={commit} {address}/r.git#v1 /x/") == whole
    assert built(engine, f"ADD {address}/r.git#{commit}:d /x/") == "-rw-r--r-- 0:0 x/f"
    assert " x/.git/HEAD" in built(engine, f"ADD --keep-git-dir {address}/r.git /x/")
    for line, part in (
        (f"ADD --checksum=0000000 {address}/r.git /x", "not 0000000"),
        (f"ADD {address}/r.git#nope /x", "fetch"),
        (f"ADD {address}/r.git#main:nope /x", "no directory"),
    ):
        with pytest.raises(ContainerKitError, match=part):
            built(engine, line)


@pytest.mark.tool("git")
def test_a_dockerfile_reads_repositories_with_the_agent_that_was_given(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Dockerfile may be anyone's: the caller's agent and files of keys are not for it."""
    said = tmp_path / "said"
    ssh = tmp_path / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\necho "${{SSH_AUTH_SOCK:-none}} $*" >> {said}\nexit 1\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/callers/agent")
    line = b"FROM scratch\nADD git@localhost:private/repository.git /x\n"

    for given, agent in (({}, "none"), ({"ssh": {"default": "/given/agent"}}, "/given/agent")):
        said.write_text("")
        with pytest.raises(ContainerKitError, match="git fetch"):
            Image.build({}, dockerfile=line, engine=engine, **given)
        assert {words.split()[0] for words in said.read_text().splitlines()} == {agent}
        assert all("IdentityFile=none" in words for words in said.read_text().splitlines())
    said.write_text("")
    with pytest.raises(ContainerKitError, match="git fetch"):
        Image.build("ssh://git@localhost/own.git", engine=engine)
    assert {words.split()[0] for words in said.read_text().splitlines()} == {"/callers/agent"}


@pytest.mark.tool("git")
def test_passwords_in_urls_are_not_shown(engine: Engine, site: tuple[str, Path]) -> None:
    """Neither errors nor the history have the user and the password of a URL."""
    address, _ = site
    secret = address.replace("//", "//me:pa55w0rd@")
    for line in (f"ADD {secret}/missing /x/", f"ADD {secret}/missing.git /x/"):
        with pytest.raises(BuildFailed) as caught:
            Image.build(
                {},
                dockerfile=f"FROM scratch\nARG U={secret}\n{line.replace(secret, '$U')}\n".encode(),
                engine=engine,
            )
        assert "pa55w0rd" not in str(caught.value)
        assert "***@127.0.0.1" in str(caught.value)
    image = Image.build({}, dockerfile=f"FROM scratch\nADD {secret}/tool /x/\n".encode(), engine=engine)
    assert "pa55w0rd" not in repr(image.config.raw)


def test_what_cannot_be_reached_is_said_in_plain_words(engine: Engine) -> None:
    """The host and what the system says of it, not the words of a library."""
    with pytest.raises(ContainerKitError, match=r"from 127\.0\.0\.1: Connection refused$"):
        built(engine, "ADD http://127.0.0.1:9/x /x/")


def test_a_layer_never_gets_the_key_of_other_content(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changes after it was looked at fails the build; the next build has what is there then."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "f").write_text("first")
    planned = copies._One._planned

    def change_first(one: copies._One, sources: Any) -> Any:
        (context / "f").write_text("second")
        return planned(one, sources)

    with monkeypatch.context() as patched:
        patched.setattr(copies._One, "_planned", change_first)
        with pytest.raises(ContainerKitError, match="changed while they were copied"):
            Image.build(context, dockerfile=b"FROM scratch\nCOPY . /\n", engine=engine)
    (context / "f").write_text("first")
    first = Image.build(context, dockerfile=b"FROM scratch\nCOPY . /\n", engine=engine)
    assert "a7937b64b8ca" in files(first, engine)["f"]  # SHA-256 of "first"
