"""No Dockerfile and no context reads, writes or runs anything outside of its build."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

import container_kit as ck
from container_kit.build.contexts import open_context
from container_kit.containers.engine import Engine
from container_kit.errors import ContainerKitError
from container_kit.images import Image
from tests.build.escapes import CASES, prepared
from tests.build.listing import files

pytestmark = pytest.mark.root

TOKEN = "canary-3f9c1b7e"
SECRET = "hidden-8d21aa05"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A directory of the host that no build may touch, or read."""
    top = tmp_path / "canary"
    (top / "sub").mkdir(parents=True)
    (top / "secret.txt").write_text(TOKEN)
    (top / "sub/secret.txt").write_text(TOKEN)
    (top / "passwd").write_text(f"canary:x:4242:4242:{TOKEN}:/:/bin/sh\n")
    (top / "link").symlink_to("secret.txt")
    (top / "sub").chmod(0o751)
    (top / "secret.txt").chmod(0o4755)
    return top


def fingerprint(top: Path) -> dict[str, tuple[object, ...]]:
    """Everything about a directory that a write, a chmod, a new or a removed file would change."""
    found = {}
    for path in [top, *sorted(top.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        about = (
            status.st_mode,
            status.st_uid,
            status.st_mtime_ns,
            status.st_ctime_ns,
            sha256(content).hexdigest(),
        )
        found[str(path)] = about
    return found


def holds(image: Image, engine: Engine, token: str, scratch: Path) -> bool:
    """Whether any file, name or word of *image* has *token*."""
    words = json.dumps([image.inspect(), [str(entry) for entry in image.history()], files(image, engine)])
    archive = scratch / "saved.tar"
    image.save(archive)
    return token in words or token.encode() in archive.read_bytes()


@pytest.mark.parametrize("name", CASES)
def test_builds_stay_inside(name: str, tmp_path: Path, canary: Path, engine: Engine) -> None:
    """The canary is as it was and its content in no image, whether the build fails or not."""
    context = tmp_path / "context"
    dockerfile = prepared(name, context, canary)
    before = fingerprint(canary) | fingerprint(context)

    image = None
    with contextlib.suppress(ContainerKitError):
        secrets = {"t": ck.Secret.value(SECRET.encode())}
        image = Image.build(context, dockerfile=dockerfile, engine=engine, secrets=secrets)

    assert fingerprint(canary) | fingerprint(context) == before
    if image is not None:
        assert not holds(image, engine, TOKEN, tmp_path)
        assert not holds(image, engine, SECRET, tmp_path)
        assert not any("4242:" in about for about in files(image, engine).values())


def test_the_canary_is_found_where_it_is(tmp_path: Path, canary: Path, engine: Engine) -> None:
    """The control: a build that is given the canary as its context has the token, and that is seen."""
    image = Image.build(canary, dockerfile=b"FROM scratch\nCOPY secret.txt /x\n", engine=engine)
    assert holds(image, engine, TOKEN, tmp_path)
    before = fingerprint(canary)
    (canary / "evil").touch()
    assert fingerprint(canary) != before


@pytest.mark.parametrize("path", ["../x", "/../x", "a/../../x", "..", "", "a\0b", "a/.."])
def test_mappings_have_no_ways_out(path: str, tmp_path: Path) -> None:
    """A context of paths and contents writes nothing but below its own directory."""
    before = fingerprint(tmp_path)
    with pytest.raises(ContainerKitError), open_context({path: b"x"}, dockerfile=None, scratch=str(tmp_path)):
        pass
    assert set(fingerprint(tmp_path)) == set(before)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_archives_as_contexts_have_no_ways_out(name: str, tmp_path: Path, canary: Path) -> None:
    """A context that is an archive is refused when an entry would leave it; or stays inside."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    before = fingerprint(canary)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with (
        contextlib.suppress(ContainerKitError),
        open_context(io.BytesIO(out.getvalue()), dockerfile=None, scratch=str(scratch)),
    ):
        pass
    assert fingerprint(canary) == before
    assert not list(tmp_path.glob("evil"))
    assert list(scratch.iterdir()) == []


@pytest.mark.tool("git")
@pytest.mark.parametrize("directory", ["", "link", "link/sub", "link/../sub"])
def test_repositories_run_nothing_and_lead_nowhere(directory: str, tmp_path: Path, canary: Path) -> None:
    """Hooks, filters, drivers and submodules of a repository do nothing; its links stay within it."""
    repository = tmp_path / "repository"
    repository.mkdir()
    evil = canary / "evil"
    git = (
        "git",
        "-C",
        str(repository),
        "-c",
        "user.name=x",
        "-c",
        "user.email=x@x",
        "-c",
        "commit.gpgsign=false",
    )
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    (repository / "one.txt").write_text("1\n")
    (repository / "link").symlink_to(canary)
    (repository / ".gitattributes").write_text("*.txt filter=evil diff=evil\n")
    (repository / ".gitconfig").write_text(f'[filter "evil"]\n\tsmudge = touch {evil}\n')
    (repository / ".lfsconfig").write_text(f"[lfs]\n\turl = file://{canary}\n")
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
    for hook in ("post-checkout", "reference-transaction", "pre-receive", "post-upload-pack"):
        (repository / ".git/hooks").mkdir(exist_ok=True)
        place = repository / ".git/hooks" / hook
        place.write_text(f"#!/bin/sh\ntouch {evil}\n")
        place.chmod(0o755)
    before = fingerprint(canary)
    with contextlib.suppress(ContainerKitError):
        source = f"file://{repository}#main:{directory}"
        with open_context(source, dockerfile=None, scratch=str(tmp_path)) as context:
            assert not any(
                TOKEN.encode() in _content(context.tree.open(node.path)) for node in _regular(context)
            )
            assert context.tree.find("secret.txt") is None
    assert fingerprint(canary) == before


@pytest.mark.tool("git")
@pytest.mark.parametrize(
    "url", ["CANARY/repository", "file://CANARY/repository", "ext::sh -c touch% CANARY/evil"]
)
def test_submodules_come_from_the_network_only(url: str, tmp_path: Path, canary: Path) -> None:
    """A repository cannot make the builder read another one of the host by naming it as its submodule."""
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@x", "-c", "protocol.file.allow=always")
    inner, outer = canary / "repository", tmp_path / "outer"
    for place in (inner, outer):
        subprocess.run([*git, "init", "-q", "-b", "main", str(place)], check=True)
        (place / "f").write_text(TOKEN if place is inner else "1")
        subprocess.run([*git, "-C", str(place), "add", "f"], check=True)
        subprocess.run([*git, "-C", str(place), "commit", "-q", "-m", "x"], check=True)
    subprocess.run([*git, "-C", str(outer), "submodule", "--quiet", "add", str(inner), "sub"], check=True)
    modules = (outer / ".gitmodules").read_text().replace(str(inner), url.replace("CANARY", str(canary)))
    (outer / ".gitmodules").write_text(modules)
    subprocess.run([*git, "-C", str(outer), "commit", "-q", "-a", "-m", "y"], check=True)
    before = fingerprint(canary)
    with (
        pytest.raises(ContainerKitError, match="submodule"),
        open_context(f"file://{outer}", dockerfile=None, scratch=str(tmp_path)),
    ):
        pass
    assert fingerprint(canary) == before


def _regular(context: object) -> list[object]:
    tree = context.tree  # type: ignore[attr-defined]
    return [node for node in tree.walk("") if node.listed.mode & 0o170000 == 0o100000]


def _content(fd: int) -> bytes:
    with open(fd, "rb") as file:
        return file.read()


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.dockerignore"])
def test_the_dockerfile_itself_may_not_lead_out(name: str, tmp_path: Path, canary: Path) -> None:
    """A Dockerfile or ignore file that is a link out of the context is not there; a pipe is refused."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\n")
    (context / name).unlink(missing_ok=True)
    (context / name).symlink_to(canary / "secret.txt")
    try:
        with open_context(context) as found:
            assert TOKEN.encode() not in (found.dockerfile or b"")
            assert not found.tree.rules.rules
    except ContainerKitError as error:
        assert TOKEN not in str(error)
    os.unlink(context / name)
    os.mkfifo(context / name)
    with pytest.raises(ContainerKitError, match="no regular file"), open_context(context):
        pass
