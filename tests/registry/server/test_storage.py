"""What every storage of a registry promises: one suite for all of them."""

from __future__ import annotations

import os

import pytest

from container_kit.errors import NotFound
from container_kit.oci import Digest
from container_kit.registry.server.documents import read_document
from container_kit.registry.server.errors import Refusal
from container_kit.registry.server.repositories import Repositories
from container_kit.registry.server.storage import Link, Storage
from tests.registry.server.documents import OCI_MANIFEST, manifest


def push_blob(repositories: Repositories, repository: str, data: bytes) -> Digest:
    digest = Digest.of(data)
    with repositories.uploads.start(repository) as upload:
        upload.write([data])
        repositories.finish(repository, upload, digest)
    return digest


def push_image(repositories: Repositories, repository: str, tag: str | None, *layers: bytes) -> Digest:
    config = f"config of {tag}".encode()
    for blob in (config, *layers):
        push_blob(repositories, repository, blob)
    document = read_document(manifest(config, *layers), OCI_MANIFEST)
    repositories.push_manifest(repository, document, tag)
    return document.digest


def forget_flight(storage: Storage) -> None:
    storage.rotate()
    storage.rotate()


def test_a_blob_is_read_as_it_was_pushed(storage: Storage) -> None:
    """What was written comes back byte for byte, with its size."""
    repositories = Repositories(storage)
    data = os.urandom(3_000_000)
    digest = push_blob(repositories, "team/app", data)

    assert repositories.blob_size("team/app", digest) == len(data)
    with open(repositories.open_blob("team/app", digest), "rb") as file:
        assert file.read() == data
    assert os.listdir(storage.uploads_directory) == []


def test_a_blob_exists_only_where_it_was_pushed(storage: Storage) -> None:
    """Another repository, even one whose name begins alike, does not see it."""
    repositories = Repositories(storage)
    digest = push_blob(repositories, "team/app", b"secret")

    for other in ("team", "team/app2", "team/ap", "team/app/x"):
        with pytest.raises(Refusal, match="has no blob"):
            repositories.blob_size(other, digest)


def test_a_mount_makes_a_blob_visible_without_its_bytes(storage: Storage) -> None:
    """A mount from where it is works; from where it is not, nothing happens."""
    repositories = Repositories(storage)
    digest = push_blob(repositories, "one", b"data")

    assert not repositories.mount("two", "three", digest)
    assert repositories.mount("two", "one", digest)
    assert repositories.blob_size("two", digest) == 4


def test_a_manifest_needs_its_blobs_in_the_same_repository(storage: Storage) -> None:
    """A manifest that names what its repository lacks is refused, even if another one has it."""
    repositories = Repositories(storage)
    push_image(repositories, "one", "1", b"layer")
    document = read_document(manifest(b"config of 1", b"layer"), OCI_MANIFEST)

    with pytest.raises(Refusal) as refused:
        repositories.push_manifest("two", document, "1")
    assert refused.value.code == "MANIFEST_BLOB_UNKNOWN"
    with pytest.raises(Refusal, match="no manifest"):
        repositories.resolve("two", "1")


def test_a_change_happens_whole_or_not_at_all(storage: Storage) -> None:
    """A change that requires a link that is not there leaves everything as it was."""
    repositories = Repositories(storage)
    digest = push_blob(repositories, "one", b"data")

    with pytest.raises(NotFound):
        storage.change([Link.tag("one", "t", digest)], require=[Link.blob("two", digest)])
    assert storage.find("tag", "one", "t") is None


def test_a_link_to_nothing_cannot_be_made(storage: Storage) -> None:
    """A name never means a content that is not here."""
    with pytest.raises(NotFound):
        storage.change([Link.blob("one", Digest.of(b"never pushed"))])


def test_removing_a_manifest_removes_its_tags(storage: Storage) -> None:
    """No tag is left that leads nowhere; other manifests stay."""
    repositories = Repositories(storage)
    gone, stays = (push_image(repositories, "app", tag, tag.encode()) for tag in ("gone", "stays"))
    storage.change([Link.tag("app", "again", gone)])

    repositories.delete_manifest("app", gone)
    assert repositories.tags("app") == ["stays"]
    assert repositories.resolve("app", stays) == stays


def test_repositories_are_those_with_a_manifest(storage: Storage) -> None:
    """A repository is listed once it has an image, under its full name."""
    repositories = Repositories(storage)
    push_blob(repositories, "only/blobs", b"data")
    for name in ("b/c", "a", "b"):
        push_image(repositories, name, "1", b"layer")

    assert storage.repositories() == ["a", "b", "b/c"]


def test_collection_keeps_what_a_manifest_needs(storage: Storage) -> None:
    """Blobs without a manifest go, with their bytes; images stay whole."""
    repositories = Repositories(storage)
    image = push_image(repositories, "app", "1", b"layer")
    lost = push_blob(repositories, "app", b"lost")
    forget_flight(storage)

    collected = repositories.collect()
    assert collected.links == 1 and collected.freed_bytes == 4
    assert storage.size(lost) is None
    for blob in repositories.document(image).blobs:
        assert repositories.blob_size("app", blob.digest) == blob.size


def test_collection_spares_what_is_in_flight(storage: Storage) -> None:
    """A blob that was just pushed, or just looked for, is not collected before a manifest can name it."""
    repositories = Repositories(storage)
    pushed, looked_for = (push_blob(repositories, "app", data) for data in (b"pushed", b"looked for"))
    forget_flight(storage)
    storage.keep(looked_for)

    repositories.collect()
    assert storage.size(pushed) is None
    assert repositories.blob_size("app", looked_for) == len(b"looked for")


def test_collection_of_untagged_manifests_is_asked_for(storage: Storage) -> None:
    """A manifest without a tag stays until the caller says otherwise."""
    repositories = Repositories(storage)
    untagged = push_image(repositories, "app", None, b"layer")
    tagged = push_image(repositories, "app", "1", b"layer")
    forget_flight(storage)

    assert repositories.collect().links == 0
    repositories.collect(untagged=True)
    assert repositories.resolve("app", tagged) == tagged
    with pytest.raises(Refusal):
        repositories.resolve("app", untagged)


def test_an_upload_goes_on_where_it_ended(storage: Storage) -> None:
    """The bytes of several requests, even after a restart that forgot their hash, are one blob."""
    repositories = Repositories(storage)
    with repositories.uploads.start("app") as upload:
        upload.write([b"first, "])
    with repositories.uploads.resume("app", upload.id) as again:
        again.write([b"second, "])
    restarted = Repositories(storage)
    with restarted.uploads.resume("app", upload.id) as last:
        assert last.size == len(b"first, second, ")
        last.write([b"third"])
        restarted.finish("app", last, Digest.of(b"first, second, third"))


def test_an_upload_belongs_to_its_repository(storage: Storage) -> None:
    """Its id is of no use elsewhere."""
    uploads = Repositories(storage).uploads
    with uploads.start("app") as upload:
        pass
    with pytest.raises(Refusal, match="no such upload"):
        uploads.resume("other", upload.id)
    assert uploads.sweep(0) == 1


def test_an_upload_has_one_writer(storage: Storage) -> None:
    """A second request is refused while the first writes, and a sweep leaves it alone."""
    uploads = Repositories(storage).uploads
    with uploads.start("app") as upload:
        with pytest.raises(Refusal, match="another request"):
            uploads.resume("app", upload.id)
        assert uploads.sweep(0) == 0
    assert uploads.sweep(3600) == 0
    assert uploads.sweep(0) == 1


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_wrong_bytes_are_never_a_blob(storage: Storage, algorithm: str) -> None:
    """An upload with another digest is refused and its space given back."""
    repositories = Repositories(storage)
    wrong = Digest.of(b"expected", algorithm)
    with repositories.uploads.start("app") as upload:
        upload.write([b"different"])
        with pytest.raises(Refusal) as refused:
            repositories.finish("app", upload, wrong)
    assert refused.value.code == "DIGEST_INVALID"
    assert storage.size(wrong) is None and os.listdir(storage.uploads_directory) == []


def test_referrers_may_have_any_digest(storage: Storage) -> None:
    """Also those whose digests, and whose subjects' digests, are long: listed, and removed by name."""
    repositories = Repositories(storage)
    push_blob(repositories, "team/app", b"{}")
    subject = Digest.of(b"subject", "sha512")
    about = {"mediaType": OCI_MANIFEST, "digest": str(subject), "size": 7}
    raw = manifest(b"{}", subject=about)
    document = read_document(raw, OCI_MANIFEST, Digest.of(raw, "sha512"))
    repositories.push_manifest("team/app", document)
    name = f"{subject}@{document.digest}"
    assert dict(storage.links("referrer", "team/app", f"{subject}@")) == {name: document.digest}
    assert storage.find("referrer", "team/app", name) == document.digest
    repositories.delete_manifest("team/app", document.digest)
    assert not storage.links("referrer", "team/app")
