"""Kubeconfig files: contexts, merging, credentials."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest

from container_kit.cluster.api.authentication.authority import Issued
from container_kit.cluster.client.credentials import Credentials
from container_kit.cluster.client.kubeconfig import Access, read_access, read_document
from container_kit.cluster.server.kubeconfig import kubeconfig_text, write_kubeconfig
from container_kit.errors import AccessDenied, InvalidInput, NotFound

_FILE = """
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: c, user: u, namespace: team}}
- {name: two, context: {cluster: c, user: t}}
- {name: lost, context: {cluster: nowhere, user: u}}
clusters:
- name: c
  cluster: {server: "https://10.0.0.1:6443/", certificate-authority: ca.pem, tls-server-name: api.test}
users:
- name: u
  user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}
- name: t
  user: {tokenFile: token}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_text("CA")
    (tmp_path / "token").write_text("secret-1\n")
    path = tmp_path / "config"
    path.write_text(_FILE)
    return path


def test_the_current_context_is_read(config: Path) -> None:
    """Server, namespace, files beside the kubeconfig, and data in it."""
    access = read_access(config)

    assert access.server == "https://10.0.0.1:6443"
    assert (access.namespace, access.ca, access.certificate, access.key) == ("team", b"CA", b"CERT", b"KEY")
    assert (access.server_name, access.is_verified) == ("api.test", True)


def test_another_context_is_read_by_name(config: Path) -> None:
    """Its user is another one, and its namespace is the default."""
    access = read_access(config, "two")

    assert (access.namespace, access.certificate) == ("default", b"")
    assert access.token_file == str(config.parent / "token")


def test_what_is_missing_is_named(config: Path, tmp_path: Path) -> None:
    """A file, a context, a cluster: each with what there is instead."""
    with pytest.raises(NotFound, match="no kubeconfig named '/nowhere/config'"):
        read_access("/nowhere/config")
    with pytest.raises(NotFound, match=r"no context in the kubeconfig named 'three'.*'one', 'two', 'lost'"):
        read_access(config, "three")
    with pytest.raises(NotFound, match=r"no cluster in the kubeconfig named 'nowhere'.*'c'"):
        read_access(config, "lost")
    (tmp_path / "list").write_text("- a\n")
    with pytest.raises(InvalidInput, match="is no kubeconfig"):
        read_access(tmp_path / "list")


def test_of_several_files_the_first_with_a_name_wins(config: Path, tmp_path: Path) -> None:
    """As kubectl merges them."""
    other = tmp_path / "other"
    other.write_text("current-context: two\nclusters:\n- {name: c, cluster: {server: 'https://other:1'}}\n")
    access = read_access(f"{other}{os.pathsep}{config}")

    assert access.server == "https://other:1"
    assert access.token_file.endswith("token")


def test_a_token_file_is_read_and_sent(config: Path) -> None:
    """Without the line's end."""
    credentials = Credentials(read_access(config, "two"))

    assert credentials.proof().headers == {"authorization": "Bearer secret-1"}


def test_a_name_and_password_are_sent_as_basic() -> None:
    """RFC 7617."""
    headers = Credentials(Access("https://x", username="anna", password="p:w")).proof().headers

    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"anna:p:w"


def test_a_program_gives_credentials_and_is_asked_again_when_they_expire(tmp_path: Path) -> None:
    """What it prints is used until its time; it is told for which server."""
    program = tmp_path / "give"
    program.write_text(
        "#!/bin/sh\n"
        'echo x >> "$COUNT"\n'
        'case "$KUBERNETES_EXEC_INFO" in *https://x*) ;; *) exit 3;; esac\n'
        'printf \'{"kind":"ExecCredential","status":{"token":"t",\'\n'
        'printf \'"expirationTimestamp":"2020-01-01T00:00:00Z"}}\'\n'
    )
    program.chmod(stat.S_IRWXU)
    count = tmp_path / "count"
    section = {"command": str(program), "env": [{"name": "COUNT", "value": str(count)}]}
    credentials = Credentials(Access("https://x", exec=section))

    assert credentials.proof().headers == {"authorization": "Bearer t"}
    assert credentials.proof().headers == {"authorization": "Bearer t"}
    assert count.read_text() == "x\nx\n"


@pytest.mark.parametrize(
    ("command", "error", "words"),
    [("false", AccessDenied, "gave no credentials"), ("true", AccessDenied, "printed no ExecCredential"),
     ("/nowhere/program", NotFound, "install it")],
)  # fmt: skip
def test_a_program_that_gives_none_is_named(command: str, error: type[Exception], words: str) -> None:
    """It failed, printed nothing, or is not there."""
    with pytest.raises(error, match=words):
        Credentials(Access("https://x", exec={"command": command})).proof()


def test_a_cluster_of_ours_joins_a_file_that_is_there(config: Path) -> None:
    """Its other contexts stay as they are, ours is the current one, and only the owner may read it."""
    text = kubeconfig_text("ours", "https://127.0.0.1:1", b"CA", Issued(b"CERTIFICATE", b"KEY"))
    config.chmod(0o644)
    for _ in range(2):  # again: replaced, not doubled
        write_kubeconfig(str(config), text)

    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert read_access(config).server == "https://127.0.0.1:1"
    assert read_access(config, "two").token_file == str(config.parent / "token")
    assert [each["name"] for each in read_document(str(config))["contexts"]] == ["one", "two", "lost", "ours"]
    assert os.listdir(config.parent).count("config") == 1 and len(os.listdir(config.parent)) == 3


@pytest.mark.parametrize("text", ["just words\n", "contexts: {a: b}\n", "\tx: 1\n", "contexts: [one]\n"])
def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path, text: str) -> None:
    """It is not overwritten, and the error names it."""
    path = tmp_path / "notes"
    path.write_text(text)
    with pytest.raises(InvalidInput, match="notes is no kubeconfig"):
        write_kubeconfig(str(path), kubeconfig_text("ours", "https://x", b"CA", Issued(b"C", b"K")))
    assert path.read_text() == text
