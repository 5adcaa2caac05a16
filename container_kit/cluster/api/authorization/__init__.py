"""Authorization: who may do what, by roles and bindings (RBAC); reviews of it; no way to grant more.

`RbacAuthorizer` is an `Authorizer` of the API. The roles that every cluster has are in `bootstrap`.
"""

from container_kit.cluster.api.authorization.rbac import Decision, RbacAuthorizer

__all__ = ["Decision", "RbacAuthorizer"]
