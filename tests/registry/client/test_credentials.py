"""Whose credentials are used: the files of docker and podman, in their order, by their keys."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from container_kit.errors import AccessDenied, InvalidInput
from container_kit.images import Image
from container_kit.registry.client import Credentials, RegistryOptions, login, logout
from container_kit.registry.client.credentials import find_credentials
from tests.registry.client.conftest import Engine
from tests.registry.client.farm import Answer, Seen, bearer, image, servers

SECRET = "s3cret-0f-the-file"


def entry(user: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{SECRET}".encode()).decode()}


def write(path: Path, **document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def user_of(domain: str, path: str = "team/app") -> str | None:
    found = find_credentials(domain, path)
    return None if found is None else found.username


def test_the_longest_name_that_fits_counts(tmp_path: Path) -> None:
    """podman's entries for a part of a registry, then the registry's own, then docker's old spellings."""
    write(
        tmp_path / "home/.docker/config.json",
        auths={
            "r.example": entry("host"),
            "r.example/team": entry("team"),
            "r.example/team/app": entry("app"),
            "https://old.example/v1/": entry("old"),
            "https://index.docker.io/v1/": entry("hub"),
            "empty.example": {},
        },
    )

    assert user_of("r.example") == "app"
    assert user_of("r.example", "team/other") == "team"
    assert user_of("r.example", "teamwork/app") == "host"
    assert user_of("old.example") == "old"
    assert user_of("docker.io", "library/alpine") == "hub"
    assert user_of("empty.example") is None
    assert user_of("other.example") is None


def test_the_first_file_that_has_an_entry_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment, podman's two places, docker's; with REGISTRY_AUTH_FILE only that file."""
    home = tmp_path / "home"
    write(home / ".docker/config.json", auths={"a": entry("docker"), "b.example": entry("docker")})
    write(home / ".config/containers/auth.json", auths={"b.example": entry("config")})
    assert user_of("b.example") == "config"
    write(home / "run/containers/auth.json", auths={"b.example": entry("run")})
    assert user_of("b.example") == "run"
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps({"auths": {"b.example": entry("environment")}}))
    assert user_of("b.example") == "environment"
    monkeypatch.delenv("DOCKER_AUTH_CONFIG")
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(write(tmp_path / "one.json", auths={})))
    assert user_of("b.example") is None


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"auths": 5}', '{"auths": {"r.example": {"auth": "!"}}}', '{"auths": {}, "auths": {}}'],
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, text: str) -> None:
    """Not "no credentials"; and what stands in the file is not quoted."""
    path = tmp_path / "home/.docker/config.json"
    path.parent.mkdir()
    path.write_text(text.replace("5", f'"{SECRET}"'))

    with pytest.raises(InvalidInput, match=r"config\.json") as caught:
        find_credentials("r.example", "team/app")
    assert SECRET not in str(caught.value)


def test_an_identity_token_is_exchanged_for_tokens(engine: Engine, tmp_path: Path) -> None:
    """As docker's login leaves it: posted to the registry's own realm, never sent to the registry's data."""
    content = image()
    with servers("127.0.0.1") as (registry,):

        def answer(seen: Seen) -> Answer | None:
            if seen.path == "/token":
                form = parse_qs(seen.body.decode())
                good = form["refresh_token"] == [SECRET] and form["grant_type"] == ["refresh_token"]
                return Answer(200, b'{"access_token": "t0ken"}') if good else Answer(401, b"{}")
            wanted = seen.headers.get("Authorization") == "Bearer t0ken"
            return content.answer(seen) if wanted else bearer(f"{registry.url}/token")

        registry.answers = answer
        write(
            tmp_path / "home/.docker/config.json",
            auths={registry.authority: {"identitytoken": SECRET}},
        )

        assert Image.pull(f"{registry.authority}/team/app:1", engine=engine).digest
        assert [seen.path for seen in registry.seen if SECRET in f"{seen.headers}{seen.body!r}"] == ["/token"]


def test_a_token_that_ran_out_is_replaced(engine: Engine) -> None:
    """The registry refuses the old one in the middle of a pull: one more is fetched, and the pull goes on."""
    content, given = image(), []
    with servers("127.0.0.1") as (registry,):

        def answer(seen: Seen) -> Answer | None:
            if seen.path.startswith("/token"):
                given.append(f"token-{len(given)}")
                return Answer(200, json.dumps({"token": given[-1], "expires_in": 300}).encode())
            good = "token-1" if "/blobs/" in seen.path else "token-0"
            wanted = seen.headers.get("Authorization") == f"Bearer {good}"
            return content.answer(seen) if wanted else bearer(f"{registry.url}/token")

        registry.answers = answer
        assert Image.pull(f"{registry.authority}/team/app:1", engine=engine).digest
        assert given == ["token-0", "token-1"]


def test_login_gives_the_secret_to_the_helper_that_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file then holds an empty entry, as docker leaves it; logout has the helper forget."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker-credential-test"
    program.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/calls; cat > {tmp_path}/last-$1\n')
    program.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    config = write(tmp_path / "home/.docker/config.json", credsStore="test", other={"kept": True})
    with servers("127.0.0.1") as (registry,):
        registry.answers = lambda seen: (
            Answer(200, b"{}")
            if "Authorization" in seen.headers
            else Answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="x"'})
        )
        login(registry.authority, Credentials(username="anna", password=SECRET))
        stored = json.loads((tmp_path / "last-store").read_text())
        assert logout(registry.authority)

    assert stored == {"ServerURL": registry.authority, "Username": "anna", "Secret": SECRET}
    assert json.loads(config.read_text()) == {"credsStore": "test", "other": {"kept": True}, "auths": {}}
    assert SECRET not in config.read_text()
    assert (tmp_path / "calls").read_text().split() == ["store", "erase"]


def test_a_login_that_fails_keeps_nothing(tmp_path: Path) -> None:
    """No file is made, and the error does not repeat the password."""
    with servers("127.0.0.1") as (registry,):
        registry.answers = lambda seen: Answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="x"'})
        with pytest.raises(AccessDenied, match="cannot log in") as caught:
            login(registry.authority, Credentials(username="anna", password=SECRET))

    assert SECRET not in str(caught.value)
    assert not (tmp_path / "home/.docker/config.json").exists()


def test_a_file_behind_a_link_is_replaced_where_it_is(tmp_path: Path) -> None:
    """Who keeps the file elsewhere finds it there, readable by its owner alone, and no draft beside it."""
    real = write(tmp_path / "dotfiles/docker.json", auths={})
    link = tmp_path / "home/.docker/config.json"
    link.parent.mkdir()
    link.symlink_to(real)
    with servers("127.0.0.1") as (registry,):
        registry.answers = lambda seen: Answer(200, b"{}")
        login(registry.authority, Credentials(username="anna", password=SECRET), RegistryOptions())

    assert link.is_symlink() and registry.authority in json.loads(real.read_text())["auths"]
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert [path.name for path in real.parent.iterdir()] == ["docker.json"]
