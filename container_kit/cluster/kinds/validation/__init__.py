"""Semantic checks of built-in kinds: what a schema cannot say.

A check takes an object (or a part of one and its path) and gives the `FieldError`s that Kubernetes would,
with its paths and words. `checks_for` finds the checks of a kind.
"""

from container_kit.cluster.kinds.validation.catalogue import (
    checks_for,
    create_checks_for,
    status_checks_for,
    update_checks_for,
)

__all__ = ["checks_for", "create_checks_for", "status_checks_for", "update_checks_for"]
