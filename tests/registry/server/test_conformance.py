"""The OCI distribution specification 1.1, requirement by requirement, over raw HTTP, on every storage.

Each test is one sentence of the specification; the endpoint numbers are its own.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

import pytest

from container_kit.oci import Digest
from container_kit.registry.server import Registry
from tests.registry.server.documents import (
    EMPTY,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Answer,
    Client,
    descriptor,
    index,
    manifest,
)

BLOB = os.urandom(10_000)
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture
def client(registry: Registry) -> Client:
    return Client(registry.address)


def start(client: Client, repository: str = "app") -> str:
    """Start an upload; its path."""
    done = client("POST", f"/v2/{repository}/blobs/uploads/", b"")
    assert done.status == 202
    return urlsplit(done.headers["Location"]).path


# end-1


def test_the_version_check_says_yes(client: Client) -> None:
    """GET /v2/ is answered with 200 by a registry that implements the specification."""
    done = client("GET", "/v2/")
    assert done.status == 200 and done.headers["Docker-Distribution-API-Version"] == "registry/2.0"


def test_errors_are_documents_with_codes() -> None:
    """Every code that the specification lists is one that this server knows, with a status of its class."""
    from container_kit.registry.server.errors import STATUS

    listed = {
        "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID",
        "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN",
        "SIZE_INVALID", "UNAUTHORIZED", "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS",
    }  # fmt: skip
    assert listed <= set(STATUS) and all(400 <= STATUS[code] < 500 for code in listed)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/app/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/app/manifests/sha256:" + "0" * 64, 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/app/blobs/sha256:" + "0" * 64, 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/app/blobs/sha256:short", 400, "DIGEST_INVALID"),
        ("GET", "/v2/app/blobs/md5:" + "0" * 32, 400, "DIGEST_INVALID"),
        ("GET", "/v2/app/tags/list", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/UPPER/tags/list", 400, "NAME_INVALID"),
        ("GET", "/v2/app/blobs/uploads/" + "0" * 32, 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PATCH", "/v2/app/blobs/uploads/" + "0" * 32, 404, "BLOB_UPLOAD_UNKNOWN"),
        ("DELETE", "/v2/app/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("DELETE", "/v2/app/manifests/sha256:" + "0" * 64, 404, "MANIFEST_UNKNOWN"),
        ("DELETE", "/v2/app/blobs/sha256:" + "0" * 64, 404, "BLOB_UNKNOWN"),
        ("DELETE", "/v2/app/blobs/uploads/" + "0" * 32, 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", "/v2/app/tags/list", 405, "UNSUPPORTED"),
        ("GET", "/v2/app/other", 404, "UNSUPPORTED"),
        ("GET", "/v1/search", 404, "UNSUPPORTED"),
    ],
)
def test_what_is_not_there_is_named(client: Client, method: str, path: str, status: int, code: str) -> None:
    """A failed request is answered with the status and the code of the specification."""
    done = client(method, path)
    assert (done.status, done.codes) == (status, [code])
    assert done.headers["Content-Type"].startswith("application/json")
    assert done.json["errors"][0]["message"]


# end-2: blobs


def test_a_blob_comes_back_whole(client: Client) -> None:
    """GET gives the content with its length and digest; HEAD the same without a body."""
    digest = client.push_blob("app", BLOB)

    for method, body in (("GET", BLOB), ("HEAD", b"")):
        done = client(method, f"/v2/app/blobs/{digest}")
        assert done.status == 200 and done.body == body
        assert done.headers["Content-Length"] == str(len(BLOB))
        assert done.headers["Docker-Content-Digest"] == str(digest)


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_000])
def test_blobs_of_any_size(client: Client, size: int) -> None:
    """The empty blob, those sent in one write and those sent by sendfile are the same to a client."""
    data = os.urandom(size)
    digest = client.push_blob("app", data)
    assert client("GET", f"/v2/app/blobs/{digest}").body == data


@pytest.mark.parametrize(
    ("wish", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=9990-", 9990, 10_000),
        ("bytes=-10", 9990, 10_000),
        ("bytes=9000-99999", 9000, 10_000),
        ("bytes=-99999", 0, 10_000),
    ],
)
def test_a_blob_comes_in_parts(client: Client, wish: str, start: int, end: int) -> None:
    """A registry should support the Range request header of RFC 9110."""
    digest = client.push_blob("app", BLOB)
    done = client("GET", f"/v2/app/blobs/{digest}", headers={"Range": wish})
    assert done.status == 206 and done.body == BLOB[start:end]
    assert done.headers["Content-Range"] == f"bytes {start}-{end - 1}/10000"


@pytest.mark.parametrize("wish", ["bytes=10000-", "bytes=20000-30000", "bytes=-0"])
def test_parts_that_do_not_exist(client: Client, wish: str) -> None:
    """A range behind the end is 416, with the size."""
    digest = client.push_blob("app", BLOB)
    done = client("GET", f"/v2/app/blobs/{digest}", headers={"Range": wish})
    assert done.status == 416 and done.headers["Content-Range"] == "bytes */10000"


@pytest.mark.parametrize("wish", ["bytes=0-1,3-4", "bytes=5-1", "lines=1-2", "bytes=-", "bytes=a-b"])
def test_ranges_that_say_nothing_are_ignored(client: Client, wish: str) -> None:
    """What is no single range of bytes asks for all of them."""
    digest = client.push_blob("app", BLOB)
    done = client("GET", f"/v2/app/blobs/{digest}", headers={"Range": wish})
    assert done.status == 200 and done.body == BLOB


def test_what_a_client_has_is_not_sent_again(client: Client) -> None:
    """If-None-Match with the ETag of a blob or manifest is 304; a stale If-Range gives all of it."""
    digest = client.push_blob("app", BLOB)
    client.push_image("app", "1", b"layer")
    for path in (f"/v2/app/blobs/{digest}", "/v2/app/manifests/1"):
        tag = client("GET", path).headers["ETag"]
        done = client("GET", path, headers={"If-None-Match": f'"other", W/{tag}'})
        assert done.status == 304 and done.body == b""
        assert client("GET", path, headers={"If-None-Match": '"other"'}).status == 200
    stale = {"Range": "bytes=0-9", "If-Range": '"other"'}
    assert client("GET", f"/v2/app/blobs/{digest}", headers=stale).body == BLOB


# end-4 to end-6, end-13, end-14: pushing blobs


def test_a_blob_in_one_request(client: Client) -> None:
    """POST with a digest parameter and the whole blob answers 201 with its place."""
    digest = Digest.of(BLOB)
    done = client("POST", "/v2/app/blobs/uploads/", BLOB, digest=str(digest))
    assert done.status == 201 and done.headers["Location"] == f"/v2/app/blobs/{digest}"
    assert done.headers["Docker-Content-Digest"] == str(digest)


def test_a_blob_in_two_requests(client: Client) -> None:
    """POST for a place, then PUT of everything with the digest."""
    digest = Digest.of(BLOB)
    done = client("PUT", start(client), BLOB, digest=str(digest))
    assert done.status == 201
    assert client("GET", done.headers["Location"]).body == BLOB


def test_a_blob_in_chunks(client: Client) -> None:
    """PATCH after PATCH in order, each answered with 202, the place and how much has come; then PUT."""
    place = start(client)
    for first in (0, 4000):
        headers = {"Content-Range": f"{first}-{first + 3999}", "Content-Type": "application/octet-stream"}
        done = client("PATCH", place, BLOB[first : first + 4000], headers)
        assert done.status == 202 and done.headers["Range"] == f"0-{first + 3999}"
        place = done.headers["Location"]
    done = client("PUT", place, BLOB[8000:], {"Content-Range": "8000-9999"}, digest=str(Digest.of(BLOB)))
    assert done.status == 201 and client("GET", done.headers["Location"]).body == BLOB


def test_a_blob_as_a_stream(client: Client) -> None:
    """A PATCH of unknown length, in HTTP's own chunks, then PUT without a body: what docker and podman do."""
    place = start(client)
    pieces = (BLOB[at : at + 999] for at in range(0, len(BLOB), 999))
    done = client("PATCH", place, pieces)
    assert done.status == 202 and done.headers["Range"] == "0-9999"
    assert client("PUT", place, b"", digest=str(Digest.of(BLOB))).status == 201


@pytest.mark.parametrize("where", ["1-100", "0-99", "5000-5099", "99-0", "x-y", "4000"])
def test_a_chunk_out_of_order_is_refused(client: Client, where: str) -> None:
    """A chunk that does not begin where the last one ended is 416, and changes nothing."""
    place = start(client)
    client("PATCH", place, BLOB[:4000], {"Content-Range": "0-3999"})
    done = client("PATCH", place, BLOB[:100], {"Content-Range": where})
    assert done.status == 416 and done.headers["Range"] == "0-3999"
    assert client("GET", place).headers["Range"] == "0-3999"


def test_a_chunk_of_another_length_is_refused(client: Client) -> None:
    """A Content-Range that disagrees with Content-Length is an error."""
    done = client("PATCH", start(client), BLOB[:100], {"Content-Range": "0-49"})
    assert done.status == 400 and done.codes == ["SIZE_INVALID"]


def test_the_status_of_an_upload(client: Client) -> None:
    """GET of the place answers 204 with how much has come."""
    place = start(client)
    assert client("GET", place).headers["Range"] == "0-0"
    client("PATCH", place, BLOB)
    done = client("GET", place)
    assert done.status == 204 and done.headers["Range"] == "0-9999" and done.headers["Location"] == place


def test_an_upload_is_cancelled(client: Client) -> None:
    """DELETE of the place answers 204; then there is no such upload."""
    place = start(client)
    assert client("DELETE", place).status == 204
    assert client("GET", place).status == 404


@pytest.mark.parametrize("parameters", [{}, {"digest": "sha256:abc"}, {"digest": ""}])
def test_an_upload_ends_with_a_digest(client: Client, parameters: dict[str, str]) -> None:
    """PUT without a digest, or with something else, is 400; the upload can still be finished."""
    place = start(client)
    client("PATCH", place, BLOB)
    done = client("PUT", place, b"", **parameters)
    assert done.status == 400 and done.codes == ["DIGEST_INVALID"]
    assert client("PUT", place, b"", digest=str(Digest.of(BLOB))).status == 201


@pytest.mark.parametrize("way", ["post", "put"])
def test_content_with_another_digest_is_refused(client: Client, way: str) -> None:
    """Content that the digest does not name is 400 DIGEST_INVALID, and not stored."""
    wrong = str(Digest.of(b"other"))
    if way == "post":
        done = client("POST", "/v2/app/blobs/uploads/", BLOB, digest=wrong)
    else:
        done = client("PUT", start(client), BLOB, digest=wrong)
    assert done.status == 400 and done.codes == ["DIGEST_INVALID"]
    assert client("HEAD", f"/v2/app/blobs/{wrong}").status == 404
    assert client("HEAD", f"/v2/app/blobs/{Digest.of(BLOB)}").status == 404


def test_sha512_is_a_digest_like_any_other(client: Client) -> None:
    """Blobs and manifests may be addressed by sha512."""
    digest = Digest.of(BLOB, "sha512")
    assert client("POST", "/v2/app/blobs/uploads/", BLOB, digest=str(digest)).status == 201
    assert client("GET", f"/v2/app/blobs/{digest}").body == BLOB
    raw = client.push_image("app", "1", b"layer")
    named = Digest.of(raw, "sha512")
    assert client.push_manifest("app", str(named), raw).status == 201
    assert client("GET", f"/v2/app/manifests/{named}").body == raw


# end-11: mounts


def test_a_blob_is_mounted(client: Client) -> None:
    """POST with mount and from answers 201 and needs no bytes."""
    digest = client.push_blob("one", BLOB)
    done = client("POST", "/v2/two/blobs/uploads/", b"", mount=str(digest), **{"from": "one"})
    assert done.status == 201 and done.headers["Location"] == f"/v2/two/blobs/{digest}"
    assert client("GET", f"/v2/two/blobs/{digest}").body == BLOB


@pytest.mark.parametrize("source", ["three", None])
def test_a_mount_that_cannot_be_is_an_upload(client: Client, source: str | None) -> None:
    """From a repository without the blob, or from nowhere: 202 and a place to upload to."""
    digest = client.push_blob("one", BLOB)
    parameters = {"mount": str(digest)} | ({"from": source} if source else {})
    done = client("POST", "/v2/two/blobs/uploads/", b"", **parameters)
    assert done.status == 202 and "/v2/two/blobs/uploads/" in done.headers["Location"]
    assert client("HEAD", f"/v2/two/blobs/{digest}").status == 404


# end-3, end-7: manifests


def test_a_manifest_comes_back_as_it_was(client: Client) -> None:
    """The exact bytes, by tag and by digest, with type, digest and length; HEAD without the body."""
    raw = client.push_image("app", "v1", b"layer")
    digest = Digest.of(raw)
    for reference in ("v1", str(digest)):
        for method, body in (("GET", raw), ("HEAD", b"")):
            done = client(method, f"/v2/app/manifests/{reference}")
            assert done.status == 200 and done.body == body
            assert done.headers["Content-Type"] == OCI_MANIFEST
            assert done.headers["Docker-Content-Digest"] == str(digest)
            assert done.headers["Content-Length"] == str(len(raw))


def test_a_push_tells_where_the_manifest_is(client: Client) -> None:
    """PUT answers 201 with the place and the digest."""
    raw = client.push_image("app", "v1", b"layer")
    done = client.push_manifest("app", "v2", raw)
    assert done.status == 201 and done.headers["Docker-Content-Digest"] == str(Digest.of(raw))
    assert client("GET", done.headers["Location"]).body == raw


def test_a_tag_moves(client: Client) -> None:
    """A second push of a tag replaces it; the first manifest stays under its digest."""
    first, second = (client.push_image("app", "v1", layer) for layer in (b"first", b"second"))
    assert client("GET", "/v2/app/manifests/v1").body == second
    assert client("GET", f"/v2/app/manifests/{Digest.of(first)}").body == first


def test_a_manifest_by_a_digest_that_is_not_its_own(client: Client) -> None:
    """PUT under another digest is 400."""
    raw = client.push_image("app", "v1", b"layer")
    done = client.push_manifest("app", str(Digest.of(b"other")), raw)
    assert done.status == 400 and done.codes == ["DIGEST_INVALID"]


def test_a_manifest_needs_its_blobs(client: Client) -> None:
    """A manifest with a blob that the repository lacks is refused with the digest of that blob."""
    client.push_blob("app", b"config")
    raw = manifest(b"config", b"never pushed")
    done = client.push_manifest("app", "v1", raw)
    assert done.status == 404 and done.codes == ["MANIFEST_BLOB_UNKNOWN"]
    assert done.json["errors"][0]["detail"] == {"digest": str(Digest.of(b"never pushed"))}
    assert client("GET", "/v2/app/manifests/v1").status == 404


def test_an_index_needs_its_manifests(client: Client) -> None:
    """An index may be pushed when its manifests are there, and not before."""
    raw = client.push_image("app", "linux", b"layer")
    missing = client.push_manifest("app", "all", index(raw, manifest(b"other")), OCI_INDEX)
    assert missing.status == 404 and missing.codes == ["MANIFEST_BLOB_UNKNOWN"]
    assert client.push_manifest("app", "all", index(raw), OCI_INDEX).status == 201
    assert client("GET", "/v2/app/manifests/all").headers["Content-Type"] == OCI_INDEX


@pytest.mark.parametrize(
    ("raw", "media_type"),
    [
        (b"", OCI_MANIFEST),
        (b"not json", OCI_MANIFEST),
        (b"[]", OCI_MANIFEST),
        (b"{}", OCI_MANIFEST),
        (manifest(EMPTY), OCI_INDEX),
        (manifest(EMPTY), DOCKER_MANIFEST),
        (manifest(EMPTY), "text/html"),
        (manifest(EMPTY, manifests=[]), OCI_MANIFEST),
        (manifest(EMPTY).replace(b'"schemaVersion": 2', b'"schemaVersion": 1'), OCI_MANIFEST),
        (manifest(EMPTY).replace(b'"layers"', b'"config": {}, "layers"'), OCI_MANIFEST),
        (manifest(EMPTY).replace(b'"layers"', b'"Layers"'), OCI_MANIFEST),
        (manifest(EMPTY, layers=[{"mediaType": "a/b", "digest": "sha256:1", "size": 1}]), OCI_MANIFEST),
        (manifest(EMPTY).replace(OCI_MANIFEST.encode(), DOCKER_MANIFEST.encode()), OCI_MANIFEST),
        (manifest(EMPTY, mediaType=None), DOCKER_MANIFEST),
    ],
)
def test_what_is_no_manifest_is_refused(client: Client, raw: bytes, media_type: str) -> None:
    """Documents that are malformed, ambiguous, or of another type than they are called, are 400."""
    client.push_blob("app", EMPTY)
    done = client.push_manifest("app", "v1", raw, media_type)
    assert done.status == 400 and done.codes == ["MANIFEST_INVALID"]


def test_a_manifest_tells_the_truth_about_sizes(client: Client) -> None:
    """A descriptor with another size than its blob is refused."""
    client.push_blob("app", EMPTY)
    raw = manifest(EMPTY, layers=[{**descriptor(EMPTY), "size": 3}])
    assert client.push_manifest("app", "v1", raw).codes == ["MANIFEST_INVALID"]


def test_a_manifest_has_a_largest_size(client: Client) -> None:
    """Four megabytes must be accepted; more is 413, whether announced or not."""
    client.push_blob("app", EMPTY)
    fits = manifest(EMPTY, annotations={"a": "x" * (4 * 1024 * 1024 - 400)})
    assert len(fits) < 4 * 1024 * 1024 and client.push_manifest("app", "v1", fits).status == 201
    large = manifest(EMPTY, annotations={"a": "x" * 4 * 1024 * 1024})
    assert client.push_manifest("app", "v1", large).status == 413
    pieces = (large[at : at + 65536] for at in range(0, len(large), 65536))
    assert client("PUT", "/v2/app/manifests/v1", pieces, {"Content-Type": OCI_MANIFEST}).status == 413


def test_foreign_layers_need_not_be_here(client: Client) -> None:
    """A layer of a non-distributable type that says where it is may be missing; another one may not."""
    client.push_blob("app", EMPTY)
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    urls = ["https://example.org/layer"]
    foreign = manifest(EMPTY, layers=[descriptor(b"elsewhere", kind, urls=urls)])
    assert client.push_manifest("app", "v1", foreign).status == 201
    plain = manifest(EMPTY, layers=[descriptor(b"elsewhere", urls=urls)])
    assert client.push_manifest("app", "v2", plain).status == 404


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (None, 200),
        ("*/*", 200),
        (OCI_MANIFEST, 200),
        (f"{DOCKER_MANIFEST}, {OCI_MANIFEST};q=0.5", 200),
        ("application/*", 200),
        (DOCKER_MANIFEST, 404),
        (f"{OCI_MANIFEST};q=0", 404),
    ],
)
def test_a_client_gets_what_it_can_read(client: Client, accept: str | None, status: int) -> None:
    """A manifest of a type that Accept leaves out is as good as unknown."""
    client.push_image("app", "v1", b"layer")
    headers = {"Accept": accept} if accept else {}
    assert client("GET", "/v2/app/manifests/v1", headers=headers).status == status


# end-8: lists


def test_tags_are_listed_in_order(client: Client) -> None:
    """All tags, in lexical order, under the name of the repository."""
    for tag in ("b", "a", "c10", "c2"):
        client.push_image("team/app", tag, b"layer")
    assert client("GET", "/v2/team/app/tags/list").json == {
        "name": "team/app",
        "tags": ["a", "b", "c10", "c2"],
    }


def test_tags_come_in_pages(client: Client) -> None:
    """n limits a page, Link leads to the next, the last page has no Link; last begins behind a tag."""
    tags = [f"v{number}" for number in range(5)]
    for tag in tags:
        client.push_image("app", tag, b"layer")

    found, path = [], "/v2/app/tags/list?n=2"
    while path:
        page = client("GET", path)
        assert len(page.json["tags"]) <= 2
        found += page.json["tags"]
        link = re.fullmatch(r'<(/[^>]+)>; rel="next"', page.headers.get("Link", ""))
        path = link[1] if link else ""
    assert found == tags
    assert client("GET", "/v2/app/tags/list", last="v2").json["tags"] == ["v3", "v4"]
    assert client("GET", "/v2/app/tags/list", last="v22", n="1").json["tags"] == ["v3"]


def test_a_page_of_nothing(client: Client) -> None:
    """n=0 gives an empty list and no Link."""
    client.push_image("app", "v1", b"layer")
    done = client("GET", "/v2/app/tags/list", n="0")
    assert done.json["tags"] == [] and "Link" not in done.headers


@pytest.mark.parametrize("count", ["-1", "x", "1e3", "9" * 30, "²"])
def test_a_page_size_is_a_number(client: Client, count: str) -> None:
    """Anything else is refused."""
    client.push_image("app", "v1", b"layer")
    assert client("GET", "/v2/app/tags/list", n=count).status == 400


def test_repositories_are_listed_in_pages(client: Client) -> None:
    """_catalog lists the repositories that have an image."""
    for name in ("b", "a/x", "c"):
        client.push_image(name, "1", b"layer")
    client.push_blob("only-blobs", b"data")
    assert client("GET", "/v2/_catalog").json == {"repositories": ["a/x", "b", "c"]}
    page = client("GET", "/v2/_catalog", n="2")
    assert page.json["repositories"] == ["a/x", "b"] and page.headers["Link"].startswith("</v2/_catalog?n=2")


# end-9, end-10: deletion


def test_a_tag_is_deleted_alone(client: Client) -> None:
    """DELETE of a tag answers 202; the manifest and its other tags stay."""
    raw = client.push_image("app", "v1", b"layer")
    client.push_manifest("app", "v2", raw)
    assert client("DELETE", "/v2/app/manifests/v1").status == 202
    assert client("GET", "/v2/app/manifests/v1").status == 404
    assert client("GET", "/v2/app/manifests/v2").body == raw


def test_a_manifest_is_deleted_with_its_tags(client: Client) -> None:
    """DELETE of a digest answers 202; then neither it nor its tags are found, and tags/list is empty."""
    digest = Digest.of(client.push_image("app", "v1", b"layer"))
    assert client("DELETE", f"/v2/app/manifests/{digest}").status == 202
    assert client("GET", f"/v2/app/manifests/{digest}").status == 404
    assert client("GET", "/v2/app/manifests/v1").status == 404
    assert client("DELETE", f"/v2/app/manifests/{digest}").status == 404


def test_a_blob_is_deleted(client: Client) -> None:
    """DELETE of a blob answers 202; then it is unknown here, and stays where else it is."""
    digest = client.push_blob("app", BLOB)
    client.push_blob("other", BLOB)
    assert client("DELETE", f"/v2/app/blobs/{digest}").status == 202
    assert client("GET", f"/v2/app/blobs/{digest}").status == 404
    assert client("GET", f"/v2/other/blobs/{digest}").body == BLOB


# end-12: referrers


def push_referrer(client: Client, subject: bytes, **more: object) -> Answer:
    client.push_blob("app", EMPTY)
    raw = manifest(EMPTY, subject=descriptor(subject, OCI_MANIFEST), **more)
    return client.push_manifest("app", str(Digest.of(raw)), raw)


def test_a_push_with_a_subject_says_so(client: Client) -> None:
    """OCI-Subject tells that the registry lists referrers itself, also when the subject is not there."""
    done = push_referrer(client, b"not pushed yet")
    assert done.status == 201 and done.headers["OCI-Subject"] == str(Digest.of(b"not pushed yet"))


def test_referrers_are_listed(client: Client) -> None:
    """An index with a descriptor of each referrer, with its artifact type and annotations."""
    subject = client.push_image("app", "v1", b"layer")
    signed = push_referrer(client, subject, artifactType="text/signature", annotations={"a": "1"})
    plain = push_referrer(client, subject)
    done = client("GET", f"/v2/app/referrers/{Digest.of(subject)}")

    assert done.status == 200 and done.headers["Content-Type"] == OCI_INDEX
    assert done.json["schemaVersion"] == 2 and done.json["mediaType"] == OCI_INDEX
    found = {one["digest"]: one for one in done.json["manifests"]}
    first = found[signed.headers["Docker-Content-Digest"]]
    assert first["artifactType"] == "text/signature" and first["annotations"] == {"a": "1"}
    second = found[plain.headers["Docker-Content-Digest"]]
    assert second["artifactType"] == OCI_CONFIG  # the type of its configuration
    assert all(one["mediaType"] == OCI_MANIFEST and one["size"] > 0 for one in found.values())


def test_referrers_of_one_type(client: Client) -> None:
    """artifactType filters, and OCI-Filters-Applied says that it did."""
    subject = client.push_image("app", "v1", b"layer")
    for kind in ("text/signature", "text/sbom"):
        push_referrer(client, subject, artifactType=kind)
    done = client("GET", f"/v2/app/referrers/{Digest.of(subject)}", artifactType="text/sbom")
    assert [one["artifactType"] for one in done.json["manifests"]] == ["text/sbom"]
    assert done.headers["OCI-Filters-Applied"] == "artifactType"


def test_many_referrers_come_in_pages(client: Client) -> None:
    """Link leads from page to page, and all pages together list each referrer once."""
    from container_kit.registry.server import repositories

    subject = client.push_image("app", "v1", b"layer")
    pushed = {
        push_referrer(client, subject, artifactType=f"a/{number}").headers["Docker-Content-Digest"]
        for number in range(7)
    }
    found: list[str] = []
    path = f"/v2/app/referrers/{Digest.of(subject)}"
    before, repositories._REFERRERS = repositories._REFERRERS, 3  # type: ignore[misc]
    try:
        while path:
            page = client("GET", path)
            assert len(page.json["manifests"]) <= 3
            found += [one["digest"] for one in page.json["manifests"]]
            link = re.fullmatch(r'<(/[^>]+)>; rel="next"', page.headers.get("Link", ""))
            path = link[1] if link else ""
    finally:
        repositories._REFERRERS = before  # type: ignore[misc]
    assert len(found) == 7 and set(found) == pushed


def test_nothing_refers_to_what_is_not_there(client: Client) -> None:
    """The list of an unknown manifest, even in an unknown repository, is empty and not an error."""
    done = client("GET", f"/v2/nowhere/referrers/{Digest.of(b'nothing')}")
    assert done.status == 200 and done.json["manifests"] == []
    assert client("GET", "/v2/app/referrers/sha256:bad").status == 400


def test_a_deleted_referrer_is_listed_no_more(client: Client) -> None:
    """Deleting the manifest takes it off the list; deleting the subject leaves it there."""
    subject = client.push_image("app", "v1", b"layer")
    gone, stays = (push_referrer(client, subject, artifactType=kind) for kind in ("a/gone", "a/stays"))
    client("DELETE", f"/v2/app/manifests/{gone.headers['Docker-Content-Digest']}")
    client("DELETE", f"/v2/app/manifests/{Digest.of(subject)}")
    listed = client("GET", f"/v2/app/referrers/{Digest.of(subject)}").json["manifests"]
    assert [one["digest"] for one in listed] == [stays.headers["Docker-Content-Digest"]]


def test_an_index_can_refer_too(client: Client) -> None:
    """A referrer may be an index, with its own artifact type."""
    subject = client.push_image("app", "v1", b"layer")
    raw = index(subject, subject=descriptor(subject, OCI_MANIFEST), artifactType="text/set")
    assert client.push_manifest("app", "set", raw, OCI_INDEX).headers["OCI-Subject"]
    [listed] = client("GET", f"/v2/app/referrers/{Digest.of(subject)}").json["manifests"]
    assert (listed["mediaType"], listed["artifactType"]) == (OCI_INDEX, "text/set")


def test_an_artifact_without_layers(client: Client) -> None:
    """The empty configuration and an artifact type make an artifact that is no image."""
    client.push_blob("app", EMPTY)
    kind = "application/vnd.oci.empty.v1+json"
    raw = manifest(
        EMPTY, config=descriptor(EMPTY, kind), artifactType="text/x", layers=[descriptor(EMPTY, kind)]
    )
    assert client.push_manifest("app", "artifact", raw).status == 201


# what a registry does not allow


def test_a_read_only_registry_only_reads(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Pushes, uploads and deletions are 405 UNSUPPORTED; pulls work."""
    with Registry.serve(tmp_path / "registry") as registry:
        raw = Client(registry.address).push_image("app", "v1", b"layer")
    with Registry.serve(tmp_path / "registry", read_only=True) as registry:
        client = Client(registry.address)
        assert client("GET", "/v2/app/manifests/v1").body == raw
        for method, path in (
            ("POST", "/v2/app/blobs/uploads/"),
            ("PUT", "/v2/app/manifests/v2"),
            ("DELETE", "/v2/app/manifests/v1"),
            ("DELETE", f"/v2/app/blobs/{Digest.of(b'layer')}"),
        ):
            done = client(method, path, b"")
            assert (done.status, done.codes) == (405, ["UNSUPPORTED"])


def test_deletion_is_switched_off_for_tags_too(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """With delete=False nothing is deleted: not by digest, not by tag, no blob (CVE-2026-41888)."""
    with Registry.serve(tmp_path / "registry", delete=False) as registry:
        client = Client(registry.address)
        raw = client.push_image("app", "v1", b"layer")
        for path in (
            "/v2/app/manifests/v1",
            f"/v2/app/manifests/{Digest.of(raw)}",
            f"/v2/app/blobs/{Digest.of(b'layer')}",
        ):
            assert client("DELETE", path).codes == ["UNSUPPORTED"]
        assert client("GET", "/v2/app/manifests/v1").body == raw
