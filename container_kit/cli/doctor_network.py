"""What ``doctor`` says of networks: the firewall, what shaping can be had, and who else filters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from container_kit.cli.doctor import Finding
from container_kit.errors import ContainerKitError

if TYPE_CHECKING:
    from container_kit.network.firewall_probe import FirewallFacts

__all__ = ["describe", "examine_networks"]


def examine_networks() -> Iterator[Finding]:
    """All checks of networks; tried where nobody sees it."""
    from container_kit.network.firewall_probe import probe_firewall

    try:
        facts = probe_firewall()
    except ContainerKitError as error:
        yield Finding("networks", "limited", f"cannot be tried: {error}")
        return
    yield from describe(facts)


def describe(facts: FirewallFacts) -> Iterator[Finding]:
    """What *facts* mean."""
    if facts.missing:
        fact = f"no networks but none and host: {facts.missing}"
        yield Finding("firewall", "limited", fact, "modprobe nf_tables")
        return
    if facts.can_keep:
        yield Finding("firewall", "ok", "nftables; who flushes it leaves our walls alone")
    else:
        fact = "nftables; what others flush comes back, but connections may break (better from Linux 6.9 on)"
        yield Finding("firewall", "ok", fact)
    for chain in facts.dropping:
        insert = f"nft insert rule {chain}"
        remedy = f"{insert} iifname 'ck-*' accept; {insert} oifname 'ck-*' accept"
        fact = f"chain {chain!r} drops forwarded packets: containers do not reach the outside"
        yield Finding("firewall", "limited", fact, remedy)
    yield _shaping(facts)


def _shaping(facts: FirewallFacts) -> Finding:
    parts = {"rate": facts.can_limit, "loss": facts.can_lose, "delay": facts.can_delay}
    there = [name for name, possible in parts.items() if possible]
    if all(parts.values()):
        return Finding("shaping", "ok", "rate, loss and delay")
    lacking = [name for name, possible in parts.items() if not possible]
    remedies = {"rate": "modprobe sch_tbf", "loss": "boot Linux 5.16 or later", "delay": "modprobe sch_netem"}
    fact = f"{' and '.join(there) or 'nothing'}, but no {' and no '.join(lacking)}"
    return Finding("shaping", "limited", fact, remedies[lacking[0]])
