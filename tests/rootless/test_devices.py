"""Images with devices, in the store of somebody who may make none."""

from __future__ import annotations

import pytest

from tests.rootless.users import OrdinaryUser

pytestmark = [pytest.mark.root, pytest.mark.tool("newuidmap"), pytest.mark.tool("setpriv")]

# A root file system with two devices, a name for one of them, and a program; saved again as it came.
PROGRAM = """
import hashlib, io, shutil, tarfile
import container_kit as ck

buffer = io.BytesIO()
with tarfile.open(fileobj=buffer, mode="w") as tar:
    tar.add(shutil.which("busybox"), "bin/busybox")
    for name, kind, numbers in (("zero", tarfile.CHRTYPE, (1, 5)), ("disk", tarfile.BLKTYPE, (8, 0))):
        info = tarfile.TarInfo(f"etc/{name}")
        info.type, (info.devmajor, info.devminor), info.mode = kind, numbers, 0o666
        tar.addfile(info)
    link = tarfile.TarInfo("etc/same")
    link.type, link.linkname = tarfile.LNKTYPE, "etc/zero"
    tar.addfile(link)
with open("root.tar", "wb") as file:
    file.write(buffer.getvalue())
image = ck.Image.from_rootfs("root.tar", tag="devices:1")
seen = ck.run(image, ["/bin/busybox", "stat", "-c", "%F %s %a", "/etc/zero", "/etc/disk", "/etc/same"]).stdout
image.save("saved.tar")
with tarfile.open("saved.tar") as saved:
    digests = [hashlib.sha256(saved.extractfile(one).read()).hexdigest() for one in saved if one.isfile()]
report([seen.splitlines(), hashlib.sha256(buffer.getvalue()).hexdigest() in digests])
"""


def test_a_device_is_an_empty_file_and_is_saved_as_it_came(user: OrdinaryUser) -> None:
    """Nobody gets a device that its owner could not make; the layer keeps its digest all the same."""
    seen, is_the_same = user.python(PROGRAM)

    assert seen == ["regular empty file 0 666"] * 3
    assert is_the_same
