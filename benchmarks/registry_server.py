"""The registry server: blobs beside nginx serving the same files, pushes beside docker-registry and the disk.

Server and client are processes of their own; the client reads into one buffer per connection and keeps
nothing.  Files are in the page cache on both sides.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import Table, interleaved
from benchmarks.stage import Stage

LARGE, MIDDLE, SMALL = 100 << 20, 10 << 20, 16 << 10
ROUNDS = 9

SERVE = """
import sys
from container_kit.registry.server import Registry
with Registry.serve(sys.argv[1]) as registry:
    print(registry.address, flush=True)
    sys.stdin.read()
"""


def run(stage: Stage) -> None:
    """Rows: parallel downloads of large blobs, many small ones, pushes."""
    contents = {"large": _content(LARGE), "middle": _content(MIDDLE), "small": _content(SMALL)}
    files = stage.path / "static"
    files.mkdir(exist_ok=True)
    with ours(stage.path / "registry") as address, nginx(stage.path, files) as static:
        paths = {"nginx": {}, "container_kit": {}}
        for name, data in contents.items():
            digest = push(address, data)
            paths["container_kit"][name] = f"/v2/bench/blobs/{digest}"
            (files / name).write_bytes(data)
            paths["nginx"][name] = f"/{name}"
        table = Table("Registry downloads: blobs over loopback, beside static files", unit="ms")
        where = {"nginx": static, "container_kit": address}
        for condition, name, connections, each in (
            ("1 connection, 4 x 100 MB", "large", 1, 4),
            ("4 connections, 2 x 100 MB each", "large", 4, 2),
            ("4 connections, 20 x 10 MB each", "middle", 4, 20),
            ("1 connection, 2000 x 16 kB", "small", 1, 2000),
            ("8 connections, 500 x 16 kB each", "small", 8, 500),
        ):
            sides = {
                side: lambda side=side, name=name, connections=connections, each=each: _measured(
                    "get", where[side], paths[side][name], str(connections), str(each)
                )
                for side in where
            }
            table.add(condition, interleaved(sides, ROUNDS))
        table.show()
    _pushes(stage)


def _pushes(stage: Stage) -> None:
    table = Table("Registry pushes: new blobs of 100 MB over loopback", unit="ms")
    with ours(stage.path / "registry") as address, docker_registry(stage.path) as other:
        for condition, connections, each in (("1 connection", 1, 2), ("4 connections", 4, 1)):
            sides = {
                "docker-registry": lambda c=connections, e=each: _measured("put", other, "", str(c), str(e)),
                "container_kit": lambda c=connections, e=each: _measured("put", address, "", str(c), str(e)),
                "hash, write, fsync": lambda c=connections, e=each: _floor(stage.path, c, e),
            }
            table.add(f"{condition}, {each} each", interleaved(sides, 5))
    table.show()


@contextmanager
def ours(directory: Path) -> Iterator[str]:
    """Our server on a directory; its address."""
    pipe = subprocess.PIPE
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(directory)], stdin=pipe, stdout=pipe, text=True
    )
    assert server.stdin is not None and server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()


@contextmanager
def nginx(folder: Path, files: Path) -> Iterator[str]:
    """nginx with its usual settings for static files; its address."""
    address = f"127.0.0.1:{_free_port()}"
    configuration = folder / "nginx.conf"
    configuration.write_text(f"""
daemon off; user root; worker_processes auto; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 512; }}
http {{
    sendfile on; tcp_nopush on; access_log off; keepalive_requests 1000000;
    client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi; uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    server {{ listen {address}; root {files}; }}
}}
""")
    with _running(["nginx", "-c", str(configuration), "-e", f"{folder}/nginx.log"], address):
        yield address


@contextmanager
def docker_registry(folder: Path) -> Iterator[str]:
    address = f"127.0.0.1:{_free_port()}"
    configuration = folder / "registry.yml"
    configuration.write_text(f"""
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/docker-registry}}}}
http: {{addr: "{address}"}}
""")
    with _running(["docker-registry", "serve", str(configuration)], address):
        yield address


@contextmanager
def _running(command: list[str], address: str) -> Iterator[None]:
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        host, _, port = address.partition(":")
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    break
            time.sleep(0.02)
        yield
    finally:
        server.terminate()
        server.wait()


def push(address: str, data: bytes) -> str:
    """Push *data* in the two requests that every client uses; its digest."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    _push(http.client.HTTPConnection(address), data, digest)
    return digest


def _push(connection: http.client.HTTPConnection, data: bytes, digest: str) -> None:
    connection.request("POST", "/v2/bench/blobs/uploads/", headers={"Content-Length": "0"})
    with connection.getresponse() as started:
        started.read()
        location = started.headers["Location"]
    location = location.partition(connection.host)[2].partition("/")[2] if "//" in location else location[1:]
    rest = location.partition("/v2/")[2] or location.removeprefix("v2/")
    separator = "&" if "?" in rest else "?"
    connection.request("PUT", f"/v2/{rest}{separator}digest={digest}", data)
    with connection.getresponse() as done:
        done.read()
        assert done.status == 201, done.status
    connection.close()


def _get(address: str, path: str, times: int) -> None:
    """Download *path* again and again over one connection."""
    host, _, port = address.partition(":")
    request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
    buffer = memoryview(bytearray(1 << 20))
    with socket.create_connection((host, int(port))) as connection:
        for _ in range(times):
            connection.sendall(request)
            got = connection.recv_into(buffer)
            head = bytes(buffer[:got])
            while b"\r\n\r\n" not in head:
                got = connection.recv_into(buffer)
                head += bytes(buffer[:got])
            top, _, body = head.partition(b"\r\n\r\n")
            assert top.startswith(b"HTTP/1.1 200"), top
            length = int(top.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            left = length - len(body)
            while left:
                got = connection.recv_into(buffer[: min(left, len(buffer))])
                assert got, "the server hung up"
                left -= got


def _put(address: str, data: bytes, times: int) -> None:
    for number in range(times):
        unique = number.to_bytes(8, "big") + data[8:]
        digest = f"sha256:{hashlib.sha256(unique).hexdigest()}"
        barrier.wait()
        _push(http.client.HTTPConnection(address), unique, digest)


def _floor(folder: Path, connections: int, each: int) -> float:
    """What has to be done anyway, by as many threads: hash, write, fsync."""
    contents = [_content(LARGE) for _ in range(connections)]

    def work(data: bytes) -> None:
        for number in range(each):
            path = folder / f"floor-{threading.get_ident()}-{number}"
            hashlib.sha256(data)
            with path.open("wb") as file:
                file.write(data)
                os.fsync(file.fileno())
            path.unlink()

    start = time.perf_counter()
    _in_threads([lambda data=data: work(data) for data in contents])
    return (time.perf_counter() - start) * 1e3


def _measured(*arguments: str) -> float:
    """The time that a client process reports."""
    command = [sys.executable, "-m", "benchmarks.registry_server", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


barrier = threading.Barrier(1)


def _client(verb: str, address: str, path: str, connections: int, each: int) -> None:
    """The client process: *connections* threads; prints the milliseconds that all of them took."""
    global barrier
    if verb == "get":
        works = [lambda: _get(address, path, each)] * connections
        start = time.perf_counter()
        _in_threads(works)
    else:
        barrier = threading.Barrier(connections + 1)
        contents = [_content(LARGE) for _ in range(connections)]
        threads = [threading.Thread(target=_put, args=(address, data, each)) for data in contents]
        for thread in threads:
            thread.start()
        barrier.wait()
        start = time.perf_counter()
        for _ in range(each - 1):
            barrier.wait()
        for thread in threads:
            thread.join()
    print((time.perf_counter() - start) * 1e3)


def _in_threads(works: list[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result()


def _content(size: int) -> bytes:
    """Random enough, and made quickly."""
    return os.urandom(1 << 20) * (size >> 20) if size >= 1 << 20 else os.urandom(size)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    _client(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
