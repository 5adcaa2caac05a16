"""Who asks is found out by certificates and tokens, and by nothing else."""

from __future__ import annotations

import base64
import datetime
import json
import ssl
import time
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from container_kit.cluster.api import Request, User
from container_kit.cluster.api.authentication.authenticator import Authenticator
from container_kit.cluster.api.authentication.authority import Authority
from container_kit.cluster.api.authentication.tokens import ISSUER, BadToken, BoundTo, TokenIssuer
from container_kit.cluster.meta.status import StatusError
from container_kit.errors import InvalidInput

_ALICE = User("alice", ("dev", "system:authenticated"))


class World:
    """The objects that tokens name."""

    def __init__(self) -> None:
        self.uids = {("serviceaccounts", "shop", "web"): "uid-1", ("pods", "shop", "web-0"): "uid-2"}

    def uid_of(self, resource: str, namespace: str, name: str) -> str | None:
        return self.uids.get((resource, namespace, name))


@pytest.fixture(scope="module")
def issuer() -> TokenIssuer:
    return TokenIssuer.create()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def authenticator(issuer: TokenIssuer, world: World) -> Authenticator:
    return Authenticator(issuer, world.uid_of, static={"alices-token": _ALICE})


def _request(**headers: str) -> Request:
    return Request("GET", "/api", headers=headers)


def _der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def test_no_credentials_are_nobody(authenticator: Authenticator, issuer: TokenIssuer, world: World) -> None:
    """Without credentials one is anonymous, where that is allowed."""
    assert authenticator.authenticate(_request()) is None
    strict = Authenticator(issuer, world.uid_of, is_anonymous_allowed=False)
    with pytest.raises(StatusError) as caught:
        strict.authenticate(_request())
    assert caught.value.code == 401


def test_a_certificate_names_its_user(authenticator: Authenticator) -> None:
    """Common name and organizations of a certificate are user and groups, before any token."""
    issued = Authority.create().issue("bob", ("dev", "ops"))
    request = _request(authorization="Bearer alices-token")
    request.certificate = _der(issued.certificate)
    user = authenticator.authenticate(request)
    assert user is not None
    assert (user.name, user.groups) == ("bob", ("dev", "ops", "system:authenticated"))
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")


def test_a_static_token_names_its_user(authenticator: Authenticator) -> None:
    """A token of the table is its user's, in any case of the scheme; what is nearly right is wrong."""
    for scheme in ("Bearer", "bearer"):
        assert authenticator.authenticate(_request(authorization=f"{scheme} alices-token")) == _ALICE
    for wrong in ("Bearer alices-toke", "Bearer alices-token2", "Bearer ", "Basic YTpi", "alices-token"):
        with pytest.raises(StatusError) as caught:
            authenticator.authenticate(_request(authorization=wrong))
        assert (caught.value.code, caught.value.message) == (401, "Unauthorized")


def test_a_service_accounts_token(authenticator: Authenticator, issuer: TokenIssuer) -> None:
    """A token of a service account is that account, with its groups and the token's id."""
    token = issuer.issue("shop", "web", "uid-1")
    user = authenticator.authenticate(_request(authorization=f"Bearer {token}"))
    assert user is not None
    assert user.name == "system:serviceaccount:shop:web"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    assert user.uid == "uid-1"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert user.extra == {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
    assert claims["kubernetes.io"] == {"namespace": "shop", "serviceaccount": {"name": "web", "uid": "uid-1"}}
    assert (claims["iss"], claims["aud"], claims["exp"] - claims["iat"]) == (ISSUER, [ISSUER], 3600)


def test_a_token_ends_with_what_it_is_bound_to(
    authenticator: Authenticator, issuer: TokenIssuer, world: World
) -> None:
    """Without its account, or its pod, or when another has come with that name, a token is worth nothing."""
    token = issuer.issue("shop", "web", "uid-1", bound=[BoundTo("Pod", "web-0", "uid-2")])
    request = _request(authorization=f"Bearer {token}")
    user = authenticator.authenticate(request)
    assert user is not None
    assert user.extra["authentication.kubernetes.io/pod-name"] == ["web-0"]
    assert user.extra["authentication.kubernetes.io/pod-uid"] == ["uid-2"]
    for key in list(world.uids):
        kept = world.uids[key]
        for uid in (None, "another"):
            world.uids.pop(key)
            if uid:
                world.uids[key] = uid
            with pytest.raises(StatusError):
                authenticator.authenticate(request)
            world.uids[key] = kept
    assert authenticator.authenticate(request) == user


def test_reviews_of_tokens(authenticator: Authenticator, issuer: TokenIssuer) -> None:
    """A review says whose token it is and for which of the audiences, or why it is none's."""
    ours, others = (
        issuer.issue("shop", "web", "uid-1"),
        issuer.issue("shop", "web", "uid-1", audiences=("me",)),
    )
    good = authenticator.review(ours)
    assert (good["authenticated"], good["audiences"]) == (True, [ISSUER])
    assert good["user"]["username"] == "system:serviceaccount:shop:web"
    assert authenticator.review(others, ["me", "you"])["audiences"] == ["me"]
    error = f'token audiences ["me"] is invalid for the target audiences ["{ISSUER}"]'
    assert authenticator.review(others) == {"user": {}, "error": f"[invalid bearer token, {error}]"}
    assert authenticator.review("alices-token")["user"]["username"] == "alice"
    assert authenticator.review("nonsense") == {"user": {}, "error": "invalid bearer token"}


def test_tokens_have_their_time() -> None:
    """Before its time and after it a token is not valid."""
    now = [1000.0]
    issuer = TokenIssuer(ec.generate_private_key(ec.SECP256R1()), now=lambda: now[0])
    token = issuer.issue("shop", "web", "uid-1", lifetime_s=600)
    for at, is_valid in ((999, False), (1000, True), (1599, True), (1600, False)):
        now[0] = at
        if is_valid:
            assert issuer.verify(token).expires == 1600
        else:
            with pytest.raises(BadToken, match="expired"):
                issuer.verify(token)


def _forged(token: str, header: dict[str, Any], key: Any, algorithm: str) -> str:
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(claims, key, algorithm, header)


def test_only_our_key_signs(issuer: TokenIssuer) -> None:
    """S18: no other key, no key in the token's own header, no other algorithm, and not none, is believed."""
    token = issuer.issue("shop", "web", "uid-1")
    other = ec.generate_private_key(ec.SECP256R1())
    head, body, signature = token.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    public = issuer._public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key_of_other = {"jwk": json.loads(jwt.algorithms.ECAlgorithm.to_jwk(other.public_key()))}
    hmac_by_public_key = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
    forgeries = [
        _forged(token, {}, other, "ES256"),
        _forged(token, key_of_other, other, "ES256"),
        f"{none}.{body}.",
        f"{none}.{body}.{signature}",
        f"{head}.{body}.",
        _hmac_forgery(hmac_by_public_key, body, public),
        TokenIssuer.create().issue("shop", "web", "uid-1"),
        "a.b.c",
        "",
    ]
    for forgery in forgeries:
        with pytest.raises(BadToken):
            issuer.verify(forgery)
    assert issuer.verify(token).name == "web"


def _hmac_forgery(head: str, body: str, public: bytes) -> str:
    import hashlib
    import hmac

    signed = hmac.new(public, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{base64.urlsafe_b64encode(signed).rstrip(b'=').decode()}"


def test_others_can_verify_our_tokens(issuer: TokenIssuer) -> None:
    """The published keys are those that tokens are signed with, found by their id."""
    token = issuer.issue("shop", "web", "uid-1")
    keys = jwt.PyJWKSet.from_dict(issuer.jwks())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, ["ES256"], audience=ISSUER)["sub"] == "system:serviceaccount:shop:web"
    assert issuer.discovery()["jwks_uri"].startswith(issuer.discovery()["issuer"])


def test_keys_are_found_again(issuer: TokenIssuer) -> None:
    """A key and an authority that were saved are the same when they are read; anything else is refused."""
    token = issuer.issue("shop", "web", "uid-1")
    assert TokenIssuer.from_pem(issuer.key).verify(token).name == "web"
    authority = Authority.create()
    again = Authority.from_pem(authority.certificate, authority.key)
    _verify(authority, again.issue("bob").certificate)
    rsa_key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for bad in (b"nonsense", rsa_key):
        with pytest.raises(InvalidInput):
            TokenIssuer.from_pem(bad)
        with pytest.raises(InvalidInput):
            Authority.from_pem(authority.certificate, bad)


def _verify(authority: Authority, pem: bytes) -> x509.Certificate:
    certificate = x509.load_pem_x509_certificate(pem)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    return certificate


def test_a_request_is_signed() -> None:
    """A certificate request gets its subject and names, the usages that are asked for, and its time."""
    authority = Authority.create()
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "system:node:n1"),
        ]
    )
    names = x509.SubjectAlternativeName([x509.DNSName("n1")])
    request = (
        x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(names, critical=False)
    )
    pem = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    hour = datetime.timedelta(hours=1)
    certificate = _verify(authority, authority.sign_request(pem, ["digital signature", "client auth"], hour))
    assert certificate.subject == subject
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == names
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_after_utc.timestamp() <= time.time() + 3601
    with pytest.raises(InvalidInput):
        authority.sign_request(b"nonsense", [], hour)


def test_a_users_certificate_is_no_servers(authority_pair: tuple[Authority, Authority]) -> None:
    """Certificates of users cannot pose as the server's."""
    authority, _ = authority_pair
    certificate = _verify(authority, authority.issue("bob").certificate)
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.ExtendedKeyUsageOID.SERVER_AUTH not in usages


@pytest.fixture(scope="module")
def authority_pair() -> tuple[Authority, Authority]:
    return Authority.create(), Authority.create()


def test_strict_clients_accept_the_chain(authority_pair: tuple[Authority, Authority]) -> None:
    """The chain passes OpenSSL's strict rules, which Python 3.13 asks for by itself."""
    from container_kit.cluster.server.tls import server_context

    authority, other = authority_pair
    issued = authority.issue("kube-apiserver", names=("127.0.0.1", "localhost"))
    server = server_context(authority, issued)
    for trusted, works in ((authority, True), (other, False)):
        client = ssl.create_default_context(cadata=trusted.certificate.decode())
        client.verify_flags |= ssl.VERIFY_X509_STRICT
        if works:
            _shake_hands(server, client)
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                _shake_hands(server, client)


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for side in (theirs, ours):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
