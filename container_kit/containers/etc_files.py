"""``/etc/hosts``, ``/etc/hostname`` and ``/etc/resolv.conf`` of a container with a network: what is in them.

They lie in the container's own directory on the host and are mounted over those of the image, so that nothing
of them is a change of the container.  Whoever changes one writes into the same file: a mount shows a file,
not a name.

Source: hosts(5), resolv.conf(5), hostname(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress

from container_kit._values import frozen
from container_kit.containers.network_options import HOST_GATEWAY
from container_kit.native.descriptors import open_path

__all__ = [
    "ETC",
    "ETC_FILES",
    "EtcFiles",
    "Resolving",
    "hosts_text",
    "moved_hosts",
    "parse_hosts",
    "read_host_file",
    "read_resolv_conf",
    "resolv_text",
    "resolving_for",
    "update_file",
    "write_files",
]

ETC = "etc"
ETC_FILES = ("hosts", "hostname", "resolv.conf")
_LOCAL = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
_LARGEST = 1 << 20


@frozen(kw_only=True)
class Resolving:
    """What a resolver is told: addresses of servers, domains to search, and options."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@frozen(kw_only=True)
class EtcFiles:
    """The three files of one container, as text."""

    hosts: str
    hostname: str
    resolv_conf: str


def hosts_text(
    addresses: Iterable[str],
    names: Sequence[str],
    extra: Iterable[tuple[str, str]] = (),
    gateway: str = "",
) -> str:
    """``/etc/hosts``: this machine, the *extra* pairs of name and address, and the container itself.

    Args:
        addresses: The container's own, under each of *names*.
        gateway: What ``host-gateway`` among the extra addresses stands for; such a pair is left out without.
    """
    lines = []
    for name, address in extra:
        meant = gateway if address == HOST_GATEWAY else address
        if meant:
            lines.append(f"{meant}\t{name}\n")
    own = " ".join(dict.fromkeys(name for name in names if name))
    lines += [f"{address}\t{own}\n" for address in addresses if own]
    return _LOCAL + "".join(lines)


def moved_hosts(text: str, addresses: Iterable[str], names: Sequence[str]) -> str:
    """``/etc/hosts`` of a container whose own addresses are others now; all other lines stay."""
    own = " ".join(names)
    kept = [line for line in text.splitlines() if line.partition("\t")[2] != own]
    return "".join(f"{line}\n" for line in [*kept, *(f"{address}\t{own}" for address in addresses)])


def resolv_text(resolving: Resolving) -> str:
    """``/etc/resolv.conf``."""
    lines = [f"nameserver {server}" for server in resolving.servers]
    lines += [f"search {' '.join(resolving.search)}"] if resolving.search else []
    lines += [f"options {' '.join(resolving.options)}"] if resolving.options else []
    return "".join(f"{line}\n" for line in lines)


def read_resolv_conf(text: str) -> Resolving:
    """What a ``resolv.conf`` says; of several search lines the last one counts."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        key, *words = line.split()[:16] or ("",)
        if key == "nameserver" and words:
            servers.append(words[0])
        elif key in ("search", "domain"):
            search = tuple(words)
        elif key == "options":
            options += words
    return Resolving(servers=tuple(servers), search=search, options=tuple(options))


def resolving_for(
    own: Resolving, servers: tuple[str, ...], host: Resolving, *, shares_host: bool = False
) -> Resolving:
    """What the resolver of a container is told.

    Args:
        own: What was asked for; ``.`` as a domain to search stands for none.
        servers: The name servers of its networks, which know its neighbours and ask others for the rest: its
            own servers, if it has some.
        host: What this host's resolver is told.
        shares_host: Whether it has the host's network, and so its loopback.
    """
    reachable = tuple(one for one in host.servers if shares_host or not one.startswith(("127.", "::1")))
    search = own.search or host.search
    options = own.options or (() if servers else host.options)
    if servers and not any(one.startswith("ndots:") for one in options):
        # A plain name is a neighbour's, and is asked for as it is before a domain is put behind it.
        options = (*options, "ndots:0")
    return Resolving(
        # Those of the networks ask the container's own, which know none of its neighbours.
        servers=servers or own.servers or reachable,
        search=tuple(domain for domain in search if domain != "."),
        options=options,
    )


def parse_hosts(text: str) -> list[tuple[str, str]]:
    """The pairs of name and address in a ``hosts`` file, without those of the loopback."""
    found = []
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or ("",)
        if address and not address.startswith(("127.", "::1", "fe00:", "ff0")):
            found += [(name, address) for name in names]
    return found


def write_files(directory: str, files: EtcFiles) -> None:
    """Write the files of the container in *directory*; mounts of them show what is new."""
    folder = os.path.join(directory, ETC)
    with suppress(FileExistsError):
        os.mkdir(folder, 0o755)
    update_file(os.path.join(folder, "hosts"), files.hosts)
    update_file(os.path.join(folder, "hostname"), files.hostname)
    update_file(os.path.join(folder, "resolv.conf"), files.resolv_conf)


def update_file(path: str, text: str) -> None:
    """Replace the content of a file, which stays the same file."""
    data = text.encode("utf-8", "surrogateescape")
    with open_path(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644) as held:
        os.fchmod(held.fileno(), 0o644)
        os.pwrite(held.fileno(), data, 0)
        os.ftruncate(held.fileno(), len(data))


def read_host_file(path: str) -> str:
    """A file of this host, such as its ``resolv.conf``; empty when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_LARGEST)
    except OSError:
        return ""
