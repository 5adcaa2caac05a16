"""All contexts of one build: the main one, and those with a name, opened when they are first asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.build.cache import make_private
from container_kit.build.contexts import Context, ContextSource, open_context
from container_kit.build.scratch import scratch_directory
from container_kit.build.trees import Tree

if TYPE_CHECKING:
    from container_kit.store import Store

__all__ = ["Contexts", "NamedContext", "open_contexts"]

_IMAGE = "docker-image://"
_LAYOUT = "oci-layout://"


@attrs.frozen
class NamedContext:
    """A context by name: files, or an image, or a layout with one."""

    name: str
    tree: Tree | None = None
    image: str = ""
    layout: str = ""


class Contexts:
    """The contexts of one build, used by the threads of its stages.

    Attributes:
        main: The build context, with the Dockerfile.
        scratch: A directory that goes with the build.
    """

    def __init__(
        self, main: Context, named: Mapping[str, Any], stack: ExitStack, scratch: str, hashes: str
    ) -> None:
        self.main, self.scratch = main, scratch
        self._sources = {name.lower(): source for name, source in named.items()}
        self._stack, self._hashes = stack, hashes
        self._opened: dict[str, NamedContext] = {}
        self._mutex = threading.Lock()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._sources)

    def named(self, name: str) -> NamedContext | None:
        """The context *name*, or None.

        Raises:
            InvalidInput: It cannot be opened.
        """
        if name.lower() not in self._sources:
            return None
        with self._mutex:
            found = self._opened.get(name.lower())
            if found is None:
                found = self._opened[name.lower()] = self._open(name, self._sources[name.lower()])
            return found

    def _open(self, name: str, source: Any) -> NamedContext:
        if isinstance(source, str) and source.startswith(_IMAGE):
            return NamedContext(name, image=source.removeprefix(_IMAGE))
        if isinstance(source, str) and source.startswith(_LAYOUT):
            return NamedContext(name, layout=os.path.abspath(source.removeprefix(_LAYOUT)))
        context = self._stack.enter_context(
            open_context(source, dockerfile=None, scratch=self.scratch, hashes=self._hashes)
        )
        return NamedContext(name, attrs.evolve(context.tree, name=f"the context {name!r}"))


@contextmanager
def open_contexts(
    store: Store, source: ContextSource, dockerfile: Any, named: Mapping[str, Any]
) -> Iterator[Contexts]:
    """The contexts of a build, for the length of the block.

    Args:
        dockerfile: A path in the context, an absolute path, or text as bytes; None for none.

    Raises:
        InvalidInput: There is no such context or Dockerfile.
    """
    home = f"{store.root}/build"
    hashes = f"{home}/hashes"
    make_private(f"{home}/used")
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_directory(store))
        main = stack.enter_context(
            open_context(source, dockerfile=dockerfile, scratch=scratch, hashes=hashes)
        )
        yield Contexts(main, named, stack, scratch, hashes)
