"""The words of ``ck.wait``: each makes a strategy, and says what its arguments mean.

This module has functions named as built-in ones; what needs those lives elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

from container_kit.containers.options import Command, as_command
from container_kit.containers.strategy import Strategy
from container_kit.errors import InvalidInput
from container_kit.wait.calls import Call
from container_kit.wait.combined import AllOf, AnyOf, as_strategy
from container_kit.wait.commands import Executed
from container_kit.wait.endings import Ended
from container_kit.wait.healthy import Healthy
from container_kit.wait.lines import Logged
from container_kit.wait.paths import FileThere
from container_kit.wait.ports import Listening
from container_kit.wait.requests import Answers

if TYPE_CHECKING:
    import ssl

    from container_kit.containers.container import Container

__all__ = ["all", "any", "callable", "exec", "exit", "file", "health", "http", "log", "port"]


def port(number: int | str) -> Strategy:
    """Until a program in the container listens on a port, where the container's network can reach it.

    Nothing is connected to: the kernel is asked who listens.

    Args:
        number: Such as ``5432``, or ``"53/udp"``: the port inside.

    Raises:
        InvalidInput: It is no port.
    """
    return Listening.parse(number)


def http(
    path: str = "/",
    *,
    port: int,
    status: int | Collection[int] | Callable[[int], bool] | None = None,
    body: str | re.Pattern[str] | Callable[[bytes], bool] | None = None,
    tls: bool | str | ssl.SSLContext = False,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    request_timeout: float = 5.0,
) -> Strategy:
    """Until the container answers a request as it should.

    The connection is made inside the container's own network, so nothing has to be published for it.

    Args:
        port: The port inside.
        status: Those that are right; None means 200 to 399. Redirections are not followed.
        body: A regular expression that is found in it, or a function that says whether it is right.
        tls: True to speak TLS whatever the certificate, a file of certificates to trust, or a context.
        headers: Beside ``Host``, which is ``localhost`` unless given.
        request_timeout: Seconds after which a request is given up and made anew.

    Raises:
        InvalidInput: An argument cannot be used.
    """
    return Answers(
        path,
        port=port,
        status=status,
        body=body,
        tls=tls,
        method=method,
        headers=headers,
        request_timeout_s=request_timeout,
    )


def log(
    pattern: str | re.Pattern[str], *, count: int = 1, stream: Literal["stdout", "stderr"] | None = None
) -> Strategy:
    """Until the container, since it was last started, has written lines that match.

    Args:
        pattern: A regular expression, found anywhere in a line.
        count: How many such lines.
        stream: Only lines of this stream.

    Raises:
        InvalidInput: It is no regular expression, or *count* is less than 1.
    """
    return Logged(pattern, count=count, stream=stream)


def health() -> Strategy:
    """Until the container's health check succeeds; an unhealthy one ends the wait with WrongState."""
    return Healthy()


def exec(
    command: Command, *, exit_code: int = 0, interval: float = 0.2, timeout: float = 10.0, **options: Any
) -> Strategy:
    """Until a command that is executed inside ends with the right exit code.

    Args:
        interval: Seconds from the end of one to the start of the next; the first ones follow sooner.
        timeout: A command that takes longer is killed and counts as failed.
        options: See :class:`ExecOptions`: env, user, working_dir.

    Raises:
        InvalidInput: There is no command.
    """
    words = as_command(command)
    if not words:
        raise InvalidInput("there is no command to execute: give at least a program")
    return Executed(words, exit_code=exit_code, interval_s=interval, timeout_s=timeout, options=options)


def file(path: str, *, content: str | re.Pattern[str] | None = None) -> Strategy:
    """Until there is something at *path* inside.

    Args:
        path: Absolute; links are followed inside the container.
        content: A regular expression that is found in the file's text.

    Raises:
        InvalidInput: The path is not absolute, or *content* no regular expression.
    """
    return FileThere(path, content=content)


def exit(code: int | None = 0) -> Strategy:
    """Until the container has ended with this exit code; None for any.

    Another code ends the wait with ContainerEnded.
    """
    return Ended(code)


def callable(
    function: Callable[[Container], object],
    *,
    interval: float = 0.1,
    retry_on: type[Exception] | tuple[type[Exception], ...] = Exception,
) -> Strategy:
    """Until a function of yours, called with the container, returns something true.

    Args:
        interval: Seconds between calls; the first ones follow sooner.
        retry_on: Errors that mean "not yet"; others end the wait and are raised.
    """
    return Call(function, interval_s=interval, retry_on=retry_on)


def all(*strategies: Strategy | int | Callable[[Container], object]) -> Strategy:
    """Until all have come about; each is begun when the one before it has."""
    return AllOf(tuple(as_strategy(one) for one in strategies))


def any(*strategies: Strategy | int | Callable[[Container], object]) -> Strategy:
    """Until one of them has come about."""
    return AnyOf(tuple(as_strategy(one) for one in strategies))
