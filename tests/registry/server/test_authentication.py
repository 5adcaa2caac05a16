"""Who may do what: passwords, tokens, grants; every answer about rights comes before one about contents."""

from __future__ import annotations

import base64
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import jwt
import pytest

from container_kit.errors import InvalidInput
from container_kit.oci import Digest
from container_kit.registry.server import Auth, Registry, Tls
from container_kit.registry.server.access import Caller, Grant
from container_kit.registry.server.passwords import Htpasswd
from container_kit.registry.server.tokens import SERVICE, Tokens, parse_scopes
from tests.registry.server.documents import Client
from tests.registry.server.test_attacks import say

KEY = bytes(range(32))
PASSWORD = "planted-secret-5f3a"
USERS = {"alice": PASSWORD, "bob": "bob-secret", "carol": "carol-secret"}
GRANTS = {"alice": ["all"], "bob": ["pull", "pull,push:bob/**"]}
AUTH = Auth(users=USERS, grants=GRANTS, anonymous=("pull:public/*",))
TOKEN_AUTH = Auth(users=USERS, grants=GRANTS, anonymous=("pull:public/*",), tokens=True, token_key=KEY)


def basic(user: str, password: str | None = None) -> dict[str, str]:
    secret = password if password is not None else USERS[user]
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


def bearer(client: Client, user: str | None, *scopes: str) -> dict[str, str]:
    """The header with a token from the server's own endpoint."""
    path = "/token?" + "&".join(f"scope={scope}" for scope in scopes)
    done = client("GET", path, headers=basic(user) if user else {})
    assert done.status == 200, done.body
    return {"Authorization": f"Bearer {done.json['token']}"}


@contextmanager
def serving(tmp_path: Path, auth: Auth, **options: Any) -> Iterator[Client]:
    with Registry.serve(tmp_path / "registry", auth=auth, **options) as registry:
        yield Client(registry.address)


@pytest.fixture
def stocked(tmp_path: Path) -> Path:
    """A directory with one image in each of three repositories."""
    with Registry.serve(tmp_path / "registry") as registry:
        for name in ("public/app", "bob/app", "secret/app"):
            Client(registry.address).push_image(name, "1", b"layer")
    return tmp_path


def status(client: Client, method: str, path: str, headers: dict[str, str] | None = None) -> int:
    return client(method, path, b"" if method in ("POST", "PUT") else None, headers).status


def test_without_credentials_only_what_anyone_may(stocked: Path) -> None:
    """An anonymous caller pulls what is public; everything else is 401 with a challenge, whatever exists."""
    with serving(stocked, AUTH) as client:
        assert status(client, "GET", "/v2/public/app/manifests/1") == 200
        for method, path in (
            ("GET", "/v2/secret/app/manifests/1"),
            ("GET", "/v2/secret/nothing/manifests/1"),
            ("POST", "/v2/public/app/blobs/uploads/"),
            ("DELETE", "/v2/public/app/manifests/1"),
            ("GET", "/v2/_catalog"),
        ):
            done = client(method, path)
            assert done.status == 401 and done.codes == ["UNAUTHORIZED"]
            assert done.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_user_does_what_the_grants_say(stocked: Path) -> None:
    """Each action on each repository is allowed as granted, and 403 otherwise."""
    with serving(stocked, AUTH) as client:
        bob, alice, carol = basic("bob"), basic("alice"), basic("carol")
        assert status(client, "GET", "/v2/secret/app/manifests/1", bob) == 200
        assert status(client, "POST", "/v2/bob/app/blobs/uploads/", bob) == 202
        assert status(client, "POST", "/v2/secret/app/blobs/uploads/", bob) == 403
        assert status(client, "DELETE", "/v2/bob/app/manifests/1", bob) == 403
        assert status(client, "GET", "/v2/_catalog", bob) == 403
        assert status(client, "GET", "/v2/_catalog", alice) == 200
        assert status(client, "DELETE", "/v2/bob/app/manifests/1", alice) == 202
        assert status(client, "GET", "/v2/public/app/manifests/1", carol) == 403


@pytest.mark.parametrize(
    "header",
    [
        basic("alice", "wrong"),
        basic("nobody", PASSWORD),
        basic("alice", ""),
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()},
        {"Authorization": "Bearer " + PASSWORD},
        {"Authorization": "Digest x"},
        {"Authorization": "Basic"},
    ],
)
def test_wrong_credentials_are_worth_less_than_none(stocked: Path, header: dict[str, str]) -> None:
    """They are 401 even where an anonymous caller would be served."""
    with serving(stocked, AUTH) as client:
        assert status(client, "GET", "/v2/public/app/manifests/1", header) == 401


def test_a_catalogue_shows_what_its_reader_may_pull(tmp_path: Path) -> None:
    """Listing needs the right `catalog`, and leaves out what may not be pulled."""
    with Registry.serve(tmp_path / "registry") as registry:
        for name in ("one/a", "two/b"):
            Client(registry.address).push_image(name, "1", b"layer")
    auth = Auth(users=USERS, grants={"bob": ["catalog", "pull:one/*"]})
    with serving(tmp_path, auth) as client:
        assert client("GET", "/v2/_catalog", headers=basic("bob")).json == {"repositories": ["one/a"]}


def test_a_blob_is_not_mounted_from_where_it_cannot_be_pulled(stocked: Path) -> None:
    """A mount from a repository without the right to pull is as if the blob were not there."""
    auth = Auth(users=USERS, grants={"bob": ["pull,push:bob/**"], "alice": ["all"]})
    with serving(stocked, auth) as client:
        wish = {"mount": str(Digest.of(b"layer")), "from": "secret/app"}
        assert client("POST", "/v2/bob/new/blobs/uploads/", b"", basic("bob"), **wish).status == 202
        assert client("HEAD", f"/v2/bob/new/blobs/{wish['mount']}", headers=basic("bob")).status == 404
        assert client("POST", "/v2/bob/new/blobs/uploads/", b"", basic("alice"), **wish).status == 201


def test_tokens_lead_to_the_same_rights(stocked: Path) -> None:
    """The challenge names realm, service and scope; the token that it leads to opens exactly that."""
    with serving(stocked, TOKEN_AUTH) as client:
        done = client("GET", "/v2/secret/app/manifests/1")
        challenge = dict(re.findall(r'(\w+)="([^"]*)"', done.headers["WWW-Authenticate"]))
        assert challenge["realm"] == f"http://{client.address}/token"
        assert challenge["scope"] == "repository:secret/app:pull"
        assert status(client, "GET", "/v2/") == 401

        token = bearer(client, "bob", "repository:secret/app:pull,push")
        assert status(client, "GET", "/v2/", token) == 200
        assert status(client, "GET", "/v2/secret/app/manifests/1", token) == 200
        assert status(client, "GET", "/v2/public/app/manifests/1", token) == 401
        refused = client("POST", "/v2/secret/app/blobs/uploads/", b"", token)
        assert refused.status == 401 and refused.codes == ["DENIED"]
        assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]
        nobody = bearer(client, None, "repository:public/app:pull", "repository:secret/app:pull")
        assert status(client, "GET", "/v2/public/app/manifests/1", nobody) == 200
        assert status(client, "GET", "/v2/secret/app/manifests/1", nobody) == 401


def test_tokens_are_given_for_a_form_too(stocked: Path) -> None:
    """POST with grant_type=password, as containerd asks; wrong passwords and other grants are refused."""
    with serving(stocked, TOKEN_AUTH) as client:
        for form, expected in (
            (f"grant_type=password&username=alice&password={PASSWORD}&scope=registry:catalog:*", 200),
            ("grant_type=password&username=alice&password=wrong", 401),
            ("grant_type=refresh_token&refresh_token=x", 400),
            ("grant_type=password", 401),
        ):
            done = client("POST", "/token", form.encode())
            assert done.status == expected, form
            assert "no-store" in done.headers.get("Cache-Control", "no-store")
        token = client(
            "POST",
            "/token",
            f"grant_type=password&username=alice&password={PASSWORD}&scope=registry:catalog:*".encode(),
        ).json["access_token"]
        assert status(client, "GET", "/v2/_catalog", {"Authorization": f"Bearer {token}"}) == 200


def forged() -> dict[str, str]:
    """Tokens that this server has not signed, or not so: each asks for everything."""
    now = int(time.time())
    access = [{"type": "repository", "name": "secret/app", "actions": ["pull"]}]
    good = {
        "iss": SERVICE, "aud": SERVICE, "sub": "alice", "iat": now, "nbf": now, "exp": now + 300,
        "access": access,
    }  # fmt: skip
    other = b"another key of at least 32 bytes"
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    embedded = jwt.algorithms.ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return {
        "another key": jwt.encode(good, other, algorithm="HS256"),
        "a key of its own, embedded": jwt.encode(good, private, algorithm="ES256", headers={"jwk": embedded}),
        "a key id that is a path": jwt.encode(
            good, b"\0" * 32, algorithm="HS256", headers={"kid": "/dev/zero"}
        ),
        "no signature": jwt.encode(good, None, algorithm="none"),  # type: ignore[arg-type]
        "another algorithm": jwt.encode(good, KEY * 2, algorithm="HS512"),
        "too old": jwt.encode({**good, "exp": now - 60}, KEY, algorithm="HS256"),
        "not yet": jwt.encode({**good, "nbf": now + 600}, KEY, algorithm="HS256"),
        "for another service": jwt.encode({**good, "aud": "other"}, KEY, algorithm="HS256"),
        "without an end": jwt.encode({k: v for k, v in good.items() if k != "exp"}, KEY, algorithm="HS256"),
        "a pattern as a name": jwt.encode(
            {**good, "access": [{"type": "repository", "name": "**", "actions": ["pull"]}]},
            KEY,
            algorithm="HS256",
        ),
        "an access list of another shape": jwt.encode({**good, "access": "all"}, KEY, algorithm="HS256"),
        "cut off": jwt.encode(good, KEY, algorithm="HS256")[:-3],
    }


@pytest.mark.parametrize("trick", sorted(forged()))
def test_no_token_says_how_to_check_it(stocked: Path, trick: str) -> None:
    """Only what this server signed, with its key and algorithm, for itself and for now, opens anything."""
    with serving(stocked, TOKEN_AUTH) as client:
        header = {"Authorization": f"Bearer {forged()[trick]}"}
        assert status(client, "GET", "/v2/secret/app/manifests/1", header) == 401
        # The control: the same claims, signed by the key, are a token.
        assert (
            status(
                client,
                "GET",
                "/v2/secret/app/manifests/1",
                bearer(client, "alice", "repository:secret/app:pull"),
            )
            == 200
        )


def test_htpasswd_files_hold_bcrypt_hashes(tmp_path: Path) -> None:
    """Right passwords open, wrong ones do not, and a changed file counts at once."""
    path = tmp_path / "htpasswd"
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
    path.write_text(f"# users\nalice:{hashed}\n")
    passwords = Htpasswd(str(path))
    assert not passwords.remembers("alice", PASSWORD)
    assert passwords.verify("alice", PASSWORD) and passwords.remembers("alice", PASSWORD)
    for user, password in (("alice", "wrong"), ("nobody", PASSWORD), ("alice", ""), ("alice", "x" * 100)):
        assert not passwords.verify(user, password) and not passwords.remembers(user, password)

    path.write_text(f"alice:{bcrypt.hashpw(b'new', bcrypt.gensalt(4)).decode()}\n")
    assert not passwords.verify("alice", PASSWORD) and passwords.verify("alice", "new")


@pytest.mark.parametrize(
    "line", ["alice:{SHA}x", "alice", "alice:plain", ":$2y$05$abc", "alice:$apr1$x", "alice:$2y$05$abc"]
)
def test_other_hashes_are_refused(tmp_path: Path, line: str) -> None:
    """A line that is no bcrypt hash is an error that names the line and not what stands in it."""
    path = tmp_path / "htpasswd"
    path.write_text(f"# first\n{line}\n")
    with pytest.raises(InvalidInput, match="line 2") as refused:
        Htpasswd(str(path))
    assert line not in str(refused.value)


@pytest.mark.parametrize(
    ("grant", "action", "repository", "allowed"),
    [
        ("pull", "pull", "any/thing", True),
        ("pull", "push", "any/thing", False),
        ("pull:team/*", "pull", "team/app", True),
        ("pull:team/*", "pull", "team/app/deep", False),
        ("pull:team/**", "pull", "team/app/deep", True),
        ("pull:team/**", "pull", "team", False),
        ("pull:team", "pull", "teams", False),
        ("pull:a.c", "pull", "abc", False),
        ("push:*", "push", "app", True),
        ("push:*", "push", "a/b", False),
        ("all:x", "delete", "x", True),
        ("all:x", "delete", "y", False),
        ("pull,delete:x", "push", "x", False),
    ],
)
def test_patterns_mean_what_they_say(grant: str, action: str, repository: str, allowed: bool) -> None:
    """* stays within one part of a name, ** does not, and nothing else is special."""
    assert Grant.parse(grant).allows(action, repository) is allowed


@pytest.mark.parametrize(
    "text", ["", "fly", "pull,", "pull:UPPER", "pull:../x", "pull:a//b", "pull:/a", ":x"]
)
def test_grants_that_mean_nothing_are_refused(text: str) -> None:
    """A wrong grant is told when the server is made, not silently never granted."""
    with pytest.raises(InvalidInput):
        Auth(users=USERS, grants={"alice": [text]})


def test_a_token_never_holds_more_than_its_owner_may() -> None:
    """What is asked for is cut to what is granted; nothing asked for is a token all the same."""
    tokens = Tokens(KEY)
    caller = Caller("bob", (Grant.parse("pull"), Grant.parse("push:bob/*")), proven=True)
    scopes = parse_scopes(
        ["repository:bob/app:pull,push,delete repository:x:pull,push", "repository:y:*", "registry:catalog:*"]
    )
    issued = tokens.caller(tokens.issue(caller, scopes)["token"])
    assert issued is not None
    assert issued.may("push", "bob/app") and issued.may("pull", "x") and issued.may("pull", "y")
    assert not issued.may("delete", "bob/app") and not issued.may("push", "x") and not issued.may("catalog")


def test_secrets_stay_out_of_logs_and_reprs(stocked: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Passwords and tokens are in no log line, no error and no repr, at any level."""
    caplog.set_level(logging.DEBUG)
    with serving(stocked, TOKEN_AUTH) as client:
        token = bearer(client, "alice", "repository:secret/app:pull")
        value = token["Authorization"].removeprefix("Bearer ")
        client("GET", "/v2/secret/app/manifests/1", headers=token)
        client("GET", "/v2/secret/app/manifests/1", headers={"Authorization": f"Bearer {value}x"})
        client("POST", "/token", f"grant_type=password&username=alice&password={PASSWORD}".encode())
        client("GET", f"/token?password={PASSWORD}", headers=basic("alice", PASSWORD + "x"))
        say(client.address, f"GET /v2/ HTTP/1.1\r\nAuthorization : Basic {PASSWORD}\r\n\r\n".encode())
    told = caplog.text + repr(TOKEN_AUTH) + repr(AUTH)
    assert "/v2/secret/app/manifests/1" in told
    for secret in (PASSWORD, value, base64.b64encode(f"alice:{PASSWORD}".encode()).decode(), repr(KEY)):
        assert secret not in told


def test_a_server_on_a_network_is_not_open_by_accident(tmp_path: Path) -> None:
    """Off loopback, someone has to say who may use it, and passwords do not travel in the clear."""
    with pytest.raises(InvalidInput, match="everyone who reaches it"):
        Registry.serve(tmp_path / "registry", host="0.0.0.0")
    with pytest.raises(InvalidInput, match="without TLS"):
        Registry.serve(tmp_path / "registry", host="0.0.0.0", auth=AUTH)
    with pytest.raises(InvalidInput, match="hostnames"):
        Registry.serve(tmp_path / "registry", host="0.0.0.0", auth=TOKEN_AUTH, tls=Tls(self_signed=True))
    with serving(tmp_path, Auth(anonymous=("pull",)), host="0.0.0.0") as client:
        assert status(client, "GET", "/v2/") == 200


def test_a_catalogue_is_read_with_a_token_too(tmp_path: Path) -> None:
    """A token for the list names no repositories: it shows what its owner may pull, and nothing more."""
    with Registry.serve(tmp_path / "registry") as registry:
        for name in ("one/a", "two/b"):
            Client(registry.address).push_image(name, "1", b"layer")
    auth = Auth(users=USERS, grants={"bob": ["catalog", "pull:one/*"], "alice": ["catalog"]}, tokens=True)
    with serving(tmp_path, auth) as client:
        for user, seen in (("bob", ["one/a"]), ("alice", [])):
            answer = client("GET", "/token", headers=basic(user), scope="registry:catalog:*")
            headers = {"Authorization": f"Bearer {answer.json['token']}"}
            assert client("GET", "/v2/_catalog", headers=headers).json == {"repositories": seen}
            assert status(client, "GET", "/v2/one/a/manifests/1", headers) == 401


def test_a_password_file_that_broke_is_told_to_the_log_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Callers hear that nobody can log in, and no path of this machine."""
    import bcrypt

    path = tmp_path / "htpasswd"
    path.write_text(f"bob:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    with serving(tmp_path, Auth(htpasswd=str(path))) as client:
        path.write_text("half a li")
        answer = client("GET", "/v2/", headers=basic("bob"))
    assert answer.status == 503 and str(tmp_path) not in answer.body.decode()
    assert str(path) in caplog.text


def test_tokens_behind_a_proxy_are_given_over_tls(tmp_path: Path) -> None:
    """Clients are sent to the public name, never with a password over plain http."""
    auth = Auth(users=USERS, tokens=True)
    with pytest.raises(InvalidInput, match="hostnames"):
        Registry.serve(tmp_path / "r", auth=auth, behind_proxy=True)
    names = ("registry.example.org",)
    with Registry.serve(tmp_path / "r", auth=auth, behind_proxy=True, hostnames=names) as registry:
        answer = Client(registry.address)("GET", "/v2/", headers={"Host": names[0]})
        assert 'realm="https://registry.example.org/token"' in answer.headers["WWW-Authenticate"]
