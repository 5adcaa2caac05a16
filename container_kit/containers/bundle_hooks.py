"""Hooks of OCI bundles that run beside the container: prestart, createRuntime, poststart, poststop.

The two that run inside it, createContainer and startContainer, are steps of the plan.

Source: OCI runtime-spec, config.md, "POSIX-platform Hooks".
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from container_kit.errors import ContainerKitError
from container_kit.oci.runtime_spec import Hook

__all__ = ["HookFailed", "run_hooks", "run_hooks_leniently"]

_LAST_WORDS_BYTES = 500


class HookFailed(ContainerKitError):
    """A hook of the bundle could not be run or ended with an error."""


def run_hooks(place: str, hooks: Iterable[Hook], state: Mapping[str, Any]) -> None:
    """Run *hooks* in order, each with *state* on its standard input.

    Args:
        place: Its name in the configuration, for messages, such as ``"createRuntime"``.

    Raises:
        HookFailed: One of them failed; those after it are not run.
    """
    document = json.dumps(state).encode()
    for hook in hooks:
        _run(place, hook, document)


def run_hooks_leniently(place: str, hooks: Iterable[Hook], state: Mapping[str, Any]) -> list[str]:
    """Run all *hooks* whatever happens; returns what went wrong, one sentence each."""
    document = json.dumps(state).encode()
    problems = []
    for hook in hooks:
        try:
            _run(place, hook, document)
        except HookFailed as error:
            problems.append(str(error))
    return problems


def _run(place: str, hook: Hook, document: bytes) -> None:
    try:
        ended = subprocess.run(
            list(hook.args) or [hook.path],
            executable=hook.path,
            input=document,
            env=dict(pair.partition("=")[::2] for pair in hook.env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=hook.timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HookFailed(f"{place} hook {hook.path!r} did not end within {hook.timeout} s: killed") from None
    except OSError as error:
        raise HookFailed(f"cannot run the {place} hook {hook.path!r}: {error.strerror}") from error
    if ended.returncode:
        words = ended.stdout[-_LAST_WORDS_BYTES:].decode(errors="replace").strip()
        raise HookFailed(
            f"{place} hook {hook.path!r} ended with {ended.returncode}" + (f": {words}" if words else "")
        )
