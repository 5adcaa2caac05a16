"""What the client decides without any network: realms, redirects, addresses, retries, challenges, names."""

from __future__ import annotations

import itertools
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import AccessDenied, InvalidInput, Untrusted
from container_kit.oci import Reference
from container_kit.registry.client.addresses import Reach, may_send, reach_of
from container_kit.registry.client.certificates import Trust
from container_kit.registry.client.challenges import Challenge, parse_challenges
from container_kit.registry.client.configuration import Configuration
from container_kit.registry.client.endpoint import Origin, Url
from container_kit.registry.client.messages import Request
from container_kit.registry.client.options import RegistryOptions
from container_kit.registry.client.proxies import proxy_for
from container_kit.registry.client.realms import check_realm
from container_kit.registry.client.redirects import redirected, upload_location
from container_kit.registry.client.retrying import next_delay, retry_after
from container_kit.registry.client.session import Session
from container_kit.registry.client.transport import Transport
from tests.registry.client.farm import Answer, servers


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("docker.io", "https://auth.docker.io/token"),
        ("ghcr.io", "https://ghcr.io/token"),
        ("registry.gitlab.com", "https://gitlab.com/jwt/auth"),
        ("registry.example.co.uk", "https://auth.example.co.uk/token"),
        ("registry.example.org:5000", "https://registry.example.org:5001/token"),
    ],
)
def test_relatives_of_a_registry_may_have_its_password(registry: str, realm: str) -> None:
    """The token servers of real registries."""
    assert check_realm(Origin.of_domain(registry), realm, (), has_credentials=True)


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("registry.example.org", "https://example.com/token"),
        ("registry.example.org", "http://registry.example.org/token"),
        ("registry.example.org", "https://127.0.0.1/token"),
        ("registry.example.org", "https://localhost/token"),
        ("registry.example.org", "https://10.0.0.1/token"),
        ("registry.example.org", "https://169.254.169.254/token"),
        ("registry.example.org", "https://[::ffff:127.0.0.1]/token"),
        ("registry.example.org", "https://[::]/token"),
        ("example.co.uk", "https://evil.co.uk/token"),
        ("10.0.0.1", "https://10.0.0.2/token"),
        ("registry.example.org", "https://registry.example.org.evil.net/token"),
        ("registry.example.org", "https://evil.net/registry.example.org"),
        ("registry.example.org", "https://registry.example.org@evil.net/token"),
    ],
)
def test_others_may_not(registry: str, realm: str) -> None:
    """Another party, a network of this host, a name that only looks alike, or no TLS."""
    with pytest.raises(AccessDenied):
        check_realm(Origin.of_domain(registry), realm, (), has_credentials=True)


def test_nobody_may_send_us_to_where_only_we_can_go() -> None:
    """The rule for all pairs: never to link-local, and otherwise not to a more private place."""
    allowed = {(a, b) for a, b in itertools.product(Reach, Reach) if may_send(a, b)}

    assert not any(target == Reach.LINK_LOCAL for _, target in allowed)
    assert {sender for sender, target in allowed if target == Reach.LOOPBACK} <= {
        Reach.LOOPBACK,
        Reach.LINK_LOCAL,
    }
    assert (Reach.PUBLIC, Reach.PRIVATE) not in allowed and (Reach.PRIVATE, Reach.PUBLIC) in allowed


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("93.184.216.34", Reach.PUBLIC),
        ("10.1.2.3", Reach.PRIVATE),
        ("100.64.0.1", Reach.PRIVATE),
        ("fd00::1", Reach.PRIVATE),
        ("127.1.2.3", Reach.LOOPBACK),
        ("::1", Reach.LOOPBACK),
        ("::ffff:127.0.0.1", Reach.LOOPBACK),
        ("::ffff:169.254.169.254", Reach.LINK_LOCAL),
        ("fe80::1%eth0", Reach.LINK_LOCAL),
        ("0.0.0.0", Reach.LINK_LOCAL),
        ("224.0.0.1", Reach.LINK_LOCAL),
    ],
)
def test_addresses_are_known_for_what_they_are(address: str, reach: Reach) -> None:
    """In whatever way they are written."""
    assert reach_of(address) == reach


def test_uploads_stay_where_they_began() -> None:
    """Relative, absolute, and by a registry that does not know its own scheme: always at our origin."""
    begun = Url.parse("https://registry.example:5000/v2/a/blobs/uploads/")
    for location in (
        "/v2/a/blobs/uploads/1?_state=x",
        "https://registry.example:5000/v2/a/blobs/uploads/1?_state=x",
        "http://registry.example/v2/a/blobs/uploads/1?_state=x",
    ):
        assert str(upload_location(begun, location)) == (
            "https://registry.example:5000/v2/a/blobs/uploads/1?_state=x"
        )
    for location in (None, "", "https://evil.example/v2/a", "//evil.example/", "ftp://registry.example/"):
        with pytest.raises(Untrusted):
            upload_location(begun, location)


def test_redirects_end() -> None:
    """After five, or when TLS would be given up."""
    url = Url.parse("https://a.example/v2/x")
    assert redirected(url, "https://b.example/y?z", 0).without_query == "https://b.example/y"
    with pytest.raises(Untrusted, match="more than 5"):
        redirected(url, "https://b.example/", 5)
    with pytest.raises(Untrusted, match="TLS"):
        redirected(url, "http://a.example/v2/x", 0)


@given(st.text(max_size=60))
def test_a_url_is_read_in_one_way_or_refused(text: str) -> None:
    """What is accepted has neither user nor spaces, and means the same when it is read again."""
    try:
        url = Url.parse("http://h/" + text)
    except InvalidInput:
        return
    assert Url.parse(str(url)) == url
    assert url.origin == Origin("http", "h", 80)


@given(failures=st.integers(1, 10_000))
def test_waits_grow_up_to_ten_seconds(failures: int) -> None:
    """However often it failed; what a server asks for counts instead, up to two minutes."""
    assert 0 < next_delay(failures) <= 10
    assert next_delay(failures, 3.5) == 3.5
    assert next_delay(failures, 1e9) <= 120


def test_retry_after_is_seconds_or_a_date() -> None:
    """RFC 9110; nonsense counts as nothing."""
    assert retry_after("120") == 120
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now=1445412470.0) == 10
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now=2e9) == 0
    assert retry_after("soon") is None and retry_after("") is None and retry_after(None) is None


def test_challenges_are_read_as_the_rfc_writes_them() -> None:
    """Several in one header, quoted commas, escapes, odd spaces."""
    text = 'Basic realm="a, \\"b\\"", Bearer realm="https://x/t",service=y , scope="p:q:r,s", Negotiate'
    assert parse_challenges(text) == [
        Challenge("basic", {"realm": 'a, "b"'}),
        Challenge("bearer", {"realm": "https://x/t", "service": "y", "scope": "p:q:r,s"}),
        Challenge("negotiate", {}),
    ]


@given(st.text(max_size=200))
def test_no_challenge_is_too_odd_to_be_read(text: str) -> None:
    """Whatever a server writes, reading it ends, with what could be understood."""
    assert isinstance(parse_challenges(text), list)


CONF = """
unqualified-search-registries = ["one.example", "two.example:5000"]
[aliases]
"tools" = "three.example/team/tools"
[[registry]]
prefix = "docker.io"
location = "cache.example/hub"
insecure = true
[[registry.mirror]]
location = "mirror.example/copy"
[[registry.mirror]]
location = "digests.example"
pull-from-mirror = "digest-only"
[[registry]]
prefix = "docker.io/library/secret"
blocked = true
[[registry]]
prefix = "*.internal.example"
insecure = true
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    (tmp_path / "home/registries.conf").write_text(CONF)
    return Configuration.read()


def test_short_names_mean_what_is_configured(configuration: Configuration) -> None:
    """An alias, else each registry to search; a name with a registry means itself."""
    assert [str(name) for name in configuration.names("tools:2")] == ["three.example/team/tools:2"]
    assert [str(name) for name in configuration.names("app")] == [
        "one.example/app:latest",
        "two.example:5000/app:latest",
    ]
    assert [str(name) for name in configuration.names("docker.io/app")] == ["docker.io/library/app:latest"]
    assert [str(name) for name in Configuration().names("app")] == ["docker.io/library/app:latest"]


def test_places_are_mirrors_first(configuration: Configuration) -> None:
    """By the longest prefix; a mirror for digests is asked for digests only; the own place comes last."""
    tag = Reference.parse("docker.io/team/app:1")
    digest = Reference.parse(f"docker.io/team/app@sha256:{'1' * 64}")

    assert [str(place.reference) for place in configuration.places(tag)] == [
        "mirror.example/copy/team/app:1",
        "cache.example/hub/team/app:1",
    ]
    assert [place.insecure for place in configuration.places(tag)] == [False, True]
    assert [place.reference.domain for place in configuration.places(digest)] == [
        "mirror.example",
        "digests.example",
        "cache.example",
    ]
    with pytest.raises(AccessDenied):
        configuration.places(Reference.parse("secret"))
    [place] = configuration.places(Reference.parse("a.internal.example/x:1"))
    assert place.insecure and str(place.reference) == "a.internal.example/x:1"


@pytest.mark.parametrize(
    "text",
    [
        "[registries.search]\nregistries = []",
        "[[registry]]",
        "registry = 1",
        "not toml",
        "aliases = 1",
        'unqualified-search-registries = "quay.io"',
    ],
)
def test_a_configuration_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    """Nothing is guessed: the error names the file."""
    (tmp_path / "home/registries.conf").write_text(text)
    with pytest.raises(InvalidInput, match=r"registries\.conf"):
        Configuration.read()


def test_proxies_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """By scheme, with exceptions; the password is no part of what prints; this host needs none."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pa%73s@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "direct.example,.inside.example,10.0.0.0/8")

    proxy = proxy_for(Origin("https", "registry.example", 443))

    assert proxy is not None and str(proxy.url) == "http://proxy.example:3128/"
    assert proxy.headers["Proxy-Authorization"] == "Basic dXNlcjpwYXNz"
    assert "dXNlcjpwYXNz" not in repr(proxy)
    for host in ("direct.example", "a.inside.example", "10.1.2.3", "localhost", "127.0.0.1"):
        assert proxy_for(Origin("https", host, 443)) is None
    assert proxy_for(Origin("http", "registry.example", 80)) is None


def test_a_repository_that_is_insecure_leaves_the_others_verified(tmp_path: Path) -> None:
    """``insecure`` for one prefix takes TLS verification from what is pulled there, and from nothing else."""
    (tmp_path / "home/registries.conf").write_text(
        '[[registry]]\nprefix = "example.org/lab"\ninsecure = true\n'
    )
    with closing(Session(RegistryOptions(tls_verify=True))) as session:
        origin = session.origin_of("example.org")
        assert session._trust(origin).verify
        [place] = session.configuration.places(Reference.parse("example.org/lab/x"))
        assert place.insecure
        session._schemes["example.org"] = "https"  # what a look at the server would have found
        session.origin_of("example.org", place.insecure)
        assert not session._trust(origin).verify


def test_nothing_is_known_of_servers_behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy on this host does not let what is behind it send us to addresses of this host."""
    with servers("127.0.0.1") as (proxy,):
        monkeypatch.setenv("http_proxy", proxy.url)
        proxy.answers = lambda seen: Answer(200, b"{}")
        transport = Transport(RegistryOptions(tries=1), lambda origin: Trust())
        answer = transport.fetch(Request(method="GET", url=Url.parse("http://registry.example/v2/")))
        transport.close()
    assert [seen.path for seen in proxy.seen] == ["http://registry.example/v2/"]
    assert answer.reach == Reach.PUBLIC
