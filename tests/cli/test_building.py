"""`build` and `builder` with docker's flags, as a process of their own would run them."""

from __future__ import annotations

import io
import json
import os
import pty
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.cli.build_progress import _Lines, _Step, title
from container_kit.containers import Engine
from container_kit.images import Image
from container_kit.oci.progress import Action, Progress
from tests.cli.test_commands import Ckit

pytestmark = pytest.mark.root

DOCKERFILE = "FROM tools AS first\nARG WHO=x\nRUN echo hello $WHO\nFROM first\nLABEL a=b\nCOPY f /f\n"


@pytest.fixture(scope="module")
def ckit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ckit]:
    """A root with one image, ``tools``."""
    root = str(tmp_path_factory.mktemp("root"))
    with Engine(root) as engine:
        Image.from_host("sh", "cat", "ls", "sleep", tag="tools", engine=engine)
    yield Ckit(root)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "context/f").write_text("1\n")
    return tmp_path / "context"


def test_build_prints_steps_and_writes_what_was_asked(ckit: Ckit, context: Path, tmp_path: Path) -> None:
    """Lines go to standard error; names, labels, the id file and the metadata are docker's."""
    done = ckit(
        "build", "-t", "cli:1", "-t", "cli:2", "--build-arg", "WHO=you", "--label", "c=d", "--iidfile",
        str(tmp_path / "iid"), "--metadata-file", str(tmp_path / "meta"), str(context),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    for line in ("[first 2/2] RUN echo hello $WHO", " hello you", "[stage-1 1/1] COPY f /f", "DONE"):
        assert line in done.stderr
    [shown] = json.loads(ckit.ok("image", "inspect", "cli:1"))
    assert shown["Config"]["Labels"] == {"a": "b", "c": "d"} and "cli:2" in str(shown["RepoTags"])
    assert (tmp_path / "iid").read_text() == shown["Id"]
    assert json.loads((tmp_path / "meta").read_text())["containerimage.config.digest"] == shown["Id"]

    again = ckit("build", "--build-arg", "WHO=you", str(context))
    assert again.stderr.count("CACHED") == 2
    assert (
        ckit.ok("build", "-q", "--label", "c=d", "--build-arg", "WHO=you", str(context)).strip()
        == shown["Id"]
    )


def test_attestations_are_asked_for_as_docker_does(ckit: Ckit, context: Path, tmp_path: Path) -> None:
    """Each way of asking gives what it says; another generator, or type, is refused."""

    def attested(*flags: str) -> list[str]:
        target = tmp_path / "layout"
        shutil.rmtree(target, ignore_errors=True)
        ckit.ok("build", "-q", *flags, "-o", f"type=oci,tar=false,dest={target}", str(context))
        blobs = [file.read_bytes() for file in (target / "blobs/sha256").iterdir()]
        found = [json.loads(blob) for blob in blobs if blob.startswith(b'{"_type"')]
        return sorted(one["predicateType"].split("/")[2] for one in found)

    assert attested() == attested("--sbom=false") == attested("--attest", "type=sbom,disabled=true") == []
    assert attested("--sbom=true") == attested("--attest", "type=sbom") == ["spdx.dev"]
    assert attested("--provenance=mode=max", "--sbom=true") == ["slsa.dev", "spdx.dev"]
    assert attested("--attest", "type=provenance,mode=min") == ["slsa.dev"]
    for wrong in (["--sbom=generator=x"], ["--attest", "type=x"], ["--provenance=all"]):
        assert ckit("build", *wrong, str(context)).returncode == 1


def test_contexts_from_standard_input(ckit: Ckit, context: Path) -> None:
    """'-' is a Dockerfile or an archive; -f - is a Dockerfile beside a directory."""
    alone = ckit.ok("build", "-q", "-", input="FROM tools\nENV A=1\n")
    beside = ckit.ok("build", "-q", "-f", "-", str(context), input="FROM tools\nCOPY f /g\n")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(context, ".")
    program = [*ckit.command("build", "-q", "-")]
    packed = subprocess.run(
        program,
        input=archive.getvalue(),
        capture_output=True,
        env={**os.environ, **ckit.variables},
        check=True,
    )

    assert len({alone, beside, packed.stdout.decode()}) == 3


def test_flags_reach_the_build(ckit: Ckit, context: Path, tmp_path: Path) -> None:
    """-f, --target, --secret, --build-context, --no-cache-filter and -o mean what docker means."""
    (tmp_path / "secret").write_text("abc")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/g").write_text("2\n")
    (context / "other.Dockerfile").write_text(
        "FROM tools AS made\nRUN --mount=type=secret,id=s ls -l /run/secrets\nCOPY --from=extra g /g\n"
        "FROM scratch AS out\nCOPY --from=made /g /\nFROM tools\nRUN exit 1\n"
    )
    done = ckit(
        "build", "-f", str(context / "other.Dockerfile"), "--target", "out", "--secret",
        f"id=s,src={tmp_path / 'secret'}", "--build-context", f"extra={tmp_path / 'other'}",
        "--no-cache-filter", "made", "-o", str(tmp_path / "files"), "--progress", "plain", str(context),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "files") == ["g"]
    assert " s" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "phrase"),
    [
        (("build", "-q", "/nowhere"), 1, "/nowhere"),
        (("build", "--secret", "src=x", "."), 125, "id"),
        (("build", "--push", "."), 1, "--tag"),
        (("build", "-f", "-", "-"), 1, "standard input"),
        (("build", "--cache-to", "type=strange", "."), 1, "cache_to"),
        (("builder", "prune", "--keep-storage", "much", "-f"), 1, "keep-storage"),
    ],
)
def test_wrong_words_are_one_sentence(ckit: Ckit, words: tuple[str, ...], code: int, phrase: str) -> None:
    """Nothing is built; the reason is told."""
    done = ckit(*words)

    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert phrase in done.stderr


def test_a_failed_step_is_told_with_its_line_and_output(ckit: Ckit) -> None:
    """The exit code is 1, the last words are the error's."""
    done = ckit("build", "-", input="FROM tools\n\nRUN echo some words; exit 4\n")

    assert done.returncode == 1
    error = done.stderr[done.stderr.index("Error: ") :]
    for part in ("Dockerfile:3", "exit code 4", "some words"):
        assert part in error


def test_the_cache_is_shown_and_pruned(ckit: Ckit) -> None:
    """du lists steps and cache mounts; prune removes what its filters say, then all."""
    ckit.ok("build", "-q", "-", input="FROM tools\nRUN --mount=type=cache,target=/c echo 1 > /c/f # shown\n")

    listing = ckit.ok("builder", "du", "--verbose")
    assert "# shown" in listing and "Total:" in listing
    assert "/c" in ckit.ok("builder", "du", "--filter", "type=mount", "--format", "{{.Description}}")
    assert "Build Cache" in ckit.ok("system", "df")
    ckit.ok("builder", "prune", "-f", "--filter", "type=mount")
    assert ckit.ok("builder", "du", "--filter", "type=mount", "--format", "{{.ID}}") == ""
    assert ckit.ok("builder", "du", "--format", "{{.ID}}") != ""
    ckit.ok("builder", "prune", "-f")
    assert ckit.ok("builder", "du", "--format", "{{.ID}}") == ""


def test_a_terminal_shows_a_live_list(ckit: Ckit, context: Path) -> None:
    """On a terminal the steps are redrawn in place, and what a container writes cannot steer it."""
    (context / "Dockerfile").write_text("FROM tools\nRUN printf 'a\\033]0;title\\007b\\n'; sleep 0.5\n")
    exit_code, shown = _on_terminal(ckit, "build", "--no-cache", str(context))

    assert exit_code == 0, shown
    assert b"RUN printf" in shown and b"\x1b]0;" not in shown


def test_an_error_cannot_steer_the_terminal(ckit: Ckit, context: Path) -> None:
    """The last output of a failed step is shown once more, with its escapes written out."""
    (context / "Dockerfile").write_text("FROM tools\nRUN printf 'a\\033]0;title\\007b\\n'; exit 3\n")
    exit_code, shown = _on_terminal(ckit, "build", str(context))

    assert exit_code == 1, shown
    assert b"its last output" in shown and rb"a\x1b]0;title\x07b" in shown.partition(b"its last output")[2]
    assert b"\x1b]0;" not in shown


def _on_terminal(ckit: Ckit, *words: str) -> tuple[int, bytes]:
    """The exit code, and what is shown on a terminal."""
    ours, theirs = pty.openpty()
    program = ckit.command(*words)
    variables = {**os.environ, **ckit.variables, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(program, stderr=theirs, stdout=theirs, env=variables)
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:
            break
        shown += data
    os.close(ours)
    return process.wait(), shown


def test_plain_lines_number_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    """Each step keeps its number, however the lines of several are mixed."""
    lines = _Lines()
    happened: list[tuple[str, Action, str]] = [
        ("a", "start", ""), ("b", "start", ""), ("a", "output", "x"), ("b", "cached", ""),
        ("a", "failed", "why"),
    ]  # fmt: skip
    for id, action, message in happened:
        lines.report(Progress(id=id, action=action, name=f"s: RUN {id}", step=1, steps=2, message=message))

    assert capsys.readouterr().err.splitlines() == [
        "#1 [s 1/2] RUN a", "#2 [s 1/2] RUN b", "#1 x", "#2 CACHED", "#1 ERROR: why",
    ]  # fmt: skip


def test_rows_of_the_live_list() -> None:
    """A running step shows its last lines, a finished one only itself."""
    event = Progress(id="a", action="start", name="RUN a", step=1, steps=2)
    step = _Step(title(event))
    for number in range(20):
        step.take(Progress(id="a", action="output", message=f"line {number}"))

    assert step.shown()[-1] == "line 19" and len(step.shown()) == 6
    step.take(Progress(id="a", action="cached"))
    assert step.shown() == [] and step.line() == (" CACHED [1/2] RUN a", "cyan")
