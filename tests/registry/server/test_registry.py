"""The registry as an object: images served without copies, our own client, a cache before another one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from container_kit.errors import InvalidInput, KernelError, NotFound
from container_kit.images import Image
from container_kit.oci import Digest
from container_kit.registry.client import RegistryOptions
from container_kit.registry.server import Auth, Registry, ServerLimits, Tls, Upstream
from container_kit.store import Store
from tests.images.archives import docker_archive, entry, layer
from tests.registry.server.conftest import Engine
from tests.registry.server.documents import Client

PLAIN = RegistryOptions(tls_verify=False)


@pytest.fixture
def image(engine: Engine, tmp_path: Path) -> Image:
    """An image of plain layers, which the store need not keep as files."""
    layers = [layer(entry("file", os.urandom(300_000))), layer(entry("name", b"second"))]
    [loaded] = Image.load(docker_archive(tmp_path / "image.tar", layers, ["app:1"]), engine=engine)
    return loaded


def test_an_image_is_served_without_a_copy(engine: Engine, image: Image, tmp_path: Path) -> None:
    """publish() makes it pullable at once; the store holds no byte more, and the digest is the same."""
    before = engine.store.df().blobs_bytes
    with Registry.serve(engine=engine) as registry:
        name = registry.publish(image, "team/app:1")
        assert engine.store.df().blobs_bytes == before
        with Store.open(tmp_path / "other") as store:
            pulled = Image.pull(name, engine=Engine(store), options=PLAIN)
            assert pulled.digest == image.digest
    assert engine.store.fsck().clean


def test_what_was_published_stays_when_the_image_is_removed(engine: Engine, image: Image) -> None:
    """The registry keeps what it shows, and lets it go when it is deleted there."""
    with Registry.serve(engine=engine) as registry:
        registry.publish(image, "app:1")
        digest = image.digest
        image.remove(force=True)
        registry.collect()
        client = Client(registry.address)
        for blob in registry._repositories.document(digest).blobs:
            got = client("GET", f"/v2/app/blobs/{blob.digest}")
            assert got.status == 200 and blob.digest.matches(got.body)
        client("DELETE", f"/v2/app/manifests/{digest}")
        registry.collect()
        assert not engine.store.has_blob(digest)


def test_an_image_of_another_store_cannot_be_published(image: Image, tmp_path: Path) -> None:
    """A registry shows only what it has."""
    with Registry.serve(tmp_path / "registry") as registry, pytest.raises(NotFound):
        registry.publish(image, "app:1")


@pytest.mark.parametrize("tokens", [False, True])
def test_our_own_client_and_server(engine: Engine, image: Image, tmp_path: Path, tokens: bool) -> None:
    """push, then pull into an empty store, over TLS with a password: equal digests."""
    from container_kit.registry.client import Credentials

    auth = Auth(users={"me": "secret"}, tokens=tokens)
    with Registry.serve(tmp_path / "registry", auth=auth, tls=Tls(self_signed=True)) as registry:
        options = RegistryOptions(
            credentials=Credentials(username="me", password="secret"), ca_file=registry.ca_file
        )
        image.push(f"{registry.address}/team/app:1", options=options)
        with Store.open(tmp_path / "other") as store:
            again = Image.pull(f"{registry.address}/team/app:1", engine=Engine(store), options=options)
            assert again.id == image.id


def test_a_cache_keeps_what_was_asked_for(tmp_path: Path) -> None:
    """Manifests and blobs come from the registry behind it once; with that one gone they still come."""
    with Registry.serve(tmp_path / "there") as there:
        raw = Client(there.address).push_image("team/app", "1", b"layer")
        upstream = Upstream(registry=there.address, options=PLAIN, fresh_s=3600)
        with Registry.serve(tmp_path / "cache", upstream=upstream) as cache:
            client = Client(cache.address)
            assert client("GET", "/v2/team/app/manifests/1").body == raw
            assert client("GET", f"/v2/team/app/blobs/{Digest.of(b'layer')}").body == b"layer"
            assert client("GET", "/v2/team/app/manifests/none").status == 404
            assert client("GET", f"/v2/team/app/blobs/{Digest.of(b'none')}").status == 404
            assert client("POST", "/v2/team/app/blobs/uploads/", b"").codes == ["UNSUPPORTED"]
    away = Upstream(registry=there.address, options=RegistryOptions(tls_verify=False, tries=1))
    with Registry.serve(tmp_path / "cache", upstream=away) as cache:
        client = Client(cache.address)
        stale = client("GET", "/v2/team/app/manifests/1")
        assert stale.body == raw and stale.headers["Warning"].startswith('299 - "')
        assert client("GET", f"/v2/team/app/blobs/{Digest.of(b'layer')}").body == b"layer"
        assert client("GET", "/v2/team/app/manifests/2").status == 504


def test_a_cache_follows_tags(tmp_path: Path) -> None:
    """A tag that moved there moves here once it counts as old; one that is fresh is not looked up."""
    with Registry.serve(tmp_path / "there") as there:
        source = Client(there.address)
        first = source.push_image("app", "1", b"first")
        for name, fresh_s in (("old", 0.0), ("fresh", 3600.0)):
            upstream = Upstream(registry=there.address, options=PLAIN, fresh_s=fresh_s)
            with Registry.serve(tmp_path / name, upstream=upstream) as cache:
                client = Client(cache.address)
                source.push_manifest("app", "1", first)
                assert client("GET", "/v2/app/manifests/1").body == first
                second = source.push_image("app", "1", b"second")
                expected = second if name == "old" else first
                assert client("GET", "/v2/app/manifests/1").body == expected


def test_a_cache_believes_digests_only(tmp_path: Path) -> None:
    """A blob that changed on the other registry's disk is not kept and not served."""
    with Registry.serve(tmp_path / "there") as there:
        Client(there.address).push_image("app", "1", b"layer")
        path = tmp_path / "there/blobs/sha256" / Digest.of(b"layer").hex
        path.write_bytes(b"trick")
        with Registry.serve(
            tmp_path / "cache", upstream=Upstream(registry=there.address, options=PLAIN)
        ) as cache:
            client = Client(cache.address)
            assert client("GET", "/v2/app/manifests/1").status == 200
            assert client("GET", f"/v2/app/blobs/{Digest.of(b'layer')}").status >= 400
            assert cache._repositories.storage.size(Digest.of(b"layer")) is None


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    """The error names the address, and nothing of the attempt stays."""
    with Registry.serve(tmp_path / "one") as registry:
        port = int(registry.address.rpartition(":")[2])
        with pytest.raises(KernelError, match=str(port)):
            Registry.serve(tmp_path / "two", port=port)


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    """close() may be repeated, and the address is free again at once."""
    registry = Registry.serve(tmp_path / "r")
    port = int(registry.address.rpartition(":")[2])
    registry.close()
    registry.close()
    with Registry.serve(tmp_path / "r", port=port) as again:
        assert Client(again.address)("GET", "/v2/").status == 200


def test_a_forked_child_leaves_the_registry_to_its_parent(tmp_path: Path) -> None:
    """A child that ends the `with` block closes nothing, and keeps no port open."""
    with Registry.serve(tmp_path / "r") as registry:
        client = Client(registry.address)
        digest = client.push_blob("app", b"in flight")
        child = os.fork()
        if child == 0:
            registry.close()
            os._exit(0 if registry._listener.fileno() == -1 else 1)
        assert os.waitpid(child, 0)[1] == 0
        registry.collect()
        assert client("GET", f"/v2/app/blobs/{digest}").body == b"in flight"


def test_metrics_count_without_names(tmp_path: Path) -> None:
    """/metrics tells requests, bytes and connections by endpoint, and no repository's or user's name."""
    auth = Auth(users={"me": "secret"}, anonymous=("pull", "push", "catalog"))
    with Registry.serve(tmp_path / "r", metrics=True, auth=auth) as registry:
        client = Client(registry.address)
        client.push_image("hidden/name", "1", b"layer")
        client("GET", "/v2/hidden/name/manifests/1")
        client("INVENTED", "/v2/")
        text = client("GET", "/metrics").body.decode()
    assert 'registry_requests_total{endpoint="manifest",method="PUT",status="201"} 1.0' in text
    assert "registry_connections" in text and "registry_sent_bytes_total" in text
    assert "hidden" not in text and "INVENTED" not in text
    with Registry.serve(tmp_path / "r", metrics=True, auth=Auth(users={"me": "secret"})) as registry:
        assert Client(registry.address)("GET", "/metrics").status == 401
    with Registry.serve(tmp_path / "r") as registry:
        assert Client(registry.address)("GET", "/metrics").status == 404


@pytest.mark.parametrize("settings", [{"connections": 0}, {"stall_timeout_s": -1}, {"blob_bytes": 0}])
def test_limits_are_positive(settings: dict[str, int]) -> None:
    """A limit of nothing is an error that names its field."""
    with pytest.raises(InvalidInput, match=next(iter(settings))):
        ServerLimits(**settings)


def test_a_program_that_never_closes_its_registry_ends(tmp_path: Path) -> None:
    """A forgotten registry holds up nothing at the end of the program, and says nothing."""
    program = (
        "import sys, urllib.request\n"
        "from container_kit.registry.server import Registry\n"
        "registry = Registry.serve(sys.argv[1])\n"
        "urllib.request.urlopen(registry.url + '/v2/').read()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "registry")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("missing", ["aiohttp", "jwt", "cryptography", "bcrypt", "prometheus_client"])
def test_a_missing_library_is_told_with_its_extra(tmp_path: Path, missing: str) -> None:
    """Whatever of the extra is not there, the error names it and what to install; nothing is opened."""
    program = (
        "import importlib.util, sys\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == sys.argv[2] else found(name, *more)\n"
        "from container_kit.registry.server import Auth, Registry, Tls\n"
        "from container_kit.errors import UnsupportedFeature\n"
        "auth = Auth(htpasswd=sys.argv[1], tokens=True)\n"
        "try:\n"
        "    Registry.serve(sys.argv[1], auth=auth, tls=Tls(self_signed=True), metrics=True)\n"
        "except UnsupportedFeature as error:\n"
        "    print(error)\n"
    )
    place = tmp_path / "registry"
    command = [sys.executable, "-c", program, str(place), missing]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert missing in done.stdout and "container-kit[server]" in done.stdout, done.stderr
    assert not place.exists()
