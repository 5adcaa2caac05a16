"""Makes pytest fixtures of services.

Loaded with the plugin in every run of pytest, so it imports next to nothing.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from typing import TYPE_CHECKING, Literal, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from container_kit.images import Image
    from container_kit.testing.definitions import ServiceDefinition
    from container_kit.testing.services import Service

__all__ = ["MARK", "Scope", "ServiceWish", "service", "service_fixture", "wish_of"]

Scope = Literal["function", "class", "module", "package", "session", "run"]
MARK = "_container_kit_service"
_SCOPES = ("function", "class", "module", "package", "session", "run")


class ServiceWish(NamedTuple):
    """What was asked for where a fixture was made; looked at when it is first used."""

    service: str | Image | ServiceDefinition
    scope: Scope
    wishes: Mapping[str, Any]
    is_complete: bool  # nothing is added to it by a function of the caller's


def service_fixture(
    service: str | Image | ServiceDefinition,
    *,
    scope: Scope = "function",
    name: str | None = None,
    **wishes: Any,
) -> Any:
    """A fixture that starts a service: ``postgres = service_fixture("postgres", scope="session")``.

    Its value is a `Service` that is ready. Services that one test needs are started at the same time.

    Args:
        service: A ready-made one such as ``postgres`` or ``postgres:16``, any image, or a definition.
        scope: How long it is kept, as for any fixture; ``run`` is the whole run of pytest with all workers of
            pytest-xdist, which share it.
        name: Of the fixture; None means that of the variable.
        wishes: Other values, options of its container, and fields of its definition:
            see `ServiceDefinition`.
    """
    return _fixture(ServiceWish(service, _checked(scope), wishes, True), name, None)


def service(
    service: str | Image | ServiceDefinition,
    *,
    scope: Scope = "function",
    name: str | None = None,
    **wishes: Any,
) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: a fixture of a service for which a function says the rest.

    The function may use other fixtures, and returns further *wishes* (or None); as a generator it goes on
    after the service has been removed::

        @service("shop:1", port=8000, wait=ck.wait.http("/health", port=8000))
        def shop(postgres, network):
            return {"env": {"DATABASE_URL": postgres.inside_url()}, "network": network}

    Arguments are those of `service_fixture`.
    """
    wish = ServiceWish(service, _checked(scope), wishes, False)
    return lambda function: _fixture(wish, name or function.__name__, function)


def _checked(scope: Scope) -> Scope:
    if scope not in _SCOPES:
        from container_kit.errors import InvalidInput

        raise InvalidInput(f"scope {scope!r} is not known: use one of {', '.join(_SCOPES)}")
    return scope


def _fixture(wish: ServiceWish, name: str | None, function: Callable[..., Any] | None) -> Any:
    def serve(request: pytest.FixtureRequest, **fixtures: Any) -> Iterator[Service]:
        from container_kit.testing.running import run_of

        with _configured(function, request, fixtures) as further:
            yield from run_of(request.config).serve(request, wish, further)

    if function is not None:
        functools.update_wrapper(serve, function)
        serve.__signature__ = _with_request(function)  # type: ignore[attr-defined]
    if function is None:
        serve.__doc__ = (
            f"The service {wish.service}, ready: its `url()`, `address()`, `container`; see `Service`."
        )
    setattr(serve, MARK, wish)
    scope = "session" if wish.scope == "run" else wish.scope
    return pytest.fixture(scope=scope, name=name)(serve)


def _with_request(function: Callable[..., Any]) -> inspect.Signature:
    """The parameters of *function* as pytest is to see them: the fixtures it uses, and the request."""
    kind = inspect.Parameter.KEYWORD_ONLY
    used = [one for one in inspect.signature(function).parameters.values() if one.name != "request"]
    request = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Signature([request, *(one.replace(kind=kind) for one in used)])


@contextlib.contextmanager
def _configured(
    function: Callable[..., Any] | None, request: pytest.FixtureRequest, fixtures: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """What the caller's function wishes; if it is a generator it goes on after the block."""
    if function is None:
        yield {}
        return
    wants_request = "request" in inspect.signature(function).parameters
    arguments = {**fixtures, **({"request": request} if wants_request else {})}
    if not inspect.isgeneratorfunction(function):
        yield function(**arguments) or {}
        return
    steps: Iterator[Any] = function(**arguments)
    try:
        wishes: Mapping[str, Any] | None = next(steps, {})
        yield wishes or {}
    finally:
        next(steps, None)


def wish_of(function: Any) -> ServiceWish | None:
    """The wish behind the function of a fixture; None when it is no service."""
    return getattr(function, MARK, None)
