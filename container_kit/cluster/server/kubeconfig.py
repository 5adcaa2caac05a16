"""The kubeconfig of a cluster: where it is, whom to trust, and an administrator's credentials."""

from __future__ import annotations

import base64
import os

import msgspec

from container_kit.cluster.api.authentication.authority import Issued

__all__ = ["kubeconfig_text", "write_kubeconfig"]


def kubeconfig_text(name: str, server: str, authority: bytes, user: Issued, *, namespace: str = "") -> str:
    """A kubeconfig with one context of this name; JSON, which is YAML.

    Args:
        server: ``https://host:port``.
        authority: The certificate (PEM) that the server's was signed with.
    """
    context = {"cluster": name, "user": name} | ({"namespace": namespace} if namespace else {})
    # On one machine compressing costs more time than the bytes.
    cluster = {
        "server": server,
        "certificate-authority-data": _base64(authority),
        "disable-compression": True,
    }
    credentials = {
        "client-certificate-data": _base64(user.certificate),
        "client-key-data": _base64(user.key),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": credentials}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
        "preferences": {},
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def write_kubeconfig(path: str, text: str) -> None:
    """Put it where only its owner reads it (mode 0600), whole or not at all."""
    draft = f"{path}.{os.getpid()}.new"
    fd = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "w") as file:
            file.write(text)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


def _base64(pem: bytes) -> str:
    return base64.b64encode(pem).decode()
