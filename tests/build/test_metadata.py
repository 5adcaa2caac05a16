"""Instructions that change only the configuration, as pure steps from one state to the next."""

from __future__ import annotations

import pytest

from container_kit.build.arguments import argument_values
from container_kit.build.dockerfile import ArgDecl, DockerfileError, evaluate, parse
from container_kit.build.metadata import apply, declare, set_working_dir
from container_kit.build.state import State
from container_kit.oci import Healthcheck, Platform

START = State.scratch(Platform("linux", "amd64"), 0)


def after(text: str, state: State = START, **build_args: str) -> State:
    """The state after the instructions of *text*, without RUN and copies."""
    for instruction in parse(f"FROM scratch\n{text}").stages[0].instructions:
        if isinstance(instruction, ArgDecl):
            values = argument_values(instruction, state.env, build_args, {"GLOBAL": "g"}, "\\")
            state = declare(state, instruction, values)
        else:
            state = apply(state, evaluate(instruction, state.env))
    return state


def test_env_sees_what_was_before_its_line() -> None:
    """All pairs of one ENV see the same environment; the next line sees the new one."""
    state = after("ENV a=1\nENV a=2 b=$a\nENV c=$a$b\nENV a=3")

    assert state.config.env[1:] == ("a=3", "b=1", "c=21")


def test_arguments_are_seen_and_not_kept() -> None:
    """ARG is in the steps' environment and in the history, not in the image."""
    state = after("ARG A=1\nARG B\nARG GLOBAL\nARG D=$A-$GLOBAL", A="2")

    assert {name: state.env.get(name) for name in ("A", "B", "GLOBAL", "D")} == {
        "A": "2", "B": None, "GLOBAL": "g", "D": "2-g",
    }  # fmt: skip
    assert [step.created_by for step in state.history] == ["ARG A=2", "ARG B", "ARG GLOBAL=g", "ARG D=2-g"]
    assert len(state.config.env) == 1


def test_the_later_of_env_and_arg_wins() -> None:
    """What steps see of one name is what was said last."""
    assert after("ARG A=1\nENV A=2").env["A"] == "2"
    assert after("ENV A=1\nARG A=2").env["A"] == "2"


def test_entrypoint_sets_the_command_of_the_base_aside_but_not_its_own() -> None:
    """CMD of the base was made for another ENTRYPOINT."""
    base = after('CMD ["old"]').inherited()

    assert after('ENTRYPOINT ["e"]', base).config.cmd == ()
    assert after('CMD ["new"]\nENTRYPOINT ["e"]', base).config.cmd == ("new",)


@pytest.mark.parametrize(
    ("base", "path", "result"),
    [
        ("/", "a", "/a"),
        ("/a", "b/c", "/a/b/c"),
        ("/a", "/b", "/b"),
        ("/a", "..", "/"),
        ("/a/b", "../../..", "/"),
        ("", ".", "/"),
    ],
)
def test_working_directories_are_joined_within_the_root(base: str, path: str, result: str) -> None:
    """A relative WORKDIR continues the one before, and no number of dots leads out."""
    assert set_working_dir(set_working_dir(START, base or "/"), path).config.working_dir == result


@pytest.mark.parametrize(
    ("words", "ports"),
    [
        ("80", ["80/tcp"]),
        ("53/udp 53", ["53/tcp", "53/udp"]),
        ("8000-8002", ["8000/tcp", "8001/tcp", "8002/tcp"]),
        ("1/SCTP", ["1/sctp"]),
    ],
)
def test_ports(words: str, ports: list[str]) -> None:
    """Ranges are spread, TCP is meant where nothing is said."""
    assert list(after(f"EXPOSE {words}").config.exposed_ports) == ports


@pytest.mark.parametrize("words", ["0", "70000", "x", "5-2", "80/icmp", "-1"])
def test_what_is_no_port(words: str) -> None:
    """A port that cannot be is refused."""
    with pytest.raises(DockerfileError):
        after(f"EXPOSE {words}")


def test_health_checks() -> None:
    """Times become nanoseconds; NONE switches a check off."""
    state = after("HEALTHCHECK --interval=5s --timeout=100ms --retries=2 CMD true")

    assert state.config.healthcheck == Healthcheck(("CMD-SHELL", "true"), 5 * 10**9, 10**8, 0, 0, 2)
    assert after("HEALTHCHECK NONE", state).config.healthcheck == Healthcheck(("NONE",))


def test_labels_that_steer_this_library_are_refused() -> None:
    """An image cannot give itself our own marks."""
    with pytest.raises(DockerfileError, match="steers"):
        after("LABEL io.container-kit.x=y")


def test_shells_and_triggers_and_authors() -> None:
    """SHELL changes later shell forms; ONBUILD waits; MAINTAINER is the author."""
    state = after('SHELL ["/bin/bash", "-c"]\nCMD a b\nONBUILD RUN x\nMAINTAINER me\nSTOPSIGNAL 9\nUSER a:b')

    assert state.config.cmd == ("/bin/bash", "-c", "a b") and state.config.on_build == ("RUN x",)
    assert (state.author, state.config.stop_signal, state.config.user) == ("me", "9", "a:b")
    assert state.inherited().config.on_build == ()
