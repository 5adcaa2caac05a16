"""The documents over the API: addresses with hashes, packed answers, and the form of old kubectl."""

import gzip
import json

from container_kit.cluster.api.api import Api
from container_kit.cluster.api.messages import Request, User
from container_kit.cluster.schema import protobuf
from container_kit.cluster.store import MemoryStore

_ADMIN = User("admin", ("system:masters",))
_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


def _api() -> Api:
    return Api(MemoryStore())


def _get(api: Api, path: str, query: str = "", **headers: str) -> Request:
    parameters = {"hash": [query]} if query else {}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", path, parameters, named, user=_ADMIN)


def test_the_index_leads_to_every_document() -> None:
    """An address carries the hash of the document, which is also its ETag and makes it cacheable for ever."""
    api = _api()
    index = json.loads(api.handle(_get(api, "/openapi/v3")).body)

    for place, entry in index["paths"].items():
        path, _, hashed = entry["serverRelativeURL"].partition("?hash=")
        assert path == f"/openapi/v3/{place}"
        answer = api.handle(_get(api, path, hashed))
        assert answer.status == 200 and answer.headers["ETag"] == f'"{hashed}"'
        assert "immutable" in str(answer.headers["Cache-Control"])
        assert json.loads(answer.body)["openapi"] == "3.0.0"


def test_what_a_client_has_is_not_sent_again() -> None:
    """304 for the same tag; and packed for who can read it."""
    api = _api()
    plain = api.handle(_get(api, "/openapi/v3/apis/apps/v1"))
    tag = str(plain.headers["ETag"])

    assert api.handle(_get(api, "/openapi/v3/apis/apps/v1", if_none_match=tag)).status == 304
    packed = api.handle(_get(api, "/openapi/v3/apis/apps/v1", accept_encoding="gzip"))
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body


def test_old_kubectl_gets_protobuf() -> None:
    """Version 2 in protobuf has every type and path, by name."""
    api = _api()
    document = json.loads(api.handle(_get(api, "/openapi/v2")).body)
    answer = api.handle(_get(api, "/openapi/v2", accept=_V2_PROTOBUF))
    assert "@" not in str(answer.headers["Content-Type"])  # Go refuses it in an answer

    def named(data: bytes, number: int) -> set[str]:
        entries = [value for field, _, value in protobuf._wire_fields(data) if field == number]
        return {next(protobuf._wire_fields(entry))[2].decode() for entry in entries}

    fields = {number: value for number, _, value in protobuf._wire_fields(answer.body)}
    assert fields[1] == b"2.0"
    assert named(fields[8], 2) == set(document["paths"])
    assert named(fields[9], 1) == set(document["definitions"])


def test_nothing_else_is_there() -> None:
    """Unknown documents are not found, and nothing can be written."""
    api = _api()
    assert api.handle(_get(api, "/openapi/v3/apis/nope/v1")).status == 404
    assert api.handle(Request("POST", "/openapi/v2", user=_ADMIN)).status == 405
