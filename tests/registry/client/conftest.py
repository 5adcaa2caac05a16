"""A registry for the tests of the client, and a store for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from container_kit.store import Store
from tests.registry.docker_registry import DockerRegistry, docker_registry


@attrs.frozen
class Engine:
    """The least that carries a store."""

    store: Store


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Store.open(tmp_path / "root") as store:
        yield Engine(store)


@pytest.fixture(autouse=True)
def no_stored_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that stands on this host decides a test."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_AUTH_CONFIG", "DOCKER_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    (home / "registries.conf").write_text("")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(home / "registries.conf"))


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """One registry without TLS and authentication for all tests; each uses repositories of its own."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running
