"""Keys, an image and the registries that tests of signatures use."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import container_kit as ck
from container_kit.images import Image
from container_kit.registry.signatures import SigningKey
from tests.images.archives import entry, layer, layout_files, write_directory
from tests.registry.client.conftest import Engine, engine, no_stored_credentials, registry  # noqa: F401


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture(scope="session")
def other_key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture
def made(engine: Engine, tmp_path: Path) -> Image:  # noqa: F811
    layers = [layer(entry("etc"), entry("etc/a", os.urandom(500)))]
    layout = write_directory(tmp_path / "layout", layout_files(layers, "localhost/made:1"))
    return Image.load(layout, engine=engine)[0]


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[str]:
    """The address of a registry of our own."""
    with ck.Registry.serve(tmp_path / "registry") as served:
        yield served.address


def write_policy(path: Path, default: Any, scopes: dict[str, Any] | None = None) -> Path:
    path.write_text(json.dumps({"default": default, "transports": {"docker": scopes or {}}}))
    return path


def signed_by(key: SigningKey, folder: Path, identity: Any = None) -> list[dict[str, Any]]:
    """The requirement that an image is signed with *key*."""
    file = folder / f"{key.public.fingerprint[:8]}.pub"
    file.write_bytes(key.public.to_pem())
    requirement = {"type": "sigstoreSigned", "keyPath": str(file)}
    return [requirement | ({"signedIdentity": identity} if identity else {})]
