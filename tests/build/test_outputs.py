"""What a build gives: outputs, several platforms, squashed layers, labels and annotations, equal digests."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

import container_kit as ck
from container_kit.build.outputs import parse_outputs
from container_kit.containers.engine import Engine
from container_kit.errors import InvalidInput
from container_kit.images import Image
from container_kit.oci import Platform
from container_kit.oci.progress import Progress
from tests.build.conftest import Build, actions, content_of
from tests.build.test_building import output

pytestmark = pytest.mark.root

TEXT = "FROM scratch\nCOPY a /d/a\nCOPY b /d/b"
FILES: dict[str, Any] = {"a": "1", "b": "2"}
OTHER = "arm64" if Platform.host().architecture != "arm64" else "s390x"


def test_files_go_to_a_directory_or_a_tar(build: Build, tmp_path: Path) -> None:
    """type=local writes the files beside what is there; type=tar writes one archive of them."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/kept").write_text("x")
    build(TEXT, FILES, output=[str(tmp_path / "out"), f"type=tar,dest={tmp_path}/out.tar"])

    assert sorted(os.listdir(tmp_path / "out")) == ["d", "kept"]
    assert (tmp_path / "out/d/b").read_text() == "2"
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert {"d/a", "d/b"} <= set(archive.getnames())


@pytest.mark.tool("skopeo")
def test_archives_are_read_by_others(build: Build, tmp_path: Path) -> None:
    """OCI and docker archives are images to skopeo, with the digest of the store's."""
    image = build(
        TEXT,
        FILES,
        tag="out:1",
        output=[f"type=oci,dest={tmp_path}/oci.tar", f"type=docker,dest={tmp_path}/docker.tar"],
    )
    for source in (f"oci-archive:{tmp_path}/oci.tar", f"docker-archive:{tmp_path}/docker.tar"):
        done = subprocess.run(["skopeo", "inspect", "--config", source], capture_output=True, check=True)
        assert json.loads(done.stdout)["rootfs"]["diff_ids"] == [str(layer) for layer in image.layers]


def test_several_platforms_go_into_one_archive(build: Build, engine: Engine, tmp_path: Path) -> None:
    """Without RUN any platform can be built; this host's gets the name, and the archive has them all."""
    host = str(Platform.host())
    text = "FROM scratch\nARG TARGETARCH\nENV ARCH=$TARGETARCH\nCOPY a /a"
    image = build(
        text, FILES, platform=[f"linux/{OTHER}", host], tag="many:1", output=f"type=oci,dest={tmp_path}/m.tar"
    )

    assert image.config.platform == Platform.host() and "many:1" in image.names
    with tarfile.open(tmp_path / "m.tar") as archive:
        index = archive.extractfile("index.json")
        assert index is not None
        platforms = {entry["platform"]["architecture"] for entry in json.load(index)["manifests"]}
    assert platforms == {OTHER, Platform.host().architecture}
    assert f"ARCH={Platform.host().architecture}" in image.config.config.env


def test_foreign_programs_are_not_run(build: Build) -> None:
    """RUN for a platform that this kernel has no interpreter for says so."""
    base = build("FROM scratch\nCOPY a /a", FILES, platform=f"linux/{OTHER}", tag="foreign")
    assert base.config.platform.architecture == OTHER

    with pytest.raises(ck.BuildFailed, match=f"linux/{OTHER}.*interpreter"):
        build("FROM foreign\nRUN true", platform=f"linux/{OTHER}")


def test_a_stage_of_the_build_platform_runs_for_any_target(build: Build, engine: Engine) -> None:
    """FROM --platform=$BUILDPLATFORM is how one builds for others without emulation."""
    text = (
        "FROM --platform=$BUILDPLATFORM tools AS make\nARG TARGETARCH\nRUN echo $TARGETARCH > /made\n"
        "FROM scratch\nCOPY --from=make /made /made"
    )
    image = build(text, platform=f"linux/{OTHER}")

    assert image.config.platform.architecture == OTHER
    assert content_of(image, "made") == f"{OTHER}\n"


def test_squashing_makes_one_layer(build: Build, engine: Engine) -> None:
    """The layers above the base become one with the same files; what was removed stays removed."""
    text = "FROM tools\nRUN echo 1 > /1 && echo 2 > /2\nRUN rm /1 /bin/id && mkdir /d\nCOPY a /d/a"
    plain, squashed = build(text, FILES), build(text, FILES, squash=True)

    assert len(squashed.layers) == 2 < len(plain.layers)
    listing = "cat /2 /d/a; ls / /bin; ls -l /d"
    assert output(plain, listing, engine) == output(squashed, listing, engine)
    layers = sum(not step.empty_layer for step in squashed.config.history)
    assert layers == 2
    assert build(text, FILES, squash=True).digest == squashed.digest


def test_labels_and_annotations(build: Build) -> None:
    """The caller's labels win over the Dockerfile's; annotations are the manifest's."""
    image = build("FROM scratch\nLABEL a=1 b=2\nCOPY a /", FILES, labels={"b": "3"}, annotations=["x=y"])

    assert image.config.config.labels == {"a": "1", "b": "3"}
    assert image.manifest.annotations == {"x": "y"}


def test_two_builds_in_two_stores_give_one_digest(
    build: Build, engine: Engine, stocked_root: Path, tmp_path: Path
) -> None:
    """Equal inputs, equal digests: at other paths, at another time, in another order of files."""
    text = b"FROM tools\nCOPY . /all\nRUN cp -r /all /copy && touch /now && ls /all > /listing\nWORKDIR /w\n"
    digests = set()
    for number, names in enumerate((["a", "b", "c"], ["c", "b", "a"])):
        root, context = tmp_path / f"root{number}", tmp_path / f"a/b{number}"
        subprocess.run(["cp", "-a", str(stocked_root), str(root)], check=True)
        context.mkdir(parents=True)
        for name in names:
            (context / name).write_text(name)
            os.utime(context / name, (number * 10**9, number * 10**9))
        with Engine(root) as one:
            digests.add(Image.build(context, dockerfile=text, engine=one).digest)

    assert len(digests) == 1


def test_triggers_of_a_base_run_in_the_next_build(
    build: Build, engine: Engine, events: list[Progress]
) -> None:
    """ONBUILD waits for the image that is based on it, runs there first, and is not handed down further."""
    build(
        "FROM tools\nONBUILD COPY a /from-trigger\nONBUILD RUN echo run > /r\nRUN echo base > /base",
        tag="on:1",
    )
    child = build("FROM on:1\nRUN cat /from-trigger /r > /both", FILES, tag="child:1", progress=events.append)
    grandchild = build("FROM child:1\nRUN true")

    assert output(child, "cat /both", engine) == "1run\n"
    assert child.config.config.on_build == () and grandchild.config.config.on_build == ()
    assert actions(events, "COPY a") == ["done"]


def test_triggers_of_a_stage_run_in_stages_based_on_it(build: Build, engine: Engine) -> None:
    """ONBUILD of an earlier stage counts for the later one, with files of stages before both."""
    text = """
    FROM tools AS files
    RUN echo 1 > /f
    FROM tools AS base
    ONBUILD COPY --from=files /f /g
    FROM base
    RUN cat /g > /h
    """
    image = build(text)
    assert output(image, "cat /h", engine) == "1\n"


def test_independent_stages_run_at_the_same_time(build: Build) -> None:
    """Each of two stages waits for the other's sign in a shared cache: only together do they end."""
    step = (
        "RUN --mount=type=cache,id=meet,target=/c touch /c/{0}; "
        "for i in 1 2 3 4 5 6 7 8 9; do [ -e /c/{1} ] && exit 0; sleep 0.5; done; exit 1"
    )
    build(
        f"FROM tools AS a\n{step.format('a', 'b')}\nFROM tools AS b\n{step.format('b', 'a')}\n"
        "FROM tools\nCOPY --from=a /bin/sh /a\nCOPY --from=b /bin/sh /b"
    )


def test_named_contexts(build: Build, engine: Engine, tmp_path: Path) -> None:
    """A directory, an image and a layout can stand for a name in FROM, COPY and RUN --mount."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files/x").write_text("x")
    other = build("FROM tools\nRUN echo other > /other", tag="other:1")
    other.save(tmp_path / "layout", "oci-dir")
    other.remove(force=True)
    image = build(
        """
        FROM base AS first
        COPY --from=files x /x
        RUN --mount=from=files,target=/m cat /m/x > /y
        FROM layout
        COPY --from=first /x /y /
        """,
        contexts={
            "files": tmp_path / "files",
            "base": "docker-image://tools",
            "layout": f"oci-layout://{tmp_path}/layout",
        },
    )
    assert output(image, "cat /x /y /other", engine) == "xxother\n"
    assert all("other:1" not in found.names for found in Image.list(engine=engine))


@pytest.mark.parametrize(
    "text", ["type=local", "type=nothing,dest=x", "type=oci", "type=local,dest=-", "type=registry"]
)
def test_outputs_that_cannot_be_are_refused(text: str) -> None:
    """What is missing or unknown is said before anything is built."""
    with pytest.raises(InvalidInput, match="output"):
        parse_outputs(text)


def test_pushing_is_an_output(build: Build, engine: Engine) -> None:
    """type=registry pushes the image when it is built."""
    with ck.Registry.serve() as registry:
        name = f"{registry.address}/team/app:1"
        image = build(TEXT, FILES, tag=name, output=f"type=registry,name={name}")
        image.remove(force=True)
        again = Image.pull(name, engine=engine)
        assert again.id == image.id


def test_several_platforms_are_pushed_as_one_index(build: Build, engine: Engine) -> None:
    """type=registry pushes an index, from which each platform gets its own."""
    with ck.Registry.serve() as registry:
        name = f"{registry.address}/team/many:1"
        platforms = [f"linux/{OTHER}", str(Platform.host())]
        build("FROM scratch\nCOPY a /a", FILES, platform=platforms, output=f"type=registry,name={name}")

        pulled = [Image.pull(name, platform=platform, engine=engine) for platform in platforms]
        assert [str(image.config.platform) for image in pulled] == platforms


def test_a_base_comes_from_a_registry_when_it_is_not_here(build: Build, engine: Engine) -> None:
    """FROM pulls what is missing; with pull=True it asks also for what is here."""
    with ck.Registry.serve() as registry:
        name = f"{registry.address}/base:1"
        build("FROM tools\nRUN echo 1 > /v", tag=name, output=f"type=registry,name={name}")
        Image.get(name, engine=engine).remove(force=True)
        first = build(f"FROM {name}\nRUN cat /v > /w")
        assert output(first, "cat /w", engine) == "1\n"

        build("FROM tools\nRUN echo 2 > /v", tag="newer").push(name)
        assert build(f"FROM {name}\nRUN cat /v > /w").digest == first.digest
        assert output(build(f"FROM {name}\nRUN cat /v > /w", pull=True), "cat /w", engine) == "2\n"
        pinned = Image.get(name, engine=engine)
        by_digest = build(f"FROM {registry.address}/base@{pinned.digest}\nRUN cat /v > /x")
        assert output(by_digest, "cat /x", engine) == "2\n"


def test_a_directory_that_cannot_be_made_is_named(build: Build, tmp_path: Path) -> None:
    """The error says what was to be written there."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ck.KernelError, match=r"cannot write the output to a directory.*file/out"):
        build(TEXT, FILES, output=str(tmp_path / "file/out"))
