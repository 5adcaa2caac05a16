"""The networks of a root, without a container."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from container_kit.errors import Conflict, InvalidInput, NameInUse, NotFound
from container_kit.network import NetworkOptions, Networks
from tests.network.inside import add_wire, join, links

pytestmark = pytest.mark.root


def test_a_network_is_found_by_name_id_and_beginning(networks: Networks) -> None:
    """All of them lead to the same definition, in another process as well."""
    made = networks.create("shop", NetworkOptions(labels={"for": "test"}))

    again = Networks(networks.site.root, networks.site.host)

    assert again.get("shop") == again.get(made.id) == again.get(made.id[:6]) == made


def test_the_usual_networks_are_always_there(networks: Networks) -> None:
    """bridge, host and none need no making, keep their ids, and cannot be made or removed."""
    first = networks.get("bridge")

    assert networks.get("bridge") == first
    assert [record.name for record in networks.list()] == ["bridge", "host", "none"]
    with pytest.raises(NameInUse):
        networks.create("host")
    with pytest.raises(InvalidInput, match="every root has"):
        networks.remove("none")


def test_a_name_is_one_network(networks: Networks) -> None:
    """Of many that make a network of one name at once, one does."""
    made: list[str] = []
    refused: list[NameInUse] = []

    def make() -> None:
        try:
            made.append(networks.create("shop").id)
        except NameInUse as error:
            refused.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 1
    assert len(refused) == 7


def test_an_unknown_network_is_told_with_those_there_are(networks: Networks) -> None:
    """A wrong name gets the right ones; a path is no name."""
    networks.create("shop")

    with pytest.raises(NotFound, match="bridge, host, none, shop"):
        networks.get("shpo")
    with pytest.raises(NotFound):
        networks.get("../networks")


def test_a_removed_network_is_gone(networks: Networks) -> None:
    """Nothing of it stays on the disk, and its name is free."""
    networks.create("shop")

    networks.remove("shop")

    assert os.listdir(f"{networks.site.root}/network-names") == []
    assert [name for name in os.listdir(f"{networks.site.root}/networks") if name != "lock"] == []
    networks.create("shop")


def test_a_network_in_use_stays(networks: Networks) -> None:
    """Removal and pruning leave a network that a container is on, and say which container that is."""
    networks.create("shop")
    networks.create("empty")
    member = join(networks, "shop", name="redis")

    with pytest.raises(Conflict, match="redis"):
        networks.remove("shop")
    assert [record.name for record in networks.prune()] == ["empty"]

    member.close()
    assert [record.name for record in networks.prune()] == ["shop"]


def test_a_subnet_of_the_host_is_not_given(networks: Networks) -> None:
    """A subnet that the host has a route to is refused, with the link that has it."""
    add_wire(networks.site.host, "wire0", address="10.50.0.1/16")

    with pytest.raises(Conflict, match="wire0"):
        networks.create("shop", NetworkOptions(subnets=["10.50.7.0/24"]))


def test_networks_of_two_roots_are_apart(networks: Networks, tmp_path: Path) -> None:
    """A second root on the same host gets another subnet for its default network, though both were free."""
    (tmp_path / "other").mkdir()
    other = Networks(str(tmp_path / "other"), networks.site.host)
    assert networks.get("bridge").subnets == other.get("bridge").subnets

    with join(networks, "bridge") as first, join(other, "bridge") as second:
        assert first.endpoints[0].ipv4 != second.endpoints[0].ipv4
        assert networks.get("bridge").subnets != other.get("bridge").subnets
        assert {networks.get("bridge").link, other.get("bridge").link} <= set(links(networks.site.host))


def test_subnets_that_were_given_are_not_changed(networks: Networks) -> None:
    """When the host has taken one meanwhile, the first container is told by what."""
    networks.create("shop", NetworkOptions(subnets=["10.51.0.0/24"]))
    add_wire(networks.site.host, "wire0", address="10.51.0.9/16")

    with pytest.raises(Conflict, match="wire0"):
        join(networks, "shop")


def test_sweeping_takes_off_who_is_not_alive(networks: Networks) -> None:
    """After a crash the endpoints of the dead are gone, and soon their networks; others stay."""
    networks.create("shop")
    networks.create("other")
    dead, alive = join(networks, "shop"), join(networks, "other")
    dead.let_go()

    networks.sweep({alive.owner})

    assert networks.endpoints("shop") == []
    while networks.get("shop").link in links(networks.site.host):
        time.sleep(0.02)
    assert [one.owner for one in networks.endpoints("other")] == [alive.owner]
    assert networks.get("other").link in links(networks.site.host)
    alive.close()


def test_a_definition_that_was_cut_off_is_none(networks: Networks) -> None:
    """A network without its name was never finished: it is not listed, and is swept away in time."""
    record = networks.create("shop")
    os.unlink(f"{networks.site.root}/network-names/shop")
    directory = networks.site.directory(record.id)

    assert "shop" not in [one.name for one in networks.list()]
    networks.sweep(())
    assert os.path.exists(directory)  # somebody may be making it
    os.utime(directory, (0, 0))
    networks.sweep(())
    assert not os.path.exists(directory)
