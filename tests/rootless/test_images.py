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


MOUNTS = r'''
import container_kit as ck, os, pathlib
os.makedirs("context/part", exist_ok=True)
pathlib.Path("context/part/given").write_text("given\n")
pathlib.Path("secret").write_text("hidden")
text = b"""FROM box:1 AS first
RUN busybox mkdir /made && echo made >/made/file
RUN busybox chown 9:9 /made/file && busybox chmod 600 /made/file
FROM box:1
RUN --mount=type=bind,source=part,target=/context --mount=type=bind,from=first,source=/made,target=/stage \\
    --mount=type=secret,id=word,uid=3 --mount=type=cache,target=/cache --mount=type=tmpfs,target=/memory \\
    busybox cat /context/given /stage/file >/out && \\
    busybox stat -c %u /run/secrets/word /stage/file >>/out && \\
    echo kept >/cache/file
RUN --mount=type=cache,target=/cache busybox cat /cache/file >>/out
"""
image = ck.Image.build("context", dockerfile=text, tag="mounts:1", secrets={"word": ck.Secret.file("secret")})
report(ck.run(image, ["busybox", "cat", "/out"]).stdout.split())
'''


def test_steps_have_their_mounts(user: OrdinaryUser) -> None:
    """Parts of the context and of stages, secrets, caches and memory are there, with their owners."""
    assert user.python(MOUNTS) == ["given", "made", "3", "9", "kept"]


def test_layers_keep_owners_whiteouts_and_digests(user: OrdinaryUser) -> None:
    """What a build gives to many owners is theirs in the next container, after saving and loading too."""
    found = user.python(BUILD)
    assert found["run"] == found["loaded"] == "secret\n"
    owners = {line.split()[-1]: line.split()[2:4] for line in found["list"].splitlines()[1:]}
    assert owners == {"secret": ["5", "6"], "given": ["7", "8"]}
    assert found["whiteout"] == 1
    assert found["findings"] == []


FOREIGN = """
import container_kit as ck, tarfile
with tarfile.open("foreign.tar", "w") as archive:
    entry = tarfile.TarInfo("file")
    entry.uid = 3_000_000
    archive.addfile(entry)
try:
    ck.Image.import_("foreign.tar", tag="foreign:1")
    report(ck.run("foreign:1", ["/file"]).exit_code)
except ck.StartFailed as error:
    report("kept")
except ck.UnsupportedFeature as error:
    report(str(error))
"""


def test_an_owner_that_a_user_cannot_have_is_named(user: OrdinaryUser, lone_user: OrdinaryUser) -> None:
    """An id above the subordinate ones refuses the image, with what to do; with one id all files are its."""
    refused = user.python(FOREIGN)
    assert "'file'" in refused and "/etc/subuid" in refused
    assert lone_user.python(FOREIGN) == "kept"
