"""Kinds: what the API server must know of each built-in kind, and of any other.

`strategy_for` gives the `Strategy` of a kind; the modules hold defaults, checks, columns and the like as
tables, so that this package decides and never stores.
"""

from container_kit.cluster.kinds.registry import strategy_for
from container_kit.cluster.kinds.strategy import Context, Strategy, World

__all__ = ["Context", "Strategy", "World", "strategy_for"]
