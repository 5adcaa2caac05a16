"""What may be asked of a container is checked before anything is done."""

from __future__ import annotations

import os
import typing
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.containers.checking import as_timeout, check_limits
from container_kit.containers.exec_options import ExecOptions
from container_kit.containers.mounts import Mount
from container_kit.containers.option_arguments import OptionArguments
from container_kit.containers.options import (
    ContainerOptions,
    as_command,
    signal_number,
)
from container_kit.containers.volume_mounts import spec_mounts
from container_kit.errors import InvalidInput
from container_kit.runtime.limits import Limits
from container_kit.runtime.mount_steps import RDONLY, parse_options

BAD = [
    {"name": "-dash"},
    {"name": "a/b"},
    {"name": "0" * 64},
    {"env": {"": "x"}},
    {"env": ["NOVALUE"]},
    {"env": {"A": "b\0c"}},
    {"env": {"A": None}},
    {"limits": {"memory": "64m"}},
    {"working_dir": "relative"},
    {"oom_score_adj": 1001},
    {"stop_signal": "NOSUCH"},
    {"auto_remove": True, "restart": "always"},
    {"seccomp": "file.json"},
    {"network": "two words"},
    {"network": "container:"},
    {"network": "none", "ports": {80: 0}},
    {"network": "host", "aliases": ["db"]},
    {"network": ["shop", "host"]},
    {"network": ["shop", "shop"]},
    {"networks": {"shop": {"colour": "red"}}},
    {"network": 5},
    {"ports": {"80/gre": 0}},
    {"ports": {0: 0}},
    {"ports": ["80:a"]},
    {"ports": ["8000-8001:80"]},
    {"ports": ["1.2.3:80:80"]},
    {"ip": "10.0.0"},
    {"ip6": "10.0.0.1"},
    {"mac": "02:42"},
    {"dns": ["one"]},
    {"extra_hosts": ["db"]},
    {"extra_hosts": {"two words": "10.0.0.1"}},
    {"shaping": 3},
    {"pid": "none"},
    {"hostname": "box", "uts": "host"},
    {"labels": {"container-kit.owner": "me"}},
    {"rlimits": {"nofile": (10, 5)}},
    {"restart": "sometimes"},
    {"mounts": ["./relative:/x"]},
    {"mounts": ["/x:"]},
    {"mounts": ["/x:/"]},
    {"sysctls": ["net.x"]},
]


@pytest.mark.parametrize("wish", BAD, ids=lambda wish: "-".join(wish))
def test_a_wish_that_cannot_be_granted_is_refused_and_named(wish: dict[str, typing.Any]) -> None:
    """Each impossible option raises InvalidInput before anything is touched."""
    with pytest.raises(InvalidInput):
        ContainerOptions(**wish)


def test_equal_wishes_are_equal_values() -> None:
    """The form in which a wish is written does not matter: mapping, words or another order."""
    mapping = ContainerOptions(env={"B": "2", "A": "1"}, cap_add=["net_raw"], tmpfs={"/run": "size=1m"})
    words = ContainerOptions(env=["A=1", "B=2"], cap_add="CAP_NET_RAW", tmpfs=["/run:size=1m"])
    assert mapping == words and hash(mapping) == hash(words)


def test_every_keyword_is_an_option_and_the_other_way_round() -> None:
    """The keywords that type checkers know are exactly the fields that are checked, and the image's two."""
    fields = {field.name for field in attrs.fields(ContainerOptions)}
    assert fields | {"pull", "platform"} == set(OptionArguments.__annotations__)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("enviroment", "did you mean 'env'"),
        ("nmae", "did you mean 'name'"),
        ("timeout_s", "did you mean 'timeout'"),
        ("volumes", "did you mean 'mounts'"),
        ("cwd", "did you mean 'working_dir'"),
        ("publish", "'ports'"),
        ("zzz", "ContainerOptions"),
    ],
)
def test_an_option_that_there_is_not_is_told_with_the_nearest(name: str, remedy: str) -> None:
    """A misspelt keyword, or one of docker's or subprocess's, is a TypeError that says what to write."""
    with pytest.raises(TypeError, match=f"no option '{name}' of ck.run.*{remedy}"):
        ContainerOptions.of({name: 1}, "ck.run", ["timeout"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Limits(mem="1g"), "'mem' of Limits: did you mean 'memory'"),
        (lambda: Limits(cpu_quota=1), "did you mean 'cpu_quota_us'"),
        (lambda: ExecOptions.of({"usr": "x"}, "exec", ()), "'usr' of exec: did you mean 'user'"),
        (lambda: ExecOptions.of({"cwd": "/"}, "exec", ()), "did you mean 'working_dir'"),
        (lambda: as_timeout("1"), "a number of seconds, such as 1.5"),
        (lambda: as_timeout(0), "more than 0 seconds"),
        (lambda: as_timeout(float("nan")), "a number of seconds"),
        (lambda: as_timeout(-1, least=0), "0 or more"),
        (lambda: check_limits(Limits(cpus=100_000)), f"from 0.01 to {os.cpu_count()}"),
    ],
)
def test_an_argument_that_cannot_be_meant_says_what_can(make: Callable[[], object], words: str) -> None:
    """A typed error with what is expected, or with the word that was probably meant."""
    with pytest.raises(InvalidInput, match=words):
        make()


def test_a_negative_stop_waits_for_ever() -> None:
    """Where it has a meaning, a negative timeout is none to refuse; None is none at all."""
    assert (as_timeout(-1, least=None), as_timeout(None), as_timeout(2)) == (-1.0, None, 2.0)


def test_one_string_is_a_list_of_one() -> None:
    """A str where a list may be given is never taken for its letters."""
    alone = ContainerOptions(env="A=b", mounts="/a:/b", tmpfs="/run:size=1m", labels="x=y", group_add="5")
    assert alone == ContainerOptions(
        env=["A=b"], mounts=["/a:/b"], tmpfs=["/run:size=1m"], labels=["x=y"], group_add=["5"]
    )


def test_a_word_of_a_command_may_be_a_path() -> None:
    """As with subprocess, a Path stands for its text; other things are refused."""
    assert as_command([Path("/bin/ls"), "/"]) == ("/bin/ls", "/")
    with pytest.raises(InvalidInput, match="0 is not text"):
        as_command(["sleep", 0])  # type: ignore[list-item]


def test_a_string_command_is_split_as_a_shell_would_but_runs_none() -> None:
    """Quotes group words; nothing is expanded."""
    assert as_command("sh -c 'echo $HOME; ls *'") == ("sh", "-c", "echo $HOME; ls *")
    with pytest.raises(InvalidInput):
        as_command("sh -c 'open")


@pytest.mark.parametrize("name", ["TERM", "SIGTERM", "term", 15, "15"])
def test_signals_have_many_names(name: str | int) -> None:
    """A signal is given by name, with or without SIG, or by number."""
    assert signal_number(name) == 15


@pytest.mark.parametrize("name", ["0", "65", "RTMIN+31", "SIGNOPE", "", "-9"])
def test_what_is_no_signal_is_refused(name: str) -> None:
    """Numbers out of range and unknown names are errors, not signal 0."""
    with pytest.raises(InvalidInput):
        signal_number(name)


PATHS = st.from_regex(r"/[a-z]{1,8}(/[a-z]{1,8}){0,2}", fullmatch=True)


@given(source=PATHS, target=PATHS, read_only=st.booleans())
def test_a_bind_mount_is_written_as_docker_writes_it(source: str, target: str, read_only: bool) -> None:
    """SOURCE:TARGET[:ro] means the mount with these fields."""
    text = f"{source}:{target}{':ro' if read_only else ''}"
    assert Mount.parse(text) == Mount.bind(source, target, read_only=read_only)


def test_a_read_only_bind_holds_for_what_is_mounted_below_it() -> None:
    """File systems that the host has mounted below the source come along, and cannot be written either."""
    mounts = (Mount.bind("/srv", "/data", read_only=True),)
    (written,) = spec_mounts(mounts, ContainerOptions(), {})
    options = parse_options(written.options)

    assert options.recursive and options.recursive_attributes
    assert options.attributes == RDONLY
