"""Image configurations: shape is checked, content is left alone."""

import json
from typing import Any

import pytest

from container_kit.errors import InvalidInput
from container_kit.oci import ContainerConfig, Digest, Healthcheck, History, ImageConfig, Platform

DIFF_IDS = (Digest.of(b"one"), Digest.of(b"two"))


def full_config() -> ImageConfig:
    return ImageConfig.build(
        DIFF_IDS,
        ContainerConfig(
            user="1000:users",
            env=("PATH=/bin", "EMPTY=", "LINES=a\nb"),
            entrypoint=("/entry",),
            cmd=("a", ""),
            working_dir="/work",
            exposed_ports=("80/tcp",),
            volumes=("/data",),
            labels={"k": "v"},
            stop_signal="SIGINT",
            healthcheck=Healthcheck(("CMD", "check"), 1, 2, 3, 4, 5),
            shell=("/bin/ash", "-c"),
            on_build=("RUN x",),
        ),
        Platform("linux", "arm64", "v8"),
        (History("2020-01-01T00:00:00Z", "step", "me", "why", True), History(created_by="é")),
        "2020-01-02T00:00:00Z",
        "me",
    )


def test_every_member_reads_back() -> None:
    """A configuration with all members set parses to the same value, and equal inputs give equal bytes."""
    config = full_config()

    assert ImageConfig.parse(config.raw) == config == full_config()
    assert config.digest == Digest.of(config.raw)
    assert config.config.command == ("/entry", "a", "")
    assert json.loads(config.raw)["config"]["ExposedPorts"] == {"80/tcp": {}}


def test_dockers_nulls_mean_absent() -> None:
    """Docker writes null for what is not set."""
    raw = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": None,
                "Cmd": ["sh"],
                "Volumes": None,
                "Labels": None,
                "Healthcheck": None,
            },
            "rootfs": {"type": "layers", "diff_ids": None},
            "history": None,
        }
    ).encode()

    assert ImageConfig.parse(raw).config == ContainerConfig(cmd=("sh",))


@pytest.mark.parametrize(
    ("config", "rootfs"),
    [
        ({"Env": "A=1"}, {}),
        ({"Env": [1]}, {}),
        ({"Env": ["A\0B"]}, {}),
        ({"Cmd": {"a": 1}}, {}),
        ({"User": 0}, {}),
        ({"user": "root"}, {}),
        ({"Labels": {"a": None}}, {}),
        ({"Volumes": ["/x"]}, {}),
        ({"Healthcheck": {"Interval": "1s"}}, {}),
        ({"Healthcheck": {"Interval": -1}}, {}),
        ({"StopSignal": ["TERM"]}, {}),
        ({}, {"type": "squashfs"}),
        ({}, {"diff_ids": ["sha256:1"]}),
        ({}, {"diff_ids": [1]}),
        ([], {}),
    ],
)
def test_wrong_types_are_refused(config: Any, rootfs: dict[str, Any]) -> None:
    """A member of the wrong type is an error that names it, not a surprise later."""
    if config == []:
        config = [1]
    raw = json.dumps({"os": "linux", "architecture": "amd64", "config": config, "rootfs": rootfs}).encode()

    with pytest.raises(InvalidInput):
        ImageConfig.parse(raw)
