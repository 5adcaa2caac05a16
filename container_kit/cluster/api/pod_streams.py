"""log, exec, attach and port-forward: asked of the pod's node.

Source: core/v1 PodLogOptions, PodExecOptions, PodAttachOptions, PodPortForwardOptions; kubernetes
pkg/registry/core/pod (ResourceLocation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from container_kit.cluster.api.core import Call
from container_kit.cluster.api.encoding import encode
from container_kit.cluster.api.messages import Duplex, LineBody, Response, Upgrade
from container_kit.cluster.api.nodes import LogOptions, NodeLink, StreamOptions
from container_kit.cluster.api.options import optional_integer
from container_kit.cluster.api.plugins import CONNECT
from container_kit.cluster.api.routing import is_true
from container_kit.cluster.meta.objects import Object, name_of
from container_kit.cluster.meta.status import FieldError, StatusError, bad_request, invalid

__all__ = ["attach", "container_of", "exec_", "link_of", "log", "port_forward"]

_TEXT = {"Content-Type": "text/plain"}
_ERROR_CHANNEL = 3
_KINDS = ("containers", "initContainers", "ephemeralContainers")
_STREAMS = ("", "All", "Stdout", "Stderr")


def log(call: Call) -> Response:
    """The log of a container: what is there, or with ``follow`` what comes as well."""
    pod = call.record().object
    options = _log_options(call)
    container = container_of(call, pod)
    link = _link(call, pod)
    if link is None:
        return Response(204, {})
    pieces = link.logs(pod, container, options)
    close: Callable[[], None] = getattr(pieces, "close", _nothing)
    if options.follow:
        return Response(200, dict(_TEXT), LineBody(pieces, close))
    first = next(pieces, b"")  # so that what is wrong is still an answer of its own
    return Response(200, dict(_TEXT), LineBody(chain((first,) if first else (), pieces), close))


def _nothing() -> None:
    """Some iterators need no closing."""


def _log_options(call: Call) -> LogOptions:
    request = call.request
    options = LogOptions(
        follow=_flag(call, "follow"),
        previous=_flag(call, "previous"),
        timestamps=_flag(call, "timestamps"),
        since_s=optional_integer(request, "sinceSeconds"),
        since=request.parameter("sinceTime"),
        tail_lines=optional_integer(request, "tailLines"),
        limit_bytes=optional_integer(request, "limitBytes"),
        stream=request.parameter("stream") or "All",
    )
    problems = list(_log_problems(options))
    if problems:
        raise invalid("PodLogOptions", call.route.name, problems)
    return options


def _log_problems(options: LogOptions) -> Iterator[FieldError]:
    if options.tail_lines is not None and options.tail_lines < 0:
        yield FieldError.invalid("tailLines", options.tail_lines, "must be greater than or equal to 0")
    if options.limit_bytes is not None and options.limit_bytes < 1:
        yield FieldError.invalid("limitBytes", options.limit_bytes, "must be greater than 0")
    if options.since_s is not None and options.since:
        detail = "at most one of `sinceTime` or `sinceSeconds` may be specified"
        yield FieldError.forbidden("[]", detail)
    elif options.since_s is not None and options.since_s < 1:
        yield FieldError.invalid("sinceSeconds", options.since_s, "must be greater than 0")
    if options.stream not in _STREAMS:
        yield FieldError.not_supported("stream", options.stream, _STREAMS[1:])


def _flag(call: Call, name: str) -> bool:
    values = call.request.query.get(name)
    return is_true(values[0]) if values else False


def container_of(call: Call, pod: Object) -> str:
    """The container that is meant: the one that is named, or the only one.

    Raises:
        StatusError: 400: it is not clear, or there is no such one.
    """
    wanted, name = call.request.parameter("container"), name_of(pod)
    spec = pod["spec"]
    containers = [each["name"] for each in spec.get("containers") or ()]
    if wanted:
        if wanted not in {each["name"] for kind in _KINDS for each in spec.get(kind) or ()}:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(containers) == 1:
        return str(containers[0])
    message = f"a container name must be specified for pod {name}, choose one of: {_listed(containers)}"
    initial = [each["name"] for each in spec.get("initContainers") or ()]
    if initial:
        message += f" or one of the init containers: {_listed(initial)}"
    raise bad_request(message)


def _listed(names: Iterable[str]) -> str:
    return "[" + " ".join(names) + "]"


def _link(call: Call, pod: Object) -> NodeLink | None:
    """The way to the pod's node; None if it has none yet."""
    node = pod["spec"].get("nodeName") or ""
    if not node:
        return None
    link = call.core.nodes.get(node)
    if link is None:
        raise StatusError(500, "", f'error dialing backend: node "{node}" does not answer here')
    return link


def link_of(call: Call, pod: Object) -> NodeLink:
    """The way to the pod's node.

    Raises:
        StatusError: It has none, or the node cannot be reached.
    """
    link = _link(call, pod)
    if link is None:
        raise bad_request(f"pod {name_of(pod)} does not have a host assigned")
    return link


def exec_(call: Call) -> Response:
    """Run a program in a container."""
    pod, container, link = _target(call)
    command, options = call.request.query.get("command", []), _stream_options(call)
    if not command:
        raise bad_request("you must specify at least 1 command for the container")
    return _stream("exec", options, lambda streams: link.exec(pod, container, command, options, streams))


def attach(call: Call) -> Response:
    """Connect to a container's own process."""
    pod, container, link = _target(call)
    options = _stream_options(call)
    return _stream("attach", options, lambda streams: link.attach(pod, container, options, streams))


def _target(call: Call) -> tuple[Object, str, NodeLink]:
    pod = call.record().object
    container = container_of(call, pod)
    link = link_of(call, pod)
    connect(call, pod)
    return pod, container, link


def connect(call: Call, pod: Object) -> None:
    """Ask the plugins whether this connection may be made."""
    call.core.admission.validate(call.attributes(CONNECT, None, pod))


def _stream_options(call: Call) -> StreamOptions:
    options = StreamOptions(
        stdin=_flag(call, "stdin"),
        stdout=_flag(call, "stdout"),
        stderr=_flag(call, "stderr"),
        tty=_flag(call, "tty"),
    )
    if not (options.stdin or options.stdout or options.stderr):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    return options


def _stream(kind: Any, options: StreamOptions, work: Callable[[Duplex], int]) -> Response:
    wanted = {name for name in ("stdin", "stdout", "stderr") if getattr(options, name)}
    if options.tty:
        wanted.discard("stderr")

    def run(streams: Duplex) -> None:
        streams.send(_ERROR_CHANNEL, encode(_ending(work, streams)))
        streams.close()

    upgrade = Upgrade(kind, run=run, tty=options.tty, streams=frozenset(wanted))
    return Response(101, {}, upgrade)


def _ending(work: Callable[[Duplex], int], streams: Duplex) -> Object:
    """How it ended, as a Status for the error channel."""
    try:
        code = work(streams)
    except StatusError as error:
        return error.status()
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: error executing command: exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def port_forward(call: Call) -> Response:
    """Connections to ports of a pod."""
    pod = call.record().object
    link = link_of(call, pod)
    connect(call, pod)
    ports = _ports(call.request.query.get("ports", []))
    return Response(
        101, {}, Upgrade("portforward", dial=lambda port: link.port_forward(pod, port), ports=ports)
    )


def _ports(values: list[str]) -> tuple[int, ...]:
    texts = [text for value in values for text in value.split(",") if text]
    if not all(text.isascii() and text.isdigit() and 0 < int(text) < 65536 for text in texts):
        raise bad_request(f"{','.join(texts)!r} are no ports: numbers from 1 to 65535 are")
    return tuple(map(int, texts))
