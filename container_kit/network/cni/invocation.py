"""Running the plugins of a configuration list: ADD and CHECK forwards, DEL backwards, GC for all.

Source: CNI specification 1.1.0, sections 2 (execution protocol) and 3 (execution of network configurations).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from container_kit._values import frozen
from container_kit.errors import (
    Conflict,
    ContainerKitError,
    InvalidInput,
    NotFound,
    StartFailed,
    TimedOut,
    UnsupportedFeature,
)
from container_kit.network.cni.config import ConfigList, find

__all__ = ["Attachment", "Runner"]

Command = Literal["ADD", "DEL", "CHECK", "GC"]

_Json = dict[str, Any]
_TIMEOUT_S = 60.0
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
_HAS_CHECK, _HAS_GC = "0.4.0", "1.1.0"
# Codes of errors, section 5.
_INCOMPATIBLE, _UNSUPPORTED, _INVALID, _TRY_LATER = 1, 2, (4, 5, 6, 7), 11


@frozen(kw_only=True)
class Attachment:
    """One container's place on a network, as plugins know it.

    Args:
        owner: The container's id.
        namespace: Path of its network namespace; empty when that has ended.
        interface: Its name inside.
        arguments: Words for all plugins (``CNI_ARGS``), such as ``IP=10.1.2.3``.
        runtime: Facts by capability, such as ``{"mac": "02:42:0a:59:01:02"}``.
    """

    owner: str
    namespace: str
    interface: str
    arguments: Mapping[str, str] = attrs.field(factory=dict)
    runtime: Mapping[str, Any] = attrs.field(factory=dict)


@frozen(kw_only=True)
class Runner:
    """The plugins of one network.

    Args:
        config: Which they are.
        directories: Where they are, joined by colons.
    """

    config: ConfigList
    directories: str

    def add(self, attachment: Attachment) -> _Json:
        """Put an interface into the container; the last plugin's result.

        When one fails, what the others did stays until `delete`.

        Raises:
            StartFailed: A plugin could not do it; in its own words.
            InvalidInput, UnsupportedFeature: It cannot use the configuration.
        """
        result: _Json | None = None
        for plugin in self.config.plugins:
            answer = self._run("ADD", plugin, attachment, result)
            # Some that change nothing print nothing.
            result = answer or result
        return result or {}

    def delete(self, attachment: Attachment, result: _Json | None) -> None:
        """Take it away again; may be repeated.  All plugins are run, the first error is raised at the end.

        Args:
            result: What `add` gave, if it did.
        """
        failed: ContainerKitError | None = None
        for plugin in reversed(self.config.plugins):
            try:
                self._run("DEL", plugin, attachment, result)
            except ContainerKitError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def check(self, attachment: Attachment, result: _Json) -> None:
        """Whether everything is as `add` left it.

        Raises:
            StartFailed: It is not; in the plugin's words.
        """
        if self.config.disable_check or _number(self.config.version) < _number(_HAS_CHECK):
            return
        for plugin in self.config.plugins:
            self._run("CHECK", plugin, attachment, result)

    def collect(self, valid: Sequence[tuple[str, str]]) -> None:
        """Let the plugins free what belongs to none of the *valid* pairs of owner and interface."""
        if self.config.disable_gc or _number(self.config.version) < _number(_HAS_GC):
            return
        attachments = [{"containerID": owner, "ifname": interface} for owner, interface in valid]
        for plugin in self.config.plugins:
            asked = {**plugin, "cni.dev/valid-attachments": attachments}
            self._run("GC", asked, Attachment(owner="", namespace="", interface=""), None)

    def _run(self, command: Command, plugin: _Json, attachment: Attachment, previous: _Json | None) -> _Json:
        kind: str = plugin["type"]
        path = find(kind, self.directories)
        if path is None:
            raise NotFound("CNI plugin", kind, f"install it in one of {self.directories}")
        asked = self.config.asked_of(plugin, attachment.runtime, previous)
        try:
            done = subprocess.run(
                [path],
                input=json.dumps(asked).encode(),
                env=_environment(command, attachment, self.directories),
                capture_output=True,
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise TimedOut(
                f"CNI plugin {kind!r} did not end its {command} within {_TIMEOUT_S:.0f} s"
            ) from None
        except OSError as error:
            raise StartFailed(f"CNI plugin {path!r} cannot be executed: {error.strerror}") from error
        if done.returncode != 0:
            raise _failure(command, kind, self.config.name, done)
        return _answer(done.stdout, command, kind)


def _environment(command: Command, attachment: Attachment, directories: str) -> dict[str, str]:
    """All that a plugin gets of ours: nothing of the caller's environment."""
    words = {"IgnoreUnknown": "1", **attachment.arguments}
    given = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": attachment.owner,
        "CNI_NETNS": attachment.namespace,
        "CNI_IFNAME": attachment.interface,
        "CNI_ARGS": ";".join(f"{key}={value}" for key, value in words.items()),
        "CNI_PATH": directories,
        "PATH": _SYSTEM_PATH,
    }
    return {key: value for key, value in given.items() if value}


def _answer(output: bytes, command: Command, kind: str) -> _Json:
    if not output.strip():
        return {}
    try:
        answer = json.loads(output)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise StartFailed(
            f"CNI plugin {kind!r} answered {command} with {output[:80]!r}, which is no JSON object"
        )
    return answer


def _failure(
    command: Command, kind: str, network: str, done: subprocess.CompletedProcess[bytes]
) -> ContainerKitError:
    """What a plugin says of its failure, as the error by which a caller knows what to do next."""
    try:
        told = json.loads(done.stdout)
        code, words = int(told["code"]), ": ".join(filter(None, (told.get("msg"), told.get("details"))))
    except (ValueError, KeyError, TypeError):
        code = 0
        output = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        words = output[-1] if output else f"it ended with exit code {done.returncode} and said nothing"
    message = f"CNI plugin {kind!r} failed to {command} for network {network!r}: {words}"
    if code in (_INCOMPATIBLE, _UNSUPPORTED):
        return UnsupportedFeature(message)
    if code in _INVALID:
        return InvalidInput(message)
    return Conflict(f"{message}; try again later") if code == _TRY_LATER else StartFailed(message)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
