"""Planted secrets are found nowhere: layers, history, cache, events, errors, process lists, files."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

import container_kit as ck
from container_kit.build.running import _Output
from container_kit.containers.engine import Engine
from container_kit.errors import InvalidInput, NotFound
from container_kit.oci.progress import Progress
from tests.build.conftest import Build

PLANTED = "planted-5up3r-53cr37"


@pytest.mark.root
def test_a_secret_is_found_nowhere_afterwards(
    build: Build, engine: Engine, tmp_path: Path, events: list[Progress], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither while the step runs nor afterwards is the value in a file of the store or a command line."""
    secret_file = tmp_path / "secret"
    secret_file.write_text(PLANTED)
    seen = _Watch(Path(engine.root))
    with seen:
        image = build(
            """
            FROM tools AS first
            RUN --mount=type=secret,id=f --mount=type=secret,id=e,env=TOKEN \\
                cat /run/secrets/f; echo $TOKEN; sleep 0.5
            FROM tools
            COPY --from=first / /first
            RUN env > /env; ls -R /run > /run-listing; true
            """,
            secrets={"f": ck.Secret.file(secret_file), "e": ck.Secret.value(PLANTED)},
            progress=events.append,
            cache_to=f"type=local,dest={tmp_path}/cache,mode=max",
            tag="s:1",
        )
    image.save(tmp_path / "image.tar")
    secret_file.unlink()
    engine.store.database.checkpoint()

    found = subprocess.run(["grep", "-rl", PLANTED, str(tmp_path)], capture_output=True, text=True).stdout
    assert found == ""
    assert not seen.found
    assert PLANTED not in repr(events) + caplog.text
    assert any("***" in event.message for event in events)


@pytest.mark.root
def test_errors_do_not_show_secrets(build: Build) -> None:
    """The output of a failed command comes without the values."""
    with pytest.raises(ck.BuildFailed) as caught:
        build(
            "FROM tools\nRUN --mount=type=secret,id=s cat /run/secrets/s; exit 1",
            secrets={"s": ck.Secret.value(PLANTED + "\n")},
        )

    assert PLANTED not in str(caught.value) + repr(caught.value) + repr(caught.value.__dict__)
    assert caught.value.output == ("***",)


@pytest.mark.root
def test_secrets_of_several_lines_are_not_shown(build: Build, events: list[Progress]) -> None:
    """Output comes line by line, a key has many of them."""
    lines = ["-----BEGIN KEY-----", f"{PLANTED}-one", f"{PLANTED}-two", "-----END KEY-----"]
    with pytest.raises(ck.BuildFailed) as caught:
        build(
            "FROM tools\nRUN --mount=type=secret,id=s cat /run/secrets/s; exit 1",
            secrets={"s": ck.Secret.value("\n".join(lines))},
            progress=events.append,
        )

    assert PLANTED not in str(caught.value) + repr(events)
    assert caught.value.output == ("***",) * 4


def test_secrets_in_lines_without_an_end_are_not_shown() -> None:
    """A line that is too long is passed on in parts, however the secret lies across them."""
    for before in range(32_970, 33_010):
        shown: list[str] = []
        output = _Output(shown.append, [PLANTED.encode()])
        text = b"x" * before + PLANTED.encode() + b"y" * 40_000
        for at in range(0, len(text), 1000):
            output.take(text[at : at + 1000])
        output.end()
        assert "".join(shown) == "x" * before + "***" + "y" * 40_000


@pytest.mark.root
def test_another_value_is_no_other_step(build: Build, events: list[Progress]) -> None:
    """The key has the secret's id only."""
    text = "FROM tools\nRUN --mount=type=secret,id=s true"
    build(text, secrets={"s": ck.Secret.value("one")})
    build(text, secrets={"s": ck.Secret.value("two")}, progress=events.append)

    assert events[-1].action == "cached"


def test_secrets_show_where_they_come_from_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """repr has no value; what is missing or too large is named."""
    monkeypatch.setenv("PLANTED", PLANTED)
    large = tmp_path / "large"
    large.write_bytes(bytes(600_000))

    assert ck.Secret.env("PLANTED").read() == PLANTED.encode()
    assert PLANTED not in repr([ck.Secret.value(PLANTED), ck.Secret.env("PLANTED")])
    with pytest.raises(NotFound, match="NOWHERE"):
        ck.Secret.env("NOWHERE").read()
    with pytest.raises(NotFound, match="secret file"):
        ck.Secret.file(tmp_path / "none").read()
    with pytest.raises(InvalidInput, match="larger"):
        ck.Secret.file(large).read()
    with pytest.raises(InvalidInput, match=r"Secret\.value") as caught:
        ck.Image.build({}, dockerfile=b"FROM scratch", secrets={"s": PLANTED})  # type: ignore[dict-item]
    assert PLANTED not in str(caught.value)
    with pytest.raises(InvalidInput, match="by their ids") as caught:
        ck.Image.build({}, dockerfile=b"FROM scratch", secrets=[PLANTED])  # type: ignore[arg-type]
    assert PLANTED not in str(caught.value)


class _Watch:
    """Looks at every file below *root* and at every command line, again and again, while its block runs."""

    def __init__(self, root: Path) -> None:
        self._root, self._stop = root, threading.Event()
        self.found: list[str] = []
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.is_set():
            paths = [f"/proc/{pid}/cmdline" for pid in os.listdir("/proc") if pid.isdigit()]
            for directory, _, files in os.walk(self._root):
                if "/trees/" not in directory:
                    paths += [f"{directory}/{name}" for name in files]
            self.found += [path for path in paths if PLANTED.encode() in _content(path)]
            time.sleep(0.02)


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
