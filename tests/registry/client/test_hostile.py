"""A hostile registry gets no secret that is not its own, and costs a bounded number of requests."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from container_kit.errors import (
    AccessDenied,
    ContainerKitError,
    CorruptData,
    InvalidInput,
    LimitExceeded,
    NotFound,
    TimedOut,
    Unreachable,
    UnsupportedFeature,
    Untrusted,
)
from container_kit.images import Image
from container_kit.oci import Descriptor, Digest, Index, Platform
from container_kit.registry.client import Credentials, RegistryClient, RegistryOptions, helpers
from container_kit.registry.client.retrying import retry_after
from tests.registry.client.conftest import Engine
from tests.registry.client.farm import (
    BASIC,
    MANIFEST,
    SECRET,
    USER,
    Answer,
    Seen,
    Server,
    bearer,
    image,
    servers,
)
from tests.registry.docker_registry import make_certificate

PATIENCE: dict[str, Any] = {"tries": 2, "idle_timeout_s": 0.4, "connect_timeout_s": 1}
OPTIONS = RegistryOptions(credentials=Credentials(username=USER, password=SECRET), **PATIENCE)


@pytest.fixture
def farm() -> Iterator[tuple[Server, Server, Server]]:
    """The registry that the credentials are for, and two others."""
    with servers("127.0.0.1", "127.0.0.2", "127.0.0.3") as (registry, second, third):
        yield registry, second, third


def pull(engine: Engine, server: Server, options: RegistryOptions = OPTIONS) -> Image:
    return Image.pull(f"{server.authority}/team/app:1", options=options, engine=engine)


def wanting_basic(serve: Callable[[Seen], Answer | None]) -> Callable[[Seen], Answer | None]:
    """*serve* behind a password."""

    def answer(seen: Seen) -> Answer | None:
        if seen.headers.get("Authorization") != f"Basic {BASIC}":
            return Answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="test"'})
        return serve(seen)

    return answer


Farm = tuple[Server, Server, Server]


def test_the_registry_itself_gets_its_password(engine: Engine, farm: Farm) -> None:
    """The control of the trials below: an honest registry is served with the same credentials."""
    registry, _, _ = farm
    registry.answers = wanting_basic(image().answer)

    assert pull(engine, registry).config.diff_ids
    assert registry.got_secret


@pytest.mark.parametrize("has_password", [True, False])
@pytest.mark.parametrize(
    "realm",
    [
        "http://{second}/token",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/token",
        "http://user:pass@{registry}/token",
        "file:///etc/passwd",
        "//",
        "http://{registry}\\@{second}/token",
    ],
)
def test_a_realm_elsewhere_gets_no_password(
    engine: Engine, farm: Farm, realm: str, has_password: bool
) -> None:
    """A token server on another host, a metadata address, no address at all: nobody is sent a secret."""
    registry, second, _ = farm
    names = {"registry": registry.authority, "second": second.authority}
    registry.answers = lambda seen: bearer(realm.format(**names))
    second.answers = lambda seen: Answer(200, json.dumps({"token": "t0ken"}).encode())
    options = OPTIONS if has_password else RegistryOptions(**PATIENCE)

    with pytest.raises((AccessDenied, Untrusted)) as caught:
        pull(engine, registry, options)

    assert not any(server.got_secret for server in farm)
    assert SECRET not in str(caught.value)


def test_a_trusted_realm_gets_the_password(engine: Engine, farm: Farm) -> None:
    """Who says so may have another server give the tokens; the registry then gets the token alone."""
    registry, second, _ = farm
    content = image()

    def answer(seen: Seen) -> Answer | None:
        wanted = seen.headers.get("Authorization") == "Bearer t0ken"
        return content.answer(seen) if wanted else bearer(f"{second.url}/token")

    registry.answers = answer
    second.answers = lambda seen: Answer(200, json.dumps({"token": "t0ken"}).encode())
    options = RegistryOptions(credentials=OPTIONS.credentials, trusted_realms=(second.authority,), **PATIENCE)

    assert pull(engine, registry, options).digest
    assert second.got_secret and not registry.got_secret


def test_a_redirect_takes_no_credential_along(engine: Engine, farm: Farm) -> None:
    """Blobs may be on another server, which sees neither password nor token, at whatever number of turns."""
    registry, second, third = farm
    content = image()

    def answer(seen: Seen) -> Answer | None:
        if "/blobs/" in seen.path:
            return Answer(307, b"", {"Location": f"{second.url}{seen.path}?signature=x"})
        return content.answer(seen)

    registry.answers = wanting_basic(answer)
    second.answers = lambda seen: Answer(302, b"", {"Location": f"{third.url}{seen.path}"})
    third.answers = lambda seen: content.answer(
        Seen(seen.method, seen.path.partition("?")[0], seen.headers, b"")
    )

    assert pull(engine, registry).digest
    assert registry.got_secret
    assert not second.got_secret and not third.got_secret
    assert not any("Authorization" in seen.headers for seen in (*second.seen, *third.seen))


@pytest.mark.parametrize("location", ["", "http://169.254.169.254/x", "gopher://x/", "{self}", "http://["])
def test_a_redirect_to_nowhere_ends(engine: Engine, farm: Farm, location: str) -> None:
    """In circles, to this host's own network, to no address at all: a typed error after a few requests."""
    registry, _, _ = farm

    def answer(seen: Seen) -> Answer:
        target = location.format(self=f"{registry.url}{seen.path}")
        return Answer(307, b"", {"Location": target} if target else {})

    registry.answers = lambda seen: Answer(200, b"{}") if seen.path == "/v2/" else answer(seen)

    with pytest.raises(Untrusted):
        pull(engine, registry)
    assert len(registry.seen) < 10


def test_tls_is_not_given_up_by_a_redirect(engine: Engine, farm: Farm, tmp_path: Path) -> None:
    """From https to http goes nothing."""
    certificate = make_certificate(tmp_path)
    _, second, _ = farm
    with servers("127.0.0.1", certificate=certificate) as (registry,):
        registry.answers = lambda seen: Answer(307, b"", {"Location": f"{second.url}{seen.path}"})
        options = RegistryOptions(ca_file=str(certificate[0]), **PATIENCE)
        with pytest.raises(Untrusted, match="not protected by TLS"):
            pull(engine, registry, options)
    assert second.seen == []


@pytest.mark.parametrize("guard", ["realms.may_have_credentials", "session.keeps_credential"])
def test_without_its_guard_a_secret_would_be_seen(
    engine: Engine, farm: Farm, monkeypatch: pytest.MonkeyPatch, guard: str
) -> None:
    """The control: with the rule switched off, the same farm records the secret where it must not be."""
    registry, second, _ = farm
    content = image()
    monkeypatch.setattr(f"container_kit.registry.client.{guard}", lambda *_: True)

    def answer(seen: Seen) -> Answer | None:
        if guard.startswith("realms"):
            return bearer(f"{second.url}/token")
        if "/blobs/" in seen.path:
            return Answer(307, b"", {"Location": f"{second.url}{seen.path}"})
        return content.answer(seen)

    registry.answers = answer if guard.startswith("realms") else wanting_basic(answer)
    second.answers = content.answer
    with suppress(ContainerKitError):
        pull(engine, registry)

    assert second.got_secret


def test_a_deadline_ends_whatever_is_waited_for(engine: Engine, farm: Farm) -> None:
    """The whole call ends in time, although each single wait would be allowed."""
    registry, _, _ = farm
    registry.answers = lambda seen: Answer(503, b"", {"Retry-After": "1"})
    options = RegistryOptions(tries=50, deadline_s=0.5)

    with pytest.raises(TimedOut, match=r"within the 0\.5 s"):
        pull(engine, registry, options)
    assert len(registry.seen) < 10


def test_an_upload_does_not_go_to_another_host(engine: Engine, farm: Farm) -> None:
    """A registry that wants the blobs sent elsewhere gets neither them there nor a credential."""
    registry, second, _ = farm
    registry.answers = image().answer
    pulled = pull(engine, registry)

    def answer(seen: Seen) -> Answer | None:
        if seen.method == "POST":
            return Answer(202, b"", {"Location": f"{second.url}/upload/1"})
        return None if seen.method == "HEAD" else Answer(200, b"{}")

    registry.answers = wanting_basic(answer)

    with pytest.raises(Untrusted, match="another host"):
        pulled.push(f"{registry.authority}/team/app:2", options=OPTIONS)
    assert second.seen == []


def test_foreign_layers_are_not_fetched_unless_asked(engine: Engine, farm: Farm) -> None:
    """Refused by default; when asked for, their server sees no credential and the digest decides."""
    registry, second, _ = farm
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    content = image(mediaType=kind, urls=[f"{second.url}/layer"])
    registry.answers = wanting_basic(
        lambda seen: None if content.layer_digest in seen.path else content.answer(seen)
    )
    second.answers = lambda seen: Answer(200, content.blobs[content.layer_digest])

    with pytest.raises(UnsupportedFeature, match="foreign layer"):
        pull(engine, registry)
    assert second.seen == []
    asked = RegistryOptions(credentials=OPTIONS.credentials, foreign_layers=True, **PATIENCE)

    assert pull(engine, registry, asked).digest
    assert len(second.seen) == 1 and not second.got_secret


@pytest.mark.parametrize("challenge", ['Basic realm="x"', 'Bearer realm="{url}/token"', "Negotiate", ""])
def test_a_registry_that_is_never_satisfied_is_left(engine: Engine, farm: Farm, challenge: str) -> None:
    """401 whatever it is answered with: after a few rounds it is an error that names the scope."""
    registry, _, _ = farm

    def answer(seen: Seen) -> Answer:
        if seen.path.startswith("/token"):
            return Answer(200, json.dumps({"token": str(len(registry.seen))}).encode())
        return Answer(401, b"{}", {"WWW-Authenticate": challenge.format(url=registry.url)})

    registry.answers = answer

    with pytest.raises(AccessDenied, match=r"team/app|authentication that is not known"):
        pull(engine, registry)
    assert len(registry.seen) < 12


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token": 5}',
        b'{"token": "a\\r\\nX-Injected: 1"}',
        b'{"token": "\xc3\xa9"}',
        b'{"token": "' + b"a" * 100_000 + b'"}',
    ],
)
def test_a_token_that_is_none_is_not_used(engine: Engine, farm: Farm, token: bytes) -> None:
    """Junk of the token server becomes an error, never a header."""
    registry, _, _ = farm
    registry.answers = lambda seen: (
        Answer(200, token) if seen.path.startswith("/token") else bearer(f"{registry.url}/token")
    )

    with pytest.raises((AccessDenied, LimitExceeded)):
        pull(engine, registry)
    assert not any("X-Injected" in seen.headers for seen in registry.seen)


def drip(file: Any) -> None:
    """A byte now and then, for ever."""
    while True:
        file.write(b" ")
        file.flush()
        time.sleep(0.02)


def endless(file: Any) -> None:
    while True:
        file.write(b" " * 65536)


@pytest.mark.parametrize("body", [drip, endless])
def test_a_document_that_never_ends_is_cut_off(engine: Engine, farm: Farm, body: Any) -> None:
    """Too slow or too long: bounded time and memory, and an error that says which."""
    registry, _, _ = farm
    registry.answers = lambda seen: (
        Answer(200, b"{}") if seen.path == "/v2/" else Answer(200, body, {"Content-Type": "application/json"})
    )

    with pytest.raises((LimitExceeded, Unreachable)):
        pull(engine, registry)
    assert len(registry.seen) < 10


def test_a_layer_that_drips_is_given_up(engine: Engine, farm: Farm) -> None:
    """Fewer bytes than any network brings, for longer than the patience: tried a few times, then told."""
    registry, _, _ = farm
    content = image()
    data = content.blobs[content.layer_digest]

    def drip_layer(file: Any) -> None:
        for at in range(len(data)):
            file.write(data[at : at + 1])
            file.flush()
            time.sleep(0.03)

    registry.answers = lambda seen: (
        Answer(200, drip_layer, {"Content-Length": str(len(data))})
        if content.layer_digest in seen.path
        else content.answer(seen)
    )

    with pytest.raises(Unreachable, match=r"broke off at byte \d+, tried 2 times: only \d+ bytes came"):
        pull(engine, registry)
    assert Image.list(engine=engine) == []


def test_heads_of_answers_are_bounded(engine: Engine) -> None:
    """Headers without end, one byte at a time, or no HTTP at all."""
    for flood in (b"X: y\r\n" * 1000, b"HTTP/1.1 200 OK\r\n" + b"X-1: y\r\n" * 1000 + b"\r\n", b"\0" * 100):
        with raw_server(flood) as authority, pytest.raises(Unreachable):
            Image.pull(f"{authority}/team/app:1", options=OPTIONS, engine=engine)


def wrong_answers() -> dict[str, Callable[[Seen], Answer | None]]:
    """Answers that are not what was promised."""
    content, other = image(b"content"), image(b"another")
    size = len(content.blobs[content.layer_digest])

    def blob(answer: Callable[[Seen], Answer]) -> Callable[[Seen], Answer | None]:
        return lambda seen: answer(seen) if content.layer_digest in seen.path else content.answer(seen)

    def manifest(answer: Answer) -> Callable[[Seen], Answer | None]:
        return lambda seen: answer if "/manifests/" in seen.path else content.answer(seen)

    return {
        "another blob": blob(lambda seen: Answer(200, other.blobs[other.layer_digest])),
        "a blob of the same length": blob(lambda seen: Answer(200, b"\x1f\x8b" + b"\0" * (size - 2))),
        "a longer blob": blob(lambda seen: Answer(200, b"x" * (size + 1))),
        "a longer blob without a length": blob(
            lambda seen: Answer(200, lambda file: file.write(b"\x1f\x8b" + b"x" * size), {})
        ),
        "a coded blob": blob(lambda seen: Answer(200, b"x" * size, {"Content-Encoding": "gzip"})),
        "another part": blob(lambda seen: Answer(206, b"x", {"Content-Range": f"bytes 5-5/{size}"})),
        "another digest": manifest(
            Answer(200, content.manifest, {"Docker-Content-Digest": f"sha256:{'0' * 64}"})
        ),
        "a digest that is none": manifest(
            Answer(200, content.manifest, {"Docker-Content-Digest": "md5:nonsense"})
        ),
        "another type": manifest(
            Answer(200, content.manifest, {"Content-Type": "application/vnd.oci.image.index.v1+json"})
        ),
        "schema 1": manifest(Answer(200, b'{"schemaVersion": 1, "fsLayers": []}')),
        "both at once": manifest(Answer(200, b'{"schemaVersion": 2, "layers": [], "manifests": []}')),
        "HTML": manifest(Answer(200, b"<html>", {"Content-Type": "text/html"})),
    }


@pytest.mark.parametrize("lie", sorted(wrong_answers()))
def test_what_is_not_what_was_promised_is_refused(engine: Engine, farm: Farm, lie: str) -> None:
    """Wrong digests, lengths, types, parts and codings: a typed error, and no image."""
    registry, _, _ = farm
    registry.answers = wrong_answers()[lie]

    with pytest.raises((CorruptData, InvalidInput, UnsupportedFeature)):
        pull(engine, registry)
    assert Image.list(engine=engine) == []
    assert not engine.store.fsck().problems


def test_a_manifest_by_digest_is_that_manifest(engine: Engine, farm: Farm) -> None:
    """Asked for by digest, another document is refused even if the registry vouches for it."""
    registry, _, _ = farm
    registry.answers = image(b"other").answer
    wanted = f"{registry.authority}/team/app@sha256:{'1' * 64}"

    with pytest.raises(CorruptData, match="is not sha256:1111"):
        Image.pull(wanted, options=OPTIONS, engine=engine)


def test_errors_of_tls_are_told(engine: Engine, tmp_path: Path) -> None:
    """A certificate of nobody known, one for another name, and a server that has no TLS: not tried again."""
    (tmp_path / "other").mkdir()
    own, other = make_certificate(tmp_path), make_certificate(tmp_path / "other", "DNS:other.example")
    for certificate, ca, message in ((own, None, "self-signed"), (other, other[0], "mismatch|not valid")):
        with servers("127.0.0.1", certificate=certificate) as (secure,):
            options = RegistryOptions(ca_file=str(ca) if ca else None, **PATIENCE)
            with pytest.raises(Untrusted, match=message):
                pull(engine, secure, options)
            assert secure.seen == []


def test_a_helper_that_fails_is_an_error(
    engine: Engine, farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody goes on without credentials when the program that keeps them fails, or prints junk."""
    registry, _, _ = farm
    registry.answers = wanting_basic(image().answer)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin:relative")
    docker = tmp_path / "home/.docker"
    docker.mkdir()
    (docker / "config.json").write_text(json.dumps({"credHelpers": {registry.authority: "test"}}))
    program = folder / "docker-credential-test"
    answer = json.dumps({"ServerURL": registry.authority, "Username": USER, "Secret": SECRET})
    options = RegistryOptions(**PATIENCE)

    def with_helper(script: str) -> Image:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(stat.S_IRWXU)
        return pull(engine, registry, options)

    with pytest.raises(NotFound, match="credential helper"):
        pull(engine, registry, options)
    for script in (f"echo '{answer}'; exit 1", "exit 0", "echo junk", f'echo \'{{"Secret": "{SECRET}"}}\''):
        with pytest.raises((AccessDenied, InvalidInput)) as caught:
            with_helper(script)
        assert SECRET not in str(caught.value)
    assert not registry.got_secret
    with pytest.raises(AccessDenied):
        with_helper("yes")  # without end

    with pytest.raises(AccessDenied, match="log in"):
        with_helper("echo 'credentials not found in native keychain'; exit 1")
    assert with_helper(f"cat > {tmp_path}/asked; echo '{answer}'").digest
    assert (tmp_path / "asked").read_text() == registry.authority


def test_mirrors_that_are_down_are_passed_over(engine: Engine, farm: Farm, tmp_path: Path) -> None:
    """A mirror that is off, and one that has only half of the image, do not keep the image from coming."""
    registry, half, _ = farm
    content = image()
    registry.answers = content.answer
    half.answers = lambda seen: (
        None if content.layer_digest in seen.path else content.answer(seen, "copies/app")
    )
    write_mirrors(tmp_path, registry.authority, ["127.0.0.1:1/copies", f"{half.authority}/copies"])

    pulled = pull(engine, registry, RegistryOptions(**PATIENCE))

    assert pulled.names == [f"{registry.authority}/team/app:1"]
    assert any("/v2/copies/app/manifests/1" in seen.path for seen in half.seen)
    assert {seen.path.rpartition("/")[0] for seen in registry.seen} == {"/v2", "/v2/team/app/blobs"}


def test_a_mirror_gets_no_password_of_the_registry(engine: Engine, farm: Farm, tmp_path: Path) -> None:
    """Credentials are bound to the registry that they are for; a mirror that wants some is passed over."""
    registry, mirror, _ = farm
    registry.answers = wanting_basic(image().answer)
    mirror.answers = lambda seen: Answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="test"'})
    write_mirrors(tmp_path, registry.authority, [f"{mirror.authority}/copies"])

    assert pull(engine, registry).digest
    assert mirror.seen and not mirror.got_secret


def test_a_blocked_registry_is_not_asked(engine: Engine, farm: Farm, tmp_path: Path) -> None:
    """What the host's registries.conf blocks is denied before any request."""
    registry, _, _ = farm
    text = f'[[registry]]\nprefix = "{registry.authority}/team"\nblocked = true\n'
    (tmp_path / "home/registries.conf").write_text(text)

    with pytest.raises(AccessDenied, match="blocked"):
        pull(engine, registry)
    assert registry.seen == []


def write_mirrors(folder: Path, authority: str, mirrors: list[str]) -> None:
    tables = "".join(f'[[registry.mirror]]\nlocation = "{one}"\ninsecure = true\n' for one in mirrors)
    rule = f'[[registry]]\nprefix = "{authority}/team"\nlocation = "{authority}/team"\n{tables}'
    (folder / "home/registries.conf").write_text(rule)


def test_a_list_is_not_continued_elsewhere(farm: Farm) -> None:
    """Pages that lead to another host, to another list, or round in circles."""
    registry, second, _ = farm
    links = {
        "elsewhere": f"<{second.url}/v2/team/app/tags/list?last=a>",
        "another list": "</v2/other/tags/list?last=a>",
        "itself": "</v2/team/app/tags/list?n=1000>",
    }
    for link in links.values():
        registry.answers = lambda seen, link=link: Answer(  # type: ignore[misc]
            200, b'{"tags": ["a"]}', {"Link": f'{link}; rel="next"'}
        )
        with RegistryClient(OPTIONS) as client, pytest.raises(Untrusted):
            list(client.tags(f"{registry.authority}/team/app"))
    assert second.seen == []


def test_a_registry_that_is_busy_is_asked_again_when_it_says(engine: Engine, farm: Farm) -> None:
    """429 with Retry-After: the next try comes; one that asks for an hour is an error at once."""
    registry, _, _ = farm
    content, number = image(), itertools.count()
    registry.answers = lambda seen: (
        Answer(429, b"", {"Retry-After": "0"}) if next(number) % 2 else content.answer(seen)
    )
    assert pull(engine, registry).digest

    registry.answers = lambda seen: Answer(429, b"", {"Retry-After": "3600"})
    with pytest.raises(Unreachable, match=r"429.*come back in 3600 s"):
        Image.pull(f"{registry.authority}/team/other:1", options=OPTIONS, engine=engine)


def test_a_secret_shows_nowhere(
    engine: Engine, farm: Farm, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in logs at the lowest level, in errors, in values as they print, or in what is kept on disk."""
    registry, _, _ = farm
    caplog.set_level(0)
    content = image()
    registry.answers = wanting_basic(content.answer)
    pull(engine, registry)
    registry.answers = wanting_basic(lambda seen: Answer(500, SECRET.encode()))
    with pytest.raises(ContainerKitError) as caught:
        pull(engine, registry)

    texts = [caplog.text, str(caught.value), repr(caught.value), repr(OPTIONS), *capfd.readouterr()]
    cause = caught.value.__cause__
    texts += [repr(cause), str(cause)]
    assert not any(SECRET in text or BASIC in text for text in texts)
    for path in Path(engine.store.root).rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert SECRET.encode() not in data and BASIC.encode() not in data


class raw_server:  # noqa: N801 (used like a function)
    """A socket that says *data* to whoever comes, and then no more."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer:
                try:
                    peer.recv(65536)
                    peer.sendall(self._data)
                except OSError:
                    continue

    def __enter__(self) -> str:
        self._thread.start()
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


def test_a_digest_means_one_image_whatever_the_registry_says(engine: Engine, farm: Farm) -> None:
    """A registry that answers a digest with that of an older image, which is here, does not bring it back."""
    registry, _, _ = farm
    older, newer = image(b"older"), image(b"newer")
    registry.answers = older.answer
    old = pull(engine, registry)

    def lying(seen: Seen) -> Answer | None:
        if seen.method == "HEAD":
            told = {"Docker-Content-Digest": str(old.digest), "Content-Type": MANIFEST}
            return Answer(200, older.manifest, told)
        return newer.answer(seen)

    registry.answers = lying
    wanted = Digest.of(newer.manifest)
    name = f"{registry.authority}/team/app@{wanted}"
    assert Image.pull(name, options=OPTIONS, engine=engine).digest == wanted


def test_an_image_of_another_platform_does_not_stand_for_this_one(engine: Engine, farm: Farm) -> None:
    """After a pull for another platform, a pull without one gives what this host runs."""
    registry, _, _ = farm
    host, other = Platform.host(), Platform.parse("linux/s390x")
    contents = {other: image(b"other", "s390x"), host: image(b"host")}
    index = Index.build(
        [
            Descriptor(MANIFEST, Digest.of(one.manifest), len(one.manifest), platform=where)
            for where, one in contents.items()
        ]
    )

    def serve(seen: Seen) -> Answer | None:
        if seen.path.endswith("/1"):
            told = {"Content-Type": index.media_type, "Docker-Content-Digest": str(index.digest)}
            return Answer(200, index.raw, told)
        for one in contents.values():
            answer = one.answer(seen)
            if answer is not None and (
                answer.body != one.manifest or str(Digest.of(one.manifest)) in seen.path
            ):
                return answer
        return None

    registry.answers = serve
    name = f"{registry.authority}/team/app:1"
    foreign = Image.pull(name, platform=other, options=OPTIONS, engine=engine)
    assert foreign.digest == Digest.of(contents[other].manifest)
    assert pull(engine, registry).digest == Digest.of(contents[host].manifest)


def test_a_helper_whose_child_holds_its_output_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper ends when its time is over, whatever it has started that has not ended."""
    program = tmp_path / "docker-credential-slow"
    program.write_text("#!/bin/sh\nsleep 20 &\necho $! > " + f"{tmp_path}/pid\n")
    program.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(helpers, "_TIMEOUT_S", 0.5)
    with pytest.raises(TimedOut):
        helpers.get("slow", "registry.example")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)  # it was still there


def test_a_time_that_does_not_exist_is_no_time() -> None:
    """``Retry-After`` in the year 99999 says nothing; it is no crash."""
    assert retry_after("Mon, 01 Jan 99999 00:00:00 GMT") is None


@pytest.mark.parametrize("quoted", [SECRET, BASIC])
def test_a_registry_that_quotes_a_password_does_not_bring_it_into_errors(
    engine: Engine, farm: Farm, quoted: str
) -> None:
    """What a registry says went wrong is shown, but without what it was asked with."""
    registry, _, _ = farm
    error = {"errors": [{"code": "X", "message": f"no such user: {quoted}!"}]}
    registry.answers = wanting_basic(lambda seen: Answer(400, json.dumps(error).encode()))
    with pytest.raises(InvalidInput, match="no such user") as caught:
        pull(engine, registry)
    assert SECRET not in str(caught.value) and BASIC not in str(caught.value)
