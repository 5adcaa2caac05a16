"""S12: what an image says about running it is data, and is checked before anything acts on it."""

import json
import posixpath
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import InvalidInput, LimitExceeded
from container_kit.images.defaults import RESERVED_LABEL_PREFIXES, run_defaults, stop_signal_number
from container_kit.oci import ContainerConfig, ImageConfig

HOSTILE = [
    "", "/", "..", "/../../etc", "/proc/self/fd/7", "/proc/../proc/sys", "a\nb", "\x1b[2J", "$(id)", "`id`",
    "/host/../../../root/.ssh", "x" * 5000, "%s%n", "-1", "4294967296", "/dev/null", "NAME", "=", "A=b\nC=d",
]  # fmt: skip
texts = st.one_of(st.sampled_from(HOSTILE), st.text(string.printable, max_size=40))


def image(**settings: Any) -> ImageConfig:
    return ImageConfig.build([], ContainerConfig.from_json(settings, "config"))


def test_ordinary_settings_come_through() -> None:
    """What a well-made image says is what a container of it gets."""
    defaults = run_defaults(
        image(
            User="app:staff", Env=["PATH=/bin", "A=1"], Entrypoint=["/init"], Cmd=["run"],
            WorkingDir="srv/./app", Volumes={"/data": {}},
            Labels={"org.example": "x"}, StopSignal="SIGINT", ExposedPorts={"80": {}},
            Healthcheck={"Test": ["CMD", "true"], "Interval": 10**9},
        )
    )  # fmt: skip
    assert defaults.entrypoint + defaults.cmd == ("/init", "run")
    assert defaults.env == ("PATH=/bin", "A=1") and defaults.user == "app:staff"
    assert defaults.working_dir == "/srv/app" and defaults.volumes == ("/data",)
    assert defaults.stop_signal == 2 and defaults.exposed_ports == ("80/tcp",)
    assert defaults.healthcheck is not None and dict(defaults.labels) == {"org.example": "x"}


def test_an_image_that_says_nothing_has_the_usual_defaults() -> None:
    """Root, the root directory, SIGTERM, no health check."""
    defaults = run_defaults(image())
    assert (defaults.user, defaults.working_dir, defaults.stop_signal) == ("", "/", 15)
    assert defaults.healthcheck is None and defaults.env == ()


@pytest.mark.parametrize("prefix", RESERVED_LABEL_PREFIXES)
def test_control_labels_of_an_image_are_dropped(prefix: str) -> None:
    """Labels that steer this library come from callers only, in whatever case they are written."""
    labels = {f"{prefix}owner": "1", f"{prefix.upper()}restart": "always", "kept": "yes"}
    assert dict(run_defaults(image(Labels=labels)).labels) == {"kept": "yes"}


@pytest.mark.parametrize(
    "path", ["/", "/proc", "/proc/sys", "/sys/../sys", "relative", "", "/dev/shm/../pts", "//"]
)
def test_volumes_over_what_the_runtime_mounts_are_refused(path: str) -> None:
    """A volume at the root, or over /proc, /sys or /dev, is refused by name."""
    with pytest.raises(InvalidInput, match="volume"):
        run_defaults(image(Volumes={path: {}}))


@pytest.mark.parametrize("path", ["../../etc", "/../..", "/a/../../b", "//double//", "/proc/self/fd/7"])
def test_paths_end_inside(path: str) -> None:
    """A working directory is absolute and has no dot-dot left."""
    working_dir = run_defaults(image(WorkingDir=path)).working_dir
    assert working_dir.startswith("/") and not working_dir.startswith("//")
    assert ".." not in working_dir.split("/")


@pytest.mark.parametrize("entry", ["", "=value", "A B=c", "A\nB=c"])
def test_environment_entries_are_name_and_value(entry: str) -> None:
    """An entry that a program could read in two ways is refused."""
    with pytest.raises(InvalidInput, match="Env"):
        run_defaults(image(Env=[entry]))


def test_a_name_that_comes_twice_has_its_last_value() -> None:
    """Programs would take either value, so only one reaches them; a name without a value sets nothing."""
    assert run_defaults(image(Env=["A=1", "B=2", "A=3", "C"])).env == ("A=3", "B=2")


def test_ports_come_alone_or_as_a_range() -> None:
    """Both forms that builders write are taken, and nothing that is no port."""
    ports = run_defaults(image(ExposedPorts={"80": {}, "53/udp": {}, "8000-8010/tcp": {}})).exposed_ports
    assert ports == ("80/tcp", "53/udp", "8000-8010/tcp")
    for text in ("0", "65536/tcp", "80-/tcp", "-80", "80/icmp", "x"):
        with pytest.raises(InvalidInput, match="ExposedPorts"):
            run_defaults(image(ExposedPorts={text: {}}))


def test_what_execve_would_refuse_is_refused_before() -> None:
    """Strings beyond the kernel's limit, and too many bytes in all, are an error of ours."""
    with pytest.raises(LimitExceeded):
        run_defaults(image(Env=["A=" + "x" * 140_000]))
    with pytest.raises(LimitExceeded):
        run_defaults(image(Cmd=["x" * 100_000] * 11))
    with pytest.raises(LimitExceeded):
        run_defaults(image(Labels={str(number): "" for number in range(1001)}))


@pytest.mark.parametrize(
    ("text", "number"), [("", 15), ("SIGTERM", 15), ("term", 15), ("9", 9), ("SIGRTMIN+3", 37), ("rtmin", 34)]
)
def test_stop_signals_by_name_and_number(text: str, number: int) -> None:
    """Signals are read as docker reads them."""
    assert stop_signal_number(text) == number


@pytest.mark.parametrize(
    "text", ["0", "65", "-1", "SIGNOPE", "SIGRTMIN+40", "15 ", "SIG_DFL", "999999", "TERM+1"]
)
def test_what_is_no_signal_is_refused(text: str) -> None:
    """No other string becomes a number for kill(2)."""
    with pytest.raises(InvalidInput, match="StopSignal"):
        stop_signal_number(text)


@pytest.mark.parametrize(
    "check",
    [
        {"Test": ["RUN", "x"]},
        {"Test": ["CMD"]},
        {"Test": ["CMD", "x"], "Interval": 5},
        {"Test": ["CMD", "x"], "Timeout": 10**18},
    ],
)
def test_health_checks_outside_of_their_ranges_are_refused(check: dict[str, Any]) -> None:
    """An unknown form, or a time that would spin or overflow, is refused."""
    with pytest.raises(InvalidInput, match="Healthcheck"):
        run_defaults(image(Healthcheck=check))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "User": texts, "WorkingDir": texts, "StopSignal": texts,
            "Env": st.lists(texts, max_size=3), "Cmd": st.lists(texts, max_size=3),
            "Volumes": st.dictionaries(texts, st.just({}), max_size=3),
            "Labels": st.dictionaries(texts, texts, max_size=3),
            "ExposedPorts": st.dictionaries(texts, st.just({}), max_size=3),
            "Entrypoint": st.one_of(texts, st.lists(texts, max_size=2)),
            "Healthcheck": st.fixed_dictionaries({"Test": st.lists(texts), "Retries": st.integers()}),
        },
    )
)  # fmt: skip
def test_any_metadata_is_refused_or_safe(settings: dict[str, Any]) -> None:
    """Whatever an image says, the result is a typed error or values that stay inside the container."""
    document = {"os": "linux", "architecture": "amd64", "config": settings, "rootfs": {"diff_ids": []}}
    try:
        defaults = run_defaults(ImageConfig.parse(json.dumps(document).encode()))
    except (InvalidInput, LimitExceeded):
        return
    for path in (defaults.working_dir, *defaults.volumes):
        assert path == posixpath.normpath(path) and path.startswith("/") and not path.startswith("//")
    assert all("=" in entry and "\0" not in entry for entry in defaults.env)
    assert not any(key.lower().startswith(RESERVED_LABEL_PREFIXES) for key in defaults.labels)
    assert 1 <= defaults.stop_signal <= 64
    assert not any(character.isspace() for character in defaults.user)
