"""The kubeconfig of a cluster: where it is, whom to trust, and an administrator's credentials."""

from __future__ import annotations

import base64
import os
from typing import Any

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
    """Put it where only its owner reads it (mode 0600), whole or not at all.

    What else a file of this name has is kept; its entries of the same names, and the current context, change.

    Raises:
        InvalidInput: The file is there, and is no kubeconfig.
    """
    if os.path.exists(path) and os.path.getsize(path):
        text = _merged(path, msgspec.json.decode(text, type=dict))
    draft = f"{path}.{os.getpid()}.new"
    fd = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "w") as file:
            file.write(text)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


def _merged(path: str, new: dict[str, Any]) -> str:
    """The text of the file at *path* with what *new* has."""
    from container_kit.cluster.client.kubeconfig import read_document

    document = read_document(path)
    for section in ("clusters", "users", "contexts"):
        names = {entry["name"] for entry in new[section]}
        others = [entry for entry in document.get(section) or () if entry.get("name") not in names]
        document[section] = [*others, *new[section]]
    document["current-context"] = new["current-context"]
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _base64(pem: bytes) -> str:
    return base64.b64encode(pem).decode()
