"""Which cluster, as whom: what a kubeconfig file says of one context.

Files are merged as kubectl does: of ``KUBECONFIG=a:b`` the first that has a name wins.  Relative paths are
below the file's own folder.

Source: Kubernetes documentation, "Organizing Cluster Access Using kubeconfig Files"; client authentication
API ``client.authentication.k8s.io/v1`` for credential programs.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any

from container_kit._values import frozen
from container_kit.errors import InvalidInput, NotFound

__all__ = ["Access", "read_access", "read_document"]

_DEFAULT = "~/.kube/config"


@frozen
class Access:
    """How to reach a server and prove who one is; absent things are empty.

    Attributes:
        server: ``https://host:port``, maybe with a path.
        ca, certificate, key: PEM.
        exec: The ``exec`` section of a user: a program that prints credentials.
    """

    server: str
    namespace: str = "default"
    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""
    token_file: str = ""
    username: str = ""
    password: str = ""
    exec: Mapping[str, Any] | None = None
    server_name: str = ""
    is_verified: bool = True


def read_access(kubeconfig: str | os.PathLike[str] | None = None, context: str = "") -> Access:
    """The access that a context of a file describes; its current context when none is named.

    Args:
        kubeconfig: A file, or several joined by ``:``; ``KUBECONFIG``, then ``~/.kube/config`` if not given.

    Raises:
        NotFound: There is no such file, context, cluster or user.
        InvalidInput: The file is no kubeconfig.
    """
    paths = os.fspath(kubeconfig) if kubeconfig is not None else os.environ.get("KUBECONFIG") or _DEFAULT
    files = [path for path in map(os.path.expanduser, paths.split(os.pathsep)) if os.path.exists(path)]
    if not files:
        raise NotFound("kubeconfig", paths, "give the path of one, or set KUBECONFIG")
    documents = [(os.path.dirname(os.path.abspath(path)), read_document(path)) for path in files]
    wanted = context or next((d["current-context"] for _, d in documents if d.get("current-context")), "")
    _, chosen = _named(documents, "contexts", "context", wanted)
    cluster_folder, cluster = _named(documents, "clusters", "cluster", chosen.get("cluster", ""))
    user_folder, user = _named(documents, "users", "user", chosen["user"]) if chosen.get("user") else ("", {})
    if not cluster.get("server"):
        raise InvalidInput(f"cluster {chosen.get('cluster')!r} of {paths} has no server")
    return Access(
        server=cluster["server"].rstrip("/"),
        namespace=chosen.get("namespace") or "default",
        ca=_data(cluster, "certificate-authority", cluster_folder),
        certificate=_data(user, "client-certificate", user_folder),
        key=_data(user, "client-key", user_folder),
        token=user.get("token", ""),
        token_file=os.path.join(user_folder, user["tokenFile"]) if user.get("tokenFile") else "",
        username=user.get("username", ""),
        password=user.get("password", ""),
        exec=user.get("exec"),
        server_name=cluster.get("tls-server-name", ""),
        is_verified=not cluster.get("insecure-skip-tls-verify"),
    )


def read_document(path: str) -> dict[str, Any]:
    """What a kubeconfig file says.

    Raises:
        InvalidInput: It is none.
    """
    import yaml

    with open(path, encoding="utf-8") as file:
        try:
            document = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(file).get_single_data()
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path} is no kubeconfig: {error}") from error
    if not isinstance(document, dict):
        raise InvalidInput(f"{path} is no kubeconfig: it is empty, or no mapping")
    for section in ("clusters", "users", "contexts"):
        entries = document.get(section) or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise InvalidInput(f"{path} is no kubeconfig: {section} is no list of mappings")
    return document


def _named(
    documents: list[tuple[str, dict[str, Any]]], section: str, kind: str, name: str
) -> tuple[str, dict[str, Any]]:
    known = []
    for folder, document in documents:
        for entry in document.get(section) or ():
            if entry.get("name") == name:
                return folder, entry.get(kind) or {}
            known.append(entry.get("name", ""))
    hint = f"the file has {', '.join(map(repr, known))}" if known else f"the file has no {section}"
    raise NotFound(f"{kind} in the kubeconfig", name, hint)


def _data(section: dict[str, Any], name: str, folder: str) -> bytes:
    if section.get(f"{name}-data"):
        try:
            return base64.b64decode(section[f"{name}-data"], validate=True)
        except ValueError as error:
            raise InvalidInput(f"{name}-data in the kubeconfig is not base64: {error}") from error
    if section.get(name):
        with open(os.path.join(folder, section[name]), "rb") as file:
            return file.read()
    return b""
