"""Webhooks are called over TLS that is verified, and bad answers are told."""

import base64
from typing import Any

import pytest

from container_kit.cluster.api.webhooks import WebhookFailed, call_webhook

from .webhook import serving_webhook


def test_an_object_goes_there_and_one_comes_back() -> None:
    """Over a connection whose certificate the bundle vouches for."""
    with serving_webhook(lambda review: {"seen": review}) as config:
        assert call_webhook(config, {"a": 1}) == {"seen": {"a": 1}}


def test_who_is_not_vouched_for_is_not_told_anything() -> None:
    """Without the bundle, or with that of another authority, nothing is sent."""
    seen: list[Any] = []

    def answer(review: Any) -> Any:
        seen.append(review)
        return {}

    with serving_webhook(answer) as config, serving_webhook(answer) as other:
        for bundle in (None, other["caBundle"]):
            with pytest.raises(WebhookFailed, match="certificate verify failed"):
                call_webhook({**config, "caBundle": bundle}, {})
    assert seen == []


@pytest.mark.parametrize("answer", [b"", b"[]", b"no JSON", b"x" * (4 << 20)], ids=len)
def test_an_answer_must_be_an_object(answer: bytes) -> None:
    """Anything else fails, and is not read without end."""
    with serving_webhook(lambda _: answer) as config, pytest.raises(WebhookFailed):
        call_webhook(config, {})


_NO_BUNDLE = base64.b64encode(b"x").decode()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"url": "http://127.0.0.1/"}, "is no https URL"),
        ({"url": "https://127.0.0.1:1/"}, "refused"),
        ({}, "neither a url nor a service"),
        ({"service": {"namespace": "n", "name": "s"}}, "service n/s cannot be reached"),
        ({"url": "https://127.0.0.1:1/", "caBundle": _NO_BUNDLE}, "caBundle cannot be read"),
    ],
)
def test_what_cannot_be_called_says_why(config: dict[str, Any], message: str) -> None:
    """The message names the webhook, or what is wrong with its description."""
    with pytest.raises(WebhookFailed, match=message):
        call_webhook(config, {})
