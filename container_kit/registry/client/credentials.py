"""Credentials that docker and podman have stored: which files, which entry, whose program.

A file that cannot be read, and a helper that fails, are errors: going on without credentials, or with those
of another entry, could reveal a name or fetch another image than was meant.

Source: docker, "docker login"; containers-auth.json(5).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from container_kit.errors import InvalidInput
from container_kit.oci.json_document import Fields, load_object
from container_kit.oci.reference import DEFAULT_DOMAIN
from container_kit.registry.client import helpers
from container_kit.registry.client.options import Credentials

__all__ = ["HUB_KEY", "AuthFile", "auth_files", "find_credentials", "server_name"]

HUB_KEY: Final = "https://index.docker.io/v1/"
_MAX_BYTES: Final = 1 << 20
_KNOWN: Final = ("auths", "credsStore", "credHelpers")
_ENTRY: Final = ("auth", "username", "password", "identitytoken", "registrytoken", "email")


def find_credentials(domain: str, path: str, only_file: str | None = None) -> Credentials | None:
    """The stored credentials for a repository of the registry *domain*: of the first file that has any.

    Args:
        only_file: Read this file alone.

    Raises:
        InvalidInput: A file or a helper's answer cannot be understood; never quotes it.
    """
    for file in auth_files(only_file):
        found = file.find(domain, path)
        if found is not None:
            return found
    return None


def auth_files(only_file: str | None = None) -> Iterator[AuthFile]:
    """Where credentials are looked for, in this order."""
    text = os.environ.get("DOCKER_AUTH_CONFIG")
    if text and only_file is None:
        yield AuthFile.parse(text.encode(), "DOCKER_AUTH_CONFIG")
    for path in [only_file] if only_file else _paths():
        file = AuthFile.read(path)
        if file is not None:
            yield file
        elif only_file:
            raise InvalidInput(f"there is no file of credentials {path!r}")


def _paths() -> list[str]:
    chosen = os.environ.get("REGISTRY_AUTH_FILE")
    if chosen:
        return [chosen]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    docker = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    first = f"{runtime}/containers/auth.json" if runtime else f"/run/containers/{os.getuid()}/auth.json"
    return [first, f"{config}/containers/auth.json", f"{docker}/config.json"]


@attrs.frozen
class AuthFile:
    """One file of credentials, of docker's or podman's form.

    Args:
        source: Its path, for errors.
        auths: Entries as they stand, by key.
        store: The program that keeps all credentials; *helpers* those for some registries.
    """

    source: str
    auths: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    store: str = ""
    helpers: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def read(cls, path: str) -> AuthFile | None:
        """The file at *path*; None when there is none."""
        try:
            with open(path, "rb") as file:
                return cls.parse(file.read(_MAX_BYTES + 1), path)
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            return None
        except OSError as error:
            raise InvalidInput(f"cannot read the credentials in {path!r}: {error.strerror}") from error

    @classmethod
    def parse(cls, raw: bytes, source: str) -> AuthFile:
        try:
            fields = Fields(load_object(raw or b"{}", source, _MAX_BYTES), source, _KNOWN)
            auths = fields.raw("auths") or {}
            if not isinstance(auths, dict):
                raise InvalidInput("auths is no object")
            return cls(source, auths, fields.text("credsStore"), fields.text_map("credHelpers"))
        except InvalidInput:
            # Not the error itself: what it quotes might be a password.
            raise InvalidInput(f"{source!r} holds no credentials in a form that can be read") from None

    def find(self, domain: str, path: str) -> Credentials | None:
        """For a repository: of the registry's helper, else of the entry with the longest name that fits."""
        server = server_name(domain)
        helper = self.helpers.get(domain) or self.helpers.get(server)
        if helper:
            return helpers.get(helper, server)
        for key in _keys(domain, path):
            if key in self.auths:
                found = self._entry(key)
                if found is not None:
                    return found
        return helpers.get(self.store, server) if self.store else None

    def _entry(self, key: str) -> Credentials | None:
        try:
            fields = Fields(self.auths[key], "entry", _ENTRY)
            user, password = fields.text("username"), fields.text("password")
            if fields.text("auth"):
                words = base64.b64decode(fields.text("auth"), validate=True).decode()
                user, _, password = words.partition(":")
            token = fields.text("identitytoken")
            found = Credentials(username=user, password=password.strip("\0"), identity_token=token)
        except ValueError:
            raise InvalidInput(f"the entry {key!r} in {self.source!r} cannot be read") from None
        return found or None  # docker leaves an empty entry where a helper has the secret


def server_name(domain: str) -> str:
    """What docker and its helpers call a registry."""
    return HUB_KEY if domain == DEFAULT_DOMAIN else domain


def _keys(domain: str, path: str) -> Iterator[str]:
    """Names of entries that fit a repository, the longest first, then the spellings of older versions."""
    parts = path.split("/") if path else []
    for count in range(len(parts), 0, -1):
        yield "/".join([domain, *parts[:count]])
    yield domain
    names = [domain]
    if domain == DEFAULT_DOMAIN:
        names += ["index.docker.io", "registry-1.docker.io"]
        yield HUB_KEY
        yield "index.docker.io"
    for name in names:
        for ending in ("", "/", "/v1/", "/v2/", "/v1", "/v2"):
            yield f"https://{name}{ending}"
