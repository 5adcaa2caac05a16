"""Between versions of a custom resource: by their name alone, or by a webhook.

Source: Kubernetes, "Versions in CustomResourceDefinitions"; apiextensions.k8s.io/v1 ConversionReview.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from container_kit.cluster.meta.objects import Object, new_uid
from container_kit.cluster.meta.status import StatusError

__all__ = ["Converter"]

_MOST = 100  # objects in one call, whose answer is of limited length
# What a webhook may not change.
_KEPT = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
)


class Converter:
    """Converts the objects of one definition.

    Args:
        definition: The CustomResourceDefinition.
        by_name: Puts an object into another version, with what that knows of it.
        dial: Connects to services.
    """

    def __init__(
        self,
        definition: Object,
        by_name: Callable[[Object, str], Object],
        dial: Callable[..., Any] | None = None,
    ) -> None:
        spec = definition["spec"]
        self._by_name, self._dial = by_name, dial
        self._conversion = spec.get("conversion") or {"strategy": "None"}
        self._kind = f"{spec['group']}, Kind={spec['names']['kind']}"

    def convert(self, obj: Object, api_version: str) -> Object:
        """*obj* in another version; it may be changed.

        Raises:
            StatusError: 500: the webhook cannot be reached, or answers something else.
        """
        return self.convert_many([obj], api_version)[0]

    def convert_many(self, objects: Sequence[Object], api_version: str) -> list[Object]:
        """*objects* in another version, in their order; they may be changed.

        Raises:
            StatusError: 500: the webhook cannot be reached, or answers something else.
        """
        others = [obj for obj in objects if obj.get("apiVersion") != api_version]
        if self._conversion["strategy"] != "Webhook":
            made = iter([self._by_name(obj, api_version) for obj in others])
        else:
            pieces = (others[start : start + _MOST] for start in range(0, len(others), _MOST))
            made = iter([obj for piece in pieces for obj in self._by_webhook(piece, api_version)])
        return [obj if obj.get("apiVersion") == api_version else next(made) for obj in objects]

    def _by_webhook(self, objects: Sequence[Object], api_version: str) -> list[Object]:
        from container_kit.cluster.api.webhooks import WebhookFailed, call_webhook  # brings TLS along

        webhook = self._conversion.get("webhook") or {}
        uid = new_uid()
        review = {
            "kind": "ConversionReview",
            "apiVersion": "apiextensions.k8s.io/v1",
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": objects},
        }
        try:
            answer = call_webhook(webhook.get("clientConfig") or {}, review, dial=self._dial)
            return list(_checked(objects, api_version, answer.get("response"), uid))
        except WebhookFailed as error:
            raise StatusError(500, "InternalError", self._failure(str(error)), {}) from error

    def _failure(self, problem: str) -> str:
        return f"conversion webhook for {self._kind} failed: {problem}"


def _checked(objects: Sequence[Object], api_version: str, response: Any, uid: str) -> Iterator[Object]:
    """The converted objects, which must still be those that were sent."""
    from container_kit.cluster.api.webhooks import WebhookFailed

    if not isinstance(response, dict) or response.get("uid") != uid:
        raise WebhookFailed("the answer is not to this request")
    result = response.get("result")
    if not isinstance(result, dict) or result.get("status") != "Success":
        said = result.get("message") if isinstance(result, dict) else None
        raise WebhookFailed(str(said or "it says that it failed"))
    converted = response.get("convertedObjects")
    if not isinstance(converted, list) or len(converted) != len(objects):
        raise WebhookFailed(f"it did not answer with {len(objects)} objects")
    for obj, made in zip(objects, converted, strict=True):
        if not isinstance(made, dict) or made.get("apiVersion") != api_version:
            raise WebhookFailed(f"it did not answer with objects in {api_version}")
        yield _with_own_metadata(obj, made)


def _with_own_metadata(obj: Object, converted: Object) -> Object:
    """*converted*, in whose metadata only labels and annotations may be others than in *obj*."""
    from container_kit.cluster.api.webhooks import WebhookFailed

    metadata = converted.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise WebhookFailed("metadata is no object")
    for field in _KEPT:
        if obj["metadata"].get(field) != metadata.get(field):
            raise WebhookFailed(f"it must not change metadata.{field}")
    for field in ("managedFields", "ownerReferences", "finalizers", "selfLink"):
        if field in obj["metadata"]:
            metadata[field] = obj["metadata"][field]
    return converted
