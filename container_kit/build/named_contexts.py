"""All contexts of one build: the main one, and those with a name, opened when they are first asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.build.cache import make_private
from container_kit.build.contexts import Context, ContextSource, open_context
from container_kit.build.scratch import scratch_directory
from container_kit.build.trees import Tree

if TYPE_CHECKING:
    from container_kit.store import Store

__all__ = ["Contexts", "NamedContext"]

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
    """The contexts of one build, used by the threads of its stages; a context manager.

    Attributes:
        main: The build context, with the Dockerfile.
        remote: Its URL as it was given, secrets and all; empty for what is on this host.
    """

    main: Context

    def __init__(self, store: Store, named: Mapping[str, Any]) -> None:
        self._store, self.remote = store, ""
        self._sources = {name.lower(): source for name, source in named.items()}
        self._stack = ExitStack()
        self._hashes = f"{store.root}/build/hashes"
        self._scratch = ""
        self._opened: dict[str, NamedContext] = {}
        self._mutex = threading.RLock()

    def __enter__(self) -> Contexts:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def open(self, source: ContextSource, dockerfile: Any) -> Contexts:
        """Open the main context.

        Args:
            dockerfile: A path in the context, an absolute path, or text as bytes; None for none.

        Raises:
            InvalidInput: There is no such context or Dockerfile.
        """
        make_private(f"{self._store.root}/build/used")
        if isinstance(source, str) and not os.path.exists(source):
            self.remote = source
        self.main = self._stack.enter_context(
            open_context(
                source, dockerfile=dockerfile, scratch=self._scratch_for(source), hashes=self._hashes
            )
        )
        return self

    def scratch(self) -> str:
        """A directory that goes with the build, made when it is first asked for."""
        with self._mutex:
            if not self._scratch:
                self._scratch = self._stack.enter_context(scratch_directory(self._store))
            return self._scratch

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
                found = self._opened[name.lower()] = self._open_named(name, self._sources[name.lower()])
            return found

    def _open_named(self, name: str, source: Any) -> NamedContext:
        if isinstance(source, str) and source.startswith(_IMAGE):
            return NamedContext(name, image=source.removeprefix(_IMAGE))
        if isinstance(source, str) and source.startswith(_LAYOUT):
            return NamedContext(name, layout=os.path.abspath(source.removeprefix(_LAYOUT)))
        scratch = self._scratch_for(source)
        context = self._stack.enter_context(
            open_context(source, dockerfile=None, scratch=scratch, hashes=self._hashes)
        )
        return NamedContext(name, attrs.evolve(context.tree, name=f"the context {name!r}"))

    def _scratch_for(self, source: Any) -> str | None:
        """A directory is read in place; everything else is put together first."""
        is_path = isinstance(source, str | os.PathLike)
        return None if is_path and os.path.isdir(source) else self.scratch()
