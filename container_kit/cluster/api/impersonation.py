"""Impersonation: acting as somebody else, for those who may.

Source: Kubernetes, "User impersonation".
"""

from __future__ import annotations

from urllib.parse import unquote

from container_kit.cluster.api.messages import Request, User
from container_kit.cluster.api.routing import Route
from container_kit.cluster.meta.status import bad_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from container_kit.cluster.api.api import Authorizer

__all__ = ["impersonated"]

_EXTRA = "impersonate-extra-"
_AUTHENTICATED = "system:authenticated"
_ACCOUNT = "system:serviceaccount:"


def impersonated(request: Request, user: User, authorizer: Authorizer) -> User:
    """Who *user* wants to be.

    Raises:
        StatusError: 403: they may not; 400: the headers make no sense.
    """
    headers = request.headers
    name = headers.get("impersonate-user", "")
    groups = [group.strip() for group in headers.get("impersonate-group", "").split(",") if group.strip()]
    extra = {
        unquote(key.removeprefix(_EXTRA)): value.split(",")
        for key, value in headers.items()
        if key.startswith(_EXTRA)
    }
    uid = headers.get("impersonate-uid", "")
    if not name:
        if groups or extra or uid:
            raise bad_request("requested impersonation without impersonating a user")
        return user
    for route in _asked(name, groups, uid, extra):
        authorizer.authorize(user, route)
    return User(name, _all_groups(name, groups), uid, extra)


def _asked(name: str, groups: list[str], uid: str, extra: dict[str, list[str]]) -> list[Route]:
    """What one must be allowed to impersonate."""
    found = [_of_user(name), *(_route("groups", group) for group in groups)]
    if uid:
        found.append(_route("uids", uid, "authentication.k8s.io"))
    for key, values in extra.items():
        found += [_route("userextras", value, "authentication.k8s.io", sub=key) for value in values]
    return found


def _of_user(name: str) -> Route:
    if name.startswith(_ACCOUNT) and name.count(":") == 3:
        _, _, namespace, account = name.split(":")
        return _route("serviceaccounts", account, namespace=namespace)
    return _route("users", name)


def _route(resource: str, name: str, group: str = "", *, namespace: str = "", sub: str = "") -> Route:
    return Route(
        "impersonate",
        "",
        True,
        group=group,
        namespace=namespace,
        resource=resource,
        name=name,
        subresource=sub,
    )


def _all_groups(name: str, groups: list[str]) -> tuple[str, ...]:
    found = list(groups)
    if name.startswith(_ACCOUNT) and name.count(":") == 3 and not found:
        found = ["system:serviceaccounts", f"system:serviceaccounts:{name.split(':')[2]}"]
    if name != "system:anonymous" and _AUTHENTICATED not in found:
        found.append(_AUTHENTICATED)
    return tuple(found)
