"""Other people's clients: skopeo, podman and buildah push to our registry and pull from it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from container_kit.oci import Digest
from container_kit.registry.server import Auth, Registry, Tls
from tests.cli.podman import podman
from tests.images.archives import entry, layer, layout_files, sha256, write_tar
from tests.registry.server.conftest import Engine
from tests.registry.server.documents import OCI_INDEX, OCI_MANIFEST, descriptor, index, manifest

USER, PASSWORD = "pusher", "client-secret"


@attrs.frozen
class Clients:
    """Programs with a configuration of their own: trust, credentials and storage below one directory."""

    directory: Path
    registry: Registry
    login: bool = False

    def skopeo(self, *arguments: str) -> str:
        where = [f"--registries.d={self._empty('registries.d')}"]
        where.append(f"--registries-conf={self.directory}/registries.conf")
        return self._run(["skopeo", *where, *arguments])

    def skopeo_json(self, *arguments: str) -> Any:
        return json.loads(self.skopeo(*arguments))

    def buildah(self, *arguments: str) -> str:
        where = [f"--root={self.directory}/buildah", f"--runroot={self.directory}/buildah-run"]
        return self._run(["buildah", *where, "--storage-driver=vfs", *arguments])

    def environment(self) -> dict[str, str]:
        """What the programs find trust and credentials by; nothing of this user's is read."""
        if self.registry.ca_file is not None:
            folder = Path(self._empty(f"certs/{self.registry.address}"))
            shutil.copy(self.registry.ca_file, folder / "ca.crt")
        insecure = str(self.registry.ca_file is None).lower()
        (self.directory / "registries.conf").write_text(
            f'[[registry]]\nlocation = "{self.registry.address}"\ninsecure = {insecure}\n'
        )
        secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        auths = {self.registry.address: {"auth": secret}} if self.login else {}
        (self.directory / "auth.json").write_text(json.dumps({"auths": auths}))
        return {
            **os.environ,
            "HOME": str(self.directory),
            "REGISTRY_AUTH_FILE": str(self.directory / "auth.json"),
            "CONTAINERS_REGISTRIES_CONF": str(self.directory / "registries.conf"),
            "SSL_CERT_FILE": self.registry.ca_file or "/nonexistent",
        }

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def _empty(self, name: str) -> str:
        (self.directory / name).mkdir(parents=True, exist_ok=True)
        return str(self.directory / name)


AUTH = {"users": {USER: PASSWORD}, "grants": {USER: ["all"]}}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "basic over TLS": {"auth": Auth(**AUTH), "tls": Tls(self_signed=True)},
    "tokens over TLS": {"auth": Auth(**AUTH, tokens=True), "tls": Tls(self_signed=True)},
}


@pytest.fixture(params=SETTINGS)
def clients(request: pytest.FixtureRequest, tmp_path: Path, engine: Engine) -> Iterator[Clients]:
    """Clients that are set up for a registry: in plain HTTP, and with TLS and each way to log in."""
    with Registry.serve(engine=engine, **SETTINGS[request.param]) as registry:
        yield Clients(tmp_path, registry, login=request.param != "plain")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An image of two layers as an OCI archive."""
    layers = [layer(entry("file", os.urandom(200_000))), layer(entry("etc"), entry("etc/name", b"second"))]
    return write_tar(tmp_path / "image.tar", layout_files(layers, "app:1"))


@pytest.mark.tool("skopeo")
def test_skopeo_pushes_pulls_lists_copies_and_deletes(
    clients: Clients, archive: Path, tmp_path: Path
) -> None:
    """The digest that skopeo pushed is the one it pulls; a copy mounts; what is deleted is gone."""
    here = f"docker://{clients.registry.address}"
    clients.skopeo("copy", f"oci-archive:{archive}", f"{here}/team/app:1")
    pushed = clients.skopeo_json("inspect", f"{here}/team/app:1")["Digest"]

    clients.skopeo("copy", f"{here}/team/app@{pushed}", f"dir:{tmp_path}/out")
    assert Digest.of((tmp_path / "out/manifest.json").read_bytes()) == Digest.parse(pushed)
    assert clients.skopeo_json("list-tags", f"{here}/team/app")["Tags"] == ["1"]

    clients.skopeo("copy", f"{here}/team/app:1", f"{here}/other:2")
    assert clients.skopeo_json("inspect", f"{here}/other:2")["Digest"] == pushed

    clients.skopeo("delete", f"{here}/team/app:1")
    with pytest.raises(AssertionError, match="manifest unknown"):
        clients.skopeo("inspect", f"{here}/team/app:1")


@pytest.mark.tool("skopeo")
def test_skopeo_copies_every_platform(clients: Clients, tmp_path: Path) -> None:
    """An index of images for several platforms arrives and leaves with the same digest."""
    raw, files = _two_platforms()
    source = write_tar(tmp_path / "two.tar", files)
    here = f"docker://{clients.registry.address}/multi:1"
    clients.skopeo("copy", "--all", "--preserve-digests", f"oci-archive:{source}", here)
    assert clients.skopeo("inspect", "--raw", here).encode() == raw

    clients.skopeo("copy", "--all", "--preserve-digests", here, f"dir:{tmp_path}/out")
    assert (tmp_path / "out/manifest.json").read_bytes() == raw
    for machine in ("amd64", "arm64"):
        found = clients.skopeo_json("--override-arch", machine, "inspect", here)
        assert found["Architecture"] == machine


def _two_platforms() -> tuple[bytes, dict[str, bytes]]:
    """An index of two images, and the layout that holds it."""
    entries, files = [], {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    for machine in ("amd64", "arm64"):
        data = layer(entry("machine", machine.encode()))
        settings = {
            "architecture": machine,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [sha256(data)]},
        }
        document = json.dumps(settings).encode()
        raw = manifest(document, data)
        for blob in (data, document, raw):
            files[f"blobs/sha256/{Digest.of(blob).hex}"] = blob
        platform = {"architecture": machine, "os": "linux"}
        entries.append(descriptor(raw, OCI_MANIFEST, platform=platform))
    top = index(manifests=entries)
    files[f"blobs/sha256/{Digest.of(top).hex}"] = top
    files["index.json"] = index(manifests=[descriptor(top, OCI_INDEX)])
    return top, files


@pytest.mark.root
@pytest.mark.tool("buildah")
def test_buildah_pushes_and_pulls(clients: Clients, tmp_path: Path) -> None:
    """An image that buildah made and pushed is the one that it pulls into an empty storage."""
    name = f"{clients.registry.address}/built/app:1"
    container = clients.buildah("from", "scratch").strip()
    (tmp_path / "file").write_text("content")
    clients.buildah("copy", container, str(tmp_path / "file"), "/file")
    clients.buildah("commit", container, "made")
    clients.buildah("push", "--digestfile", str(tmp_path / "digest"), "made", f"docker://{name}")
    clients.buildah("rm", "--all")
    clients.buildah("rmi", "--all", "--force")

    clients.buildah("pull", name)
    [image] = json.loads(clients.buildah("images", "--json"))
    assert image["digest"] == (tmp_path / "digest").read_text()


@pytest.mark.root
@pytest.mark.tool("podman")
def test_podman_pushes_and_pulls(clients: Clients, tmp_path: Path, archive: Path) -> None:
    """podman loads an image, pushes it, forgets it and pulls it again."""
    name = f"{clients.registry.address}/podman/app:1"
    with (
        tempfile.TemporaryDirectory(prefix="ck-") as short,  # podman takes no more than 50 characters
        podman(short) as tool,
    ):
        environment = {**tool.environment(), **clients.environment()}

        def run(*arguments: str) -> str:
            done = subprocess.run(
                tool.command(*arguments), env=environment, capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 0, (arguments, done.stderr)
            return done.stdout

        run("load", "-i", str(archive))
        [loaded] = json.loads(run("images", "--format", "json"))
        run("push", loaded["Id"], name)
        run("rmi", "--all", "--force")
        run("pull", name)
        [pulled] = json.loads(run("images", "--format", "json"))
        assert pulled["Id"] == loaded["Id"] and name in pulled["Names"]


@pytest.mark.tool("skopeo")
def test_a_wrong_password_gets_nothing(tmp_path: Path, engine: Engine, archive: Path) -> None:
    """Who does not log in cannot push, however the server asks for it."""
    for tokens in (False, True):
        auth = Auth(users={USER: "another"}, tokens=tokens)
        with Registry.serve(engine=engine, auth=auth) as registry:
            clients = Clients(tmp_path, registry, login=True)
            with pytest.raises(
                AssertionError, match=r"(?i)authentication required|unauthorized|invalid username"
            ):
                clients.skopeo("copy", f"oci-archive:{archive}", f"docker://{registry.address}/app:1")
