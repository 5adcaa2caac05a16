"""`Image.build`: from a context and a Dockerfile to an image in the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from container_kit.build.attestations.attesting import attest
from container_kit.build.bases import Bases
from container_kit.build.cache_export import check_targets, export_cache
from container_kit.build.cache_limit import keep_within_limit
from container_kit.build.dockerfile import Dockerfile, context_checks, parse
from container_kit.build.graph import plan_graph
from container_kit.build.named_contexts import Contexts
from container_kit.build.options import BuildOptions
from container_kit.build.outputs import Output, parse_outputs, write_outputs
from container_kit.build.publishing import publish
from container_kit.build.session import Session
from container_kit.build.solve import Solver
from container_kit.build.state import State
from container_kit.build.warnings import tell_unused_arguments, tell_warnings
from container_kit.images import Image
from container_kit.oci import Platform
from container_kit.oci.progress import Progress

if TYPE_CHECKING:
    from container_kit.containers import Engine

__all__ = ["build_dockerfile", "build_from", "build_image"]


def build_image(
    context: Any,
    *,
    dockerfile: Any,
    contexts: Any,
    engine: Any,
    progress: Callable[[Progress], object] | None,
    output: Any,
    **given: Any,
) -> Image:
    """See `container_kit.images.image.Image.build`."""
    chosen = _engine(engine)
    options, outputs = _checked(given, output)
    wanted = "Dockerfile" if dockerfile is None else dockerfile
    with Contexts(chosen.store, contexts) as opened:
        opened.open(context, wanted)
        parsed = parse(opened.main.dockerfile or b"", name=opened.main.dockerfile_name)
        return build_dockerfile(parsed, opened, options, chosen, progress, outputs)


def build_from(
    dockerfile: Dockerfile,
    context: Any,
    *,
    engine: Any = None,
    contexts: Any = None,
    progress: Callable[[Progress], object] | None = None,
    output: Any = None,
    tag: Any = None,
    platform: Any = None,
    **given: Any,
) -> Image:
    """The image of a Dockerfile that is a value already; arguments as `Image.build` has them."""
    chosen = _engine(engine)
    options, outputs = _checked({**given, "tags": tag, "platforms": platform}, output)
    with Contexts(chosen.store, contexts or {}) as opened:
        opened.open(context, None)
        return build_dockerfile(dockerfile, opened, options, chosen, progress, outputs)


def _engine(engine: Any) -> Engine:
    from container_kit.containers import Engine

    chosen: Engine = Engine.default() if engine is None else engine
    chosen.check_open()
    return chosen


def _checked(given: dict[str, Any], output: Any) -> tuple[BuildOptions, tuple[Output, ...]]:
    """What is asked for; refused before anything is done."""
    options = BuildOptions.of(**given)
    check_targets(options.cache_to)
    return options, parse_outputs(output)


def build_dockerfile(
    dockerfile: Dockerfile,
    contexts: Contexts,
    options: BuildOptions,
    engine: Engine,
    progress: Callable[[Progress], object] | None = None,
    outputs: Sequence[Output] = (),
) -> Image:
    """The image of *dockerfile*, for each platform; that of this host, or of the first, is returned."""
    with Session(engine, options, progress) as session:
        tell_warnings(session.report, dockerfile, dockerfile.warnings)
        tell_warnings(session.report, dockerfile, context_checks(dockerfile, contexts.main.tree.rules))
        tell_unused_arguments(session.report, dockerfile, options.build_args)
        bases = Bases(session, contexts)
        states = {platform: _solve(session, dockerfile, bases, platform) for platform in options.platforms}
        images, image = publish(session, states)
        export_cache(session, states[options.platforms[0]])
        index = attest(session, bases, images, image)
        write_outputs(outputs, images, image, index, session.report)
        if session.made:
            keep_within_limit(engine.store, session.made_bytes)
        return image


def _solve(session: Session, dockerfile: Dockerfile, bases: Bases, platform: Platform) -> State:
    graph = plan_graph(
        dockerfile,
        build_args=session.options.build_args,
        target=session.options.target,
        platform=platform,
        contexts=bases.contexts.names,
    )
    return Solver(session, graph, bases).solve()
