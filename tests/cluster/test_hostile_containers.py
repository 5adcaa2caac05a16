"""S20: what comes out of a container is not trusted, whoever asked for it."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from container_kit.cluster import Cluster
from container_kit.errors import ContainerKitError
from tests.cluster.test_cluster import pod

pytestmark = [pytest.mark.root]


@pytest.fixture(scope="module")
def liar(real_cluster: Cluster) -> Cluster:
    """A cluster with a pod whose ``tar`` says what the file ``/said`` holds."""
    real_cluster.apply(pod("liar"))
    real_cluster.wait("pod/liar", condition="Ready", timeout=60)
    script = "for place in $(command -v tar); do rm $place; printf '#!/bin/sh\\nexec cat /said' > $place; "
    real_cluster.exec(
        "pod/liar",
        ["sh", "-c", script.replace("rm", "busybox rm") + "busybox chmod 755 $place; done"],
        check=True,
    )
    return real_cluster


def _entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", data: bytes = b"") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size, entry.mode = kind, target, len(data), 0o6755
    return entry


def _archive(*entries: tuple[str, bytes, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, kind, target in entries:
            data = b"hostile" if kind == tarfile.REGTYPE else b""
            archive.addfile(_entry(name, kind, target, data), io.BytesIO(data))
    return packed.getvalue()


FILE, LINK, HARD, DIR, FIFO, DEVICE = (
    tarfile.REGTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
    tarfile.CHRTYPE,
)


@pytest.mark.parametrize(
    "entries",
    [
        [("../canary/x", FILE, "")],
        [("{canary}/x", FILE, "")],
        [("it", LINK, "{canary}"), ("it/x", FILE, "")],
        [("it", DIR, ""), ("it/up", LINK, "../../canary"), ("it/up/x", FILE, "")],
        [("it", HARD, "{canary}/file")],
        [("it", LINK, "{canary}/file"), ("it", FILE, "")],
        [("other", FILE, "")],
        [("it", DIR, ""), ("it/fifo", FIFO, ""), ("it/device", DEVICE, "")],
    ],
    ids=["dots", "absolute", "link", "link up", "hard link", "file over link", "another name", "devices"],
)
def test_an_archive_writes_only_where_it_is_copied_to(
    liar: Cluster, tmp_path: Path, entries: list[tuple[str, bytes, str]]
) -> None:
    """kubectl cp's CVE-2018-1002100 and after: what ``tar`` says reaches its target, or nothing."""
    canary, target = tmp_path / "canary", tmp_path / "target"
    canary.mkdir()
    target.mkdir()
    (canary / "file").write_text("good")
    full = [(name.format(canary=canary), kind, to.format(canary=canary)) for name, kind, to in entries]
    liar.exec("pod/liar", ["sh", "-c", "cat > /said"], input=_archive(*full), check=True)
    with contextlib.suppress(ContainerKitError):
        liar.copy_out("pod/liar", "/it", str(target / "it"))
    assert os.listdir(canary) == ["file"] and (canary / "file").read_text() == "good"
    assert set(os.listdir(target)) <= {"it"} and set(os.listdir(tmp_path)) == {"canary", "target"}
    for folder, _, names in os.walk(target):
        for name in names:
            info = os.lstat(os.path.join(folder, name))
            assert not info.st_mode & 0o6000 and not os.path.exists(os.path.join(folder, "device"))


def test_what_a_container_says_without_end_is_not_kept_in_memory(
    liar: Cluster, tmp_path: Path, peak: Callable[[], int]
) -> None:
    """Hundreds of megabytes of an archive go through, and of errors the last words stay."""
    said = "cat > /said; busybox dd if=/dev/zero bs=1M count=200 >> /said"
    liar.exec("pod/liar", ["sh", "-c", said], input=_archive(("it", FILE, "")), check=True)
    before = peak()
    liar.copy_out("pod/liar", "/it", str(tmp_path / "it"))
    assert (tmp_path / "it").read_bytes() == b"hostile"
    assert peak() - before < 100 << 20


@pytest.fixture
def peak() -> Callable[[], int]:
    """The most memory that this process has had, bytes."""
    import resource

    return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
