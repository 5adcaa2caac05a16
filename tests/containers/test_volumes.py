"""Volumes, images and memory in containers: what is seen inside, who may write it, and what stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.containers.mounts import Mount
from container_kit.errors import (
    CommandFailed,
    Conflict,
    ContainerKitError,
    InvalidInput,
    NotFound,
    StartFailed,
)
from container_kit.images import Image
from container_kit.volumes import Volume
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an image with volumes has in these: files, an owner, a mode, links on the way, and nothing."""
    root = tmp_path_factory.mktemp("rootfs")
    (root / "data/sub").mkdir(parents=True)
    (root / "data/file").write_text("of the image\n")
    os.link(root / "data/file", root / "data/sub/again")
    (root / "data/link").symlink_to("sub")
    os.setxattr(root / "data/file", "user.kind", b"value")
    os.chown(root / "data", 1234, 4321)
    os.chmod(root / "data", 0o2770)
    (root / "empty").mkdir(mode=0o1777)
    os.chmod(root / "empty", 0o1777)
    (root / "way").symlink_to("/data")
    (root / "plain").write_text("no directory")
    return root


@pytest.fixture
def full(engine: Engine, rootfs: Path) -> Image:
    """An image of two layers with volumes at /data and /empty."""
    tools = Image.get("tools", engine=engine)
    with engine.create("tools", ["true"]) as container:
        for name in ("data", "empty", "way", "plain"):
            subprocess.run(
                ["cp", "-a", rootfs / name, f"{engine.catalogue.directory(container.id)}/upper/"], check=True
            )
        changes = ["VOLUME /data /empty"]
        image = container.commit("full", changes=changes)
    assert len(image.layers) == len(tools.layers) + 1
    return image


LOOK = "cat /data/file /data/link/again; stat -c %u:%g:%a /data /empty; stat -c %h /data/file; ls /data"
SEEN = "of the image\nof the image\n1234:4321:2770\n0:0:1777\n2\nfile\nlink\nsub\n"


def test_a_volume_is_shared_and_stays(engine: Engine) -> None:
    """What one container wrote another reads, after the first has gone; read-only means so."""
    engine.run("tools", ["sh", "-c", "echo shared > /a/file"], mounts=["data:/a"], check=True)

    done = engine.run("tools", ["sh", "-c", "cat /b/file; : > /b/new"], mounts=["data:/b:ro"])
    assert done.stdout == "shared\n" and "Read-only" in done.stderr
    assert Volume.get("data", engine=engine).used_by == []


def test_a_new_volume_begins_with_the_image(engine: Engine, full: Image) -> None:
    """Contents, owner and mode of the directory at the target, once; links on the way are followed inside."""
    asked = ["one:/data", "two:/empty"]
    assert engine.run(full, ["sh", "-c", LOOK], mounts=asked, check=True).stdout == SEEN
    engine.run(full, ["sh", "-c", "rm /data/file; echo new > /data/mine"], mounts=asked, check=True)
    assert engine.run(full, ["ls", "/data"], mounts=asked).stdout == "link\nmine\nsub\n"

    through = engine.run(full, ["ls", "/way"], mounts=["three:/way"])
    assert through.stdout == "file\nlink\nsub\n"
    assert os.getxattr(f"{Volume.get('three', engine=engine).path}/file", "user.kind") == b"value"


def test_nocopy_leaves_a_volume_empty(engine: Engine, full: Image) -> None:
    """And what was not asked of the image does not count as the first use."""
    assert engine.run(full, ["ls", "/data"], mounts=["bare:/data:nocopy"]).stdout == ""
    assert engine.run(full, ["ls", "/data"], mounts=["bare:/data"]).stdout == "file\nlink\nsub\n"


def test_volumes_of_an_image_go_with_a_run(engine: Engine, full: Image) -> None:
    """Each run has new ones, filled; they are no part of the container's changes and leave nothing."""
    for _ in range(4):  # later ones are made ahead
        done = engine.run(full, ["sh", "-c", f"{LOOK}; echo x > /data/new"], check=True)
        assert done.stdout == SEEN
    assert Volume.list(engine=engine) == []
    engine.settle()
    assert os.listdir(engine.catalogue.containers) == []


def test_the_callers_mounts_replace_those_of_the_image(engine: Engine, full: Image, tmp_path: Path) -> None:
    """At the same target, however it is written."""
    (tmp_path / "mine").touch()
    done = engine.run(
        full, ["ls", "/data"], mounts=[f"{tmp_path}:/data//"], tmpfs={"/empty/": ""}, check=True
    )

    assert "mine" in done.stdout.split()


def test_anonymous_volumes_stay_with_a_detached_container(engine: Engine, full: Image) -> None:
    """They keep their content over restarts, and go with it only when that is asked for."""
    kept = engine.start(full, ["sh", "-c", "echo again >> /data/log; cat /data/log"], detach=True)
    assert kept.wait() == 0
    kept.start()
    assert kept.wait() == 0
    assert [line.text for line in kept.logs()] == ["again", "again", "again"]
    names = [mount["Name"] for mount in kept.inspect()["Mounts"]]
    assert sorted(volume.name for volume in Volume.list(engine=engine)) == sorted(names)
    kept.remove()

    gone = engine.start(full, ["true"], detach=True, mounts=["named:/named"])
    gone.wait()
    gone.remove(volumes=True)
    assert sorted(volume.name for volume in Volume.list(engine=engine)) == sorted([*names, "named"])
    assert set(Volume.prune(engine=engine).deleted) == set(names)


def test_anonymous_volumes_go_with_what_goes_by_itself(engine: Engine, full: Image) -> None:
    """Of an owned container and of one that removes itself nothing stays."""
    with engine.start(full, ["sleep", "60"]) as owned:
        assert owned.exec(["ls", "/data"]).stdout == "file\nlink\nsub\n"
        owned.restart(timeout=0)
        assert owned.exec(["ls", "/data"]).stdout == "file\nlink\nsub\n"
    gone = engine.start(full, ["true"], detach=True, auto_remove=True)
    wait_for(lambda: not os.path.exists(engine.catalogue.directory(gone.id)))
    assert Volume.list(engine=engine) == []


def test_a_volume_in_use_is_kept(engine: Engine) -> None:
    """Also by a container that does not run; the error says which, by name."""
    with engine.create("tools", ["true"], name="holder", mounts=["data:/a"]) as container:
        with pytest.raises(Conflict, match=f"holder \\({container.short_id}\\)"):
            Volume.get("data", engine=engine).remove()
        assert Volume.prune(all=True, engine=engine).deleted == ()
        container.rename("renamed")
        with pytest.raises(Conflict, match="renamed"):
            Volume.get("data", engine=engine).remove()
    Volume.get("data", engine=engine).remove()


def test_what_could_not_be_made_leaves_no_volumes(engine: Engine, full: Image) -> None:
    """A container that fails half-way takes the anonymous volumes along that were made for it."""
    Volume.create("other", options={"type": "tmpfs"}, engine=engine)
    wrong = Mount(
        target="/x", source="other", type="volume", driver_options={"type": "tmpfs", "o": "size=1m"}
    )

    with pytest.raises(Conflict, match="other options"):
        engine.create(full, ["true"], mounts=["/first", wrong])
    with pytest.raises(NotFound, match="missing"):
        engine.create(full, ["true"], mounts=[Mount.image("missing", "/i")])
    with pytest.raises(InvalidInput, match="two mounts"):
        engine.create(full, ["true"], mounts=["one:/x", "two:/x/"])
    assert [volume.name for volume in Volume.list(engine=engine)] == ["other"]
    assert os.listdir(engine.catalogue.containers) == []


def test_an_image_is_a_mount(engine: Engine, full: Image) -> None:
    """All of it or a part, read-only, whichever layers it has; kept as long as the container is there."""
    mounts = [Mount.image("full", "/all"), Mount.image(full, "/part", subpath="data/link")]
    done = engine.run("tools", ["sh", "-c", "cat /all/data/file /part/again; : > /all/x"], mounts=mounts)
    assert done.stdout == "of the image\nof the image\n" and "Read-only" in done.stderr

    with engine.create("tools", ["cat", "/part/again"], mounts=mounts) as container:
        full.remove(force=True)
        engine.store.gc()
        container.start()
        assert container.wait() == 0
    with pytest.raises(NotFound):
        Image.get("full", engine=engine)


def test_a_volume_that_was_made_anew_is_the_one_that_is_mounted(engine: Engine, tmp_path: Path) -> None:
    """Of the same name and for the same run, but with another kind of content."""
    for _ in range(2):
        engine.run("tools", ["sh", "-c", "echo old > /v/file"], mounts=["data:/v"], check=True)
    Volume.get("data", engine=engine).remove()
    (tmp_path / "file").write_text("new")
    Volume.create("data", options={"device": str(tmp_path), "o": "bind"}, engine=engine)

    done = engine.run("tools", ["sh", "-c", "echo old > /v/file"], mounts=["data:/v"], check=True)
    assert done.exit_code == 0 and (tmp_path / "file").read_text() == "old\n"


def test_an_image_that_is_mounted_is_the_one_of_that_name_now(engine: Engine, full: Image) -> None:
    """Also when the same run was made before the name meant another image."""
    Image.get("tools", engine=engine).tag("moving")
    mounts = [Mount.image("moving", "/i")]
    assert engine.run("tools", ["ls", "/i/data"], mounts=mounts).exit_code != 0
    full.tag("moving")
    assert engine.run("tools", ["ls", "/i/data"], mounts=mounts).stdout == "file\nlink\nsub\n"


def test_a_part_of_a_volume(engine: Engine, tmp_path: Path) -> None:
    """A directory or a file in it, through links that stay in it; those that lead out are refused."""
    volume = Volume.create("data", engine=engine)
    place = Path(volume.path)
    (place / "a/b").mkdir(parents=True)
    (place / "a/b/file").write_text("inside")
    (place / "stays").symlink_to("a/b")
    (place / "leaves").symlink_to(tmp_path)
    (place / "up").symlink_to("../../..")

    for subpath, path in (("a/b", "/m/file"), ("stays", "/m/file"), ("a/b/file", "/m")):
        mount = Mount.volume(volume, "/m", subpath=subpath)
        assert engine.run("tools", ["cat", path], mounts=[mount]).stdout == "inside"
    for subpath in ("leaves", "up", "a/b/missing"):
        with pytest.raises(StartFailed):
            engine.run("tools", ["true"], mounts=[Mount.volume(volume, "/m", subpath=subpath)])
    for subpath in ("../x", "/etc", "a/../.."):
        with pytest.raises(InvalidInput):
            Mount.volume(volume, "/m", subpath=subpath)


def test_a_volume_with_a_size_holds_no_more(engine: Engine) -> None:
    """It is full when that much is written, for every container; it survives restarts without its maker; and
    no loop device or mount of the host stays.
    """
    Volume.create("small", size="4m", engine=engine)
    done = engine.run("tools", ["sh", "-c", "ls -A /s; head -c 16m /dev/zero > /s/big"], mounts=["small:/s"])
    assert done.stdout == "" and "No space" in done.stderr
    engine.run("tools", ["sh", "-c", "rm /s/big; echo start > /s/log"], mounts=["small:/s"], check=True)

    script = "echo again >> /s/log; cat /s/log; exit 1"
    with engine.start("tools", ["sh", "-c", script], mounts=["small:/s"], restart="on-failure:2") as one:
        wait_for(lambda: one.status == "exited")
        assert [line.text for line in one.logs()][-4:] == ["start", "again", "again", "again"]
    volume = Volume.get("small", engine=engine)
    assert 0 < volume.size_bytes < 1 << 20
    assert volume.snapshot("copy").record.options == (("size", "4m"),)
    wait_for(lambda: engine.root not in _loop_devices())


def _loop_devices() -> str:
    return subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout


def test_two_containers_share_a_disk(engine: Engine) -> None:
    """A file system in a file is mounted once, however many use it at the same time."""
    Volume.create("small", size="4m", engine=engine)
    with engine.start("tools", ["sleep", "60"], mounts=["small:/s"]) as one:
        for number in range(3):
            engine.run("tools", ["sh", "-c", f"echo {number} >> /s/log"], mounts=["small:/s"], check=True)
            one.exec(["sh", "-c", f"echo {number} >> /s/log"], check=True)
        assert one.exec(["cat", "/s/log"]).stdout == "0\n0\n1\n1\n2\n2\n"
        with engine.start("tools", ["cat", "/s/log"], mounts=["small:/s:ro"]) as two:
            assert two.wait() == 0


def test_a_volume_of_memory(engine: Engine, full: Image) -> None:
    """`type=tmpfs` is a file system in memory for each container, filled like any volume."""
    Volume.create("memory", options={"type": "tmpfs", "o": "size=1m,mode=0700"}, engine=engine)
    script = "cat /data/file; head -c 2m /dev/zero > /data/big"

    done = engine.run(full, ["sh", "-c", script], mounts=["memory:/data"])
    assert done.stdout == "of the image\n" and "No space" in done.stderr


def test_a_directory_of_the_host_as_volume(engine: Engine, tmp_path: Path) -> None:
    """`o=bind` gives a directory a name."""
    Volume.create("host", options={"device": str(tmp_path), "o": "bind", "type": "none"}, engine=engine)
    engine.run("tools", ["sh", "-c", "echo x > /h/new"], mounts=["host:/h"], check=True)

    assert (tmp_path / "new").read_text() == "x\n"


@pytest.mark.parametrize("kind", ["volume", "anonymous", "image", "disk"])
def test_owners_are_right_in_a_user_namespace(engine: Engine, full: Image, kind: str) -> None:
    """Root inside sees and makes files of root, and the same volume serves containers without one."""
    mount = {
        "volume": Mount.volume("data", "/data"),
        "anonymous": Mount.volume("", "/data"),
        "image": Mount.image(full, "/data", subpath="data"),
        "disk": Mount(target="/data", source="disk", type="volume", driver_options={"size": "4m"}),
    }[kind]
    script = "stat -c %u:%g /data /data/file; : > /data/new && stat -c %u:%g /data/new"

    inside = engine.run(
        full, ["sh", "-c", script], mounts=[mount], profile="sandbox", cap_add=["DAC_OVERRIDE"]
    )
    outside = engine.run(full, ["stat", "-c", "%u:%g", "/data"], mounts=[mount])
    assert inside.stdout.split()[:2] == ["1234:4321", "0:0"]
    assert outside.stdout.split() == ["1234:4321"]
    if kind != "image":
        assert inside.stdout.split()[2:] == ["0:4321"], inside  # of the directory's group: it is set-group-id


def test_binds_keep_their_owners_unless_asked(engine: Engine, tmp_path: Path) -> None:
    """In a user namespace a bind shows its files as nobody's; with `idmap` as this namespace has them."""
    (tmp_path / "file").touch()
    os.chmod(tmp_path, 0o755)
    command = ["stat", "-c", "%u", "/b/file"]
    plain = engine.run("tools", command, mounts=[f"{tmp_path}:/b"], profile="sandbox")
    mapped = engine.run("tools", command, mounts=[f"{tmp_path}:/b:idmap"], profile="sandbox")

    assert (plain.stdout, mapped.stdout) == ("65534\n", "0\n")


def test_a_bind_without_what_is_mounted_below(engine: Engine, tmp_path: Path) -> None:
    """`recursive` says whether mounts below the source come along, and whether read-only holds for them."""
    (tmp_path / "below").mkdir()
    script = (
        f"mount --make-rprivate / && mount -t tmpfs none {tmp_path}/below && touch {tmp_path}/below/there && "
        f'exec "$@"'
    )
    look = (
        "import sys; from container_kit import Engine, Mount\n"
        f"with Engine({engine.root!r}) as engine:\n"
        "  for word in ('readonly', 'writable', 'disabled'):\n"
        f"    mount = Mount(source={str(tmp_path)!r}, target='/b', read_only=True, recursive=word)\n"
        "    done = engine.run('tools', ['sh', '-c', 'ls /b/below; : > /b/below/new && echo written'],\n"
        "                      mounts=[mount])\n"
        "    print(word, done.stdout.split())\n"
    )
    command = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", look]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [
        "readonly ['there']",
        "writable ['there', 'written']",
        "disabled []",
    ]


PROPAGATION = """
import subprocess, sys
from container_kit import Engine, Mount
root, place = sys.argv[1:]
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
subprocess.run(["mount", "--make-shared", place], check=True)
with Engine(root) as engine:
    for word in ("rprivate", "rslave", "rshared"):
        mount = Mount(source=place, target="/b", propagation=word)
        with engine.start("tools", ["sleep", "60"], mounts=[mount]) as container:
            subprocess.run(["mkdir", f"{place}/{word}"], check=True)
            subprocess.run(["mount", "-t", "tmpfs", "none", f"{place}/{word}"], check=True)
            open(f"{place}/{word}/there", "w").close()
            print(word, container.exec(["ls", f"/b/{word}"], check=True).stdout.split())
"""


def test_later_mounts_of_the_host_come_along_when_asked(engine: Engine, tmp_path: Path) -> None:
    """A mount below the source of a bind is seen inside with `rslave` and `rshared`, not without."""
    (tmp_path / "shared").mkdir()
    words = [sys.executable, "-c", PROPAGATION, engine.root, str(tmp_path / "shared")]
    done = subprocess.run(["unshare", "--mount", *words], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["rprivate []", "rslave ['there']", "rshared ['there']"]


def test_memory_has_its_size_and_mode(engine: Engine) -> None:
    """A tmpfs of a mount, and what cannot be."""
    mount = Mount.tmpfs("/t", size="1m", mode="0711")
    script = "stat -c %a /t; head -c 2m /dev/zero > /t/big"
    done = engine.run("tools", ["sh", "-c", script], mounts=[mount])

    assert done.stdout == "711\n" and "No space" in done.stderr
    for wrong in (
        {"type": "tmpfs", "target": "/t", "subpath": "x"},
        {"type": "bind", "source": "/srv", "target": "/t", "driver": "local"},
        {"type": "bind", "source": "/srv", "target": "/t", "options": ("size=1m",)},
        {"type": "image", "target": "/t"},
        {"type": "volume", "source": "a/b", "target": "/t"},
        {"type": "floppy", "target": "/t"},
    ):
        with pytest.raises(InvalidInput):
            Mount(**wrong)


def test_the_mounts_of_a_container_are_told(engine: Engine, full: Image, tmp_path: Path) -> None:
    """Inspecting names volumes, sources and rights, as docker does."""
    asked = ["data:/named:ro", f"{tmp_path}:/bind", Mount.image(full, "/image")]
    with engine.create(full, ["true"], mounts=asked) as container:
        told = {mount["Destination"]: mount for mount in container.inspect()["Mounts"]}
        source = Volume.get("data", engine=engine).path

    assert (told["/named"]["Name"], told["/named"]["Source"], told["/named"]["RW"]) == ("data", source, False)
    assert (told["/bind"]["Type"], told["/bind"]["Source"], told["/bind"]["RW"]) == (
        "bind",
        str(tmp_path),
        True,
    )
    assert (told["/image"]["Type"], told["/image"]["RW"]) == ("image", False)
    assert len(told["/data"]["Name"]) == 64


def test_a_stream_of_containers_on_one_volume(engine: Engine) -> None:
    """Spares, holds and removals of many runs with the same named volume come out even."""
    for number in range(12):
        engine.run("tools", ["sh", "-c", f"echo {number} >> /v/log"], mounts=["data:/v"], check=True)
    engine.settle()
    volume = Volume.get("data", engine=engine)
    assert Path(volume.path, "log").read_text().split() == [str(number) for number in range(12)]
    assert os.listdir(f"{engine.root}/volumes/data/users") == []
    volume.remove()
    assert engine.run("tools", ["ls", "/v"], mounts=["data:/v"]).stdout == ""


def test_files_of_a_container_that_does_not_run(engine: Engine, full: Image, tmp_path: Path) -> None:
    """`fs` and the copies see and change what is in its volumes and binds, and cannot where it could not."""
    (tmp_path / "host").mkdir()
    disk = Mount(target="/disk", source="small", type="volume", driver_options={"size": "2m"})
    mounts = ["data:/named/deep", f"{tmp_path}/host:/bind", "data:/reader:ro", disk]
    command = ["cat", "/named/deep/in", "/data/in", "/disk/in", "/bind/in"]
    with engine.create(full, command, mounts=mounts) as one:
        assert one.fs.read_text("/data/file") == "of the image\n"
        for folder in ("named/deep", "data", "disk", "bind"):
            one.fs.write_text(f"/{folder}/in", f"{folder}\n")
        with pytest.raises(ContainerKitError):
            one.fs.write_text("/reader/x", "")
        one.copy_out("/named/deep/in", tmp_path / "out")
        with open(tmp_path / "export.tar", "wb") as file:
            one.export(file)
        one.start()
        assert one.wait() == 0
        assert [line.text for line in one.logs()] == ["named/deep", "data", "disk", "bind"]
        assert one.fs.read_text("/reader/in") == "named/deep\n"
    assert (tmp_path / "out").read_text() == "named/deep\n"
    assert (tmp_path / "host/in").read_text() == "bind\n"
    names = subprocess.run(["tar", "-tf", tmp_path / "export.tar"], capture_output=True, text=True).stdout
    assert "data/" in names.split() and "data/in" not in names.split()


def test_a_volume_with_options_needs_a_name_where_it_goes_with_its_container(engine: Engine) -> None:
    """Of a detached container it needs none; nothing is left out silently."""
    mount = Mount(target="/s", type="volume", driver_options={"size": "2m"})
    with pytest.raises(InvalidInput, match="give the volume a name"):
        engine.run("tools", ["true"], mounts=[mount])
    with pytest.raises(InvalidInput, match="give the volume a name"):
        engine.start("tools", ["true"], mounts=[mount])
    container = engine.start(
        "tools", ["sh", "-c", "head -c 4m /dev/zero > /s/x"], mounts=[mount], detach=True
    )
    assert container.wait() != 0
    container.remove(volumes=True)
    assert Volume.list(engine=engine) == []


def test_failures_of_a_volume_have_words(engine: Engine, full: Image) -> None:
    """A file where the image has a directory, and a source that is not there."""
    with pytest.raises((StartFailed, CommandFailed)):
        engine.run(full, ["true"], mounts=["data:/plain"], check=True)
    Volume.create("gone", options={"device": "/nowhere/at/all", "o": "bind"}, engine=engine)
    with pytest.raises(ContainerKitError, match="make it first"):
        engine.run("tools", ["true"], mounts=["gone:/g"])


EVERY_KIND = {
    "/volume": "rw,relatime ext4",
    "/reader": "ro,relatime ext4",
    "/own": "rw,relatime ext4",
    "/hard": "rw,nosuid,nodev,noexec,relatime ext4",
    "/image": "ro,nosuid,nodev,relatime overlay",
    "/disk": "rw,nodev,relatime ext4",
    "/memory": "rw,nosuid,nodev,noexec,relatime tmpfs",
    "/tmpfs": "rw,nosuid,nodev,relatime tmpfs",
}


def _table(text: str) -> dict[str, str]:
    """What each line of mountinfo says beside numbers: attributes, propagation and type by mount point."""
    found = {}
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        words = fields.split()
        found[words[4]] = " ".join((words[5], *words[6:], rest.split()[0]))
    return found


@pytest.mark.parametrize("profile", ["default", "docker", "sandbox", "privileged"])
@pytest.mark.parametrize("how", ["run", "start"])
def test_the_mount_table_has_what_was_asked_for(engine: Engine, profile: str, how: str) -> None:
    """S07: with mounts of every kind a container sees these, with these attributes and private, and for the
    rest the mounts that it has without them.
    """
    Volume.create("tmpfs", options={"type": "tmpfs"}, engine=engine)
    mounts = [
        Mount.volume("data", "/volume"),
        Mount.volume("data", "/reader", read_only=True),
        Mount.volume("", "/own"),
        Mount(target="/hard", source="data", type="volume", options=("nosuid", "nodev", "noexec")),
        Mount.image("tools", "/image"),
        Mount(target="/disk", source="disk", type="volume", driver_options={"size": "4m"}),
        Mount.tmpfs("/memory"),
        Mount.volume("tmpfs", "/tmpfs"),
    ]
    command = ["cat", "/proc/self/mountinfo"]
    if how == "run":
        plain = _table(engine.run("tools", command, profile=profile, check=True).stdout)
        table = _table(engine.run("tools", command, mounts=mounts, profile=profile, check=True).stdout)
    else:
        with engine.start("tools", ["sleep", "60"], profile=profile) as container:
            plain = _table(container.exec(command, check=True).stdout)
        with engine.start("tools", ["sleep", "60"], mounts=mounts, profile=profile) as container:
            table = _table(container.exec(command, check=True).stdout)

    kind = table["/volume"].split()[-1]  # of the file system that the test's root is on
    expected = {place: words.replace(" ext4", f" {kind}") for place, words in EVERY_KIND.items()}
    expected["/disk"] = EVERY_KIND["/disk"]
    if profile == "sandbox":  # the one with a user namespace
        shifted = {
            place: words for place, words in expected.items() if not words.endswith(("tmpfs", "overlay"))
        }
        expected |= {place: words.replace(" ", ",idmapped ") for place, words in shifted.items()}
    assert {place: table[place].replace("noatime", "relatime") for place in expected} == expected
    assert {place: words for place, words in table.items() if place not in expected} == plain
