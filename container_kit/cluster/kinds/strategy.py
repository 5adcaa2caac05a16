"""What differs between kinds: how an object is completed, prepared, judged and shown.

The API server is generic; everything it must know about one kind it asks of that kind's `Strategy`. The
class below is itself the strategy of kinds that nothing special is known of, custom resources among
them; the modules beside this one say what is special of each built-in kind.

A create goes: ``default``, mutating admission, ``default`` again, ``prepare_create``, ``validate``,
validating admission, store; an update likewise with ``prepare_update`` and ``validate_update``. However
that ends, ``Context.finish`` is called.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from container_kit.cluster.kinds.metadata import NameRule, check_metadata, check_metadata_update
from container_kit.cluster.kinds.shape import canonical, canonical_part
from container_kit.cluster.kinds.tables import Columns, columns_for
from container_kit.cluster.meta import FieldError, Object, name_of, namespace_of
from container_kit.cluster.meta.names import dns1123_subdomain_problems

__all__ = ["Check", "Context", "Strategy", "UpdateCheck", "World"]

Check = Callable[[Object], list[FieldError]]
UpdateCheck = Callable[[Object, Object], list[FieldError]]


_encode = msgspec.json.Encoder().encode


class World(Protocol):
    """The stored objects, as far as a strategy or an admission plugin may look at them."""

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """One object, only to be read, or None. *resource* is ``pods`` or ``deployments.apps``."""

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Object]:
        """The objects of a resource, only to be read, of one namespace or of all."""


class Context:
    """What a strategy may know about the request it serves.

    Args:
        now: The time of the request, RFC 3339 in whole seconds.
        world: The stored objects.
        user: The name of the user who asks.
        dry_run: Whether nothing is stored in the end.
    """

    __slots__ = ("_at_end", "dry_run", "now", "user", "world")

    def __init__(self, now: str, world: World, user: str = "", dry_run: bool = False) -> None:
        self.now = now
        self.world = world
        self.user = user
        self.dry_run = dry_run
        self._at_end: list[Callable[[], None]] = []

    def at_end(self, call: Callable[[], None]) -> None:
        """Have *call* called once the object is stored, or it is known that it will not be."""
        self._at_end.append(call)

    def finish(self) -> None:
        """The write has happened or failed: what was held for it is let go."""
        while self._at_end:
            self._at_end.pop()()


class Strategy:
    """The rules of one kind; the defaults serve kinds that nothing is known of.

    Args:
        group: The API group, empty for core.
        kind: The kind, as errors name it (with *group*: ``Deployment.apps``).
        namespaced: Whether objects belong to a namespace.
        defaults: Completes an object in place.
        checks: What must hold of an object.
        create_checks: What must hold of a new object only, beside *checks*.
        update_checks: What must hold of a change, beside *checks* of the new object.
        changes_first: Whether the problems of a change are told before those of the object.
        status_checks: What must hold of a change of the status.
        warn: Warnings about an object, given also what it was before (or None).
        name_rule: What a name must look like.
        generation: Whether ``metadata.generation`` counts changes.
        status: Whether ``status`` is written only through its subresource.
        first_status: The status of a new object; None for none.
        fields: Selectable fields beside those of metadata: label and how to read it.
        columns: The columns of tables; None for those known of the kind.
    """

    #: What a write through the status subresource leaves alone beside the spec.
    status_leaves: tuple[str, ...] = ()

    def __init__(
        self,
        group: str,
        kind: str,
        *,
        namespaced: bool = True,
        defaults: Callable[[Object], None] | None = None,
        checks: Sequence[Check] = (),
        create_checks: Sequence[Check] = (),
        update_checks: Sequence[UpdateCheck] = (),
        changes_first: bool = False,
        status_checks: Sequence[UpdateCheck] = (),
        warn: Callable[[Object, Object | None], list[str]] | None = None,
        name_rule: NameRule = dns1123_subdomain_problems,
        generation: bool = True,
        status: bool = True,
        first_status: Mapping[str, Any] | None = None,
        fields: Mapping[str, Callable[[Object], str]] | None = None,
        columns: Columns | None = None,
    ) -> None:
        self.group, self.kind, self.namespaced = group, kind, namespaced
        self.name_rule, self.generation, self.status = name_rule, generation, status
        self._defaults, self._checks, self._update_checks = defaults, tuple(checks), tuple(update_checks)
        self._create_checks, self._changes_first = tuple(create_checks), changes_first
        self._status_checks = tuple(status_checks)
        self._warn, self._first_status = warn, first_status
        self._fields = dict(fields or {})
        self._columns = columns

    def default(self, obj: Object) -> None:
        """Bring *obj* into canonical form and complete it, in place; may be repeated."""
        canonical(obj)
        if self._defaults is not None:
            before = _encode(obj)
            self._defaults(obj)
            if _encode(obj) != before:
                canonical(obj)

    def prepare_create(self, obj: Object, ctx: Context) -> None:
        """Set, in place, what clients do not decide: the first status and generation."""
        if self.status:
            self._reset_status(obj)
        obj["metadata"].pop("generation", None)
        if self.generation:
            obj["metadata"]["generation"] = 1

    def prepare_update(self, new: Object, old: Object, ctx: Context, subresource: str = "") -> None:
        """Undo, in place, what this kind of update may not change, and count the generation.

        Args:
            new: What is asked for, completed.
            old: What is stored, only to be read.
            ctx: The request.
            subresource: ``""`` for the object itself, ``"status"`` for its status.
        """
        if subresource == "status":
            self._keep_all_but_status(new, old)
        elif self.status:
            _copy(old, new, "status")
        generation = old["metadata"].get("generation")
        if generation is None:
            new["metadata"].pop("generation", None)
        else:
            changed = self.generation and not subresource and self.is_new_generation(new, old)
            new["metadata"]["generation"] = generation + 1 if changed else generation

    def is_new_generation(self, new: Object, old: Object) -> bool:
        """Whether a change is one that controllers must act upon: of anything but metadata and status."""
        unseen = ("metadata", "status", "apiVersion", "kind")
        keys = {key for key in (*new, *old) if key not in unseen}
        return any(new.get(key) != old.get(key) for key in keys)

    def validate(self, obj: Object, ctx: Context) -> list[FieldError]:
        """The problems of a new object, metadata first."""
        own = [error for check in self._create_checks for error in check(obj)]
        return self.check_metadata(obj) + self.check(obj) + own

    def validate_update(
        self, new: Object, old: Object, ctx: Context, subresource: str = ""
    ) -> list[FieldError]:
        """The problems of a changed object and of the change itself."""
        errors = check_metadata_update(new, old)
        if subresource == "status":
            return errors + [error for check in self._status_checks for error in check(new, old)]
        changes = [error for check in self._update_checks for error in check(new, old)]
        if self._changes_first:
            return errors + changes + self.check(new)
        return errors + self.check(new) + changes

    def check_metadata(self, obj: Object) -> list[FieldError]:
        """The problems of the metadata of a new object."""
        return check_metadata(obj, self.name_rule, self.namespaced)

    def check(self, obj: Object) -> list[FieldError]:
        """The problems of all but metadata."""
        return [error for check in self._checks for error in check(obj)]

    def warnings(self, obj: Object, old: Object | None = None) -> list[str]:
        """What clients should be told about an object that is stored all the same."""
        return self._warn(obj, old) if self._warn else []

    @property
    def columns(self) -> Columns:
        """How objects become rows of tables."""
        if self._columns is None:
            self._columns = columns_for(self.group, self.kind)
        return self._columns

    @property
    def field_labels(self) -> frozenset[str]:
        """The labels that a field selector may name."""
        return frozenset(self._fields) | (
            {"metadata.name", "metadata.namespace"} if self.namespaced else {"metadata.name"}
        )

    def field_values(self, obj: Object) -> dict[str, str]:
        """The value of each of `field_labels`."""
        values = {label: read(obj) for label, read in self._fields.items()}
        return values | {"metadata.name": name_of(obj), "metadata.namespace": namespace_of(obj)}

    def prepare_delete(self, obj: Object, ctx: Context) -> Object | None:
        """What must be stored of *obj*, which is only to be read, before it is deleted; None for nothing."""
        return None

    def _reset_status(self, obj: Object) -> None:
        obj.pop("status", None)
        if self._first_status is not None:
            obj["status"] = dict(self._first_status)
        canonical_part(obj, "status")

    def _keep_all_but_status(self, new: Object, old: Object) -> None:
        for key in {*new, *old} - {"metadata", "status", "apiVersion", "kind"}:
            _copy(old, new, key)
        for key in self.status_leaves:
            _copy(old["metadata"], new["metadata"], key)


def _copy(source: Object, target: Object, key: str) -> None:
    """Make *key* of *target* what it is in *source*, absence included."""
    if key in source:
        target[key] = source[key]
    else:
        target.pop(key, None)
