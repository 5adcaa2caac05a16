"""Landlock rule sets: a wall around the file tree that holds even where a path was already open.

Values only; ``ckit-init`` applies them inside the container's root, just before the program starts.

Source: Linux, Documentation/userspace-api/landlock.rst, include/uapi/linux/landlock.h.
"""

from __future__ import annotations

import attrs

from container_kit._values import frozen

__all__ = ["BENEATH_ROOT", "BENEATH_ROOT_WITHOUT_TCP", "PathRule", "PortRule", "Ruleset"]

# Rights by the version of the interface that brought them, in the order of their bits.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}  # REFER came with 2, TRUNCATE with 3, IOCTL_DEV with 5
_TCP_RIGHTS = {4: 2}  # BIND_TCP, CONNECT_TCP


@frozen
class PathRule:
    """*access* (a bit set of LANDLOCK_ACCESS_FS_*) to everything beneath *path* in the container."""

    path: str
    access: int


@frozen
class PortRule:
    """*access* (a bit set of LANDLOCK_ACCESS_NET_*) to one TCP port."""

    port: int
    access: int


@frozen
class Ruleset:
    """What is forbidden unless a rule allows it.

    Args:
        handled_fs: Bit set of file rights that are forbidden by default.
        handled_net: Bit set of TCP rights that are forbidden by default.
        paths, ports: What is allowed all the same.
    """

    handled_fs: int = 0
    handled_net: int = 0
    paths: tuple[PathRule, ...] = ()
    ports: tuple[PortRule, ...] = ()

    def fitted(self, abi: int) -> Ruleset | None:
        """These rules as far as version *abi* of the interface knows the rights; None for version 0.

        Rights that the kernel does not know cannot be handled; it would refuse the whole set.
        """
        if abi < 1:
            return None
        files, tcp = _known(_FILE_RIGHTS, abi), _known(_TCP_RIGHTS, abi)
        return Ruleset(
            self.handled_fs & files,
            self.handled_net & tcp,
            tuple(PathRule(rule.path, rule.access & files) for rule in self.paths),
            tuple(PortRule(rule.port, rule.access & tcp) for rule in self.ports if rule.access & tcp),
        )


def _known(rights: dict[int, int], abi: int) -> int:
    count = max((bits for version, bits in rights.items() if version <= abi), default=0)
    return (1 << count) - 1


_ALL_FILE_RIGHTS = _known(_FILE_RIGHTS, max(_FILE_RIGHTS))
_ALL_TCP_RIGHTS = _known(_TCP_RIGHTS, max(_TCP_RIGHTS))

# Everything beneath the container's root and nothing else: what a leaked descriptor of a host
# directory leads to is not beneath it.
BENEATH_ROOT = Ruleset(_ALL_FILE_RIGHTS, paths=(PathRule("/", _ALL_FILE_RIGHTS),))
BENEATH_ROOT_WITHOUT_TCP = attrs.evolve(BENEATH_ROOT, handled_net=_ALL_TCP_RIGHTS)
