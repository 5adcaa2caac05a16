"""``network`` and ``port``: networks of containers, in docker's words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from container_kit.cli.completion import containers, network_names, running_containers
from container_kit.cli.create_parsing import parse_key_values
from container_kit.cli.filters import Filters, has_label
from container_kit.cli.humanise import parse_moment
from container_kit.cli.inspecting import inspect_each
from container_kit.cli.session import each, fail, pass_engine
from container_kit.cli.tables import Listing, print_rows
from container_kit.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.network import NetworkRecord, PublishedPort

__all__ = ["connect", "create", "disconnect", "inspect", "ls", "port", "port_words", "prune", "rm"]

_LISTING = Listing(
    headers={
        "ID": "NETWORK ID",
        "Name": "NAME",
        "Driver": "DRIVER",
        "Scope": "SCOPE",
        "IPv4": "IPV4",
        "IPv6": "IPV6",
        "Internal": "INTERNAL",
        "Labels": "LABELS",
        "CreatedAt": "CREATED AT",
    },
    default="{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
)
_PREDEFINED = ("bridge", "host", "none")
_TESTS = {
    "driver": lambda record, value: record.driver == value,
    "id": lambda record, value: record.id.startswith(value),
    "name": lambda record, value: re.search(value, record.name) is not None,
    "label": lambda record, value: has_label(record.options.labels, value),
    "scope": lambda record, value: value == "local",
    "type": lambda record, value: value == ("builtin" if record.name in _PREDEFINED else "custom"),
}
_MTU = "com.docker.network.driver.mtu"


@click.command("create")
@click.argument("name")
@click.option("-d", "--driver", default="bridge", metavar="DRIVER", help="bridge, macvlan, cni, … (bridge)")
@click.option("--subnet", multiple=True, metavar="SUBNET", help="Such as 10.1.2.0/24; a free one without.")
@click.option("--gateway", multiple=True, metavar="ADDRESS", help="This host's address in a subnet.")
@click.option("--ip-range", metavar="SUBNET", help="Part of the subnet that addresses are given from.")
@click.option("--internal", is_flag=True, help="No way out, and no published ports.")
@click.option("--ipv6", is_flag=True, help="IPv6 as well.")
@click.option("--dns", multiple=True, metavar="ADDRESS", help="Server to ask for names of the outside.")
@click.option("--label", multiple=True, metavar="NAME[=VALUE]", help="Label.")
@click.option("-o", "--opt", multiple=True, metavar="NAME=VALUE", help="Option of the driver; mtu=… of any.")
@click.option("--attachable", is_flag=True, hidden=True)
@pass_engine
def create(engine: Engine, /, name: str, **flags: Any) -> None:
    """Create a network."""
    from container_kit.network import NetworkOptions

    options = parse_key_values(flags["opt"], "--opt")
    mtu = options.pop("mtu", options.pop(_MTU, None))
    if mtu is not None and not mtu.isdigit():
        raise InvalidInput(f"--opt mtu={mtu} cannot be read: give a number of bytes")
    wish = NetworkOptions(
        driver=flags["driver"],
        subnets=flags["subnet"],
        gateways=flags["gateway"],
        ip_range=flags["ip_range"],
        internal=flags["internal"],
        ipv6=flags["ipv6"],
        dns=flags["dns"],
        mtu=None if mtu is None else int(mtu),
        labels=parse_key_values(flags["label"], "label"),
        options=options,
    )
    click.echo(engine.networks.create(name, wish).id)


@click.command("ls")
@click.option("-f", "--filter", "filters", multiple=True, metavar="NAME=VALUE", help="Show only these.")
@click.option("--format", metavar="TEMPLATE", help="'table …', 'json' or a template such as {{.Name}}.")
@click.option("--no-trunc", is_flag=True, help="Show ids in full.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@pass_engine
def ls(engine: Engine, filters: tuple[str, ...], format: str | None, no_trunc: bool, quiet: bool) -> None:
    """List networks."""
    chosen: Filters[NetworkRecord] = Filters.parse(filters, _TESTS)
    rows = (_row(record, no_trunc) for record in engine.networks.list() if chosen.accepts(record))
    print_rows(_LISTING, rows, format=format, quiet=quiet)


def _row(record: NetworkRecord, full: bool) -> dict[str, Any]:
    labels = dict(record.options.labels)
    return {
        "ID": record.id if full else record.id[:12],
        "Name": record.name,
        "Driver": record.driver,
        "Scope": "local",
        "IPv4": "true" if record.ipv4 else "false",
        "IPv6": "true" if record.ipv6 else "false",
        "Internal": "true" if record.options.internal else "false",
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        "Label": lambda name: labels.get(name, ""),
        "CreatedAt": _created(record).astimezone().strftime("%Y-%m-%d %H:%M:%S %z %Z"),
    }


def _created(record: NetworkRecord) -> datetime:
    return datetime.fromtimestamp(record.created_ns / 1e9, UTC)


@click.command("inspect")
@click.argument("names", nargs=-1, required=True, shell_complete=network_names)
@click.option("-f", "--format", metavar="TEMPLATE", help="A template such as {{.Driver}}, or json.")
@pass_engine
def inspect(engine: Engine, names: tuple[str, ...], format: str | None) -> None:
    """Show all about networks, as JSON."""
    from container_kit.network import Network

    inspect_each(lambda name: Network.get(name, engine=engine).inspect(), names, format)


@click.command("rm")
@click.argument("names", nargs=-1, required=True, shell_complete=network_names)
@click.option("-f", "--force", is_flag=True, help="It is no error when there is none.")
@pass_engine
def rm(engine: Engine, names: tuple[str, ...], force: bool) -> None:
    """Remove networks that no container is on."""

    def remove(name: str) -> None:
        try:
            engine.networks.remove(name)
        except NotFound:
            if not force:
                raise

    each(names, remove)


@click.command("prune")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="NAME=VALUE", help="until=… or label=…")
@pass_engine
def prune(engine: Engine, force: bool, filters: tuple[str, ...]) -> None:
    """Remove all networks that no container is on."""
    chosen: Filters[NetworkRecord] = Filters.parse(
        filters,
        {
            "until": lambda record, value: _created(record).timestamp() < parse_moment(value),
            "label": lambda record, value: has_label(record.options.labels, value),
        },
    )
    if not force:
        click.confirm("This will remove all networks that no container is on. Continue?", abort=True)
    removed = engine.networks.prune(chosen.accepts)
    if removed:
        click.echo("Deleted Networks:\n" + "\n".join(record.name for record in removed) + "\n")


@click.command("connect")
@click.argument("network", shell_complete=network_names)
@click.argument("container", shell_complete=containers)
@click.option("--alias", multiple=True, metavar="NAME", help="Further name of the container there.")
@click.option("--ip", metavar="ADDRESS", help="Its IPv4 address.")
@click.option("--ip6", metavar="ADDRESS", help="Its IPv6 address.")
@click.option("--mac-address", metavar="ADDRESS", help="Its hardware address.")
@pass_engine
def connect(
    engine: Engine,
    network: str,
    container: str,
    alias: tuple[str, ...],
    ip: str | None,
    ip6: str | None,
    mac_address: str | None,
) -> None:
    """Bring a container onto a network, also while it runs."""
    from container_kit.network import Network

    found = Network.get(network, engine=engine)
    found.connect(engine.container(container), aliases=alias, ipv4=ip, ipv6=ip6, mac=mac_address)


@click.command("disconnect")
@click.argument("network", shell_complete=network_names)
@click.argument("container", shell_complete=containers)
@click.option("-f", "--force", is_flag=True, help="It is no error when it is not there.")
@pass_engine
def disconnect(engine: Engine, network: str, container: str, force: bool) -> None:
    """Take a container off a network, also while it runs."""
    from container_kit.network import Network

    try:
        Network.get(network, engine=engine).disconnect(engine.container(container))
    except NotFound:
        if not force:
            raise


@click.command()
@click.argument("name", shell_complete=running_containers)
@click.argument("wanted", required=False, metavar="[PORT[/PROTOCOL]]")
@pass_engine
def port(engine: Engine, name: str, wanted: str | None) -> None:
    """Show where the ports of a container are published."""
    found = engine.container(name).ports
    if wanted is None:
        for one in sorted(found, key=lambda one: (one.container_port, one.protocol, one.host_port)):
            click.echo(f"{one.container_port}/{one.protocol} -> {_host(one)}")
        return
    number, _, protocol = wanted.partition("/")
    chosen = [one for one in found if (str(one.container_port), one.protocol) == (number, protocol or "tcp")]
    if not chosen:
        raise fail(f"No public port '{number}/{protocol or 'tcp'}' published for {name}")
    for one in chosen:
        click.echo(_host(one))


def _host(port: PublishedPort) -> str:
    return str(port).partition(" ")[0]


def port_words(ports: tuple[PublishedPort, ...]) -> str:
    """Published ports as ``ps`` shows them: ``127.0.0.1:49153->8000/tcp, …``; rows of them as ranges."""
    runs: list[list[PublishedPort]] = []
    for one in sorted(ports, key=lambda one: (one.host_ip, one.protocol, one.container_port, one.host_port)):
        if runs and _follows(runs[-1][-1], one):
            runs[-1].append(one)
        else:
            runs.append([one])
    return ", ".join(_run_words(run[0], run[-1]) for run in runs)


def _follows(one: PublishedPort, other: PublishedPort) -> bool:
    same = (one.host_ip, one.protocol) == (other.host_ip, other.protocol)
    steps = (other.container_port - one.container_port, other.host_port - one.host_port)
    return same and steps == (1, 1)


def _run_words(first: PublishedPort, last: PublishedPort) -> str:
    if first == last:
        return f"{_host(first)}->{first.container_port}/{first.protocol}"
    return f"{_host(first)}-{last.host_port}->{first.container_port}-{last.container_port}/{first.protocol}"
