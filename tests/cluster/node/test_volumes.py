"""Volumes as files: what is in them, how they change, who may write them."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from container_kit.cluster.node.errors import VolumeNotReady
from container_kit.cluster.node.payload_writer import write_payload
from container_kit.cluster.node.projection import PayloadFile, Projector, references
from container_kit.cluster.node.volumes import Volumes
from tests.cluster.node.test_environment import CAPACITY, Shelf, pod


class NoClaims:
    """No claim is bound."""

    def volume_of(self, namespace: str, claim: str) -> dict[str, Any]:
        raise VolumeNotReady(f'persistentvolumeclaim "{claim}" not found')


def volumes(tmp_path: Path, shelf: Shelf | None = None) -> Volumes:
    """Of a node below *tmp_path*."""
    projector = Projector(shelf or Shelf(), CAPACITY, lambda pod, source: f"token for {source['audience']}")
    return Volumes(str(tmp_path / "pods"), str(tmp_path / "memory"), projector, NoClaims())


def with_volume(volume: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A pod that has this volume, named v."""
    found = pod()
    found["spec"] |= {"volumes": [{"name": "v", **volume}], **spec}
    return found


def files(path: str) -> dict[str, str]:
    """What a reader finds, by name."""
    return {
        str(one.relative_to(path)): one.read_text()
        for one in Path(path).rglob("*")
        if one.is_file() and not one.relative_to(path).parts[0].startswith("..")
    }


def payload(**contents: str) -> dict[str, PayloadFile]:
    return {name: PayloadFile(text.encode(), 0o644) for name, text in contents.items()}


def test_a_config_map_is_a_directory_of_its_keys(tmp_path: Path) -> None:
    """Each key is a file; items choose keys, paths and modes."""
    shelf = Shelf({"conf": {"a": "1", "b": "2"}})
    whole = volumes(tmp_path, shelf).prepare(with_volume({"configMap": {"name": "conf"}}))
    assert files(whole["v"]) == {"a": "1", "b": "2"}
    items = [{"key": "b", "path": "deep/er", "mode": 0o600}]
    some = volumes(tmp_path / "2", shelf).prepare(
        with_volume({"configMap": {"name": "conf", "items": items}})
    )
    one = Path(some["v"], "deep/er")
    assert one.read_text() == "2" and stat.S_IMODE(one.stat().st_mode) == 0o600


def test_projected_sources_lie_in_one_directory(tmp_path: Path) -> None:
    """ConfigMaps, secrets, fields of the pod and tokens appear side by side."""
    sources = [
        {"configMap": {"name": "conf"}},
        {"secret": {"name": "keys", "items": [{"key": "pw", "path": "password"}]}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"serviceAccountToken": {"path": "token", "audience": "api"}},
    ]
    made = volumes(tmp_path, Shelf({"conf": {"a": "1"}}, {"keys": {"pw": b"hush"}}))
    found = files(made.prepare(with_volume({"projected": {"sources": sources}}))["v"])
    assert found == {"a": "1", "password": "hush", "name": "web", "token": "token for api"}


def test_a_missing_source_is_named_unless_optional(tmp_path: Path) -> None:
    """The volume's name and the kubelet's words are in the error."""
    made = volumes(tmp_path)
    with pytest.raises(VolumeNotReady, match=r'SetUp failed for volume "v" : secret "no" not found'):
        made.prepare(with_volume({"secret": {"secretName": "no"}}))
    assert files(made.prepare(with_volume({"secret": {"secretName": "no", "optional": True}}))["v"]) == {}


def test_changes_arrive_and_removed_keys_go(tmp_path: Path) -> None:
    """A refresh shows the new content, says whether there was any, and drops keys that are gone."""
    data = {"a": "1", "b": "2"}
    made, whole = volumes(tmp_path, Shelf({"conf": data})), with_volume({"configMap": {"name": "conf"}})
    path = made.prepare(whole)["v"]
    assert not made.refresh(whole)
    data["a"] = "new"
    del data["b"]
    assert made.refresh(whole)
    assert files(path) == {"a": "new"} and not os.path.lexists(os.path.join(path, "b"))


def test_readers_never_see_a_mixture(tmp_path: Path) -> None:
    """Two files that always change together are never seen apart by who opens their directory."""
    directory, stop = str(tmp_path / "v"), threading.Event()
    os.mkdir(directory)
    write_payload(directory, payload(a="0", b="0"))

    def change() -> None:
        for number in range(1, 200):
            write_payload(directory, payload(a=str(number), b=str(number)))
        stop.set()

    writer = threading.Thread(target=change)
    writer.start()
    seen = 0
    while not stop.is_set():
        assert os.readlink(os.path.join(directory, "..data"))  # there is no moment without any
        try:
            fd = os.open(os.path.join(directory, "..data"), os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # it was replaced while it was looked up
        try:
            a, b = (_read_at(fd, name) for name in "ab")
        except FileNotFoundError:
            continue  # the old directory is being removed: its reader looks again
        finally:
            os.close(fd)
        assert a == b
        seen += 1
    writer.join()
    assert seen > 0 and files(directory) == {"a": "199", "b": "199"}


def _read_at(directory: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY, dir_fd=directory)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "b/c", "d/e/f", "g"]), st.text(max_size=5)), min_size=1)
)
def test_the_last_payload_is_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    """Whatever was written before, a volume shows exactly its last payload, and keeps no old one."""
    directory = str(tmp_path_factory.mktemp("v"))
    for step in steps:
        wanted = {path: PayloadFile(text.encode(errors="replace"), 0o644) for path, text in step.items()}
        write_payload(directory, wanted)
    found = {}
    for path in wanted:
        found[path] = Path(directory, path).read_bytes()
    assert found == {path: one.content for path, one in wanted.items()}
    assert {name for name in os.listdir(directory) if not name.startswith("..")} == {
        path.split("/")[0] for path in wanted
    }
    assert len([name for name in os.listdir(directory) if name.startswith("..v")]) == 1


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "..data/x", ""])
def test_no_file_leaves_its_volume(tmp_path: Path, path: str) -> None:
    """Paths that lead out of the volume, or at what holds it together, are refused (CVE-2017-1002101)."""
    with pytest.raises(VolumeNotReady, match="cannot be in a volume"):
        write_payload(str(tmp_path), {path: PayloadFile(b"", 0o644)})
    assert os.listdir(tmp_path) == []


def test_secrets_lie_in_memory_and_go_with_their_pod(tmp_path: Path) -> None:
    """Nothing secret is written to the disk, and nothing of a pod is left."""
    made = volumes(tmp_path, Shelf(secrets={"keys": {"pw": b"hush"}}))
    path = made.prepare(with_volume({"secret": {"secretName": "keys"}}))["v"]
    assert path.startswith(str(tmp_path / "memory")) and not (tmp_path / "pods").exists()
    made.remove("u-1")
    assert os.listdir(tmp_path / "memory") == []


def test_an_empty_directory_is_everybodys_or_its_groups(tmp_path: Path) -> None:
    """Anybody may write an emptyDir; with fsGroup it is the group's, and what is made in it as well."""
    path = volumes(tmp_path).prepare(with_volume({"emptyDir": {}}))["v"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o777
    group = os.getegid()
    spec = {"securityContext": {"fsGroup": group}}
    path = volumes(tmp_path / "2").prepare(with_volume({"emptyDir": {}}, **spec))["v"]
    assert os.stat(path).st_gid == group and os.stat(path).st_mode & stat.S_ISGID


@pytest.mark.parametrize(
    ("kind", "words"), [("Directory", "a directory"), ("File", "a file"), ("Socket", "a socket")]
)
def test_a_host_path_is_what_it_is_said_to_be(tmp_path: Path, kind: str, words: str) -> None:
    """What is not there, or something else, is refused in the kubelet's words."""
    source = {"hostPath": {"path": str(tmp_path / "no"), "type": kind}}
    with pytest.raises(VolumeNotReady, match=f"hostPath type check failed: .* is not {words}"):
        volumes(tmp_path).prepare(with_volume(source))


def test_a_host_path_can_be_made(tmp_path: Path) -> None:
    """The types with OrCreate make what is missing."""
    for kind, there in (("DirectoryOrCreate", Path.is_dir), ("FileOrCreate", Path.is_file)):
        path = tmp_path / kind
        volumes(tmp_path).prepare(with_volume({"hostPath": {"path": str(path), "type": kind}}))
        assert there(path)


def test_references_are_found_in_all_sources() -> None:
    """ConfigMaps and Secrets of plain and projected volumes are known, so that their changes arrive."""
    whole = with_volume({"projected": {"sources": [{"secret": {"name": "s"}}, {"configMap": {"name": "c"}}]}})
    whole["spec"]["volumes"] += [{"name": "w", "secret": {"secretName": "t"}}]
    assert references(whole) == {("secrets", "s"), ("configmaps", "c"), ("secrets", "t")}
