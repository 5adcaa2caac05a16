"""`container-kit registry`: serve until told to stop, list, collect."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest
from click.testing import CliRunner, Result

from container_kit.cli.app import cli
from tests.registry.server.documents import Client
from tests.registry.server.test_authentication import basic

PROGRAM = "from container_kit.cli import main; main()"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_serve_list_and_collect(tmp_path: Path) -> None:
    """serve answers until SIGTERM and then ends well; ls shows what was pushed, gc what was given up."""
    directory = tmp_path / "registry"
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        "registry",
        "serve",
        "--port",
        "0",
        "--directory",
        str(directory),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        client = Client(server.stdout.readline().strip().removeprefix("Serving http://"))
        client.push_image("team/app", "1", b"layer")
        client.push_blob("team/app", b"never named")
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0

    listed = run("registry", "ls", "--directory", directory)
    assert listed.exit_code == 0 and "team/app" in listed.output and "sha256:" in listed.output
    assert run("registry", "ls", "-q", "--directory", directory).output == "team/app\n"
    assert "Removed 1 links, 1 contents" in run("registry", "gc", "--directory", directory).output


def test_users_and_grants_come_from_files_and_flags(tmp_path: Path) -> None:
    """An htpasswd file and --grant decide; --anonymous lets everyone else read."""
    users = tmp_path / "htpasswd"
    users.write_text(f"alice:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    flags = ["--htpasswd", str(users), "--grant", "alice=pull,push:team/*", "--anonymous", "pull:public/*"]
    where = ["--port", "0", "--directory", str(tmp_path / "registry")]
    command = [sys.executable, "-c", PROGRAM, "registry", "serve", *where, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        client = Client(server.stdout.readline().strip().removeprefix("Serving http://"))
        alice = basic("alice", "secret")
        assert client("POST", "/v2/team/app/blobs/uploads/", b"", alice).status == 202
        assert client("POST", "/v2/other/blobs/uploads/", b"", alice).status == 403
        assert client("GET", "/v2/public/app/manifests/1").status == 404
        assert client("GET", "/v2/team/app/manifests/1").status == 401
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--host", "0.0.0.0"], "everyone who reaches it"),
        (["--grant", "alice"], "USER=ACTIONS"),
        (["--grant", "alice=fly"], "no actions"),
        (["--tls-key", "x"], "certificate and its key"),
        (["--htpasswd", "/nonexistent"], "cannot read the passwords"),
    ],
)
def test_what_cannot_be_served_is_told(tmp_path: Path, flags: list[str], reason: str) -> None:
    """One sentence, and exit code 1."""
    done = run("registry", "serve", "--port", "0", "--directory", tmp_path / "registry", *flags)
    assert done.exit_code == 1 and reason in done.output


def test_there_is_nothing_to_list_where_no_registry_is(tmp_path: Path) -> None:
    """ls and gc do not make a registry of a mistyped directory."""
    for command in ("ls", "gc"):
        done = run("registry", command, "--directory", tmp_path / "typo")
        assert done.exit_code == 1 and "no registry" in done.output
    assert not (tmp_path / "typo").exists()
