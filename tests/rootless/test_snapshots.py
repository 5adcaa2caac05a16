"""Snapshots, asyncio and sandboxes of an ordinary user."""

from __future__ import annotations

import pytest

from tests.rootless.users import OrdinaryUser

pytestmark = [pytest.mark.root, pytest.mark.tool("newuidmap"), pytest.mark.tool("setpriv")]

_SNAPSHOT = """
import container_kit as ck

script = "echo first > /data; busybox rm -f /etc/group; busybox mkdir -p /a/b; echo x > /a/b/c; sleep 60"
look = "cat /data; echo changed > /data; [ -e /etc/group ] || echo gone"
found = []
with ck.Container.start("box:1", ["sh", "-c", script]) as warm:
    warm.wait_for(ck.wait.file("/a/b/c"), timeout=20)
    with warm.snapshot() as kept:
        found += [ck.run(kept, ["sh", "-c", look], check=True).stdout for _ in range(2)]
        with ck.Container.start(kept) as copy:
            found.append(copy.fs.read_text("/a/b/c"))
        kept.as_image("kept")
    found.append(ck.run("kept", ["sh", "-c", look], check=True).stdout)
report([*found, ck.Engine.default().store.fsck().clean])
"""

_AIO = """
import asyncio
from container_kit import aio

async def main():
    found = []
    async with aio.Container.start("box:1", ["sh", "-c", "echo up; exec sleep 60"]) as container:
        found.append((await container.exec(["cat"], input="said")).stdout)
    try:
        async with asyncio.timeout(0.5):
            await aio.run("box:1", ["sleep", "60"])
    except TimeoutError:
        found.append("stopped")
    return found

report(asyncio.run(main()))
"""

_SANDBOX = """
import container_kit as ck

try:
    report(ck.Sandbox("box:1").run(["sh", "-c", "id -u"]).stdout)
except ck.UnsupportedFeature as error:
    report(str(error))
"""


@pytest.mark.parametrize("who", ["user", "lone_user"])
def test_snapshots(who: str, request: pytest.FixtureRequest) -> None:
    """Each copy has the files of the moment, without what was removed, whichever ids the user has."""
    user: OrdinaryUser = request.getfixturevalue(who)
    assert user.python(_SNAPSHOT) == [*["first\ngone\n"] * 2, "x\n", "first\ngone\n", True]


def test_asyncio(user: OrdinaryUser) -> None:
    """Awaiting and cancelling are what they are for root."""
    assert user.python(_AIO) == ["said", "stopped"]


def test_a_sandbox_has_its_limits_or_says_so(user: OrdinaryUser) -> None:
    """Without a cgroup for them nothing is started, and the error names what is missing."""
    said = user.python(_SANDBOX)
    assert said == "0\n" or ("controller" in said and "systemd-run" in said)
