"""A fresh, migrated PostgreSQL for each test: from a snapshot, beside a copy of its directory on the host.

The clock runs until the server has answered a question about the migrated data.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import container_kit as ck
from benchmarks.harness import Table, interleaved
from benchmarks.stage import Stage

USER = 1000
SERVER = "-k {socket} -c listen_addresses= -c fsync=off -c full_page_writes=off -c shared_buffers=16MB"
MIGRATION = (
    "create table items (id int primary key, text text);"
    "insert into items select n, md5(n::text) from generate_series(1, 20000) n; checkpoint"
)
QUESTION = "select count(*) from items"


def run(stage: Stage) -> None:
    """Rows: how the warm server was left when its files were kept."""
    programs = Path(shutil.which("postgres") or "/usr/bin/false").resolve().parent
    if not (programs / "initdb").exists():
        print("\nNo PostgreSQL on this host: apt-get install postgresql\n")
        return
    table = Table("Snapshot: a fresh, migrated PostgreSQL until it answers")
    with ck.Engine(root=stage.store) as engine:
        image = _image(engine, programs)
        with engine.start(image, ["sh", "-c", _first_start(programs)], user=str(USER)) as warm:
            _asked(lambda: _inside(warm), MIGRATION)
            warm.stop(signal="INT")
            sides = _sides(engine, warm, programs, stage.path)
            table.add("stopped in good order", interleaved(sides, rounds=15))
    table.show()


def _image(engine: ck.Engine, programs: Path) -> ck.Image:
    share = f"/usr/share/postgresql/{programs.parent.name}"
    names = [str(programs / name) for name in ("postgres", "initdb")]
    files = [str(programs.parent / "lib"), share, "/usr/share/zoneinfo"]
    image = ck.Image.from_host(*names, "sh", "chown", "mkdir", files=files, engine=engine)
    script = f"mkdir /data && chown {USER} /data && echo pg:x:{USER}:{USER}::/:/bin/sh >> /etc/passwd"
    with engine.start(image, ["sh", "-c", script]) as container:
        container.wait(check=True)
        return container.commit()


def _first_start(programs: Path) -> str:
    make = f"{programs}/initdb -D /data/pg -U postgres -A trust --wal-segsize=1 --no-locale >/dev/null"
    return f"{make} && {_server(programs, '/data/pg', '/tmp')}"


def _server(programs: Path, data: str, folder: str) -> str:
    return f"exec {programs}/postgres -D {data} {SERVER.format(socket=folder)}"


def _sides(
    engine: ck.Engine, warm: ck.Container, programs: Path, folder: Path
) -> dict[str, Callable[[], float]]:
    kept = warm.snapshot()
    warm.copy_out("/data/pg", folder / "original")
    for above in (folder, folder.parent):  # for the server, which will not run as root
        os.chmod(above, 0o755)
    subprocess.run(["chown", "-R", str(USER), folder / "original"], check=True)
    command = ["sh", "-c", _server(programs, "/data/pg", "/tmp")]

    def snapshot(until_answer: bool) -> float:
        began = time.perf_counter()
        with engine.start(kept, command, user=str(USER)) as fresh:
            if until_answer:
                _asked(lambda: _inside(fresh), QUESTION)
            return (time.perf_counter() - began) * 1e3

    return {
        "container_kit": lambda: snapshot(True),
        "of which its start": lambda: snapshot(False),
        "copy and host process": lambda: _plain(programs, folder),
    }


def _plain(programs: Path, folder: Path) -> float:
    began = time.perf_counter()
    copy = folder / "copy"
    subprocess.run(["cp", "-a", folder / "original", copy], check=True)
    command = _server(programs, str(copy), str(copy)).removeprefix("exec ").split()
    with subprocess.Popen(command, user=USER, group=USER, stderr=subprocess.DEVNULL) as server:
        _asked(lambda: str(copy), QUESTION)
        elapsed = (time.perf_counter() - began) * 1e3
        server.send_signal(3)
    shutil.rmtree(copy)
    return elapsed


def _inside(container: ck.Container) -> str:
    return f"/proc/{container.pid}/root/tmp"


def _asked(folder: Callable[[], str], question: str) -> None:
    """Ask until there is an answer."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return _ask(f"{folder()}/.s.PGSQL.5432", question)
        except (OSError, EOFError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)


def _ask(path: str, question: str) -> None:
    """One question by PostgreSQL's protocol, version 3."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        greeting = struct.pack(">I", 196608) + b"user\0postgres\0database\0postgres\0\0"
        connection.sendall(struct.pack(">I", len(greeting) + 4) + greeting)
        with connection.makefile("rb") as answers:
            _read_until_ready(answers.read)
            text = question.encode() + b"\0"
            connection.sendall(b"Q" + struct.pack(">I", len(text) + 4) + text)
            _read_until_ready(answers.read)


def _read_until_ready(read: Callable[[int], bytes]) -> None:
    kind = b""
    while kind != b"Z":
        kind, size = read(1), read(4)
        if len(size) < 4 or kind == b"E":
            raise EOFError("the server is not ready")
        read(struct.unpack(">I", size)[0] - 4)
