"""Every error that this library raises on purpose, named by what the caller can do next.

Each message says what could not be done, to what, why, and what to do about it.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, TypeVar

__all__ = [
    "AccessDenied",
    "BuildFailed",
    "CommandFailed",
    "Conflict",
    "ContainerEnded",
    "ContainerKitError",
    "CorruptData",
    "InvalidInput",
    "KernelError",
    "LimitExceeded",
    "NameInUse",
    "NotFound",
    "PermissionMissing",
    "StartFailed",
    "StoreFull",
    "StoreTooNew",
    "TimedOut",
    "UnknownOption",
    "Unreachable",
    "UnsupportedFeature",
    "Untrusted",
    "WrongState",
    "with_last_lines",
    "with_typed_errors",
]

_C = TypeVar("_C", bound=type)
_GENERATOR = 0x20  # in co_flags


class ContainerKitError(Exception):
    """Root of all errors that this library raises on purpose."""


class NotFound(ContainerKitError):
    """There is no object of this kind with this name."""

    def __init__(self, kind: str, name: str, hint: str = "", *, where: str = "") -> None:
        place = f" {where}" if where else ""
        super().__init__(f"no {kind} named {name!r}{place}" + (f": {hint}" if hint else ""))
        self.kind, self.name = kind, name


class NameInUse(ContainerKitError):
    """Another object has this name: choose another one, or remove that object."""

    def __init__(self, kind: str, name: str, holder: str = "") -> None:
        by = f" by {holder}" if holder else ""
        super().__init__(f"the {kind} name {name!r} is in use{by}: choose another name or remove that one")
        self.kind, self.name, self.holder = kind, name, holder


class Conflict(ContainerKitError):
    """The object changed since it was read, or others depend on it: read it again and retry."""


class WrongState(ContainerKitError):
    """The object cannot do this in the state it is in (exec in a stopped container, for one)."""


class InvalidInput(ContainerKitError, ValueError):
    """An argument, or a document, has a value that cannot be used; the message names it."""


class UnknownOption(InvalidInput, TypeError):
    """There is no argument of this name; the message has what was probably meant."""

    def __init__(self, name: str, function: str, meant: str | None = None, hint: str = "") -> None:
        remedy = f": did you mean {meant!r}?" if meant else hint
        super().__init__(f"there is no option {name!r} of {function}{remedy}")
        self.name, self.meant = name, meant


class CorruptData(ContainerKitError):
    """Stored or received bytes are not what their digest, size or format promises."""


class LimitExceeded(ContainerKitError):
    """Input is larger, deeper or longer than the budget of its parser."""


class StoreFull(ContainerKitError, OSError):
    """The file system of the store has no space or inodes left; says how many bytes are needed."""


class StoreTooNew(ContainerKitError):
    """The store was written by a later version: upgrade this library or use another root."""


class PermissionMissing(ContainerKitError, PermissionError):
    """This process lacks a right; the message names the right and the remedy."""


class UnsupportedFeature(ContainerKitError):
    """The kernel, the build or the image cannot do this; a promised wall is never silently left out."""


class TimedOut(ContainerKitError, TimeoutError):
    """Something did not happen within the time that the caller gave."""


class AccessDenied(ContainerKitError):
    """A registry wants other credentials, or these have not the rights: log in, or ask for the rights."""


class Untrusted(ContainerKitError):
    """A certificate or signature is not one that is trusted here; the message says whose and why."""


class Unreachable(ContainerKitError):
    """A registry did not answer, or only with errors, after all tries: look at the network or try later.

    Attributes:
        host: Name and port, as asked for.
        tries: How often it was tried.
    """

    def __init__(self, message: str, host: str = "", tries: int = 0) -> None:
        super().__init__(message)
        self.host, self.tries = host, tries


class KernelError(ContainerKitError, OSError):
    """A system call failed; ``errno`` and ``filename`` are set as in OSError."""

    def __init__(self, errno: int, message: str, filename: str | None = None) -> None:
        super().__init__(errno, message, filename)

    def __str__(self) -> str:
        where = f": {self.filename!r}" if self.filename else ""
        return f"{self.strerror}{where}"

    @classmethod
    def of(cls, errno: int, doing: str, filename: str | None = None) -> KernelError:
        """The error for *errno*, with what could not be done before the kernel's own words."""
        return cls(errno, f"{doing}: {os.strerror(errno)}", filename)


class StartFailed(ContainerKitError):
    """A program could not be started in a container.

    Attributes:
        exit_code: What a shell or docker would report: 127 not found, 126 not executable,
            125 for everything the container itself could not do.
    """

    def __init__(self, message: str, exit_code: int = 125) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class CommandFailed(ContainerKitError):
    """A program in a container ended with a non-zero exit code and the caller asked to be told.

    Attributes:
        exit_code: 0 to 255, or 128+n for signal n.
        oom_killed: Whether the kernel killed it for its memory limit.
        stdout, stderr: What it wrote, as the caller asked for it; or None.
        log_tail: The last lines it logged.
    """

    def __init__(
        self,
        command: Sequence[str],
        exit_code: int,
        *,
        oom_killed: bool = False,
        stdout: str | bytes | None = None,
        stderr: str | bytes | None = None,
        log_tail: Sequence[str] = (),
    ) -> None:
        self.command, self.exit_code, self.oom_killed = tuple(command), exit_code, oom_killed
        self.stdout, self.stderr, self.log_tail = stdout, stderr, tuple(log_tail)
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        reason = f"command {list(self.command)!r} ended with exit code {self.exit_code}"
        if self.oom_killed:
            reason += " (killed: out of memory; raise Limits.memory)"
        elif self.exit_code > 128:
            reason += f" (signal {self.exit_code - 128})"
        tail = "\n".join(f"    {line}" for line in self.log_tail)
        return f"{reason}; last lines:\n{tail}" if tail else reason


class ContainerEnded(WrongState):
    """A container ended, for good, while something else of it was waited for.

    Attributes:
        exit_code: 0 to 255, or 128+n for signal n; None when nobody could record it.
        oom_killed: Whether the kernel killed it for its memory limit.
        log_tail: The last lines it wrote.
    """

    def __init__(
        self,
        name: str,
        missing: str,
        exit_code: int | None,
        *,
        oom_killed: bool = False,
        log_tail: Sequence[str] = (),
    ) -> None:
        self.exit_code, self.oom_killed, self.log_tail = exit_code, oom_killed, tuple(log_tail)
        how = "" if exit_code is None else f" with exit code {exit_code}"
        how += " (killed: out of memory; raise Limits.memory)" if oom_killed else ""
        super().__init__(
            with_last_lines(f"container {name} ended{how} before it was ready: {missing}", log_tail)
        )


class BuildFailed(ContainerKitError):
    """A step of a build could not be done; the cause, where another error was it, is its ``__cause__``.

    Attributes:
        reason: What went wrong, without the place.
        file, line: Where the instruction stands; lines count from 1.
        instruction: As it is written there.
        stage: Name or number of the stage.
        command, exit_code, output: Of a RUN that did not end well: what was executed, 0 to 255 (128+n for
            signal n), and the last lines that it wrote; else empty and None.
    """

    def __init__(
        self,
        reason: str,
        *,
        file: str = "",
        line: int = 0,
        instruction: str = "",
        stage: str = "",
        command: Sequence[str] = (),
        exit_code: int | None = None,
        output: Sequence[str] = (),
    ) -> None:
        self.reason, self.file, self.line, self.instruction = reason, file, line, instruction
        self.stage, self.command, self.exit_code = stage, tuple(command), exit_code
        self.output = tuple(output)
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        shown = self.instruction if len(self.instruction) <= 200 else self.instruction[:200] + "…"
        head = f"{self.file}:{self.line}: {shown}\n" if self.line else ""
        tail = "\n".join(f"    {line}" for line in self.output)
        return f"{head}{self.reason}; its last output:\n{tail}" if tail else f"{head}{self.reason}"


def with_last_lines(sentence: str, lines: Sequence[str]) -> str:
    """A message, with what a container wrote last below it."""
    tail = "\n".join(f"    {line}" for line in lines)
    return f"{sentence}; its last lines:\n{tail}" if tail else sentence


def with_typed_errors(cls: _C) -> _C:
    """Class decorator: whatever system call fails below a public method, the caller gets one of our errors.

    Code that knows what it was doing says it better; this is for the one open in a hundred whose failure
    nobody thought of.  A pipe of the caller's own that breaks stays what it is.
    """
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(member, classmethod | staticmethod):
            setattr(cls, name, type(member)(_typed(member.__func__)))
        elif isinstance(member, property) and member.fget is not None:
            setattr(cls, name, member.getter(_typed(member.fget)))
        elif isinstance(member, FunctionType) and not member.__code__.co_flags & _GENERATOR:
            setattr(cls, name, _typed(member))
    return cls


def _typed(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except (ContainerKitError, BrokenPipeError):
            raise
        except OSError as error:
            raise _of_os_error(error, method.__qualname__.removesuffix(".__init__")) from error
        except RuntimeError as error:
            if "can't start new thread" not in str(error):
                raise
            raise KernelError.of(errno.EAGAIN, f"{method.__qualname__} failed: {error}") from error

    return call


def _of_os_error(error: OSError, doing: str) -> ContainerKitError:
    number = error.errno or errno.EIO
    path = error.filename if isinstance(error.filename, str) else None
    what = f"{doing} failed: {os.strerror(number)}" + (f": {path!r}" if path else "")
    if number in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(number, f"{what}; run prune, or use a larger disk")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PermissionMissing(number, f"{what}; check who owns it")
    return KernelError.of(number, f"{doing} failed", path)
