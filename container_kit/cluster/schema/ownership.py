"""Who owns which field: ``metadata.managedFields``, on every write, and server-side apply, which lives by it.

Every write is compared with what was there; its manager gets the fields that it changed, and the others lose
them.  Who applies owns what the applied object says, whether it changes it or not; a change of what somebody
else owns is a conflict, and what nobody says any more is removed.

Decisions only: objects in, objects out.  `ManagedFields` is what an object carries, `Tracker` knows one
resource.

Source: Kubernetes, "Server-Side Apply"; sigs.k8s.io/structured-merge-diff, merge/update.go.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from container_kit.cluster.meta import FieldError, StatusError
from container_kit.cluster.schema.fieldsets import (
    FieldSet,
    Path,
    decode_fields,
    difference,
    encode_fields,
    from_paths,
    intersection,
    path_text,
    paths,
    union,
    without_subtrees,
)
from container_kit.cluster.schema.goform import empty_form, go_form
from container_kit.cluster.schema.nodes import Schema
from container_kit.cluster.schema.patches import copied
from container_kit.cluster.schema.typed import (
    Comparison,
    compare,
    field_set,
    merged,
    named_members,
    removed,
    validate,
)

__all__ = ["Tracker", "Versioned"]

Object = dict[str, Any]
# The object in another version of its API, such as ``autoscaling/v1``.
Versioned = Callable[[Object, str], Object]

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MOST_UPDATERS = 10
_NOBODY = "before-first-apply"
_NOT_OWNED = from_paths(
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation",
            "managedFields", "resourceVersion",
        )
    ),
)  # fmt: skip


class _Manager(NamedTuple):
    """Who writes, how, in which version, and through which subresource: each has a set of its own."""

    operation: str  # Apply or Update
    name: str
    version: str
    subresource: str

    def __str__(self) -> str:
        through = f' with subresource "{self.subresource}"' if self.subresource else ""
        using = f" using {self.version}" if self.operation == "Update" else ""
        return f'"{self.name}"{through}{using}'


class _Owners:
    """What each manager owns, and since when: the content of ``managedFields``."""

    def __init__(self, entries: list[Any]) -> None:
        self.sets: dict[_Manager, FieldSet] = {}
        self.times: dict[_Manager, str] = {}
        for entry in entries:
            who = _Manager(
                entry.get("operation", ""),
                entry.get("manager", ""),
                entry.get("apiVersion", ""),
                entry.get("subresource", ""),
            )
            self.sets[who] = decode_fields(entry.get("fieldsV1") or {})
            if entry.get("time"):
                self.times[who] = entry["time"]

    def entries(self) -> list[Object]:
        """As an object carries them: appliers first, then by time and name."""
        order = sorted(
            (who for who, tree in self.sets.items() if tree),
            key=lambda who: (who.operation, self.times.get(who, ""), *who[1:]),
        )
        return [self._entry(who) for who in order]

    def _entry(self, who: _Manager) -> Object:
        entry: Object = {"manager": who.name, "operation": who.operation, "apiVersion": who.version}
        if who in self.times:
            entry["time"] = self.times[who]
        entry |= {"fieldsType": "FieldsV1", "fieldsV1": encode_fields(self.sets[who])}
        return entry | ({"subresource": who.subresource} if who.subresource else {})


class _Changes:
    """What changed between two objects, in every version of the API that a manager has written in."""

    def __init__(self, tracker: Tracker, old: Object, new: Object) -> None:
        self._tracker, self._old, self._new = tracker, old, new
        self._found: dict[str, Comparison] = {}
        self._gained: dict[str, FieldSet] = {}

    def in_version(self, version: str) -> Comparison:
        if version not in self._found:
            self._found[version] = self._tracker.compared(self._old, self._new, version)
        return self._found[version]

    def gained(self, version: str) -> FieldSet:
        """What is new or has another value."""
        if version not in self._gained:
            found = self.in_version(version)
            self._gained[version] = union(found.added, found.modified)
        return self._gained[version]


class Tracker:
    """Keeps ``managedFields`` of the objects of one resource in one version.

    Args:
        schema: Their type.
        version: Their apiVersion, such as ``apps/v1``.
        subresource: Through which one it is written; empty for the object itself.
        reset: Fields that writes through here cannot change (``status``), as paths of names.
        convert: Turns an object into another version; for resources with one version the identity will do.
        schema_in: The type in another version; None when it is gone.
    """

    def __init__(
        self,
        schema: Schema,
        version: str,
        subresource: str = "",
        *,
        reset: tuple[tuple[str, ...], ...] = (),
        convert: Versioned | None = None,
        schema_in: Callable[[str], Schema | None] | None = None,
    ) -> None:
        self._schema, self._version, self._subresource = schema, version, subresource
        self._reset = from_paths(*(tuple(f"f:{name}" for name in path) for path in reset))
        self._convert = convert or (lambda obj, _: obj)
        self._schema_in = schema_in or (lambda _: schema)

    def update(self, live: Object | None, new: Object, manager: str, now: str, *, gains: bool = True) -> None:
        """Write into *new* who owns what after *manager* has made *new* out of *live* (None: created it).

        Args:
            now: The time, RFC 3339 in seconds.
            gains: Whether *manager* owns what it has changed; others lose that all the same.

        An object that nobody owns anything of stays so; ``managedFields: [{}]`` in *new* takes everything
        away from everybody.
        """
        owners = self._owners_for_update(live, new)
        if owners is None:
            return
        old = _bare(live) if live is not None else empty_form(self._schema)
        who = _Manager("Update", manager or "unknown", self._version, self._subresource)
        if self._note_update(owners, old, _bare(new), who, gains=gains):
            owners.times[who] = now
        _cap_updaters(owners)
        _set_entries(new, owners.entries())

    def _owners_for_update(self, live: Object | None, new: Object) -> _Owners | None:
        """Who owned what before the update; None when it shall not be tracked."""
        asked = new.get("metadata", {}).get("managedFields")
        kept = (live or {}).get("metadata", {}).get("managedFields") or []
        if asked == [{}] and not self._subresource:
            _set_entries(new, [])
            return None if live is not None else _Owners([])
        owners = _Owners(asked if asked and not self._subresource else kept)
        if live is not None and not owners.sets:
            _set_entries(new, [])
            return None
        return owners

    def _note_update(
        self, owners: _Owners, old: Object, new: Object, who: _Manager, *, gains: bool = True
    ) -> bool:
        """Give *who* what changed, and take it from the others; returns whether anything did."""
        changes = _Changes(self, old, new)
        self._take(owners, changes, None)
        gained = difference(changes.gained(self._version), _NOT_OWNED)
        if gained and gains:
            owners.sets[who] = union(gained, owners.sets.get(who, {}))
        return bool(gained and gains)

    def compared(self, old: Object, new: Object, version: str) -> Comparison:
        """What changed between *old* and *new*, seen in *version* of the API."""
        schema = self._schema if version == self._version else self._schema_in(version)
        if schema is None:
            return Comparison({}, {}, {})
        if version != self._version:
            old, new = self._convert(old, version), self._convert(new, version)
        found = compare(old, new, schema)
        if not self._reset:
            return found
        return Comparison(*(without_subtrees(tree, self._reset) for tree in found))

    def _take(
        self, owners: _Owners, changes: _Changes, applier: _Manager | None, *, force: bool = True
    ) -> None:
        """Take what changed from all but *applier*.

        Raises:
            StatusError: Somebody else owns it, and there is no force.
        """
        others = {who: tree for who, tree in owners.sets.items() if who != applier}
        conflicts = {who: intersection(tree, changes.gained(who.version)) for who, tree in others.items()}
        contested = {who: both for who, both in conflicts.items() if both}
        if contested and not force:
            raise _conflict(contested)
        for who, tree in others.items():
            owners.sets[who] = difference(
                difference(tree, conflicts[who]), changes.in_version(who.version).removed
            )

    def apply(self, live: Object | None, config: Object, manager: str, now: str, *, force: bool) -> Object:
        """What becomes of *live* (None: there is nothing yet) when *manager* applies *config*.

        Returns:
            A new object with the new ``managedFields``.

        Raises:
            StatusError: 409 with a cause for each field that somebody else owns; 500 when *config* does not
            fit
                the type; 400 when it says who owns what.
        """
        if config.get("metadata", {}).get("managedFields"):
            raise StatusError(400, "BadRequest", "metadata.managedFields must be nil")
        self._refuse_misfits(config)
        owners = _Owners((live or {}).get("metadata", {}).get("managedFields") or [])
        old = _bare(live) if live is not None else empty_form(self._schema)
        if live is not None and not owners.sets:
            nobody = _Manager("Update", _NOBODY, self._version, "")
            self._note_update(owners, empty_form(self._schema), old, nobody)
            owners.times[nobody] = now
        who = _Manager("Apply", manager, self._version, self._subresource)
        new = go_form(self._applied(owners, old, config, who, force=force), self._schema)
        if new != old or live is None:
            owners.times[who] = now
        if manager == "kubectl" and _last_applied(old) is not None:
            new = copied(new)
            new["metadata"]["annotations"][_LAST_APPLIED] = _compact(config)
        new = {**new, "metadata": dict(new.get("metadata") or {})}
        _set_entries(new, owners.entries())
        return new

    def _refuse_misfits(self, config: Object) -> None:
        faults = validate(config, self._schema)
        if not faults:
            return
        group, _, version = self._version.rpartition("/")
        meta = config.get("metadata", {})
        name = f"{meta.get('namespace', '')}/{meta.get('name', '')}"
        what = f"{name}; {group}/{version}, Kind={config.get('kind')}"
        listed = faults[0] if len(faults) == 1 else "errors:\n" + "\n".join(f"  {fault}" for fault in faults)
        raise StatusError(500, "", f"failed to create typed patch object ({what}): {listed}")

    def _applied(self, owners: _Owners, old: Object, config: Object, who: _Manager, *, force: bool) -> Object:
        """Merge, remove what is said no more, and settle who owns what."""
        last = owners.sets.get(who, {})
        mine = difference(without_subtrees(field_set(config, self._schema), self._reset), _NOT_OWNED)
        before = dict(owners.sets)
        owners.sets[who] = mine
        new: Object = merged(old, config, self._schema)
        new = self._pruned(new, owners, last)
        changes = _Changes(self, old, new)
        try:
            self._take(owners, changes, who, force=force)
        except _Conflicts as error:
            if who.name != "kubectl" or not self._from_last_applied(old, error.fields):
                raise
            owners.sets = {**before, who: mine}
            self._take(owners, changes, who, force=True)
        return new

    def _pruned(self, new: Object, owners: _Owners, last: FieldSet) -> Object:
        """*new* without what its applier had (*last*) and nobody has now."""
        if not last:
            return new
        pruned = removed(new, named_members(last, self._schema), self._schema)
        have, left = (named_members(field_set(obj, self._schema), self._schema) for obj in (new, pruned))
        owned: FieldSet = {}
        for who, tree in owners.sets.items():
            schema = self._schema if who.version == self._version else self._schema_in(who.version)
            if schema is not None:
                owned = union(owned, named_members(tree, self._schema))
        pruned = removed(new, difference(have, union(left, owned)), self._schema)
        left = named_members(field_set(pruned, self._schema), self._schema)
        result: Object = removed(new, intersection(difference(have, left), last), self._schema)
        return result

    def _from_last_applied(self, live: Object, conflicts: list[Path]) -> bool:
        """Whether all conflicts are about fields that are still as kubectl's client-side apply left them."""
        text = _last_applied(live)
        try:
            before = json.loads(text or "")
        except ValueError:
            return False
        mine = field_set(before, self._schema)
        changed = compare(live, before, self._schema)
        allowed = set(paths(difference(mine, changed.modified)))
        return all(path in allowed for path in conflicts)


def _bare(obj: Object) -> Object:
    """*obj* without managedFields, which nobody owns."""
    meta = {key: value for key, value in (obj.get("metadata") or {}).items() if key != "managedFields"}
    return {**obj, "metadata": meta}


def _set_entries(obj: Object, entries: list[Object]) -> None:
    meta = obj.setdefault("metadata", {})
    meta.pop("managedFields", None)
    if entries:
        meta["managedFields"] = entries


def _compact(config: Object) -> str:
    return json.dumps(config, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"


def _last_applied(obj: Object) -> str | None:
    text = ((obj.get("metadata") or {}).get("annotations") or {}).get(_LAST_APPLIED)
    return text if isinstance(text, str) else None


def _cap_updaters(owners: _Owners) -> None:
    """Old updaters lose their names, so that an object with many writers stays small."""
    updaters = [who for who in owners.sets if who.operation == "Update" and not who.subresource]
    updaters.sort(key=lambda who: owners.times.get(who, ""))
    for who in updaters[: max(0, len(updaters) - _MOST_UPDATERS)]:
        ancient = who._replace(name="ancient-changes")
        owners.sets[ancient] = union(owners.sets.pop(who), owners.sets.get(ancient, {}))
        if who in owners.times:
            owners.times[ancient] = owners.times.pop(who)


class _Conflicts(StatusError):
    """Somebody else owns *fields*."""

    def __init__(self, message: str, causes: list[FieldError], fields: list[Path]) -> None:
        super().__init__(409, "Conflict", message, causes=causes)
        self.fields = fields


def _conflict(conflicts: dict[_Manager, FieldSet]) -> _Conflicts:
    """The error that names each field, and who owns it."""
    found = [(who, path) for who in sorted(conflicts) for path in paths(conflicts[who])]
    causes = [
        FieldError(path_text(path), "FieldManagerConflict", f"conflict with {who}") for who, path in found
    ]
    if len(found) == 1:
        message = f"Apply failed with 1 conflict: conflict with {found[0][0]}: {path_text(found[0][1])}"
    else:
        lines = []
        for who in sorted(conflicts):
            lines.append(f"conflicts with {who}:")
            lines += [f"- {path_text(path)}" for path in paths(conflicts[who])]
        message = f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
    return _Conflicts(message, causes, [path for _, path in found])
