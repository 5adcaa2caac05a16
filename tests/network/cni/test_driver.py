"""The driver ``cni``: plugins are run as the specification says, and told of every end."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from container_kit.errors import Conflict, InvalidInput, NotFound, StartFailed, UnsupportedFeature
from container_kit.network import EndpointRequest, NetworkOptions, Networks, NetworkSandbox, PortRequest
from tests.network.inside import addresses, default_gateways, join, links, new_owner, run_in

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("own_network")]

# A plugin that writes down how it was run, and answers what the test has laid beside it.
RECORDER = """#!/usr/bin/python3
import json, os, sys
folder, name = os.path.split(sys.argv[0])
call = {"plugin": name, "asked": json.load(sys.stdin), "environment": dict(os.environ)}
with open(folder + "/calls", "a") as calls:
    calls.write(json.dumps(call) + "\\n")
answer = folder + "/" + name + "." + os.environ["CNI_COMMAND"]
if os.path.exists(answer):
    text = open(answer).read()
    print(text)
    sys.exit('"code"' in text)
"""


class Recorder:
    """A directory with the plugins ``first`` and ``second``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("first", "second"):
            (folder / name).write_text(RECORDER)
            (folder / name).chmod(0o755)

    def answers(self, plugin: str, command: str, answer: Any) -> None:
        (self.folder / f"{plugin}.{command}").write_text(json.dumps(answer))

    def calls(self) -> list[dict[str, Any]]:
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def commands(self) -> list[tuple[str, str]]:
        return [(call["environment"]["CNI_COMMAND"], call["plugin"]) for call in self.calls()]

    def forget(self) -> None:
        (self.folder / "calls").unlink(missing_ok=True)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Networks]:
    """The networks of a root, in the namespace of the tests: plugins know no other."""
    (tmp_path / "root").mkdir()
    found = Networks(str(tmp_path / "root"))
    yield found
    found.close()


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "plugins")


def define(networks: Networks, recorder: Recorder, version: str = "1.0.0", **more: Any) -> None:
    """The network ``lan`` of the two recording plugins."""
    plugins = [{"type": "first", "ipam": {"type": "x"}}, {"type": "second", "capabilities": {"mac": True}}]
    path = recorder.folder / "lan.conflist"
    path.write_text(json.dumps({"cniVersion": version, "name": "lan0", "plugins": plugins, **more}))
    options = {"conflist": str(path), "plugins": str(recorder.folder)}
    networks.create("lan", NetworkOptions(driver="cni", options=options))


def kept(networks: Networks) -> list[str]:
    folder = Path(networks.site.directory(networks.get("lan").id), "cni")
    return os.listdir(folder) if folder.exists() else []


def test_plugins_are_added_forwards_and_deleted_backwards(here: Networks, recorder: Recorder) -> None:
    """Each gets the result so far, and what the interface promises; the environment is no other."""
    define(here, recorder)
    recorder.answers("first", "ADD", {"cniVersion": "1.0.0", "ips": [{"address": "10.1.2.3/24"}]})
    wish = EndpointRequest(network="lan", ipv4="10.1.2.3", mac="02:42:00:00:00:07")
    with join(here, wish) as member:
        owner = member.owner
        assert member.endpoints[0].ipv4 == "10.1.2.3/24"
        assert kept(here) == [owner]
    adds, deletes = recorder.calls()[:2], recorder.calls()[2:]

    assert recorder.commands() == [("ADD", "first"), ("ADD", "second"), ("DEL", "second"), ("DEL", "first")]
    assert "prevResult" not in adds[0]["asked"]
    for call in (adds[1], *deletes):
        assert call["asked"]["prevResult"]["ips"] == [{"address": "10.1.2.3/24"}]
    assert adds[1]["asked"]["runtimeConfig"] == {"mac": "02:42:00:00:00:07"}
    given = adds[0]["environment"]
    assert given["CNI_CONTAINERID"] == owner and given["CNI_IFNAME"] == "eth0"
    assert given["CNI_NETNS"].startswith("/proc/") and given["CNI_PATH"] == str(recorder.folder)
    assert given["CNI_ARGS"] == "IgnoreUnknown=1;IP=10.1.2.3;MAC=02:42:00:00:00:07"
    assert not [key for key in given if not key.startswith("CNI_") and key not in ("PATH", "LC_CTYPE")]
    assert deletes[0]["environment"]["CNI_NETNS"] == given["CNI_NETNS"]
    assert not kept(here)


def test_ports_are_published_by_a_plugin_that_says_it_does(here: Networks, recorder: Recorder) -> None:
    """They are chosen and held by us; without such a plugin they are refused."""
    define(here, recorder)
    names = {
        "names": ["web"],
        "announce": lambda undo: None,
        "ports": [PortRequest(8000, host_ip="127.0.0.1")],
    }
    wish = [EndpointRequest(network="lan")]
    with pytest.raises(InvalidInput, match="CNI plugins that can"):
        NetworkSandbox.open(here, new_owner(), wish, **names)
    path = recorder.folder / "lan.conflist"
    path.write_text(path.read_text().replace('"mac"', '"portMappings"'))

    with NetworkSandbox.open(here, new_owner(), wish, **names) as member:
        (port,) = member.ports
        mapping = {
            "hostPort": port.host_port,
            "containerPort": 8000,
            "protocol": "tcp",
            "hostIP": "127.0.0.1",
        }
        assert recorder.calls()[1]["asked"]["runtimeConfig"] == {"portMappings": [mapping]}
        assert "runtimeConfig" not in recorder.calls()[0]["asked"]
    assert recorder.commands()[2] == ("DEL", "second")
    assert recorder.calls()[2]["asked"]["runtimeConfig"] == {"portMappings": [mapping]}


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"code": 7, "msg": "no such bridge", "details": "br7"}, InvalidInput, "no such bridge: br7"),
        ({"code": 2, "msg": "mtu"}, UnsupportedFeature, "mtu"),
        ({"code": 11, "msg": "busy"}, Conflict, "try again later"),
        ({"code": 100, "msg": "out of addresses"}, StartFailed, "out of addresses"),
    ],
)
def test_a_plugin_that_fails_is_quoted(
    here: Networks, recorder: Recorder, answer: dict[str, Any], kind: type[Exception], words: str
) -> None:
    """By an error that says what the caller can do; what the plugins before it did is undone."""
    define(here, recorder)
    recorder.answers("second", "ADD", answer)
    with pytest.raises(kind, match=words) as caught:
        join(here, "lan")

    assert "'second'" in str(caught.value) and "'lan0'" in str(caught.value)
    assert recorder.commands()[2:] == [("DEL", "second"), ("DEL", "first")]
    assert not kept(here) and not here.endpoints("lan")


def test_all_plugins_are_told_of_the_end_although_one_fails(here: Networks, recorder: Recorder) -> None:
    """And once more when the next container comes, until it works."""
    define(here, recorder)
    recorder.answers("second", "DEL", {"code": 100, "msg": "cannot"})
    with join(here, "lan") as member:
        owner = member.owner
    assert recorder.commands()[2:] == [("DEL", "second"), ("DEL", "first")]
    assert kept(here) == [owner]

    (recorder.folder / "second.DEL").unlink()
    recorder.forget()
    here.sweep([])
    assert recorder.commands() == [("DEL", "second"), ("DEL", "first")]
    assert not kept(here)


def test_what_was_changed_since_is_undone_as_it_was_made(here: Networks, recorder: Recorder) -> None:
    """The configuration at the time of ADD counts for DEL and CHECK."""
    define(here, recorder)
    with join(here, "lan"):
        path = recorder.folder / "lan.conflist"
        path.write_text(path.read_text().replace('"type": "x"', '"type": "y"'))
    assert [call["asked"]["ipam"]["type"] for call in recorder.calls() if call["plugin"] == "first"] == [
        "x",
        "x",
    ]


def test_containers_that_nobody_could_take_off_are_collected(here: Networks, recorder: Recorder) -> None:
    """Whoever held them was killed, and a guardian runs no plugins: the next container's start does it.

    With version 1.1.0 plugins hear besides who is left.
    """
    define(here, recorder, version="1.1.0")
    lost, alive = join(here, "lan"), join(here, "lan")
    os.unlink(here.site.endpoint_file(here.get("lan").id, lost.owner))
    recorder.forget()
    with join(here, "lan"):
        commands = recorder.commands()
        assert commands[:4] == [("DEL", "second"), ("DEL", "first"), ("GC", "first"), ("GC", "second")]
        valid = recorder.calls()[2]["asked"]["cni.dev/valid-attachments"]
        assert valid == [{"containerID": alive.owner, "ifname": "eth0"}]
        assert recorder.calls()[0]["environment"]["CNI_CONTAINERID"] == lost.owner
        assert "CNI_NETNS" not in recorder.calls()[0]["environment"]
    for member in (lost, alive):
        member.close()


def test_plugins_are_asked_whether_all_is_well(here: Networks, recorder: Recorder) -> None:
    """With the result of ADD; what they complain of is told."""
    define(here, recorder)
    with join(here, "lan") as member:
        member.check()
        assert recorder.commands()[2:] == [("CHECK", "first"), ("CHECK", "second")]
        recorder.answers("second", "CHECK", {"code": 100, "msg": "the rule is gone"})
        with pytest.raises(StartFailed, match="the rule is gone"):
            member.check()


def test_checks_that_are_switched_off_are_left_out(here: Networks, recorder: Recorder) -> None:
    """The configuration may say that its plugins cannot do it."""
    define(here, recorder, disableCheck=True)
    with join(here, "lan") as member:
        member.check()
    assert "CHECK" not in dict(recorder.commands())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "conflist"),
        ({"options": {"conflist": "/no/such"}}, "/no/such"),
        ({"options": {"name": "nobody"}}, "nobody"),
        ({"options": {"parent": "eth0"}}, "parent"),
        ({"subnets": ["10.1.0.0/16"]}, "stand in its configuration"),
        ({"internal": True}, "for its plugins to say"),
    ],
)
def test_what_cannot_be_is_told_when_it_is_asked_for(
    here: Networks, options: dict[str, Any], words: str
) -> None:
    """Before any container needs it."""
    with pytest.raises((InvalidInput, NotFound, UnsupportedFeature), match=words):
        here.create("lan", NetworkOptions(driver="cni", **options))


def test_a_plugin_that_is_not_installed_is_told_with_where_to_put_it(
    here: Networks, recorder: Recorder
) -> None:
    """By its name."""
    (recorder.folder / "second").unlink()
    with pytest.raises(NotFound, match=f"'second'.*{recorder.folder}"):
        define(here, recorder)


@pytest.mark.skipif(not os.path.exists("/usr/lib/cni/bridge"), reason="needs containernetworking-plugins")
def test_containers_reach_each_other_by_the_plugins_of_the_distribution(
    here: Networks, tmp_path: Path
) -> None:
    """A bridge with addresses from host-local: static ones too, all given back, checked by the plugins."""
    ranges = {"type": "host-local", "subnet": "10.75.0.0/24", "dataDir": str(tmp_path / "ipam")}
    bridge = {"type": "bridge", "bridge": "cni-test", "isGateway": True, "ipam": ranges}
    plugins = [bridge, {"type": "tuning", "mtu": 1400}]
    path = tmp_path / "lan.conflist"
    path.write_text(json.dumps({"cniVersion": "1.0.0", "name": "lan", "plugins": plugins}))
    here.create("lan", NetworkOptions(driver="cni", options={"conflist": str(path)}))
    try:
        with join(here, "lan") as one, join(here, EndpointRequest(network="lan", ipv4="10.75.0.77")) as two:
            assert addresses(one.namespace, "eth0") == [one.endpoints[0].ipv4] == ["10.75.0.2/24"]
            assert addresses(two.namespace, "eth0") == ["10.75.0.77/24"]
            assert links(one.namespace)["eth0"]["mtu"] == 1400
            assert one.endpoints[0].mac == links(one.namespace)["eth0"]["address"]
            assert one.endpoints[0].link in links(here.site.host)
            run_in(one.namespace, "busybox", "ping", "-c", "1", "-W", "5", "10.75.0.77")
            one.check()
            run_in(one.namespace, "ip", "address", "del", "10.75.0.2/24", "dev", "eth0")
            with pytest.raises(StartFailed, match="CHECK"):
                one.check()
        assert sorted(os.listdir(tmp_path / "ipam" / "lan")) == ["last_reserved_ip.0", "lock"]
        assert default_gateways(here.site.host) == []
    finally:
        if "cni-test" in [name for _, name in socket.if_nameindex()]:
            run_in(here.site.host, "ip", "link", "del", "cni-test")
