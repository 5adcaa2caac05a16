"""What the store does when the disk, the clock or its user works against it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from container_kit.errors import PermissionMissing
from container_kit.store import Store
from tests.store.conftest import add_image


@pytest.mark.root
@pytest.mark.tool("unshare")
def test_small_disk(tmp_path: Path) -> None:
    """R07, R08: full, out of inodes or read-only, the disk is named in a typed error and nothing is lost."""
    program = [sys.executable, "-m", "tests.store.small_disk", str(tmp_path)]
    result = subprocess.run(["unshare", "--mount", *program], capture_output=True, text=True, check=False)

    assert (result.returncode, result.stdout) == (0, ""), result.stderr


@pytest.mark.parametrize("jump_s", [-366 * 86400, -3600, 366 * 86400])
def test_clock_jumps_free_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, jump_s: int) -> None:
    """R09: leases and drafts ask no clock, so one that jumps, and files dated anywhen, change nothing."""
    now = time.time() + jump_s
    blob = store.put_blob(b"x")
    with store.lease(blob), store.new_tree() as draft:
        for directory, _, names in os.walk(store.root):
            for name in names:
                os.utime(os.path.join(directory, name), (now, now))
        monkeypatch.setattr(time, "time", lambda: now)
        with Store.open(store.root) as other:
            collected = other.gc()
        assert (collected.blobs, collected.leftovers) == ((), 0)
        assert os.path.isdir(draft.path)


@pytest.mark.root
def test_root_of_another_user_is_refused(tmp_path: Path) -> None:
    """A root that another user owns is not used, and the error names both users and the way out."""
    root = tmp_path / "root"
    root.mkdir()
    os.chown(root, 12345, 12345)

    with pytest.raises(PermissionMissing, match=r"12345.*CONTAINER_KIT_ROOT"):
        Store.open(root)


def test_secrets_are_not_shown(store: Store) -> None:
    """S16: neither the store's texts nor its errors show what it keeps."""
    digest = store.put_blob(b"a-planted-secret")
    Path(store.layout.blob(digest)).write_bytes(b"a-planted-secret, changed")
    shown = [repr(store), str(store.fsck().problems), repr(store.lease()), repr(store.ingest)]

    assert not any("planted" in text for text in shown)


def test_umask_is_left_alone(tmp_path: Path) -> None:
    """The process's umask is neither changed nor obeyed where it would open or break the store."""
    before = os.umask(0o077)
    try:
        with Store.open(tmp_path / "root") as store:
            add_image(store, "a", b"a")
            with store.new_tree() as draft:
                assert os.stat(draft.path).st_mode & 0o777 == 0o755
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
