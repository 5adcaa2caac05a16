"""Archives of images for tests, written with Python's own tarfile: a writer that is not ours."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def entry(name: str, content: bytes | None = None, **fields: Any) -> tuple[tarfile.TarInfo, bytes | None]:
    """One entry of a layer: a file if it has content, else what ``type`` says (a directory)."""
    info = tarfile.TarInfo(name)
    info.type = tarfile.REGTYPE if content is not None else tarfile.DIRTYPE
    info.mode = 0o644 if content is not None else 0o755
    info.mtime = 1_500_000_000
    for field, value in fields.items():
        setattr(info, field, value)
    info.size = len(content or b"")
    return info, content


def layer(*entries: tuple[tarfile.TarInfo, bytes | None]) -> bytes:
    """The plain tar of a layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content) if content is not None else None)
    return buffer.getvalue()


def config(layers: Iterable[bytes], **settings: Any) -> bytes:
    """An image configuration for these plain layers."""
    layers = list(layers)
    document = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "created": "2024-05-06T07:08:09.123456789Z",
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/bin:/bin"], **settings},
        "rootfs": {"type": "layers", "diff_ids": [sha256(data) for data in layers]},
        "history": [{"created_by": f"step {number}"} for number, _ in enumerate(layers)],
    }
    return json.dumps(document).encode()


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            tar.addfile(*((info := entry(name, content))[0], io.BytesIO(info[1] or b"")))
    return path


def docker_archive(path: Path, layers: list[bytes], tags: list[str], compress: bool = False) -> Path:
    """A docker-archive in the old shape, one file a layer."""
    document = config(layers)
    files = {"config.json": document}
    for number, data in enumerate(layers):
        files[f"{number}/layer.tar"] = gzip.compress(data, mtime=0) if compress else data
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": tags, "Layers": names}]
    return write_tar(path, {**files, "manifest.json": json.dumps(manifest).encode()})


def layout_files(layers: list[bytes], name: str, compress: bool = True) -> dict[str, bytes]:
    """The files of an OCI layout."""
    document = config(layers)
    packed = [gzip.compress(data, mtime=0) if compress else data for data in layers]
    kind = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if compress else "")
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor(document, "application/vnd.oci.image.config.v1+json"),
            "layers": [descriptor(data, kind) for data in packed],
        }
    ).encode()
    entry = descriptor(manifest, "application/vnd.oci.image.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    blobs = {f"blobs/sha256/{sha256(data)[7:]}": data for data in (document, manifest, *packed)}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    return {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index, **blobs}


def descriptor(data: bytes, kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "digest": sha256(data), "size": len(data)}


def write_directory(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path
