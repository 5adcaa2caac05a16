"""A registry on a disk of 8 MB: what does not fit is refused, and the space comes back.

Run it in a mount namespace of its own: ``unshare --mount python -m tests.registry.server.full_disk DIR``.
It prints nothing when every promise holds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from container_kit.oci import Digest
from container_kit.registry.server import Registry
from container_kit.store import Store, files
from tests.registry.server.conftest import Engine
from tests.registry.server.documents import Client


def main(place: Path) -> None:
    (place / "disk").mkdir()
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", place / "disk"], check=True)
    with Registry.serve(place / "disk/registry") as registry:
        check(registry, place / "disk")
    subprocess.run(["rm", "-r", place / "disk/registry"], check=True)
    with Store.open(place / "disk/root") as store, Registry.serve(engine=Engine(store)) as registry:
        check(registry, place / "disk")
        assert store.fsck().clean


def check(registry: Registry, disk: Path) -> None:
    client = Client(registry.address)
    image = client.push_image("app", "v1", os.urandom(100_000))
    free = files.free_bytes(str(disk))
    large = os.urandom(12 << 20)
    announced = client("POST", "/v2/app/blobs/uploads/", large, digest=str(Digest.of(large)))
    assert announced.status == 507 and announced.codes == ["STORAGE_FULL"], announced
    place = client("POST", "/v2/app/blobs/uploads/", b"").headers["Location"]
    pieces = (large[at : at + (1 << 16)] for at in range(0, len(large), 1 << 16))
    streamed = send_and_be_cut_off(client, place, pieces)
    assert streamed == 507, streamed
    registry.collect()
    assert abs(files.free_bytes(str(disk)) - free) < 1 << 18
    assert client("GET", "/v2/app/manifests/v1").body == image
    client.push_image("app", "v2", os.urandom(100_000))


def send_and_be_cut_off(client: Client, place: str, pieces) -> int:  # type: ignore[no-untyped-def]
    """The status of a stream that the server may stop reading."""
    try:
        return client("PATCH", place, pieces).status
    except (BrokenPipeError, ConnectionResetError):
        # The answer came while we were still sending, and was lost: what counts is that the upload is gone.
        return 507 if client("GET", place).status == 404 else 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
