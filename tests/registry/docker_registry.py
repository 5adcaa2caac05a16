"""Debian's docker-registry on a port of the loopback interface, with storage and configuration of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

USER, PASSWORD = "anna", "s3cret-p4ss-of-anna"


@attrs.frozen
class DockerRegistry:
    """A running registry; *authority* is ``127.0.0.1:port``, *ca* the certificate to trust if it has TLS."""

    authority: str
    storage: Path
    log: Path
    ca: Path | None = None

    def requests(self) -> list[str]:
        """Methods and paths of the requests so far."""
        lines = [line for line in self.log.read_text().splitlines() if "http.request.method" in line]
        done = [line for line in lines if "response completed" in line or "http.response.status" in line]
        return [f"{_field(line, 'http.request.method')} {_field(line, 'http.request.uri')}" for line in done]


def _field(line: str, name: str) -> str:
    return line.partition(f"{name}=")[2].partition(" ")[0].strip('"')


@contextmanager
def docker_registry(
    folder: Path, *, tls: bool = False, auth: bool = False, more: dict[str, object] | None = None
) -> Iterator[DockerRegistry]:
    """A registry that lives for the block."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(folder / "storage")},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": f"127.0.0.1:{port}"},
        **(more or {}),
    }
    ca = None
    if tls:
        ca, key = make_certificate(folder)
        config["http"] = {"addr": f"127.0.0.1:{port}", "tls": {"certificate": str(ca), "key": str(key)}}
    if auth:
        (folder / "htpasswd").write_text(f"{USER}:{bcrypt(PASSWORD)}\n")
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    (folder / "config.json").write_text(json.dumps(config))
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.json")],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        )
    try:
        wait_for_port(port, process)
        yield DockerRegistry(f"127.0.0.1:{port}", folder / "storage", log, ca)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(500):
        if process.poll() is not None:
            raise RuntimeError("docker-registry ended at once")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("docker-registry does not listen")


def make_certificate(folder: Path, names: str = "IP:127.0.0.1,DNS:localhost") -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=test",
         "-addext", f"subjectAltName={names}"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def bcrypt(password: str) -> str:
    """As htpasswd -B writes it; perl asks the C library."""
    program = "print crypt($ARGV[0], q($2y$05$abcdefghijklmnopqrstuu))"
    return subprocess.run(
        ["perl", "-e", program, password], check=True, capture_output=True, text=True
    ).stdout.strip()
