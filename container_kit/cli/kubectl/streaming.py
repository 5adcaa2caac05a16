"""What talks with containers: logs, exec, attach, run, cp, port-forward."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from container_kit.cli.kubectl.access import pass_cluster, say
from container_kit.cli.kubectl.naming import shown_name
from container_kit.cli.terminal_safety import neutralise_log_line
from container_kit.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from container_kit.cluster import Cluster
    from container_kit.cluster.client.transport import Stream

__all__ = ["attach", "cp", "exec_", "logs", "port_forward", "run"]

Object = dict[str, Any]
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_CONTAINER = click.option("-c", "--container", default="", help="Which one; the first if not given.")
_STDIN_OPTION = click.option("-i", "--stdin", is_flag=True, help="Pass our input on.")
_TTY = click.option("-t", "--tty", is_flag=True, help="On a terminal.")
_RUN_WAIT_S = 60.0


class StreamPeer:
    """The other end of a stream to a container; see `container_kit.cli.terminal.Peer`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.status = b""

    def read(self) -> tuple[int, bytes] | None:
        """The next output; what the server says of the end is kept in `status`."""
        while (message := self._stream.receive()) is not None:
            channel, data = message
            if channel in (_STDOUT, _STDERR) and data:
                return channel, data
            if channel == _ERROR:
                self.status += data
        return None

    def write(self, data: bytes) -> None:
        """Pass input on."""
        with contextlib.suppress(OSError):
            self._stream.send(_STDIN, data)

    def end_input(self) -> None:
        """There is no more; only v5 of the protocol can say so."""
        if self._stream.protocol.startswith("v5."):
            with contextlib.suppress(OSError):
                self._stream.send(_CLOSE, bytes([_STDIN]))

    def resize(self, rows: int, columns: int) -> None:
        """Our window has this size now."""
        self._stream.send(_RESIZE, msgspec.json.encode({"Width": columns, "Height": rows}))


@click.command()
@click.argument("word", metavar="POD | KIND/NAME", default="")
@_CONTAINER
@click.option("-f", "--follow", is_flag=True, help="Go on until they end.")
@click.option("-p", "--previous", is_flag=True, help="Of the container before its last restart.")
@click.option("-l", "--selector", default="", help="Of the pods with these labels.")
@click.option("--all-containers", is_flag=True, help="Of every container.")
@click.option("--prefix", is_flag=True, help="Begin each line with where it comes from.")
@click.option("--tail", type=int, default=-1, help="At most so many last lines.")
@click.option("--since", default="", metavar="DURATION", help="Only what is younger: 5s, 2m, 3h.")
@click.option("--timestamps", is_flag=True, help="Begin lines with when they were written.")
@pass_cluster
def logs(
    cluster: Cluster,
    word: str,
    container: str,
    follow: bool,
    previous: bool,
    selector: str,
    all_containers: bool,
    prefix: bool,
    tail: int,
    since: str,
    timestamps: bool,
) -> None:
    """Show what the containers of pods have written."""
    from container_kit.cluster.meta.times import parse_duration

    if bool(word) == bool(selector):
        raise click.UsageError("expected one of a pod, KIND/NAME, or -l")
    last = None if tail < 0 else tail
    age = int(parse_duration(since)) if since else None
    for name, one in _sources(cluster, word, selector, container, all_containers):
        if follow:
            for line in cluster.follow_logs(f"pod/{name}", container=one, tail=last):
                _put(line if line.endswith("\n") else line + "\n")
            continue
        text = cluster.logs(
            f"pod/{name}", container=one, tail=last, since=age, previous=previous, timestamps=timestamps
        )
        mark = f"[pod/{name}/{one}] " if prefix else ""
        _put("".join(f"{mark}{line}" for line in text.splitlines(keepends=True)))


def _sources(
    cluster: Cluster, word: str, selector: str, container: str, every: bool
) -> Iterator[tuple[str, str]]:
    """The pods and containers that are meant: of a workload one pod, as kubectl does."""
    pods: Any = cluster.list("pods", labels=selector) if selector else cluster.pods(_pod(word))
    if not pods:
        raise NotFound("pod", word or selector, "there is none (yet)", where="to read logs of")
    if not selector and len(pods) > 1:
        say(f"Found {len(pods)} pods, using pod/{pods[0]['metadata']['name']}", err=True)
    for pod in pods if selector else pods[:1]:
        name, spec = pod["metadata"]["name"], pod["spec"]
        if every:
            listed = [*(spec.get("initContainers") or ()), *spec["containers"]]
            yield from ((name, one["name"]) for one in listed)
        else:
            yield name, container or _default_container(pod)


@click.command("exec")
@click.argument("word", metavar="POD | KIND/NAME")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@_CONTAINER
@_STDIN_OPTION
@_TTY
@pass_cluster
def exec_(
    cluster: Cluster, word: str, command: tuple[str, ...], container: str, stdin: bool, tty: bool
) -> None:
    """Run a program in a container, and end as it does."""
    _talk(cluster, word, "exec", container, stdin, tty, {"command": list(command)})


@click.command()
@click.argument("word", metavar="POD | KIND/NAME")
@_CONTAINER
@_STDIN_OPTION
@_TTY
@pass_cluster
def attach(cluster: Cluster, word: str, container: str, stdin: bool, tty: bool) -> None:
    """Connect to the program that runs in a container."""
    _talk(cluster, word, "attach", container, stdin, tty, {})


@click.command()
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--image", required=True)
@click.option("--env", multiple=True, metavar="NAME=VALUE")
@click.option("--port", type=int)
@click.option("-l", "--labels", default="", metavar="A=B,C=D")
@click.option("--restart", type=click.Choice(["Always", "OnFailure", "Never"]), default="Always")
@click.option("--rm", "removes", is_flag=True, help="Delete the pod in the end.")
@_STDIN_OPTION
@_TTY
@pass_cluster
def run(
    cluster: Cluster,
    name: str,
    command: tuple[str, ...],
    image: str,
    env: tuple[str, ...],
    port: int | None,
    labels: str,
    restart: str,
    removes: bool,
    stdin: bool,
    tty: bool,
) -> None:
    """Run a program in a pod of its own; with -i, talk to it."""
    if removes and not stdin:
        raise InvalidInput("--rm is for attached containers: give -i too")
    container: Object = {"name": name, "image": image, "stdin": stdin, "stdinOnce": stdin, "tty": tty}
    container["env"] = [dict(zip(("name", "value"), one.split("=", 1), strict=False)) for one in env]
    container |= {"args": list(command)} if command else {}
    container |= {"ports": [{"containerPort": port}]} if port else {}
    chosen = dict(one.split("=", 1) for one in labels.split(",")) if labels else {"run": name}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": chosen},
        "spec": {"restartPolicy": restart, "containers": [container]},
    }
    cluster.create(pod)
    if not stdin:
        say(f"pod/{name} created")
        return
    try:
        _attach_to_new(cluster, name, tty)
    finally:
        if removes:
            cluster.delete(f"pod/{name}", wait=False, missing_ok=True)
            say(f'pod "{name}" deleted')


def _attach_to_new(cluster: Cluster, name: str, tty: bool) -> None:
    """Talk to it once it runs; what was quicker than we were has left its log."""
    from container_kit.errors import TimedOut

    with contextlib.suppress(TimedOut):
        cluster.wait(f"pod/{name}", "jsonpath={.status.phase}=Running", timeout=_RUN_WAIT_S)
        say("If you don't see a command prompt, try pressing enter.", err=True)
        _talk(cluster, name, "attach", "", True, tty, {})
    _put(cluster.logs(f"pod/{name}"))


@click.command()
@click.argument("source")
@click.argument("destination")
@_CONTAINER
@pass_cluster
def cp(cluster: Cluster, source: str, destination: str, container: str) -> None:
    """Copy files into a container, or out of it: POD:PATH, NAMESPACE/POD:PATH and PATH."""
    into, out = _place(destination), _place(source)
    if (into is None) == (out is None):
        raise click.UsageError("one of the two must be POD:PATH")
    if into is not None:
        namespace, pod, path = into
        cluster.copy_in(f"pod/{pod}", source, path, namespace, container=container)
    elif out is not None:
        namespace, pod, path = out
        cluster.copy_out(f"pod/{pod}", path, destination, namespace, container=container)


@click.command("port-forward")
@click.argument("word", metavar="POD | KIND/NAME")
@click.argument("ports", nargs=-1, required=True, metavar="[LOCAL:]REMOTE...")
@click.option("--address", default="127.0.0.1", help="Where to listen.")
@pass_cluster
def port_forward(cluster: Cluster, word: str, ports: tuple[str, ...], address: str) -> None:
    """Lead local ports to ports of a pod, until interrupted."""
    import threading

    with contextlib.ExitStack() as open_:
        for one in ports:
            local, _, remote = one.rpartition(":")
            local = local or ("0" if one.startswith(":") else remote)
            number = _port_of(cluster, _pod(word), remote)
            forward = cluster.port_forward(
                _pod(word), number, local_port=int(local) if local.isdigit() else number, host=address
            )
            open_.enter_context(forward)
            say(f"Forwarding from {address}:{forward.port} -> {number}")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def _talk(
    cluster: Cluster, word: str, verb: str, container: str, stdin: bool, tty: bool, query: dict[str, Any]
) -> None:
    """Connect our streams, to the end; exits as the program does."""
    from container_kit.cli.terminal import raw_terminal, relay
    from container_kit.cluster.verbs.execution import exit_code_of, open_stream, pod_of
    from container_kit.cluster.verbs.targets import target_of

    pod = pod_of(cluster.client, target_of(cluster.client, _pod(word)))
    query |= {"container": container or _default_container(pod), "stdout": "true"}
    query |= {"stdin": "true"} if stdin else {}
    has_terminal = tty and stdin and os.isatty(0)
    query |= {"tty": "true"} if has_terminal else {"stderr": "true"}
    stream = open_stream(cluster.client, pod, verb, query)
    peer = StreamPeer(stream)
    try:
        with raw_terminal() if has_terminal else contextlib.nullcontext():
            relay(peer, stdin=stdin, terminal=has_terminal)
    finally:
        stream.close()
    code = exit_code_of(peer.status)
    if code:
        say(f"command terminated with exit code {code}", err=True)
    raise SystemExit(code)


def _pod(word: str) -> str:
    return word if "/" in word else f"pod/{word}"


def _default_container(pod: Object) -> str:
    names = [one["name"] for one in pod["spec"]["containers"]]
    annotations = pod["metadata"].get("annotations") or {}
    chosen = annotations.get("kubectl.kubernetes.io/default-container")
    if chosen is None and len(names) > 1:
        say(f'Defaulted container "{names[0]}" out of: {", ".join(names)}', err=True)
    return str(chosen or names[0])


def _place(word: str) -> tuple[str, str, str] | None:
    """Namespace, pod and path of ``[namespace/]pod:path``; None for a path of this machine."""
    where, colon, path = word.partition(":")
    if not colon or where[:1] in ("/", "."):
        return None
    namespace, _, pod = where.rpartition("/")
    return namespace, pod, path


def _port_of(cluster: Cluster, word: str, port: str) -> int:
    """The number of a container's port, for a number or name of a pod or service."""
    obj = cluster.get(word)
    target: int | str = int(port) if port.isdigit() else port
    if obj["kind"] == "Service":
        ports = [one for one in obj["spec"]["ports"] if target in (one["port"], one.get("name"))]
        if not ports:
            raise InvalidInput(f"{shown_name(cluster.client.resource('service'), word)} has no port {port}")
        target = ports[0].get("targetPort") or ports[0]["port"]
    if isinstance(target, int):
        return target
    numbers = _named_ports(cluster.pods(word))
    if target not in numbers:
        raise InvalidInput(f"no container of {word} has a port named {target!r}")
    return numbers[target]


def _named_ports(pods: Sequence[Object]) -> dict[str, int]:
    containers = [container for pod in pods for container in pod["spec"]["containers"]]
    ports = [port for container in containers for port in container.get("ports") or ()]
    return {port["name"]: port["containerPort"] for port in ports if port.get("name")}


def _put(text: str) -> None:
    """What a container wrote, as it is into a pipe, and harmless on a terminal."""
    if sys.stdout.isatty():
        text = "".join(neutralise_log_line(line) + "\n" for line in text.splitlines())
    sys.stdout.write(text)
    sys.stdout.flush()
