"""Between versions of a custom resource: by their name alone, or by a webhook.

Source: Kubernetes, "Versions in CustomResourceDefinitions"; apiextensions.k8s.io/v1 ConversionReview.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from container_kit.cluster.meta.objects import Object, new_uid
from container_kit.cluster.meta.status import StatusError

__all__ = ["Converter"]

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
        if obj.get("apiVersion") == api_version:
            return obj
        if self._conversion["strategy"] != "Webhook":
            return self._by_name(obj, api_version)
        return self._by_webhook(obj, api_version)

    def _by_webhook(self, obj: Object, api_version: str) -> Object:
        from container_kit.cluster.api.webhooks import WebhookFailed, call_webhook  # brings TLS along

        webhook = self._conversion.get("webhook") or {}
        uid = new_uid()
        review = {
            "kind": "ConversionReview",
            "apiVersion": "apiextensions.k8s.io/v1",
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": [obj]},
        }
        try:
            answer = call_webhook(webhook.get("clientConfig") or {}, review, dial=self._dial)
            return self._checked(obj, api_version, answer.get("response") or {}, uid)
        except WebhookFailed as error:
            raise StatusError(500, "InternalError", self._failure(str(error)), {}) from error

    def _checked(self, obj: Object, api_version: str, response: Any, uid: str) -> Object:
        """The converted object, which must still be the one that was sent."""
        from container_kit.cluster.api.webhooks import WebhookFailed

        if response.get("uid") != uid:
            raise WebhookFailed("the answer is not to this request")
        if (response.get("result") or {}).get("status") != "Success":
            raise WebhookFailed((response.get("result") or {}).get("message") or "it says that it failed")
        objects = response.get("convertedObjects") or []
        if len(objects) != 1 or objects[0].get("apiVersion") != api_version:
            raise WebhookFailed(f"it did not answer with one object in {api_version}")
        converted: Object = objects[0]
        metadata = converted.setdefault("metadata", {})
        for field in _KEPT:
            if obj["metadata"].get(field) != metadata.get(field):
                raise WebhookFailed(f"it must not change metadata.{field}")
        for field in ("managedFields", "ownerReferences", "finalizers", "selfLink"):
            if field in obj["metadata"]:
                metadata[field] = obj["metadata"][field]
        return converted

    def _failure(self, problem: str) -> str:
        return f"conversion webhook for {self._kind} failed: {problem}"
