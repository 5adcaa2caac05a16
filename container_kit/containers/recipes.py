"""Recipes: all of a foreground container that is the same for every run of an image with the same options.

The first run's plans are kept in their encoded form.  Those of a later container are the same bytes with one
id in place of the other, which takes microseconds instead of a millisecond: ids are random and of one length.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from container_kit._values import frozen
from container_kit.containers import names
from container_kit.containers.building import build_spec, command_line, profile_of
from container_kit.containers.checking import check_limits
from container_kit.containers.identity import resolve_in_root
from container_kit.containers.kept_layers import KeptRoot
from container_kit.containers.networking import NetworkWish, network_wish
from container_kit.containers.options import ContainerOptions
from container_kit.containers.own_etc import etc_directory
from container_kit.containers.preparing import (
    check_mount_sources,
    compile_start,
    device_rules,
    joined_namespaces,
    limits_of,
)
from container_kit.containers.record import Record
from container_kit.containers.volume_mounts import Place, named_or_own, spec_mounts, wanted_mounts
from container_kit.containers.volume_users import Claim, digests_of, places_of, resolve_images
from container_kit.errors import InvalidInput
from container_kit.images import RunDefaults
from container_kit.oci import runtime_spec as oci
from container_kit.oci.digest import Digest
from container_kit.runtime.cgroups import Cgroup
from container_kit.runtime.limits import Limits
from container_kit.runtime.plan import Plan
from container_kit.runtime.profiles import Profile

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.mounts import Mount
    from container_kit.images import Image, Snapshot
    from container_kit.runtime.devices import DeviceRule
    from container_kit.store import Lease, Store

__all__ = ["Plans", "Recipe", "Runnable", "make_recipe", "recipe_for"]

_MOST_RECIPES = 512
_SHORT = 12
_OWN_NAMESPACES = {"pid", "network", "ipc", "uts", "mount", "cgroup"}


class Runnable(Protocol):
    """What a recipe needs of an image."""

    @property
    def digest(self) -> Digest: ...
    @property
    def layers(self) -> tuple[Digest, ...]: ...
    @property
    def defaults(self) -> RunDefaults: ...


@frozen
class Plans:
    """The encoded plans of a container, whole and in halves, made for the container *id*."""

    id: str
    _whole: bytes
    _world: bytes
    _process: bytes
    _made_for: str

    @classmethod
    def of(cls, container_id: str, plan: Plan) -> Plans:
        """Encode *plan*, of the container with this id."""
        world, process = plan.halves()
        return cls(container_id, plan.encode(), world.encode(), process.encode(), container_id)

    def for_container(self, container_id: str) -> Plans:
        """The plans of another container."""
        return attrs.evolve(self, id=container_id)

    @property
    def whole(self) -> bytes:
        """From nothing to the program."""
        return self._renamed(self._whole)

    @property
    def world(self) -> bytes:
        """From nothing to a process that waits in the container's world."""
        return self._renamed(self._world)

    @property
    def process(self) -> bytes:
        """From there to the program."""
        return self._renamed(self._process)

    def _renamed(self, data: bytes) -> bytes:
        if self.id == self._made_for:
            return data
        data = data.replace(self._made_for.encode(), self.id.encode())
        return data.replace(self._made_for[:_SHORT].encode(), self.id[:_SHORT].encode())


@attrs.define(kw_only=True, eq=False)
class Recipe:
    """What does not differ between two runs.

    Args:
        image: Whose layers are its root; *image_name* is what it was asked for as.
        command: The whole command line; *arguments* what the caller gave of it.
        walls: The profile as the options change it.
        lease_trees: What to keep from the collector where there is no image to keep.
        recorded: The options as they are written down, without secrets; None for all of them.
        network: What it asks of networks; None when it has none of its own.

    Attributes:
        kind: What two containers have in common when one's world can be alike the other's.
        mounts: All that it mounts, with the volumes of its image.
    """

    image: Runnable
    image_name: str
    command: tuple[str, ...]
    arguments: tuple[str, ...] | None
    options: ContainerOptions
    walls: Profile
    limits: Limits
    device_rules: tuple[DeviceRule, ...]
    lease_trees: tuple[Digest, ...] | None = None
    recorded: ContainerOptions | None = None
    mounts: tuple[Mount, ...] = ()
    network: NetworkWish | None = None
    kind: tuple[str, ...] = attrs.field(init=False)
    _kept: tuple[dict[int, Place], Plans] | None = None

    @kind.default
    def _kind_from_parts(self) -> tuple[str, ...]:
        # Volumes of its own are made and filled ahead.
        own = tuple((mount.place, mount.copy) for mount in self.mounts if mount.is_anonymous)
        network = "" if self.network is None else repr(self.network)
        return (str(self.image.digest), repr(self.limits), repr(self.device_rules), repr(own), network)

    @property
    def is_repeatable(self) -> bool:
        """Whether the next container can be made ahead: it has no name to claim and nobody to join."""
        if self.network is not None and not self.network.is_repeatable:
            return False
        return self.options.name is None and not self._joins

    @property
    def shares_processes(self) -> bool:
        """Whether it has no pid namespace of its own, whose end would end all its processes."""
        return self.options.pid != "private"

    @property
    def _joins(self) -> bool:
        """Whether it joins another container, whose processes change from run to run."""
        options = self.options
        return any(
            text.startswith("container:") for text in (options.network, options.pid, options.ipc, options.uts)
        )

    def lease(self, store: Store) -> Lease:
        """What keeps the contents of its root while a container of it lives."""
        if self.lease_trees is not None:
            return store.lease(trees=self.lease_trees)
        return store.lease(self.image.digest, *digests_of(self.mounts))

    @property
    def is_parkable(self) -> bool:
        """Whether its process may wait in its world.

        What it would share with this process, or show of the host, could be another by the time it goes on.
        """
        own = set(self.walls.namespaces) >= _OWN_NAMESPACES
        ours = all(mount.type == "tmpfs" or mount.is_anonymous for mount in self.mounts)
        return self.is_repeatable and own and ours

    @property
    def has_pattern(self) -> bool:
        """Whether the plans of one container are, but for its id, those of any other."""
        # The ids of a user namespace are drawn from the container's id, and are numbers in the plan.
        return not self._joins and not self.walls.user_namespace

    def claim(self, container_id: str, directory: str) -> Claim:
        """What the container with this id mounts."""
        return Claim(container_id, directory, self.image.layers, self.mounts)

    def plans_for(self, engine: Engine, container_id: str, root: KeptRoot, cgroup: Cgroup) -> Plans:
        """The plans of the container with this id."""
        places = {}
        if self.mounts:
            places = places_of(engine, self.claim(container_id, engine.catalogue.directory(container_id)))
        # Where a volume lies its driver may say anew each time; those of the container's own go by its id.
        shared = {index: places[index] for index in places if not self.mounts[index].is_anonymous}
        if self._kept is not None and self._kept[0] == shared:
            return self._kept[1].for_container(container_id)
        mounts = spec_mounts(self.mounts, self.options, places)
        plans = Plans.of(container_id, self._compile(engine, container_id, root, cgroup, mounts))
        if self.has_pattern:
            self._kept = shared, plans
        return plans

    def _compile(
        self,
        engine: Engine,
        container_id: str,
        root: KeptRoot,
        cgroup: Cgroup,
        mounts: tuple[oci.Mount, ...],
    ) -> Plan:
        defaults, options = self.image.defaults, self.options
        check_mount_sources(options)
        spec = build_spec(
            defaults,
            options,
            self.command,
            container_id=container_id,
            walls=self.walls,
            identity=resolve_in_root(
                root.whole, options.user or defaults.user, options.group_add, is_new=True
            ),
            joined=joined_namespaces(engine, options),
            mounts=mounts,
            etc=etc_directory(engine, container_id, options),
        )
        given = self.given_namespaces
        return compile_start(spec, root.mounted, self.walls, cgroup, init=options.init, given=given)

    @property
    def given_namespaces(self) -> tuple[str, ...]:
        """The types of the namespaces that are made before its first process."""
        if self.network is None:
            return ()
        return ("network", "user") if self.walls.user_namespace else ("network",)

    def record_for(self, container_id: str, owner: str) -> Record:
        """The record of the container with this id."""
        return Record(
            id=container_id,
            name=self.options.name or names.generated_name(container_id),
            created_ns=time.time_ns(),
            image=self.image_name,
            image_digest=str(self.image.digest),
            layers=tuple(str(layer) for layer in self.image.layers),
            command=self.command,
            arguments=self.arguments,
            labels={**self.image.defaults.labels, **dict(self.options.labels)},
            options=self.recorded or self.options,
            owner=owner,
            foreground=True,
            mounts=self.mounts,
        )


# The keywords of ck.run that say nothing about the container.
_KEYWORDS = (
    "check", "text", "input", "timeout", "capture_output", "stdin", "stdout", "stderr", "engine",
    "pull", "platform",
)  # fmt: skip


def recipe_for(
    engine: Engine,
    image: Image | Snapshot,
    name: Image | Snapshot | str,
    arguments: tuple[str, ...] | None,
    options: Mapping[str, Any],
) -> Recipe:
    """The recipe for these wishes, from an earlier call when there was one with equal wishes.

    Raises:
        InvalidInput: An option cannot be used; names it.
    """
    recipes: dict[Any, Recipe] = engine.kept("recipes", dict)
    key = _key(image, arguments, options)
    found = recipes.get(key) if key is not None else None
    if found is not None:
        return found
    check_limits(options.get("limits"))
    called = name if isinstance(name, str) else next(iter(image.names), str(image.digest))
    recipe = make_recipe(image, called, arguments, ContainerOptions.of(options, "ck.run", _KEYWORDS))
    resolved = resolve_images(engine, recipe.mounts)
    if resolved != recipe.mounts:
        return attrs.evolve(recipe, mounts=resolved)  # the names may mean other images next time
    if key is not None:
        if len(recipes) >= _MOST_RECIPES:
            recipes.clear()
        recipes[key] = recipe
    return recipe


def _key(image: Image | Snapshot, arguments: tuple[str, ...] | None, options: Mapping[str, Any]) -> Any:
    """What equal wishes have in common; None when a wish cannot be compared cheaply."""
    wishes = []
    for name, value in options.items():
        if isinstance(value, Limits):
            value = tuple(value.given().items())
        elif isinstance(value, list):
            value = tuple(value)
        elif isinstance(value, dict):
            value = tuple(value.items())
        wishes.append((name, value))
    key = (str(image.digest), arguments, tuple(sorted(wishes, key=lambda pair: pair[0])))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def make_recipe(
    image: Runnable, name: str, arguments: tuple[str, ...] | None, options: ContainerOptions
) -> Recipe:
    """The recipe for *options*, anew.

    Raises:
        InvalidInput: An option cannot be used; names it.
    """
    if options.restart.mode != "no" or options.health is not None or options.tty:
        raise InvalidInput(
            "restart, health and tty need a container that lives on its own: "
            "use Container.start instead of run"
        )
    walls = profile_of(options)
    return Recipe(
        image=image,
        image_name=name,
        command=command_line(image.defaults, options.entrypoint, arguments),
        arguments=arguments,
        options=options,
        walls=walls,
        limits=limits_of(walls, options),
        device_rules=device_rules(walls, options),
        mounts=named_or_own(wanted_mounts(image.defaults.volumes, options), is_kept=False),
        network=network_wish(options, image.defaults),
    )
