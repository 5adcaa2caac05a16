"""Instructions that change only the configuration: pure, from one state to the next.

Their words are expanded already.  Histories read as BuildKit writes them, because programs parse those.

Source: Dockerfile reference; moby/buildkit, frontend/dockerfile/dockerfile2llb.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from container_kit.build.dockerfile import (
    ArgDecl,
    Cmd,
    CommandLine,
    DockerfileError,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Shell,
    Stopsignal,
    User,
    Volume,
)
from container_kit.build.state import State
from container_kit.errors import InvalidInput
from container_kit.images.defaults import RESERVED_LABEL_PREFIXES, stop_signal_number
from container_kit.oci import Healthcheck as HealthcheckConfig

__all__ = ["DEFAULT_SHELL", "apply", "command_words", "declare", "set_working_dir"]

DEFAULT_SHELL = ("/bin/sh", "-c")
_NS = 10**9


def apply(state: State, instruction: Instruction) -> State:
    """*state* after *instruction*, which is none of RUN, COPY, ADD, WORKDIR and ARG.

    Raises:
        DockerfileError: A word of it means nothing: a port, a signal.
    """
    return _APPLY[type(instruction)](state, instruction)


def declare(state: State, instruction: ArgDecl, values: Mapping[str, str | None]) -> State:
    """*state* after ARG; *values* are what the arguments have come to, None for those that nobody set."""
    env, arguments, words = dict(state.env), dict(state.arguments), []
    for arg in instruction.args:
        value = values[arg.name]
        arguments.pop(arg.name, None)
        arguments[arg.name] = value or ""
        if value is not None:
            env[arg.name] = value
        words.append(arg.name if value is None else f"{arg.name}={value}")
    return attrs.evolve(state, env=env, arguments=arguments).with_history(f"ARG {' '.join(words)}")


def set_working_dir(state: State, path: str) -> State:
    """*state* with the directory that WORKDIR *path* means, without its history."""
    joined = posixpath.join(state.config.working_dir or "/", path)
    return _configured(state, working_dir="/" + posixpath.normpath(joined).lstrip("/"))


def command_words(state: State, command: CommandLine) -> tuple[str, ...]:
    """What is executed: the words of the exec form, or the shell with the text."""
    if not command.is_shell:
        return command.words
    return (*(state.config.shell or DEFAULT_SHELL), " ".join(command.words))


def _configured(state: State, **changes: Any) -> State:
    return attrs.evolve(state, config=attrs.evolve(state.config, **changes))


def _env(state: State, instruction: Env) -> State:
    words = list(state.config.env)
    env = dict(state.env)
    for pair in instruction.pairs:
        env[pair.key] = pair.value
        _replace(words, pair.key, pair.value)
    changed = attrs.evolve(_configured(state, env=tuple(words)), env=env)
    return changed.with_history(f"ENV {_pairs(instruction)}")


def _replace(words: list[str], name: str, value: str) -> None:
    for at, word in enumerate(words):
        if word.partition("=")[0] == name:
            words[at] = f"{name}={value}"
            return
    words.append(f"{name}={value}")


def _label(state: State, instruction: Label) -> State:
    labels = {**state.config.labels, **{pair.key: pair.value for pair in instruction.pairs}}
    reserved = [key for key in labels if key.startswith(RESERVED_LABEL_PREFIXES)]
    if reserved:
        raise DockerfileError(f"the label {reserved[0]!r} steers this library and cannot be set by an image")
    return _configured(state, labels=labels).with_history(f"LABEL {_pairs(instruction)}")


def _pairs(instruction: Env | Label) -> str:
    return " ".join(f"{pair.key}={pair.value}" for pair in instruction.pairs)


def _expose(state: State, instruction: Expose) -> State:
    ports = sorted({port for word in instruction.ports for port in _ports(word)})
    merged = dict.fromkeys([*state.config.exposed_ports, *ports])
    changed = _configured(state, exposed_ports=tuple(sorted(merged)))
    return changed.with_history(f"EXPOSE [{' '.join(ports)}]")


def _ports(word: str) -> Iterable[str]:
    """``8000-8002/udp`` as three ports; what stands before a colon means nothing to an image."""
    text, _, protocol = word.rpartition(":")[2].partition("/")
    first, _, last = text.partition("-")
    protocol = protocol.lower() or "tcp"
    digits = all(part.isascii() and part.isdigit() for part in (first, last or first))
    if not digits or protocol not in ("tcp", "udp", "sctp"):
        raise DockerfileError(f"{word!r} is no port: write 80, 80/udp or 8000-8010")
    if not 0 < int(first) <= int(last or first) < 65536:
        raise DockerfileError(f"{word!r} is no port: ports are 1 to 65535, the lower first")
    return [f"{port}/{protocol}" for port in range(int(first), int(last or first) + 1)]


def _volume(state: State, instruction: Volume) -> State:
    if not all(instruction.paths):
        raise DockerfileError("VOLUME needs a path: one of its words is empty")
    volumes = dict.fromkeys([*state.config.volumes, *instruction.paths])
    changed = _configured(state, volumes=tuple(sorted(volumes)))
    return changed.with_history(f"VOLUME [{' '.join(instruction.paths)}]")


def _user(state: State, instruction: User) -> State:
    return _configured(state, user=instruction.user).with_history(f"USER {instruction.user}")


def _entrypoint(state: State, instruction: Entrypoint) -> State:
    words = command_words(state, instruction.command)
    # The base's CMD was made for the base's ENTRYPOINT.
    cmd = state.config.cmd if state.cmd_set else ()
    return _configured(state, entrypoint=words, cmd=cmd).with_history(f"ENTRYPOINT {_quoted(words)}")


def _cmd(state: State, instruction: Cmd) -> State:
    words = command_words(state, instruction.command)
    changed = attrs.evolve(_configured(state, cmd=words), cmd_set=True)
    return changed.with_history(f"CMD {_quoted(words)}")


def _quoted(words: Iterable[str]) -> str:
    return f"[{' '.join(json.dumps(word, ensure_ascii=False) for word in words)}]"


def _health_check(state: State, instruction: Healthcheck) -> State:
    command = instruction.command
    if command is None:
        test: tuple[str, ...] = ("NONE",)
    elif command.is_shell:
        test = ("CMD-SHELL", " ".join(command.words))
    else:
        test = ("CMD", *command.words)
    check = HealthcheckConfig(
        test=test,
        interval_ns=round(instruction.interval_s * _NS),
        timeout_ns=round(instruction.timeout_s * _NS),
        start_period_ns=round(instruction.start_period_s * _NS),
        start_interval_ns=round(instruction.start_interval_s * _NS),
        retries=instruction.retries,
    )
    return _configured(state, healthcheck=check).with_history(f"HEALTHCHECK {_quoted(test)}")


def _stop_signal(state: State, instruction: Stopsignal) -> State:
    try:
        stop_signal_number(instruction.signal)
    except InvalidInput:
        raise DockerfileError(f"{instruction.signal!r} is no signal: write SIGTERM, TERM or 15") from None
    return _configured(state, stop_signal=instruction.signal).with_history(f"STOPSIGNAL {instruction.signal}")


def _shell(state: State, instruction: Shell) -> State:
    changed = _configured(state, shell=instruction.words)
    return changed.with_history(f"SHELL [{' '.join(instruction.words)}]")


def _on_build(state: State, instruction: Onbuild) -> State:
    return _configured(state, on_build=(*state.config.on_build, instruction.trigger))


def _maintainer(state: State, instruction: Maintainer) -> State:
    return attrs.evolve(state, author=instruction.name).with_history(f"MAINTAINER {instruction.name}")


_APPLY: dict[type[Instruction], Callable[[State, Any], State]] = {
    Cmd: _cmd,
    Entrypoint: _entrypoint,
    Env: _env,
    Expose: _expose,
    Healthcheck: _health_check,
    Label: _label,
    Maintainer: _maintainer,
    Onbuild: _on_build,
    Shell: _shell,
    Stopsignal: _stop_signal,
    User: _user,
    Volume: _volume,
}
