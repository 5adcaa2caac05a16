"""Strategic merge patch: a merge patch that knows which lists are keyed, and by what.

Items of a keyed list are merged by their merge key instead of replacing the list.  Directives in the patch
say what merging cannot: ``$patch: replace|delete``, ``$retainKeys``, ``$setElementOrder/LIST``,
``$deleteFromPrimitiveList/LIST``.  Neither the object nor the patch is changed.

Source: Kubernetes, "Strategic merge patch" (community/contributors/devel/sig-api-machinery); the order of
merged lists and the messages as an API server has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from container_kit.cluster.meta import StatusError
from container_kit.cluster.schema.goformat import go_format
from container_kit.cluster.schema.nodes import Schema

__all__ = ["strategic_merge"]

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE_FROM = "$deleteFromPrimitiveList/"

Map = dict[str, Any]


def strategic_merge(current: Map, patch: Map, schema: Schema) -> Map:
    """*current* with *patch* merged into it, as the lists of *schema* want it.

    Raises:
        StatusError: 500 with the original's message: a directive is wrong, or an item lacks its merge key.
    """
    try:
        return _merge_map(current, patch, schema)
    except RecursionError as error:
        raise StatusError(400, "BadRequest", "json: exceeded max depth of 10000") from error


def _refused(message: str) -> StatusError:
    return StatusError(500, "", message)


def _unknown(patch: Map) -> StatusError:
    return _refused(f"unknown patch type: {go_format(patch[_DIRECTIVE])} in map: {go_format(patch)}")


def _merge_map(original: Map, patch: Map, schema: Schema | None) -> Map:
    if _DIRECTIVE in patch:
        return _directed(patch)
    made = _retained(original, patch)
    ordered = _merge_ordered(made, patch, schema)
    for key, value in patch.items():
        if key == _RETAIN or key.startswith(_ORDER) or key in ordered:
            continue
        if key.startswith(_DELETE_FROM):
            _delete_from(made, key.removeprefix(_DELETE_FROM), value)
        elif value is None:
            made.pop(key, None)
        else:
            made[key] = _merge_value(made.get(key), value, _child(schema, key))
    return made


def _directed(patch: Map) -> Map:
    """A map that says itself what becomes of it."""
    if patch[_DIRECTIVE] == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if patch[_DIRECTIVE] == "delete":
        return {}
    raise _unknown(patch)


def _child(schema: Schema | None, key: str) -> Schema | None:
    return schema.child(key) if schema else None


def _retained(original: Map, patch: Map) -> Map:
    """A copy of *original*, with only the keys that ``$retainKeys`` has, where there is one."""
    keys = patch.get(_RETAIN)
    if keys is None:
        return dict(original)
    named = [key for key in patch if not key.startswith("$")]
    if not isinstance(keys, list) or any(key not in keys for key in named):
        raise _refused(f"invalid patch format of {_RETAIN}: it must list every field of the patch")
    return {key: value for key, value in original.items() if key in keys}


def _merge_ordered(made: Map, patch: Map, schema: Schema | None) -> set[str]:
    """Merge the lists whose order the patch sets; returns their names."""
    done = set()
    for directive, order in patch.items():
        if not directive.startswith(_ORDER):
            continue
        key = directive.removeprefix(_ORDER)
        done.add(key)
        child = _child(schema, key)
        merge_key = child.patch_merge_key if child else ""
        server, items = made.get(key) or [], patch.get(key) or []
        if not isinstance(order, list) or not isinstance(items, list) or not isinstance(server, list):
            raise _refused(f"invalid patch format of {_ORDER} list")
        _check_order(items, order, merge_key)
        if server or items:
            merged = _merge_list(server, items, child) if items else server
            made[key] = _in_order(merged, order, server, merge_key)
    return done


def _check_order(items: list[Any], order: list[Any], merge_key: str) -> None:
    """The items of the patch must come in the order that it sets."""
    places = _places(order, merge_key)
    wanted = [_identity(item, merge_key) for item in items if not _is_directive(item)]
    found = [places.get(identity, -1) for identity in wanted]
    if -1 in found or found != sorted(found):
        text = f"The order in patch list:\n{go_format(items)}\n doesn't match {_ORDER[:-1]} list:"
        raise _refused(f"{text}\n{go_format(order)}\n")


def _is_directive(item: Any) -> bool:
    return isinstance(item, dict) and _DIRECTIVE in item


def _delete_from(made: Map, key: str, values: Any) -> None:
    if isinstance(made.get(key), list) and isinstance(values, list):
        made[key] = [item for item in made[key] if item not in values]


def _merge_value(original: Any, value: Any, schema: Schema | None) -> Any:
    """What a field becomes, of which the patch has a *value*."""
    strategies = schema.patch_strategies if schema else ()
    if isinstance(value, dict) and isinstance(original, dict):
        return value if "replace" in strategies else _merge_map(original, value, schema)
    if isinstance(value, list) and isinstance(original, list):
        return _merge_list(original, value, schema) if "merge" in strategies else value
    return _plain(value)


def _plain(value: Any) -> Any:
    """A new value, without directives and nulls."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if item is not None and not key.startswith("$")}
        return {key: _plain(item) for key, item in kept.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value if not _is_directive(item)]
    return value


def _merge_list(original: list[Any], patch: list[Any], schema: Schema | None) -> list[Any]:
    merge_key = schema.patch_merge_key if schema else ""
    if not any(isinstance(item, dict) for item in original + patch):
        merged = original + [item for item in _unique(patch) if item not in original]
        return _in_order(merged, patch, original, "")
    if not merge_key:
        raise _refused(f"cannot merge lists without merge key for {schema.name if schema else ''}")
    kept, items, replaced = _special_items(original, patch, merge_key)
    if replaced:
        return items
    merged = _merge_items(kept, items, merge_key, schema.items if schema else None)
    return _in_order(merged, items, kept, merge_key)


def _unique(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _special_items(
    original: list[Any], patch: list[Any], merge_key: str
) -> tuple[list[Any], list[Any], bool]:
    """What stays of *original*, the patch without directives, and whether it replaces the list."""
    items, replaced = [], False
    for item in patch:
        directive = item.get(_DIRECTIVE) if isinstance(item, dict) else None
        if directive is None:
            items.append(item)
        elif directive == "replace":
            replaced = True
        elif directive == "delete":
            gone = _key_of(item, merge_key)
            original = [other for other in original if other.get(merge_key) != gone]
        else:
            raise _unknown(item)
    return original, items, replaced


def _key_of(item: Any, merge_key: str) -> Any:
    if not isinstance(item, dict) or merge_key not in item:
        raise _refused(f"map: {go_format(item)} does not contain declared merge key: {merge_key}")
    return item[merge_key]


def _merge_items(original: list[Any], items: list[Any], merge_key: str, schema: Schema | None) -> list[Any]:
    merged = list(original)
    for item in items:
        key = _key_of(item, merge_key)
        place = next((i for i, other in enumerate(merged) if other.get(merge_key) == key), None)
        if place is None:
            merged.append(_plain(item))
        else:
            merged[place] = _merge_map(merged[place], item, schema)
    return merged


def _in_order(merged: list[Any], order: list[Any], server: list[Any], merge_key: str) -> list[Any]:
    """*merged*, with the items of *order* as there and the others where the server has them.

    An item that only the patch has comes before the server's item that would be next.
    """
    wanted, known = _places(order, merge_key), _places(server, merge_key)
    mine = [item for item in merged if _identity(item, merge_key) in wanted]
    others = [item for item in merged if _identity(item, merge_key) not in wanted]
    mine.sort(key=lambda item: wanted[_identity(item, merge_key)])
    found: list[Any] = []
    while mine and others:
        first, second = (known.get(_identity(items[0], merge_key)) for items in (others, mine))
        server_first = first is not None and second is not None and first < second
        found.append((others if server_first else mine).pop(0))
    return found + others + mine


def _places(items: list[Any], merge_key: str) -> dict[Any, int]:
    return {_identity(item, merge_key): place for place, item in reversed(list(enumerate(items)))}


def _identity(item: Any, merge_key: str) -> Any:
    """What an item is known by; text and numbers stay apart, and anything can be looked up."""
    value = item.get(merge_key) if merge_key and isinstance(item, dict) else item
    return (type(value).__name__, value) if isinstance(value, str | int | float) else go_format(value)
