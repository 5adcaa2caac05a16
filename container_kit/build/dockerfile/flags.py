"""The flags of an instruction: which it has, and what form each takes.

Source: moby/buildkit, frontend/dockerfile/instructions, BFlags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

from container_kit.build.dockerfile.errors import DockerfileError, closest

__all__ = ["FLAGS", "Flags", "parse_flags"]

Form = Literal["text", "texts", "switch"]

# What each instruction takes; those that are not here take none.
FLAGS: Mapping[str, Mapping[str, Form]] = {
    "FROM": {"platform": "text"},
    "RUN": {"mount": "texts", "network": "text", "security": "text"},
    "COPY": {
        "from": "text",
        "chown": "text",
        "chmod": "text",
        "link": "switch",
        "parents": "switch",
        "exclude": "texts",
    },
    "ADD": {
        "chown": "text",
        "chmod": "text",
        "link": "switch",
        "keep-git-dir": "switch",
        "checksum": "text",
        "unpack": "switch",
        "exclude": "texts",
    },
    "HEALTHCHECK": {
        "interval": "text",
        "timeout": "text",
        "start-period": "text",
        "start-interval": "text",
        "retries": "text",
    },
}


@attrs.frozen
class Flags:
    """The flags as given; what was not given is empty, off or None."""

    _texts: Mapping[str, Sequence[str]]
    _switches: Mapping[str, bool]

    def text(self, name: str) -> str:
        return self._texts[name][0] if name in self._texts else ""

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self._texts.get(name, ()))

    def switch(self, name: str) -> bool:
        return self._switches.get(name, False)

    def optional_switch(self, name: str) -> bool | None:
        return self._switches.get(name)


def parse_flags(keyword: str, given: Sequence[str]) -> Flags:
    """The meaning of *given*, words such as ``--chown=1:2``.

    Raises:
        DockerfileError: *keyword* has no such flag, or it has another form, or stands there twice.
    """
    known = FLAGS.get(keyword, {})
    texts: dict[str, list[str]] = {}
    switches: dict[str, bool] = {}
    for flag in given:
        name, sign, value = flag[2:].partition("=")
        form = known.get(name.lower())
        if form is None:
            raise _unknown(keyword, name, known)
        name = name.lower()
        if form != "texts" and (name in texts or name in switches):
            raise DockerfileError(f"{keyword} --{name} stands here twice")
        if form == "switch":
            switches[name] = _switch(keyword, name, value if sign else "true")
        elif not sign:
            raise DockerfileError(f"{keyword} --{name} needs a value: --{name}=…")
        else:
            texts.setdefault(name, []).append(value)
    return Flags(texts, switches)


def _unknown(keyword: str, name: str, known: Mapping[str, Form]) -> DockerfileError:
    hint = closest(name, known)
    has = f"it has {', '.join(f'--{each}' for each in known)}" if known else "it has none"
    return DockerfileError(f"{keyword} has no flag --{name}; {has}", suggestion=f"--{hint}" if hint else None)


def _switch(keyword: str, name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise DockerfileError(f"{keyword} --{name} is true or false, not {value!r}")
    return value.lower() == "true"
