"""Secrets with tokens of service accounts: filled in, and gone with the account."""

from __future__ import annotations

import base64
from typing import Any

from tests.cluster.controllers.world import CERTIFICATE, World

_TYPE = "kubernetes.io/service-account-token"


def _secret(name: str, account: str, **data: str) -> dict[str, Any]:
    meta = {"name": name, "annotations": {"kubernetes.io/service-account.name": account}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": _TYPE, "stringData": data}


def _words(secret: dict[str, Any]) -> dict[str, str]:
    return {key: base64.b64decode(text).decode() for key, text in secret["data"].items()}


def test_a_secret_gets_its_token() -> None:
    """Token, certificate and namespace are written; what was given before stays, but for the certificate."""
    world = World()
    world.client.create(_secret("t", "default", **{"ca.crt": "old", "more": "kept"}))
    world.settle()
    secret = world.get("secrets", "t")
    account = world.get("serviceaccounts", "default")
    wanted = {"ca.crt": CERTIFICATE, "more": "kept", "namespace": "default", "token": "a.b.c"}
    assert _words(secret) == wanted
    notes = secret["metadata"]["annotations"]
    assert notes["kubernetes.io/service-account.uid"] == account["metadata"]["uid"]


def test_a_token_goes_with_its_account() -> None:
    """Of an account that is gone, and of one that never was, there is no token."""
    world = World()
    world.client.create(_secret("never", "nobody"))
    world.client.create(_secret("t", "default"))
    world.settle()
    assert world.names("secrets") == ["t"]
    world.client.delete("serviceaccounts", "default")
    world.settle()
    assert world.names("secrets") == []


def test_no_account_lists_a_token_that_is_gone() -> None:
    """When its Secret is deleted, an account loses the reference to it, and no other."""
    world = World()
    world.client.create(_secret("t", "default"))
    listed = {"secrets": [{"name": "t"}, {"name": "other"}]}
    world.client.patch("serviceaccounts", "default", listed)
    world.settle()
    world.client.delete("secrets", "t")
    world.settle()
    assert world.get("serviceaccounts", "default")["secrets"] == [{"name": "other"}]
