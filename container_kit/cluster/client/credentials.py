"""What is sent, or presented, to prove who one is; renewed when it expires."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from container_kit._values import frozen
from container_kit.cluster.client.kubeconfig import Access
from container_kit.errors import AccessDenied, NotFound

__all__ = ["Credentials", "Proof"]

_API = "client.authentication.k8s.io/v1"
_TOKEN_FILE_KEPT_S = 60.0  # such files are replaced before their token expires
_PROGRAM_TIMEOUT_S = 60.0


@frozen
class Proof:
    """What proves it now."""

    headers: Mapping[str, str]
    certificate: bytes = b""
    key: bytes = b""
    until_s: float = float("inf")  # of time.time()


class Credentials:
    """The credentials of one `Access`; asks files and programs again when theirs are too old."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._proof: Proof | None = None

    def proof(self) -> Proof:
        """What is valid now.

        Raises:
            AccessDenied: The program that gives credentials failed.
        """
        with self._lock:
            if self._proof is None or time.time() >= self._proof.until_s:
                self._proof = _renewed(self._access)
            return self._proof


def _renewed(access: Access) -> Proof:
    own = (access.certificate, access.key)
    if access.exec is not None:
        return _of_program(access)
    if access.token_file:
        with open(access.token_file, encoding="ascii") as file:
            token = file.read().strip()
        return Proof(_bearer(token), *own, until_s=time.time() + _TOKEN_FILE_KEPT_S)
    if access.token:
        return Proof(_bearer(access.token), *own)
    if access.username:
        pair = base64.b64encode(f"{access.username}:{access.password}".encode()).decode()
        return Proof({"authorization": f"Basic {pair}"}, *own)
    return Proof({}, *own)


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _of_program(access: Access) -> Proof:
    section = dict(access.exec or {})
    status = _run_program(section, access.server)
    expires = status.get("expirationTimestamp")
    return Proof(
        _bearer(status["token"]) if status.get("token") else {},
        status.get("clientCertificateData", "").encode(),
        status.get("clientKeyData", "").encode(),
        until_s=datetime.fromisoformat(expires).timestamp() - 10 if expires else float("inf"),
    )


def _run_program(section: dict[str, Any], server: str) -> dict[str, Any]:
    command = [section.get("command", ""), *(section.get("args") or ())]
    added = {entry["name"]: entry["value"] for entry in section.get("env") or ()}
    api = section.get("apiVersion", _API)
    request = {
        "apiVersion": api,
        "kind": "ExecCredential",
        "spec": {"interactive": False, "cluster": {"server": server}},
    }
    environment = {**os.environ, **added, "KUBERNETES_EXEC_INFO": json.dumps(request)}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, timeout=_PROGRAM_TIMEOUT_S, check=True
        )
        status: dict[str, Any] = json.loads(done.stdout)["status"]
    except FileNotFoundError as error:
        hint = section.get("installHint") or "install it, or use a context with other credentials"
        raise NotFound("program for credentials", command[0], hint) from error
    except subprocess.SubprocessError as error:
        words = (getattr(error, "stderr", b"") or b"")[-500:].decode(errors="replace").strip()
        raise AccessDenied(f"{command[0]} gave no credentials for {server}: {words or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise AccessDenied(
            f"{command[0]} gave no credentials for {server}: it printed no ExecCredential"
        ) from error
    return status
