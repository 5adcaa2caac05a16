"""Volumes of an ordinary user: filled with the owners of the image, shared, saved, copied and removed."""

from __future__ import annotations

import pytest

from tests.rootless.users import OrdinaryUser

pytestmark = [pytest.mark.root, pytest.mark.tool("newuidmap"), pytest.mark.tool("setpriv")]

VOLUMES = """
import container_kit as ck, os
owner = {owner}
with ck.Container.start("box:1", ["busybox", "sh", "-c",
        f"mkdir -p /data/in; echo kept >/data/in/file; chown -R {{owner}}:{{owner}} /data; chmod 700 /data"],
        name="maker") as maker:
    maker.wait(timeout=20)
    maker.commit("box:volume", changes=["VOLUME /data"])

def sh(script, *mounts, image="box:volume", **options):
    done = ck.run(image, ["busybox", "sh", "-c", script], mounts=list(mounts), **options)
    return done.stdout if done.exit_code == 0 else done.stderr

look = "stat -c %u:%g:%a /data; cat /data/in/file"
found = {{"anonymous": [sh(look) for _ in range(3)]}}
found["named"] = sh(look + "; echo new >/data/new", "data:/data")
found["again"] = sh("cat /data/new", "data:/data:ro")
volume = ck.Volume.get("data")
found["part"] = sh("cat /part", ck.Mount.volume(volume, "/part", subpath="in/file"))
mount = ck.Mount.image("box:volume", "/image")
found["image"] = sh("cat /image/data/in/file && echo x >/image/x", mount, image="box:1")
volume.backup("data.tar")
restored, copied = ck.Volume.restore("data.tar", "restored"), volume.snapshot("copied")
found["restored"] = sh(look, ck.Mount.volume(restored, "/data"), image="box:1")
found["copied"] = sh(look, ck.Mount.volume(copied, "/data"), image="box:1")
found["size"] = volume.size_bytes > 0
try:
    ck.Volume.create("small", size="4m")
except ck.UnsupportedFeature as error:
    found["limited"] = str(error)
ck.Volume.create("memory", options={{"type": "tmpfs", "o": "size=1m"}})
found["memory"] = sh("df -k /m | tail -n 1", "memory:/m")
kept = ck.Container.start("box:volume", ["busybox", "true"], detach=True)
kept.wait(timeout=20)
kept.remove(volumes=True)
found["left"] = [one.name for one in ck.Volume.list()]
found["pruned"] = ck.Volume.prune(all=True).deleted
ck.Image.get("box:volume").remove(force=True)
report(found)
"""


@pytest.mark.parametrize("ids", ["subordinate", "one"])
def test_volumes_work_without_root(user: OrdinaryUser, lone_user: OrdinaryUser, ids: str) -> None:
    """All that a volume can be, but for a size, with subordinate ids and with the user's alone."""
    owner = 33 if ids == "subordinate" else 0
    told = (user if ids == "subordinate" else lone_user).python(VOLUMES.format(owner=owner))
    seen = f"{owner}:{owner}:700\nkept\n"

    assert told["anonymous"] == [seen] * 3
    assert (told["named"], told["again"], told["part"]) == (seen, "new\n", "kept\n")
    assert "Read-only" in told["image"]
    assert (told["restored"], told["copied"], told["size"]) == (seen, seen, True)
    assert "needs root" in told["limited"]
    assert told["memory"].split()[1] == "1024"
    assert told["left"] == ["copied", "data", "memory", "restored"]
    assert sorted(told["pruned"]) == told["left"]
