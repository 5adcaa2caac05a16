"""COPY and ADD in a stage: where their files come from, and how the layer of them is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import attrs

from container_kit.build.cache import Layer
from container_kit.build.copying import CopyPlan, plan_copy
from container_kit.build.dockerfile import Add, Copy
from container_kit.build.keys import copy_key
from container_kit.build.ownership import resolve_owner
from container_kit.build.sources import copy_options, destination_of, opened_sources
from container_kit.build.trees import Tree
from container_kit.images.layers import build_layer
from container_kit.images.views import view
from container_kit.oci import Digest
from container_kit.runtime.users import root_reader

if TYPE_CHECKING:
    from container_kit.build.graph import StageNode
    from container_kit.build.session import Session
    from container_kit.build.solve import Solver
    from container_kit.build.state import State

__all__ = ["Copying", "copy_files"]


@attrs.frozen(kw_only=True)
class Copying:
    """One COPY or ADD, decided.

    Args:
        key: Of everything that the layer depends on.
        created_by: For the history.
    """

    session: Session
    plan: CopyPlan
    key: Digest
    created_by: str

    def make(self) -> Layer | None:
        """The layer; None when nothing is copied.  Call it within a lease."""
        if self.plan.is_empty:
            return None
        return Layer(*build_layer(self.session.store, self.plan.write))


@contextmanager
def copy_files(solver: Solver, node: StageNode, copy: Copy | Add, state: State) -> Iterator[Copying]:
    """What *copy* means in *state*; its sources are open for the block.

    Raises:
        InvalidInput: A source is missing, or cannot be copied there.
        NotFound: There is no such image or context.
    """
    with ExitStack() as stack:
        session = solver.session
        epoch = state.epoch
        tree = _tree(solver, node, copy.from_ if isinstance(copy, Copy) else "", epoch, stack)
        scratch = solver.bases.contexts.scratch
        sources = stack.enter_context(opened_sources(copy, tree, scratch=scratch))
        # With --link the image is not looked at, so that the layer fits on any.
        wants_view = bool(state.layers) and (not copy.link or bool(copy.chown))
        image = stack.enter_context(view(session.store, state.diff_ids)) if wants_view else None
        plan = plan_copy(
            sources,
            destination_of(copy, state.config.working_dir or "/"),
            parent_fd=None if copy.link else image,
            options=copy_options(copy, _owner(copy.chown, image), epoch),
            scratch=scratch,
        )
        yield Copying(
            session=session,
            plan=plan,
            key=copy_key(layers=None if copy.link else state.diff_ids, plan=plan.key, epoch=epoch),
            created_by=f"{copy.keyword} {_shown(copy)} # buildkit",
        )


def _tree(solver: Solver, node: StageNode, name: str, epoch: int, stack: ExitStack) -> Tree:
    """What is copied from.  The times of a context's files are nobody's input: they all get the epoch."""
    is_stage = bool(name) and solver.graph.stage_called(name, node.index) is not None
    context = None if is_stage else solver.bases.tree(name)
    if context is not None:
        return attrs.evolve(context, time_ns=epoch * 10**9)
    layers = solver.source(name, node).diff_ids
    return Tree(stack.enter_context(view(solver.session.store, layers)), repr(name))


def _owner(chown: str, root: int | None) -> tuple[int, int] | None:
    if not chown:
        return None
    return resolve_owner(chown, (lambda _: None) if root is None else root_reader(root))


def _shown(copy: Copy | Add) -> str:
    names = [*copy.sources, *(f"<<{one.name}" for one in copy.documents)]
    return " ".join([*names, copy.destination])
