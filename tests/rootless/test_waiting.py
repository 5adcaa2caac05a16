"""Waiting for containers of an ordinary user: the same strategies, with the user's own rights."""

from __future__ import annotations

import pytest

from tests.rootless.users import OrdinaryUser

pytestmark = [pytest.mark.root, pytest.mark.tool("newuidmap"), pytest.mark.tool("setpriv")]

SERVER = """
import container_kit as ck
ck.Image.from_python(tag="python")
program = '''
import http.server, time
time.sleep(0.2)
open("/ready", "w").close()
print("ready", flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), http.server.SimpleHTTPRequestHandler).serve_forever()
'''
ready = []
with ck.Container.start("python", ["python3", "-c", program]) as container:
    for wish in (ck.wait.http("/", port=8000), ck.wait.port(8000), ck.wait.log("ready"),
                 ck.wait.file("/ready"), ck.wait.exec(["python3", "-c", ""])):
        container.wait_for(wish, timeout=30)
        ready.append(type(wish).__name__)
report(ready)
"""


def test_all_strategies(user: OrdinaryUser) -> None:
    """A socket in the container's network, a file behind its mounts, its processes: all within reach."""
    assert user.python(SERVER) == ["Answers", "Listening", "Logged", "FileThere", "Executed"]
