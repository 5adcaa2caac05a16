"""Contexts and Dockerfiles that try to read, write or run something outside of the build.

``CANARY`` stands for a directory of the host with a file ``secret.txt``.  Each case is the Dockerfile, and
what to make of the context (which has ``one.txt``) before.  A case may fail in any way, or build an image:
what counts is what happens outside, and what the image then holds.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

__all__ = ["CASES", "Prepare", "prepared"]

Prepare: TypeAlias = Callable[[Path, Path], None]  # (context, canary)


def _link(name: str, target: str) -> Prepare:
    def prepare(context: Path, canary: Path) -> None:
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).symlink_to(target.replace("CANARY", str(canary)))

    return prepare


def _chain(context: Path, canary: Path) -> None:
    (context / "a").symlink_to("b")
    (context / "b").symlink_to("c/../d")
    (context / "c").mkdir()
    (context / "d").symlink_to(canary / "secret.txt")


def _up(context: Path, canary: Path) -> None:
    (context / "up").symlink_to(os.path.relpath(canary, context))


def _archive(*members: tuple[str, str, str]) -> Prepare:
    """An archive ``evil.tar`` of (name, kind, target or content)."""

    def prepare(context: Path, canary: Path) -> None:
        with tarfile.open(context / "evil.tar", "w") as archive:
            for name, kind, text in members:
                member = tarfile.TarInfo(name.replace("CANARY", str(canary)))
                text = text.replace("CANARY", str(canary))
                if kind == "file":
                    member.size = len(text)
                    archive.addfile(member, io.BytesIO(text.encode()))
                else:
                    member.type = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "dir": tarfile.DIRTYPE}[
                        kind
                    ]
                    member.linkname = text
                    archive.addfile(member)

    return prepare


def _nothing(context: Path, canary: Path) -> None:
    pass


CASES: Mapping[str, tuple[str, Prepare]] = {
    # Sources of COPY and ADD
    "absolute-link": ("COPY l /x", _link("l", "CANARY/secret.txt")),
    "relative-link": ("COPY up/secret.txt /x", _up),
    "relative-link-directory": ("COPY up /x", _up),
    "link-chain": ("COPY a /x", _chain),
    "link-directory": ("COPY l/secret.txt /x", _link("l", "CANARY")),
    "link-directory-content": ("COPY l/ /x/", _link("l", "CANARY")),
    "link-below": ("COPY d /x", _link("d/l", "CANARY")),
    "link-wildcard": ("COPY l/*.txt /x/", _link("l", "CANARY")),
    "link-parents": ("COPY --parents l/secret.txt /x/", _link("l", "CANARY")),
    "link-parents-pivot": ("COPY --parents l/./secret.txt /x/", _link("l", "CANARY")),
    "link-parents-deep": ("COPY --parents **/secret.txt /x/", _link("l", "CANARY")),
    "link-to-process-root": ("COPY l /x", _link("l", "/proc/self/root/CANARY/secret.txt")),
    "link-to-process-directory": ("COPY l/secret.txt /x", _link("l", "/proc/self/cwd")),
    "link-to-descriptor": ("COPY l /x", _link("l", "/proc/self/fd/3/../secret.txt")),
    "dot-dot": ("COPY ../canary/secret.txt /x", _nothing),
    "dot-dot-absolute": ("COPY /../../../../CANARY/secret.txt /x", _nothing),
    "dot-dot-inside": ("COPY d/../../canary/secret.txt /x", lambda context, _: (context / "d").mkdir()),
    "absolute-source": ("COPY CANARY/secret.txt /x", _nothing),
    "add-link": ("ADD l /x", _link("l", "CANARY/secret.txt")),
    "add-file-url": ("ADD file://CANARY/secret.txt /x", _nothing),
    "add-local-git": ("ADD file://CANARY/repository.git /x", _nothing),
    # Archives
    "archive-dot-dot": ("ADD evil.tar /x/", _archive(("../../../../../../CANARY/evil", "file", "evil"))),
    "archive-absolute": ("ADD evil.tar /x/", _archive(("CANARY/evil", "file", "evil"))),
    "archive-through-link": ("ADD evil.tar /x/", _archive(("l", "link", "CANARY"), ("l/e", "file", "evil"))),
    "archive-hard-link": ("ADD evil.tar /x/", _archive(("h", "hard", "CANARY/secret.txt"))),
    "archive-hard-link-up": ("ADD evil.tar /x/", _archive(("h", "hard", "../../../CANARY/secret.txt"))),
    "archive-hard-to-link": (
        "ADD evil.tar /x/",
        _archive(("l", "link", "CANARY/secret.txt"), ("h", "hard", "l"), ("h", "file", "evil")),
    ),
    "archive-link-swapped": (
        "ADD evil.tar /x/",
        _archive(("d", "dir", ""), ("d", "link", "CANARY"), ("d/evil", "file", "evil")),
    ),
    "archive-twice": ("ADD evil.tar /x/\nCOPY one.txt /x/l/evil", _archive(("l", "link", "CANARY"))),
    "archive-is-link": ("ADD l.tar /x/", _link("l.tar", "CANARY/secret.txt")),
    # Destinations
    "destination-dot-dot": ("COPY one.txt /../../../CANARY/evil", _nothing),
    "destination-link": ("RUN ln -s CANARY /l\nCOPY one.txt /l/evil", _nothing),
    "destination-link-relative": ("RUN ln -s ../../../../../..CANARY /l\nCOPY one.txt /l/evil", _nothing),
    "destination-link-process": ("RUN ln -s /proc/self/root/CANARY /l\nCOPY one.txt /l/evil", _nothing),
    "destination-link-file": ("RUN ln -s CANARY/secret.txt /l\nCOPY one.txt /l", _nothing),
    "destination-circle": ("RUN ln -s /b /a && ln -s /a /b\nCOPY one.txt /a/x", _nothing),
    "destination-workdir-link": ("RUN ln -s CANARY /w\nWORKDIR /w\nCOPY one.txt e\nRUN touch e2", _nothing),
    "destination-directory-link": ("RUN ln -s CANARY /l\nCOPY . /l/", _nothing),
    "workdir-descriptor": ("WORKDIR /proc/self/fd/3\nRUN touch evil", _nothing),
    "workdir-dot-dot": ("WORKDIR ../../../../CANARY\nRUN touch evil", _nothing),
    "volume-dot-dot": ("VOLUME /../../../CANARY\nRUN true", _nothing),
    # Other stages
    "from-absolute-link": ("RUN ln -s CANARY/secret.txt /l\nFROM tools\nCOPY --from=0 /l /x", _nothing),
    "from-directory-link": ("RUN ln -s CANARY /l\nFROM tools\nCOPY --from=0 /l/ /x/", _nothing),
    "from-wildcard-link": ("RUN ln -s CANARY /l\nFROM tools\nCOPY --from=0 /l/* /x/", _nothing),
    "from-dot-dot": ("FROM tools\nCOPY --from=0 /../../../CANARY/secret.txt /x", _nothing),
    "from-process": ("FROM tools\nCOPY --from=0 /proc/self/root/CANARY/secret.txt /x", _nothing),
    "from-link-below": ("RUN mkdir /d && ln -s CANARY /d/l\nFROM tools\nCOPY --from=0 /d /d", _nothing),
    # Mounts of RUN
    "bind-dot-dot": ("RUN --mount=source=../canary,target=/m cat /m/secret.txt > /x", _nothing),
    "bind-link": ("RUN --mount=source=l,target=/m cat /m/secret.txt > /x", _link("l", "CANARY")),
    "bind-absolute": ("RUN --mount=source=CANARY,target=/m cat /m/secret.txt > /x", _nothing),
    "bind-from-link": (
        "RUN ln -s CANARY /l\nFROM tools\nRUN --mount=from=0,source=/l,target=/m cat /m/s* > /x", _nothing,
    ),
    "bind-target-dot-dot": ("RUN --mount=target=/../../CANARY/m ls CANARY > /x", _nothing),
    "bind-target-link": ("RUN ln -s CANARY /l\nRUN --mount=target=/l/m,rw touch /l/m/evil /l/evil", _nothing),
    "bind-target-root": ("RUN --mount=target=/,rw touch /evil", _nothing),
    "bind-write-back": ("RUN --mount=target=/m,rw echo evil > /m/one.txt; rm -rf /m/*", _nothing),
    "bind-write-read-only": ("RUN --mount=target=/m echo evil > /m/one.txt; true", _nothing),
    "cache-target-link": ("RUN ln -s CANARY /l\nRUN --mount=type=cache,target=/l touch /l/evil", _nothing),
    "cache-id": ("RUN --mount=type=cache,id=../../../../CANARY,target=/m touch /m/e; cp /m/* /x", _nothing),
    "cache-source": ("RUN --mount=type=cache,source=../../CANARY,target=/m cat /m/secret.txt > /x", _nothing),
    "tmpfs-target-link": ("RUN ln -s CANARY /l\nRUN --mount=type=tmpfs,target=/l/t touch /l/t/e", _nothing),
    "tmpfs-target-process": ("RUN --mount=type=tmpfs,target=/proc/self touch /proc/self/evil", _nothing),
    "secret-id": (
        "RUN --mount=type=secret,id=../../../CANARY/secret.txt,required cat /run/secrets/* > /x", _nothing,
    ),
    "secret-target": ("RUN --mount=type=secret,id=t,target=/../../CANARY/evil true", _nothing),
    "secret-target-link": (
        "RUN ln -s CANARY /l\nRUN --mount=type=secret,id=t,target=/l/evil cat /l/evil > /dev/null", _nothing,
    ),
    # Words that might become options, commands or names of files
    "git-option-host": ("ADD https://--upload-pack=touch${IFS}CANARY/evil/x.git /x", _nothing),
    "git-option-user": ("ADD git@-oProxyCommand=touch${IFS}CANARY/evil:x.git /x", _nothing),
    "git-option-ref": ("ADD https://127.0.0.1:9/x.git#--upload-pack=touch${IFS}CANARY/evil /x", _nothing),
    "git-external": ("ADD ext::sh%20-c%20touch%20CANARY/evil.git /x", _nothing),
    "git-directory": ("ADD https://127.0.0.1:9/x.git#main:../../CANARY /x", _nothing),
    "heredoc-name": ("COPY <<../../CANARY/evil /x/\nevil\n../../CANARY/evil", _nothing),
    "heredoc-name-absolute": ("COPY <<CANARY/evil /x/\nevil\nCANARY/evil", _nothing),
    "heredoc-name-program": ("RUN <<../../CANARY/e\n#!/bin/sh\ntouch CANARY/e\n../../CANARY/e", _nothing),
    "shell-of-the-host": ("SHELL [\"CANARY/../../bin/sh\", \"-c\"]\nRUN touch CANARY/evil", _nothing),
    "onbuild-copy": ("ONBUILD COPY ../canary/secret.txt /x\nFROM first", _nothing),
    "onbuild-mount": ("ONBUILD RUN --mount=source=../canary,target=/m cat /m/s* > /x\nFROM first", _nothing),
    "user-of-the-host": ("RUN rm -f /etc/passwd; mkdir -p /etc; ln -s CANARY/passwd /etc/passwd\n"
                         "COPY --chown=canary one.txt /x", _nothing),
    "user-in-a-pipe": ("RUN rm -f /etc/passwd; mkdir -p /etc; mkdir /etc/passwd\n"
                       "COPY --chown=nobody one.txt /x", _nothing),
    # What a context says about itself
    "ignore-link": ("COPY . /x/", _link(".dockerignore", "CANARY/secret.txt")),
    "name-of-whiteout": ("COPY . /x/", lambda context, _: (context / ".wh.bin").touch()),
    "name-of-opaque": ("COPY d /", lambda context, _: _touch(context / "d/bin/.wh..wh..opq")),
    "socket-and-pipe": ("COPY . /x/", lambda context, _: os.mkfifo(context / "pipe")),
}  # fmt: skip


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()


def prepared(name: str, context: Path, canary: Path) -> bytes:
    """The Dockerfile of the case, its context made ready."""
    text, prepare = CASES[name]
    context.mkdir()
    (context / "one.txt").write_text("1\n")
    prepare(context, canary)
    return f"FROM tools AS first\n{text}\n".replace("CANARY", str(canary)).encode()
