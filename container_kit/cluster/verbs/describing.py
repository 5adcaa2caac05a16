"""An object, what belongs to it and what happened to it, for somebody to read.

Every kind is shown by its own fields; the events about it come last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from container_kit.cluster.client.client import Client
from container_kit.cluster.verbs.targets import Target

__all__ = ["describe", "events_about"]

Object = dict[str, Any]
_HIDDEN = ("managedFields", "selfLink")


def describe(client: Client, target: Target) -> str:
    """The text."""
    obj = target.get(client)
    shown = {key: value for key, value in obj["metadata"].items() if key not in _HIDDEN}
    lines = [f"{obj['kind']} {target.name}", *_lines({"metadata": shown}, 1)]
    rest = {key: value for key, value in obj.items() if key not in ("metadata", "kind", "apiVersion")}
    if obj["kind"] == "Secret":
        rest["data"] = {key: f"{len(value) * 3 // 4} bytes" for key, value in (obj.get("data") or {}).items()}
    lines += _lines(rest, 1)
    events = events_about(client, target, obj)
    lines.append("  events:" if events else "  events: none")
    lines += [f"    {_event_line(event)}" for event in events]
    return "\n".join(lines) + "\n"


def events_about(client: Client, target: Target, obj: Mapping[str, Any]) -> list[Object]:
    """Events about an object, in the order in which they last happened."""
    chosen = f"involvedObject.uid={obj['metadata']['uid']}"
    found = client.list("events", target.namespace if target.info.namespaced else None, fields=chosen).items
    return sorted(found, key=event_time)


def event_time(event: Mapping[str, Any]) -> str:
    """When it last happened, RFC 3339 (which sorts as text)."""
    last: str = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    return last


def _event_line(event: Mapping[str, Any]) -> str:
    times = f" (x{event['count']})" if event.get("count", 1) > 1 else ""
    return f"{event_time(event)} {event['type']} {event['reason']}{times}: {event.get('message', '')}"


def _lines(value: Any, depth: int) -> Iterator[str]:
    """YAML-like, since that is what readers of manifests know."""
    pad = "  " * depth
    if isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(item, Mapping | list) and item:
                yield f"{pad}{key}:"
                yield from _lines(item, depth + 1)
            else:
                yield f"{pad}{key}: {_word(item)}"
    else:
        for item in value:
            if isinstance(item, Mapping | list) and item:
                first, *rest = _lines(item, depth + 1)
                yield f"{pad}- {first.strip()}"
                yield from rest
            else:
                yield f"{pad}- {_word(item)}"


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value not in (None, {}, []) else "<none>"
