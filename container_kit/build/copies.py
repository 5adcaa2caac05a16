"""COPY and ADD in a stage: what their key is, and how the layer of them is made when the cache has none.

The key needs no look into the image: what lies below is in it by its layers, the files of a context by
their contents, those of a stage by its layers.  Only when a stage has changed is it looked at which files are
meant, for a second key that other changes of the stage leave alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import attrs

from container_kit.build.cache import Layer
from container_kit.build.copying import CopyPlan, Source, TreeSource, plan_copy
from container_kit.build.dockerfile import Add, Copy
from container_kit.build.downloading import without_password
from container_kit.build.keys import copy_key, source_key
from container_kit.build.ownership import resolve_owner
from container_kit.build.sources import copy_options, destination_of, opened_sources
from container_kit.build.trees import Tree
from container_kit.errors import Conflict, InvalidInput
from container_kit.images.layers import build_layer
from container_kit.images.views import view
from container_kit.oci import Digest
from container_kit.runtime.users import root_reader

if TYPE_CHECKING:
    from container_kit.build.graph import StageNode
    from container_kit.build.solve import Solver
    from container_kit.build.state import State

__all__ = ["Copying", "copy_files"]


@attrs.frozen
class Copying:
    """One COPY or ADD.

    Args:
        key: Of everything that the layer depends on.
        make: Makes the layer; None when nothing is copied.  To be called within a lease.
        created_by: For the history.
    """

    key: Digest
    make: Callable[[], Layer | None]
    created_by: str


@contextmanager
def copy_files(solver: Solver, node: StageNode, copy: Copy | Add, state: State) -> Iterator[Copying]:
    """What *copy* means in *state*; its sources are open for the block.

    Raises:
        InvalidInput: A source is missing, or cannot be copied there.
        NotFound: There is no such image or context.
    """
    name = copy.from_ if isinstance(copy, Copy) else ""
    is_stage = bool(name) and solver.graph.stage_called(name, node.index) is not None
    context = None if is_stage else solver.bases.tree(name)
    one = _One(solver, copy, state)
    with ExitStack() as stack:
        if context is None:
            layers = solver.source(name, node).diff_ids
            key = one.key(source_key(layers=layers, words=_words(copy)))
            make = one.making_from_layers(name, layers)
        else:
            # The times of a context's files are nobody's input: they all get the epoch.
            tree = attrs.evolve(context, time_ns=state.epoch * 10**9)
            sources = stack.enter_context(opened_sources(copy, tree, scratch=one.scratch, agent=one.agent))
            content = one.contents(sources)
            key = one.key(content)
            make = one.making_from_context(sources, content)
        yield Copying(key, make, f"{copy.keyword} {_shown(copy)} # buildkit")


def _words(copy: Copy | Add) -> dict[str, object]:
    """All that the instruction says and a plan would have."""
    fields = attrs.asdict(copy)
    return {name: fields[name] for name in ("sources", "documents", "chmod", "exclude", "parents")}


def _shown(copy: Copy | Add) -> str:
    names = [*map(without_password, copy.sources), *(f"<<{one.name}" for one in copy.documents)]
    return " ".join([*names, copy.destination])


@attrs.frozen
class _One:
    """One instruction in one state."""

    solver: Solver
    copy: Copy | Add
    state: State

    @property
    def scratch(self) -> str | None:
        """Where archives, downloads and checkouts go; a COPY has none."""
        return self.solver.bases.contexts.scratch() if isinstance(self.copy, Add) else None

    @property
    def agent(self) -> str | None:
        """The socket of the agent that repositories are read with."""
        return self.solver.session.options.ssh.get("default")

    def key(self, content: Digest) -> Digest:
        """The key, given that of what is copied."""
        return copy_key(
            layers=None if self.copy.link else self.state.diff_ids,
            content=content,
            destination=destination_of(self.copy, self.state.config.working_dir or "/"),
            chown=self.copy.chown,
            owners=self.state.diff_ids if self.copy.link and self.copy.chown else (),
            epoch=self.state.epoch,
        )

    def contents(self, sources: tuple[Source, ...]) -> Digest:
        """The key of the files that *sources* mean, wherever they go."""
        try:
            return self._plan(sources, None, None).key
        except InvalidInput:
            # It cannot be copied into nothing; into the image it may.
            with self._planned(sources) as plan:
                return plan.key

    def making_from_context(self, sources: tuple[Source, ...], content: Digest) -> Callable[[], Layer | None]:
        """What makes the layer of files that anyone may change meanwhile: its key must be its own."""
        make = self.making_from(sources)

        def make_unchanged() -> Layer | None:
            layer = make()
            if any(_may_change(source) for source in sources) and self.contents(sources) != content:
                raise Conflict("files of the build context changed while they were copied: build again")
            return layer

        return make_unchanged

    def making_from(self, sources: tuple[Source, ...]) -> Callable[[], Layer | None]:
        """What makes the layer of the files of *sources*."""

        def make() -> Layer | None:
            with self._planned(sources) as plan:
                return self._built(plan)

        return make

    def making_from_layers(self, name: str, layers: tuple[Digest, ...]) -> Callable[[], Layer | None]:
        """What makes, or finds by its contents, the layer of files of a stage or image."""
        session = self.solver.session

        def make() -> Layer | None:
            with (
                view(session.store, layers) as fd,
                opened_sources(self.copy, Tree(fd, repr(name))) as sources,
            ):
                key = self.key(self.contents(sources))
                return session.layer_for(key, self.copy.source, self.making_from(sources))[0]

        return make

    @contextmanager
    def _planned(self, sources: tuple[Source, ...]) -> Iterator[CopyPlan]:
        """The plan for the image below, which is open for the block."""
        with ExitStack() as stack:
            # With --link the image is not looked at, but for the names of users.
            wanted = bool(self.state.layers) and (not self.copy.link or bool(self.copy.chown))
            layers = self.state.diff_ids
            image = stack.enter_context(view(self.solver.session.store, layers)) if wanted else None
            yield self._plan(sources, None if self.copy.link else image, _owner(self.copy.chown, image))

    def _plan(
        self, sources: tuple[Source, ...], parent_fd: int | None, owner: tuple[int, int] | None
    ) -> CopyPlan:
        return plan_copy(
            sources,
            destination_of(self.copy, self.state.config.working_dir or "/"),
            parent_fd=parent_fd,
            options=copy_options(self.copy, owner, self.state.epoch),
            scratch=self.scratch,
        )

    def _built(self, plan: CopyPlan) -> Layer | None:
        return None if plan.is_empty else Layer(*build_layer(self.solver.session.store, plan.write))


def _may_change(source: Source) -> bool:
    """Whether these files are somebody else's, and not a copy of our own."""
    return isinstance(source, TreeSource) and source.tree.hashes is not None


def _owner(chown: str, root: int | None) -> tuple[int, int] | None:
    if not chown:
        return None
    return resolve_owner(chown, (lambda _: None) if root is None else root_reader(root))
