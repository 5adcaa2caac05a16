"""Images of an ordinary user: layers with files of many owners, built, saved, verified and removed."""

from __future__ import annotations

import pytest

from tests.rootless.users import OrdinaryUser

pytestmark = [pytest.mark.root, pytest.mark.tool("newuidmap"), pytest.mark.tool("setpriv")]

BUILD = r'''
import container_kit as ck, os, pathlib
os.makedirs("context", exist_ok=True)
pathlib.Path("context/given").write_text("given")
text = b"""FROM box:1 AS first
RUN echo secret >/secret && busybox chown 5:6 /secret && busybox chmod 600 /secret && busybox rm -r /var
COPY --chown=7:8 given /given
FROM box:1
COPY --from=first /secret /given /kept/
RUN busybox rm /usr/bin/cat
USER 5
CMD ["busybox", "cat", "/kept/secret"]
"""
image = ck.Image.build("context", dockerfile=text, tag="built:1")
found = {"run": ck.run("built:1").stdout}
found["list"] = ck.run("built:1", ["busybox", "ls", "-ln", "/kept"], user="0").stdout
found["whiteout"] = ck.run("built:1", ["busybox", "ls", "/usr/bin/cat"]).exit_code
image.save("built.tar")
engine = ck.Engine.default()
found["findings"] = [str(one) for one in engine.store.fsck().problems]
image.remove(force=True)
engine.store.gc()
ck.Image.load("built.tar")
found["loaded"] = ck.run("built:1").stdout
report(found)
'''


def test_layers_keep_owners_whiteouts_and_digests(user: OrdinaryUser) -> None:
    """What a build gives to many owners is theirs in the next container, after saving and loading too."""
    found = user.python(BUILD)
    assert found["run"] == found["loaded"] == "secret\n"
    owners = {line.split()[-1]: line.split()[2:4] for line in found["list"].splitlines()[1:]}
    assert owners == {"secret": ["5", "6"], "given": ["7", "8"]}
    assert found["whiteout"] == 1
    assert found["findings"] == []
