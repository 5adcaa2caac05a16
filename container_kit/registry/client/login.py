"""Login and logout: credentials are tried, then kept where docker and podman find them too.

The file is replaced as a whole, readable by its owner alone; what others wrote into it stays.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import attrs

from container_kit.errors import AccessDenied, InvalidInput, KernelError
from container_kit.oci.json_document import load_object
from container_kit.registry.client import helpers
from container_kit.registry.client.credentials import AuthFile, server_name
from container_kit.registry.client.location import Location, Scope
from container_kit.registry.client.messages import Request
from container_kit.registry.client.options import Credentials, RegistryOptions
from container_kit.registry.client.session import Session, refuse
from container_kit.store import files

__all__ = ["Kept", "login", "logout", "try_credentials"]

_MAX_BYTES: Final = 1 << 20


@attrs.frozen
class Kept:
    """Where credentials are kept now: a file, or the program (*helper*) that the file names."""

    path: str
    helper: str = ""


def login(
    domain: str, credentials: Credentials, options: RegistryOptions | None = None, path: str | None = None
) -> Kept:
    """Try *credentials* at the registry *domain*, and keep them.

    Args:
        path: The file; None means ``REGISTRY_AUTH_FILE``, or docker's configuration.

    Raises:
        AccessDenied: The registry does not take them; nothing is kept.
        KernelError: The file cannot be written.
    """
    try_credentials(domain, credentials, options or RegistryOptions())
    path = path or _default_path()
    with _changing(path) as document:
        server = server_name(domain)
        helper = _helper_for(document, path, domain)
        if helper:
            helpers.store(helper, server, credentials)
        # As docker does: an empty entry says that there is one in the helper.
        document.setdefault("auths", {})[server] = {} if helper else _entry(credentials)
    return Kept(path, helper)


def logout(domain: str, path: str | None = None) -> bool:
    """Forget what is kept for the registry *domain*; whether there was anything."""
    path = path or _default_path()
    if not os.path.exists(path):
        return False
    with _changing(path) as document:
        helper = _helper_for(document, path, domain)
        if helper:
            helpers.erase(helper, server_name(domain))
        auths = document.get("auths") or {}
        gone = [auths.pop(key, None) for key in {server_name(domain), domain}]
    return any(entry is not None for entry in gone)


def try_credentials(domain: str, credentials: Credentials, options: RegistryOptions) -> None:
    """Ask the registry whether it knows them.

    Raises:
        AccessDenied: It does not.
    """
    session = Session(attrs.evolve(options, credentials=credentials))
    session.give_credentials_to(domain)
    try:
        origin = session.origin_of(domain, session.configuration.is_insecure(domain))
        location, scope = Location(origin, domain), Scope(())
        answer = session.fetch(location, scope, Request(method="GET", url=origin.url("/v2/")))
        if answer.status != 200:
            refuse(answer, location, scope, "registry")
    except AccessDenied as error:
        raise AccessDenied(f"cannot log in to {domain} as {credentials.username!r}: {error}") from None
    finally:
        session.close()


def _default_path() -> str:
    chosen = os.environ.get("REGISTRY_AUTH_FILE")
    if chosen:
        return chosen
    directory = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    return f"{directory}/config.json"


def _helper_for(document: dict[str, Any], path: str, domain: str) -> str:
    file = AuthFile.parse(json.dumps(document).encode(), path)
    return file.helpers.get(domain) or file.helpers.get(server_name(domain)) or file.store


def _entry(credentials: Credentials) -> dict[str, str]:
    words = f"{credentials.username}:{credentials.password}"
    entry = {"auth": base64.b64encode(words.encode()).decode()}
    if credentials.identity_token:
        entry["identitytoken"] = credentials.identity_token
    return entry


@contextmanager
def _changing(path: str) -> Iterator[dict[str, Any]]:
    """The document at *path*, to be changed in the block and written afterwards, one process at a time."""
    path = os.path.realpath(path)  # a link to the file stays one
    directory = os.path.dirname(path)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError.of(error.errno or 0, "cannot keep credentials", directory) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        document = _read(path)
        yield document
        _replace(path, json.dumps(document, indent="\t").encode() + b"\n", lock)
    finally:
        os.close(lock)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KernelError.of(error.errno or 0, "cannot read credentials", path) from error
    try:
        return load_object(raw.strip() or b"{}", path, _MAX_BYTES)
    except InvalidInput:
        raise InvalidInput(f"{path!r} holds no credentials in a form that can be read") from None


def _replace(path: str, data: bytes, directory_fd: int) -> None:
    draft = f"{path}.{secrets.token_hex(4)}"
    try:
        fd = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            files.write_all(fd, data, "credentials.write")
            files.sync_file(fd, "credentials.sync")
        finally:
            os.close(fd)
        os.rename(draft, path)
        os.fsync(directory_fd)
    except OSError as error:
        with suppress(FileNotFoundError):
            os.unlink(draft)
        raise KernelError.of(error.errno or 0, "cannot keep credentials", path) from error
