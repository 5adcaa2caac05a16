"""What docker's flags of run and create mean as options of a container."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from container_kit.cli.create_options import container_arguments, create_options
from container_kit.cli.create_parsing import (
    parse_env,
    parse_rlimits,
    read_env_file,
)
from container_kit.cli.mount_parsing import parse_mount, parse_volume
from container_kit.containers import HealthCheck, LogOptions, Mount
from container_kit.containers.options import ContainerOptions
from container_kit.errors import InvalidInput
from container_kit.runtime.limits import Limits

SLAVE = Mount(source="/a", target="/b", propagation="rslave", options=("noexec",))
PART = Mount.volume("data", "/b", subpath="x/y")
ALONE = Mount(source="/a", target="/b", recursive="disabled")
FAR = Mount(
    source="d", target="/b", type="volume", driver="far", driver_options={"size": "1m"}, labels={"a": "b"}
)


def options_of(*words: str) -> dict[str, Any]:
    """The arguments that a command line means."""
    found: dict[str, Any] = {}

    @click.command()
    @create_options
    def command(**flags: Any) -> None:
        found.update(container_arguments(flags))

    result = CliRunner().invoke(command, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return found


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {}),
        (["--name", "web", "-it"], {"name": "web", "stdin_open": True, "tty": True}),
        (["-e", "A=1", "-e", "B=", "-e", "A=2"], {"env": {"A": "2", "B": ""}}),
        (
            ["-m", "64m", "--cpus", "0.5", "--pids-limit", "32"],
            {"limits": Limits(memory="64m", cpus=0.5, pids=32)},
        ),
        (["--device-read-bps", "8:0:1m"], {"limits": Limits(device_read_bps={"8:0": "1m"})}),
        (["-v", "/a:/b:ro"], {"mounts": [Mount(source="/a", target="/b", read_only=True)]}),
        (["--mount", "type=tmpfs,target=/t,tmpfs-size=1m"], {"mounts": [Mount.tmpfs("/t", size="1m")]}),
        (["-v", "data:/b:ro,nocopy"], {"mounts": [Mount.volume("data", "/b", read_only=True, copy=False)]}),
        (["-v", "/b"], {"mounts": [Mount.volume("", "/b")]}),
        (
            ["--volume-driver", "far", "-v", "d:/b", "-v", "/a:/c"],
            {"mounts": [Mount(source="d", target="/b", type="volume", driver="far"), Mount.bind("/a", "/c")]},
        ),
        (["-v", "/a:/b:z,rslave,noexec"], {"mounts": [SLAVE]}),
        (["--mount", "src=data,dst=/b,volume-subpath=x/y"], {"mounts": [PART]}),
        (["--mount", "type=image,src=tools,dst=/b,readonly"], {"mounts": [Mount.image("tools", "/b")]}),
        (
            ["--mount", "type=volume,src=d,dst=/b,volume-driver=far,volume-opt=size=1m,volume-label=a=b"],
            {"mounts": [FAR]},
        ),
        (["--mount", "type=bind,src=/a,dst=/b,bind-recursive=disabled"], {"mounts": [ALONE]}),
        (["--privileged"], {"profile": "privileged"}),
        (["--profile", "sandbox"], {"profile": "sandbox"}),
        (["--entrypoint", ""], {"entrypoint": []}),
        (["--entrypoint", "/bin/x"], {"entrypoint": ["/bin/x"]}),
        (["-l", "a=b", "-l", "c"], {"labels": {"a": "b", "c": ""}}),
        (["--ulimit", "nofile=10:20"], {"rlimits": {"nofile": (10, 20)}}),
        (["--security-opt", "no-new-privileges"], {"no_new_privs": True}),
        (["--security-opt", "no-new-privileges:false"], {"no_new_privs": False}),
        (["--security-opt", "seccomp=unconfined"], {"seccomp": "unconfined"}),
        (["--net", "container:web"], {"network": "container:web"}),
        (
            ["--log-opt", "max-size=1m", "--log-opt", "max-file=2"],
            {"log": LogOptions(max_size=1 << 20, max_files=2)},
        ),
        (
            ["--health-cmd", "true", "--health-interval", "1m30s", "--health-retries", "2"],
            {"health": HealthCheck.shell("true", interval_s=90.0, retries=2)},
        ),
    ],
)
def test_flags_become_options(words: list[str], expected: dict[str, Any]) -> None:
    """Each of docker's flags has its field, and only what was given is passed on."""
    found = options_of(*words)

    assert found == {"network": "bridge", **expected}
    ContainerOptions(**found)


def test_flags_of_networks_become_options() -> None:
    """Docker's words for networks, ports and names, the long form of --network among them."""
    found = options_of(
        *("--network", "name=shop,alias=db,ip=10.1.2.3", "--network", "two", "--network-alias", "x"),
        *("-p", "8080:80", "-p", "53/udp", "-P", "--expose", "9", "--dns", "10.0.0.53"),
        *("--add-host", "old:10.0.0.9", "--add-host", "me:host-gateway"),
    )
    options = ContainerOptions(**found)

    assert options.network == "shop" and options.publish_all
    shop, two = options.networks
    assert (shop.aliases, shop.ipv4, two.network) == (("db", "x"), "10.1.2.3", "two")
    assert [(one.host_port, one.container_port, one.protocol) for one in options.ports] == [
        (8080, 80, "tcp"),
        (0, 53, "udp"),
        (0, 9, "tcp"),
    ]
    assert options.extra_hosts == (("old", "10.0.0.9"), ("me", "host-gateway"))


def test_ports_of_the_hosts_network_are_dropped() -> None:
    """As in docker: --network host and -p together are no error, and -p does nothing."""
    assert options_of("--network", "host", "-p", "80:80") == {"network": "host"}


@pytest.mark.parametrize(
    "words",
    [
        ["--mount", "type=bind,source=/a"],
        ["--mount", "type=bind,colour=red,target=/a"],
        ["--network", "none", "--network", "shop"],
        ["--network", "name=shop,colour=red"],
        ["-v", "na me:/a"],
        ["-v", "name:/a:sideways"],
        ["--mount", "type=tmpfs,target=/a,volume-nocopy"],
        ["--mount", "type=bind,source=/b,target=/a,volume-opt=size=1m"],
        ["--mount", "type=image,target=/a"],
        ["--mount", "target=/a,volume-subpath=../b"],
        ["--ulimit", "nofile"],
        ["--security-opt", "seccomp=/profile.json"],
        ["--device-read-bps", "fast"],
        ["--log-opt", "colour=red"],
        ["--health-interval", "1s"],
        ["-e", "=x"],
        ["--env-file", "/nowhere"],
        ["-m", "5m"],
    ],
)
def test_wrong_values_are_told(words: list[str]) -> None:
    """A value that cannot be read is an error that quotes it, not a container that lacks it."""
    with pytest.raises(InvalidInput):
        options_of(*words)


def test_bare_variable_takes_the_callers_value() -> None:
    """`-e NAME` passes on the caller's own value, and nothing when the caller has none."""
    assert parse_env(["A", "B", "C=1"], {"A": "x"}) == {"A": "x", "C": "1"}


def test_env_files_are_read_like_dockers(tmp_path: Any) -> None:
    """Empty lines and comments do not count; values are taken as they stand, quotes and all."""
    path = tmp_path / "env"
    path.write_text('# comment\n\nA=1\n  B="two words"\nC\n')

    assert read_env_file(str(path)) == ["A=1", 'B="two words"', "C"]


def test_env_file_name_with_white_space_is_refused(tmp_path: Any) -> None:
    """A name with white space is a mistake in the file."""
    path = tmp_path / "env"
    path.write_text("MY NAME=1\n")

    with pytest.raises(InvalidInput, match="MY NAME"):
        read_env_file(str(path))


def test_relative_volume_is_below_this_directory(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-v ./here:/there` means a directory beside the caller."""
    monkeypatch.chdir(tmp_path)

    assert parse_volume("./here:/there") == Mount(source=f"{tmp_path}/here", target="/there")


def test_mount_words_may_be_quoted() -> None:
    """A value with a comma is quoted as in CSV, as docker does."""
    assert parse_mount('type=bind,"source=/a,b",target=/c,readonly') == Mount(
        source="/a,b", target="/c", read_only=True
    )


def test_one_number_is_both_limits() -> None:
    """`--ulimit core=0` sets the soft and the hard limit."""
    assert parse_rlimits(["core=0", "nproc=-1"]) == {"core": (0, 0), "nproc": (-1, -1)}
