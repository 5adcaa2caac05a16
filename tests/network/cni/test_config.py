"""Configuration lists: what is understood, what is refused, what each plugin is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from container_kit.errors import InvalidInput, NotFound, StartFailed, UnsupportedFeature
from container_kit.network.cni.config import ConfigList, read
from container_kit.network.cni.results import endpoint_of
from container_kit.network.endpoint import Endpoint

LIST: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "shop",
    "plugins": [
        {"type": "bridge", "bridge": "cni-shop", "ipam": {"type": "host-local"}},
        {"type": "tuning", "capabilities": {"mac": True, "ips": False}, "sysctl": {}},
    ],
}
ASKED = Endpoint(owner="1" * 64, network="2" * 64, interface="eth0")


def parse(**changes: Any) -> ConfigList:
    return ConfigList.parse(json.dumps(LIST | changes), "x.conflist")


def test_a_list_and_what_is_kept_of_it_are_the_same() -> None:
    """An attachment is undone with what it was made with, whatever the file says by then."""
    config = parse(disableCheck=True)

    assert ConfigList.parse(json.dumps(config.to_json()), "kept") == config
    assert config.disable_check and not config.disable_gc


def test_the_configuration_of_one_plugin_is_a_list_of_one() -> None:
    """As files ending in .conf have it."""
    text = json.dumps({"cniVersion": "0.4.0", "name": "one", "type": "ptp", "mtu": 1400})
    config = ConfigList.parse(text, "x.conf")

    assert (config.name, config.version, config.plugins) == ("one", "0.4.0", ({"type": "ptp", "mtu": 1400},))


def test_each_plugin_gets_the_facts_that_it_declares() -> None:
    """And name, version and the result so far; capabilities are not for it to read."""
    runtime = {"mac": "02:42:00:00:00:01", "ips": ["10.1.1.1"], "aliases": {}}
    first, second = (parse().asked_of(plugin, runtime, {"ips": []}) for plugin in parse().plugins)

    assert "runtimeConfig" not in first and first["bridge"] == "cni-shop"
    assert second["runtimeConfig"] == {"mac": "02:42:00:00:00:01"}
    assert "capabilities" not in second
    for asked in (first, second):
        assert (asked["name"], asked["cniVersion"], asked["prevResult"]) == ("shop", "1.0.0", {"ips": []})
    assert "prevResult" not in parse().asked_of(parse().plugins[0], {}, None)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "nonsense", "{}", json.dumps(LIST | {"plugins": []}), json.dumps(LIST | {"plugins": {}}),
        json.dumps(LIST | {"plugins": [{}]}), json.dumps(LIST | {"plugins": ["bridge"]}),
        json.dumps(LIST | {"plugins": [{"type": "../../bin/sh"}]}), json.dumps(LIST | {"name": "a/b"}),
        json.dumps(LIST | {"name": None}),
    ],
)  # fmt: skip
def test_what_is_no_configuration_is_refused(text: str) -> None:
    """With the file's name; the name of a plugin leads nowhere else."""
    with pytest.raises(InvalidInput, match=r"x\.conflist"):
        ConfigList.parse(text, "x.conflist")


@pytest.mark.parametrize(
    ("changes", "version"),
    [
        ({"cniVersion": "0.3.1"}, "0.3.1"),
        ({"cniVersion": "1.0.0", "cniVersions": ["1.1.0", "9.0.0"]}, "1.1.0"),
    ],
)  # fmt: skip
def test_the_highest_common_version_is_spoken(changes: dict[str, Any], version: str) -> None:
    """Of those that the configuration offers."""
    assert parse(**changes).version == version


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "2.0.0"])
def test_other_versions_are_refused(version: str) -> None:
    """With those that are known."""
    with pytest.raises(UnsupportedFeature, match=r"1\.0\.0"):
        parse(cniVersion=version)


def test_a_file_that_is_missing_is_told_with_what_to_do() -> None:
    """Nothing but its path is needed to see what is wrong."""
    with pytest.raises(NotFound, match="conflist"):
        read("/no/such.conflist")


def test_a_result_becomes_an_endpoint() -> None:
    """Of several interfaces the one inside counts, and its addresses alone."""
    result = {
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": "cni-shop", "mac": "00:00:00:00:00:01"},
            {"name": "veth1", "mac": "00:00:00:00:00:02"},
            {"name": "eth0", "mac": "0A:00:00:00:00:03", "sandbox": "/proc/1/fd/3"},
        ],
        "ips": [
            {"address": "192.0.2.1/24", "interface": 0},
            {"address": "10.1.2.3/24", "gateway": "10.1.2.1", "interface": 2},
            {"address": "fd00::3/64", "interface": 2},
        ],
    }
    endpoint = endpoint_of(result, ASKED)

    assert (endpoint.ipv4, endpoint.gateway4) == ("10.1.2.3/24", "10.1.2.1")
    assert (endpoint.ipv6, endpoint.gateway6) == ("fd00::3/64", "")
    assert (endpoint.mac, endpoint.link) == ("0a:00:00:00:00:03", "veth1")
    assert endpoint_of({}, ASKED) == ASKED


@pytest.mark.parametrize(
    "result",
    [
        {"ips": [{}]},
        {"ips": [{"address": "x"}]},
        {"ips": "x"},
        {"interfaces": [{"sandbox": "x"}]},
        {"ips": [1]},
    ],
)
def test_a_result_without_sense_is_an_error(result: dict[str, Any]) -> None:
    """Said to be the plugins'."""
    with pytest.raises(StartFailed, match="CNI plugins' result"):
        endpoint_of(result, ASKED)
