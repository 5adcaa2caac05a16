"""What a stage can begin with, copy from or mount: images, named contexts, the build context, nothing at all.

Each is looked up once a build, however many stages ask, and by one thread at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.build.cache import Layer
from container_kit.build.copying import CopyOptions, TreeSource, plan_copy
from container_kit.build.graph import SCRATCH
from container_kit.build.keys import copy_key
from container_kit.build.named_contexts import Contexts, NamedContext
from container_kit.build.state import State
from container_kit.build.trees import Tree
from container_kit.errors import AccessDenied, NotFound, Unreachable
from container_kit.images import Image, records
from container_kit.images.layers import build_layer
from container_kit.images.load import load
from container_kit.oci import Platform

if TYPE_CHECKING:
    from container_kit.build.session import Session

__all__ = ["Bases"]

_LEAST_DIGITS = 12  # of an id, as lists of images show it


class Bases:
    """The sources of one build that are no stages."""

    def __init__(self, session: Session, contexts: Contexts) -> None:
        self._session, self.contexts = session, contexts
        self._found: dict[Any, Any] = {}
        self._locks: dict[Any, threading.Lock] = {}
        self._mutex = threading.Lock()

    def begin(self, base: str, platform: Platform) -> tuple[State, tuple[str, ...]]:
        """The state that ``FROM`` *base* gives, and the instructions that the base triggers.

        Raises:
            NotFound: There is no such image, here or in its registry.
        """
        epoch = self._session.options.epoch
        if base == SCRATCH:
            return State.scratch(platform, epoch), ()
        context = self.contexts.named(base)
        if context is not None and context.tree is not None:
            return self._tree_state(context.tree, platform), ()
        image = self._image_of(context, platform) if context is not None else self.image(base, platform)
        return State.of_image(image, image.config.platform, epoch), image.config.config.on_build

    def source(self, name: str, platform: Platform) -> State:
        """What ``from=`` *name* means where it is no stage; the build context for an empty name."""
        if not name:
            return self._tree_state(self.contexts.main.tree, platform)
        return self.begin(name, platform)[0]

    def tree(self, name: str) -> Tree | None:
        """The files of a context, of the build context for an empty name; None when *name* is no files."""
        if not name:
            return self.contexts.main.tree
        context = self.contexts.named(name)
        return None if context is None else context.tree

    def image(self, name: str, platform: Platform) -> Image:
        """The image *name*, from the store or its registry.

        Raises:
            NotFound: There is none, or none for *platform*.
        """
        found: Image = self._once(("image", name, platform), lambda: self._find(name, platform))
        return found

    @property
    def images(self) -> list[tuple[str, Image]]:
        """Those that were looked up, by the names they were asked for."""
        with self._mutex:
            return [(key[1], image) for key, image in self._found.items() if key[0] == "image"]

    def _find(self, name: str, platform: Platform) -> Image:
        if self._session.options.pull:
            return self._kept(self._pulled(name, platform, "it"))
        image = self._local(name)
        if image is None:
            return self._kept(self._pulled(name, platform, "it is not here, and"))
        if _fits(platform, image.config.platform):
            return self._kept(image)
        here = f"the one that is here is for {image.config.platform}, not {platform}, and another"
        return self._kept(self._pulled(name, platform, here))

    def _local(self, name: str) -> Image | None:
        store = self._session.store
        try:
            # A word such as ``cafe`` is a name: never whichever image has an id that begins so.
            digest = records.resolve(store, name, least_digits=_LEAST_DIGITS)
        except NotFound:
            return None
        return records.handle(store, digest)

    def _pulled(self, name: str, platform: Platform, here: str) -> Image:
        session = self._session
        try:
            return Image.pull(name, platform=platform, progress=session.report, engine=session.engine)
        except (AccessDenied, NotFound, Unreachable) as error:
            raise NotFound("image", name, f"{here} cannot be pulled: {error}") from error

    def _kept(self, image: Image) -> Image:
        for diff_id, descriptor in zip(image.layers, image.manifest.layers, strict=True):
            self._session.keep(Layer(diff_id, descriptor))
        return image

    def _image_of(self, context: NamedContext, platform: Platform) -> Image:
        if context.image:
            return self.image(context.image, platform)
        images = self._once(("layout", context.layout), lambda: self._load(context.layout))
        found: Image = next((one for one in images if _fits(platform, one.config.platform)), images[0])
        return found

    def _load(self, layout: str) -> Sequence[Image]:
        # Without the names that stand in it: a build gives no name to what others have made.
        return [self._kept(image) for image in load(self._session.store, layout, with_names=False)]

    def _tree_state(self, tree: Tree, platform: Platform) -> State:
        """A context as a stage of one layer: for mounts, and for ``FROM`` a named one."""
        state = State.scratch(platform, self._session.options.epoch)
        layer = self._once(("tree", tree.name), lambda: self._tree_layer(tree, state.epoch))
        return state if layer is None else state.with_layer(layer, tree.name)

    def _tree_layer(self, tree: Tree, epoch: int) -> Layer | None:
        store = self._session.store
        timed = attrs.evolve(tree, time_ns=epoch * 10**9)
        plan = plan_copy(
            [TreeSource(timed, ".", literal=True)], "/", parent_fd=None, options=CopyOptions(epoch=epoch)
        )
        key = copy_key(layers=None, content=plan.key, epoch=epoch)
        layer, _ = self._session.layer_for(key, tree.name, lambda: Layer(*build_layer(store, plan.write)))
        return layer

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        with self._mutex:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._found:
                self._found[key] = make()
            return self._found[key]


def _fits(wanted: Platform, image: Platform) -> bool:
    return wanted.runs(image) or wanted == image
