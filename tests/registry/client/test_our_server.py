"""The client against our own registry server: tokens, mounts, referrers, deletion, lists."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import container_kit as ck
from container_kit.errors import AccessDenied, NotFound, Untrusted
from container_kit.images import Image
from container_kit.oci import Descriptor, Digest, Manifest
from container_kit.oci.json_document import encode
from container_kit.oci.media_types import OCI_EMPTY
from container_kit.oci.progress import Progress
from container_kit.registry.client import Credentials, RegistryClient, RegistryOptions
from container_kit.registry.client.listing import add_referrer, fallback_tag
from container_kit.registry.client.messages import FilePart
from container_kit.registry.client.uploads import upload
from container_kit.registry.server import Auth
from container_kit.store import Store
from tests.images.archives import entry, layer, layout_files, write_directory
from tests.registry.client.conftest import Engine
from tests.registry.client.farm import Answer, Seen, image, servers
from tests.registry.docker_registry import DockerRegistry, make_certificate

PASSWORD = "one-f0r-all"


@pytest.fixture
def made(engine: Engine, tmp_path: Path) -> Image:
    layers = [layer(entry("etc"), entry("etc/a", os.urandom(50_000))), layer(entry("b", b"b" * 9000))]
    layout = write_directory(tmp_path / "layout", layout_files(layers, "localhost/made:1"))
    return Image.load(layout, engine=engine)[0]


def test_the_example_of_the_readme(engine: Engine, made: Image, tmp_path: Path) -> None:
    """An image that is pushed to a registry in this process is pulled as the same image."""
    with ck.Registry.serve(tmp_path / "registry") as registry, Store.open(tmp_path / "other") as store:
        pushed = made.push(f"{registry.address}/team/app:1")
        again = Image.pull(f"{registry.address}/team/app:1", engine=Engine(store))

    assert again.digest == made.digest == pushed.digest


def test_tokens_open_what_they_are_for(engine: Engine, made: Image, tmp_path: Path) -> None:
    """Push, mount and pull with tokens; who has no right to a repository is told which scope is missing."""
    auth = Auth(
        users={"anna": PASSWORD, "bob": PASSWORD},
        grants={"anna": ("all",), "bob": ("pull:team/*",)},
        tokens=True,
    )
    anna, bob = (
        RegistryOptions(credentials=Credentials(username=name, password=PASSWORD)) for name in ("anna", "bob")
    )
    events: list[Progress] = []
    with ck.Registry.serve(tmp_path / "registry", auth=auth) as registry:
        name = f"{registry.address}/team/app:1"
        made.push(name, options=anna)
        made.push(f"{registry.address}/other/app:1", options=anna, progress=events.append)
        with Store.open(tmp_path / "other") as store:
            assert Image.pull(name, options=bob, engine=Engine(store)) == made
            with pytest.raises(AccessDenied, match="repository:other/app:pull"):
                Image.pull(f"{registry.address}/other/app:1", options=bob, engine=Engine(store))
        with pytest.raises(AccessDenied, match="repository:team/app:pull,push"):
            made.push(name, options=bob)
        with pytest.raises(AccessDenied, match="container-kit login"):
            made.push(name)

    assert len({event.id for event in events if event.action == "mount"}) == 2


def artifact(subject: Image, kind: str) -> Manifest:
    """A manifest that refers to *subject*."""
    empty = Descriptor(OCI_EMPTY, Digest.of(b"{}"), 2)
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": kind,
        "config": empty.to_json(),
        "layers": [empty.to_json()],
        "subject": subject.manifest.descriptor().to_json(),
    }
    return Manifest.parse(encode(document))


@pytest.mark.root
@pytest.mark.tool("docker-registry")
@pytest.mark.parametrize("which", ["ours", "docker-registry"])
def test_referrers_are_found_with_and_without_the_api(
    engine: Engine, made: Image, tmp_path: Path, registry: DockerRegistry, which: str
) -> None:
    """Listed by the registry, or under the tag that clients maintain; of the type asked for, each once."""
    with ck.Registry.serve(tmp_path / "registry") as own, RegistryClient() as client:
        address = own.address if which == "ours" else registry.authority
        name = f"{address}/referred/app:1"
        made.push(name)
        repository = client.repository(name, "pull,push")
        (tmp_path / "empty").write_bytes(b"{}")
        with (tmp_path / "empty").open("rb") as file:
            upload(repository, Descriptor(OCI_EMPTY, Digest.of(b"{}"), 2), FilePart(file.fileno(), 0, 2))
        for kind in ("application/x-one", "application/x-two", "application/x-two"):
            one = artifact(made, kind)
            if not repository.put_manifest(one.digest, one.raw, one.media_type):
                referrer = Descriptor(one.media_type, one.digest, len(one.raw), artifact_type=kind)
                add_referrer(repository, made.digest, referrer)

        assert sorted(one.artifact_type for one in client.referrers(name)) == [
            "application/x-one",
            "application/x-two",
        ]
        assert [one.digest for one in client.referrers(name, "application/x-two")] == [
            artifact(made, "application/x-two").digest
        ]
        has_tag = fallback_tag(made.digest) in client.tags(name)
        assert has_tag == (which == "docker-registry")


def test_lists_and_deletions(engine: Engine, made: Image, tmp_path: Path) -> None:
    """Tags and repositories in pages, and what is deleted is gone."""
    with ck.Registry.serve(tmp_path / "registry") as registry, RegistryClient() as client:
        for number in range(5):
            made.push(f"{registry.address}/listed/app:{number}")
        repository = f"{registry.address}/listed/app"

        assert list(client.tags(repository)) == ["0", "1", "2", "3", "4"]
        assert list(client.repositories(registry.address)) == ["listed/app"]
        client.delete(f"{repository}:0")
        assert list(client.tags(repository)) == ["1", "2", "3", "4"]
        client.delete(f"{repository}@{made.digest}")
        with pytest.raises(NotFound):
            client.manifest(f"{repository}:1")


def test_a_large_blob_goes_in_chunks_and_goes_on_after_a_break(engine: Engine, tmp_path: Path) -> None:
    """Chunks of a size that is asked for; the registry's own count says where to go on."""
    data = os.urandom(3_000_000)
    (tmp_path / "blob").write_bytes(data)
    digest = Digest.of(data)
    with (
        ck.Registry.serve(tmp_path / "registry") as registry,
        RegistryClient() as client,
        (tmp_path / "blob").open("rb") as file,
    ):
        repository = client.repository(f"{registry.address}/chunks/app", "pull,push")
        sent: list[int] = []
        part = FilePart(file.fileno(), 0, len(data), sent.append)

        upload(repository, Descriptor("application/x", digest, len(data)), part, chunk_bytes=700_000)

        assert repository.find_blob(digest) == len(data)
        assert sent == sorted(sent) and sent[-1] == len(data)


def test_a_broken_chunk_is_sent_again_from_where_the_registry_stands(tmp_path: Path) -> None:
    """The registry got half of a chunk: the rest follows, and nothing comes twice."""
    data = os.urandom(1000)
    (tmp_path / "blob").write_bytes(data)
    got = bytearray()
    with servers("127.0.0.1") as (server,), (tmp_path / "blob").open("rb") as file:

        def answer(seen: Seen) -> Answer | None:
            location = {"Location": f"/v2/a/blobs/uploads/1?n={len(got)}"}
            if seen.method == "POST":
                return Answer(202, b"", location)
            if seen.method == "PATCH":
                start = int(seen.headers["Content-Range"].partition("-")[0])
                assert start == len(got)
                if start == 400 and not any(one.method == "GET" for one in server.seen[1:]):
                    got.extend(seen.body[:150])  # half came through, and the answer did not
                    return Answer(502, b"")
                got.extend(seen.body)
                return Answer(202, b"", {**location, "Location": f"/v2/a/blobs/uploads/1?n={len(got)}"})
            if seen.method == "GET" and "uploads" in seen.path:
                return Answer(204, b"", {**location, "Range": f"0-{len(got) - 1}"})
            return Answer(201, b"") if seen.method == "PUT" else Answer(200, b"{}")

        server.answers = answer
        with RegistryClient() as client:
            repository = client.repository(f"{server.authority}/a", "pull,push")
            part = FilePart(file.fileno(), 0, len(data))
            descriptor = Descriptor("application/x", Digest.of(data), len(data))
            upload(repository, descriptor, part, chunk_bytes=400)

    assert bytes(got) == data


def test_a_client_certificate_is_shown_to_who_asks(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From certs.d of this user: the authority to trust, our certificate and its key, by the host's name."""
    (tmp_path / "server").mkdir()
    (tmp_path / "client").mkdir()
    server_pair = make_certificate(tmp_path / "server")
    client_pair = make_certificate(tmp_path / "client", "DNS:client.example")
    with servers("127.0.0.1", certificate=server_pair, client_ca=client_pair[0]) as (server,):
        server.answers = image().answer
        folder = tmp_path / "home/.config/containers/certs.d" / server.authority
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(server_pair[0].read_bytes())
        with pytest.raises((ck.Unreachable, Untrusted)):
            Image.pull(f"{server.authority}/team/app:1", options=RegistryOptions(tries=1), engine=engine)
        (folder / "own.cert").write_bytes(client_pair[0].read_bytes())
        with pytest.raises(ck.InvalidInput, match=r"own\.cert has no key"):
            Image.pull(f"{server.authority}/team/app:1", engine=engine)
        (folder / "own.key").write_bytes(client_pair[1].read_bytes())

        assert Image.pull(f"{server.authority}/team/app:1", engine=engine).digest


def test_a_proxy_carries_what_is_not_of_this_host(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain http by its whole URL, with the proxy's password, which the registry does not see."""
    content = image()
    with servers("127.0.0.1") as (proxy,):
        prefix = "http://registry.example:5000"
        proxy.answers = lambda seen: content.answer(
            Seen(seen.method, seen.path.removeprefix(prefix), seen.headers, b"")
        )
        monkeypatch.setenv("HTTP_PROXY", f"http://user:pass@{proxy.authority}")
        (tmp_path / "home/registries.conf").write_text(
            '[[registry]]\nlocation = "registry.example:5000"\ninsecure = true\n'
        )
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")

        assert Image.pull("registry.example:5000/team/app:1", engine=engine).digest
        assert all(seen.path.startswith(prefix) for seen in proxy.seen)
        assert {seen.headers["Proxy-Authorization"] for seen in proxy.seen} == {"Basic dXNlcjpwYXNz"}
