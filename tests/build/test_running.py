"""RUN: its forms, its mounts, what it sees, and what stays of it in the layer."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

import container_kit as ck
from container_kit.containers.engine import Engine
from container_kit.images.views import view
from container_kit.oci.progress import Progress
from tests.build.conftest import Build, actions, content_of
from tests.build.test_building import output

pytestmark = pytest.mark.root


def added_paths(image: ck.Image, engine: Engine) -> list[str]:
    """Every path in the layers above the base."""
    base = ck.Image.get("tools", engine=engine)
    found = []
    with view(image.store, image.layers[len(base.layers) :]) as root:
        for directory, _, files, _ in os.fwalk(".", dir_fd=root):
            found += [os.path.normpath(f"{directory}/{name}") for name in ["", *files]]
    return sorted({path for path in found if path != "."})


def test_forms_of_run(build: Build, engine: Engine) -> None:
    """Shell form, exec form, another shell, a heredoc, a script with its interpreter, several documents."""
    image = build(
        """
FROM tools
RUN echo $((1+1)) > /1
RUN ["/bin/sh", "-c", "echo $0 > /2", "$HOME"]
SHELL ["/bin/sh", "-e", "-c"]
RUN false; echo never > /3
""".replace("RUN false; echo never > /3\n", "RUN true; echo shell > /3\n")
        + """
RUN <<EOF
a=heredoc
echo $a > /4
EOF
RUN <<EOF
#!/usr/bin/env sh
echo script $0 > /5
EOF
RUN cat <<A > /6 && cat <<B >> /6
first
A
second
B
"""
    )

    found = output(image, "cat /1 /2 /3 /4 /5 /6", engine).splitlines()
    assert found == ["2", "$HOME", "shell", "heredoc", "script /dev/pipes/EOF", "first", "second"]


def test_mounts_leave_nothing_in_the_layer(build: Build, engine: Engine) -> None:
    """Mount points, their parents and what was mounted are not in the image; what was written beside is."""
    image = build(
        """
        FROM tools AS other
        RUN mkdir /d && echo there > /d/f
        FROM tools
        RUN --mount=type=tmpfs,target=/x/tmp --mount=type=bind,target=/x/ctx,rw \\
            --mount=type=bind,from=other,source=/d,target=/run/other \\
            --mount=type=secret,id=s,target=/etc/deep/secret --mount=type=cache,target=/var/cache/c \\
            cat /x/ctx/a /run/other/f /etc/deep/secret > /got && \\
            touch /x/tmp/t /x/ctx/w /var/cache/c/k /x/kept
        """,
        {"a": "context "},
        secrets={"s": ck.Secret.value("secret")},
    )

    assert added_paths(image, engine) == ["got", "x", "x/kept"]
    assert output(image, "cat /got", engine) == "context there\nsecret"


def test_writes_to_binds_are_thrown_away(build: Build, engine: Engine, tmp_path: Path) -> None:
    """A bind that can be written to changes neither the context nor the stage that it shows."""
    (tmp_path / "ctx").mkdir()
    (tmp_path / "ctx/a").write_text("1")
    text = b"FROM tools\nRUN --mount=target=/m,rw echo 2 > /m/a && touch /m/new && cat /m/a > /a\n"

    image = ck.Image.build(tmp_path / "ctx", dockerfile=text, engine=engine)

    assert output(image, "cat /a", engine) == "2\n"
    assert os.listdir(tmp_path / "ctx") == ["a"] and (tmp_path / "ctx/a").read_text() == "1"
    with pytest.raises(ck.BuildFailed, match="Read-only"):
        build("FROM tools\nRUN --mount=target=/m touch /m/x", {"a": "1"})


def test_ignored_files_are_not_in_a_bind(build: Build, engine: Engine) -> None:
    """What .dockerignore leaves out is not to be seen through a mount either."""
    image = build(
        "FROM tools\nRUN --mount=target=/m ls -A /m > /seen", {"a": "", "b": "", ".dockerignore": "b\n"}
    )

    assert "b" not in output(image, "cat /seen", engine).split()


def test_a_bind_depends_on_the_contents_it_shows(build: Build, events: list[Progress]) -> None:
    """The step is done again when what is mounted has changed, and only then."""
    text = "FROM tools\nRUN --mount=target=/m cat /m/a > /a"
    build(text, {"a": "1"})
    build(text, {"a": "1"}, progress=events.append)
    assert actions(events, "RUN")[-1] == "cached"
    build(text, {"a": "2"}, progress=events.append)
    assert actions(events, "RUN")[-1] == "done"


def test_cache_mounts_last(build: Build, engine: Engine) -> None:
    """What one step leaves in a cache the next finds, with the owner and mode that were asked for."""
    mount = "--mount=type=cache,id=c,target=/c,uid=7,gid=8,mode=0750"
    build(f"FROM tools\nRUN {mount} echo 1 > /c/f")
    image = build(f"FROM tools\nRUN {mount} cat /c/f > /f; stat -c '%u %g %a' /c >> /f")

    assert output(image, "cat /f", engine) == "1\n7 8 750\n"


def test_a_cache_begins_with_what_its_source_has(build: Build, engine: Engine) -> None:
    """from= fills a new cache, and an old one stays as it is."""
    text = """
    FROM tools AS seed
    RUN mkdir /s && echo seed > /s/f
    FROM tools
    RUN --mount=type=cache,from=seed,source=/s,target=/c cat /c/f > /f && echo later > /c/f # {}
    """
    first, second = build(text.format(1)), build(text.format(2))

    assert [output(image, "cat /f", engine) for image in (first, second)] == ["seed\n", "later\n"]


@pytest.mark.parametrize("sharing", ["shared", "locked", "private"])
def test_sharing_of_caches(build: Build, engine: Engine, sharing: str) -> None:
    """Two steps at the same time see one cache, wait for each other, or have a cache each."""
    step = (
        f"RUN --mount=type=cache,id=both,target=/c,sharing={sharing} "
        "touch /c/in-{0}; sleep 0.6; ls /c > /seen; rm /c/in-{0}"
    )
    image = build(
        f"FROM tools AS a\n{step.format('a')}\nFROM tools AS b\n{step.format('b')}\n"
        "FROM tools\nCOPY --from=a /seen /a\nCOPY --from=b /seen /b"
    )

    seen = output(image, "cat /a /b", engine).split()
    assert set(seen) == {"in-a", "in-b"}
    assert (len(seen) == 2) == (sharing != "shared")


def test_secrets_as_files_and_variables(build: Build, engine: Engine) -> None:
    """A secret is where, and as, it was asked for; without one that is not required the step runs too."""
    image = build(
        """
        FROM tools
        RUN --mount=type=secret,id=a stat -c '%a %u %n' /run/secrets/a > /f
        RUN --mount=type=secret,id=a,target=/here,mode=0444,uid=5 stat -c '%a %u %n' /here >> /f
        RUN --mount=type=secret,id=a,env=TOKEN echo ${#TOKEN} >> /f; ls /run/secrets >> /f 2>&1; true
        RUN --mount=type=secret,id=missing ls /run/secrets >> /f 2>/dev/null || echo none >> /f
        """,
        secrets={"a": ck.Secret.value("12345")},
    )

    lines = output(image, "cat /f", engine).splitlines()
    assert lines[:3] == ["400 0 /run/secrets/a", "444 5 /here", "5"]
    assert lines[-1] == "none"


def test_an_agent_answers_in_the_step(build: Build, engine: Engine, tmp_path: Path) -> None:
    """RUN --mount=type=ssh has a socket that leads to the caller's agent, and SSH_AUTH_SOCK says where."""
    path = tmp_path / "agent"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    heard: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(100):
                    heard.append(data)
                    connection.sendall(data.upper())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    python = ck.Image.from_python(tag="python", engine=engine)
    asking = (
        "import os, socket; s = socket.socket(socket.AF_UNIX); s.connect(os.environ['SSH_AUTH_SOCK']); "
        "s.sendall(b'hello'); open('/said', 'wb').write(s.recv(9) + os.environ['SSH_AUTH_SOCK'].encode())"
    )
    command = [*python.defaults.entrypoint, *python.defaults.cmd][:1]
    try:
        image = (
            ck.Image.base("python")
            .run([*command, "-c", asking], mounts=["type=ssh"])
            .build(ssh={"default": str(path)}, engine=engine)
        )
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)

    assert content_of(image, "said") == "HELLO/run/buildkit/ssh_agent.0" and heard == [b"hello"]


def test_what_a_step_sees(build: Build, engine: Engine) -> None:
    """Arguments and variables, the user and its home, the working directory, the time of the build."""
    image = build(
        """
        FROM tools
        ARG A=1
        ENV B=2 A=3
        ARG UNSET
        WORKDIR /w
        USER 1000
        RUN env > /tmp/env; id -u >> /tmp/env; hostname >> /tmp/env
        """,
        build_args={"HTTP_PROXY": "http://proxy"},
    )

    seen = output(image, "cat /tmp/env", engine).splitlines()
    for line in ("A=3", "B=2", "PWD=/w", "HTTP_PROXY=http://proxy", "SOURCE_DATE_EPOCH=315532800", "1000"):
        assert line in seen
    assert not any(line.startswith("UNSET") for line in seen) and seen[-1] == "buildkitsandbox"
    assert "HTTP_PROXY" not in str(image.config.raw)


def test_proxies_are_in_no_key(build: Build, events: list[Progress]) -> None:
    """Another proxy does not make a step run again."""
    text = "FROM tools\nRUN echo 1 > /1"
    build(text, build_args={"https_proxy": "http://one"})
    build(text, build_args={"https_proxy": "http://two"}, progress=events.append)

    assert actions(events, "RUN") == ["cached"]


def test_a_step_that_changes_nothing_makes_no_layer(build: Build, engine: Engine) -> None:
    """RUN true is in the history, and nowhere else."""
    image = build("FROM tools\nRUN true")

    assert len(image.layers) == 1 and image.config.history[-1].empty_layer


def test_times_in_layers_are_the_epoch_at_most(build: Build, engine: Engine) -> None:
    """What a step makes now has the time of SOURCE_DATE_EPOCH; what it makes older stays older."""
    text = "FROM tools\nRUN touch /new && touch -d @1000 /old"
    image = build(text, build_args={"SOURCE_DATE_EPOCH": "500000000"})

    with view(image.store, image.layers) as root:
        times = [int(os.stat(name, dir_fd=root).st_mtime) for name in ("new", "old")]
    assert times == [500000000, 1000]
    assert image.config.created == "1985-11-05T00:53:20Z"


def test_networks_of_steps(build: Build, engine: Engine) -> None:
    """A step is on the default network unless the caller says otherwise; no file in /etc is its change."""
    count = "ls -l /proc/self/ns/net > /n; grep -c eth0: /proc/net/dev >> /n || true"
    alone = build(f"FROM tools\nRUN {count}")
    hosts = build(f"FROM tools\nRUN {count}", network="host")
    allowed = build(f"FROM tools\nRUN --network=host {count}", allow="network.host")
    never = build(f"FROM tools\nRUN --network=none {count}", network="host")

    here = os.readlink("/proc/self/ns/net")
    found = [output(image, "cat /n", engine).splitlines() for image in (alone, hosts, allowed, never)]
    assert [here in line for line, _ in found] == [False, True, True, False]
    assert [int(count) for _, count in found] == [1, 0, 0, 0]
    assert added_paths(alone, engine) == ["n"]
    assert added_paths(hosts, engine) == ["n"]


def test_insecure_steps_have_all_rights_only_when_allowed(build: Build, engine: Engine) -> None:
    """--security=insecure gives every capability, if the caller has said that it may."""
    text = "FROM tools\nRUN --security=insecure grep CapEff /proc/self/status > /c"
    sandboxed = build(text.replace("--security=insecure ", ""))
    insecure = build(text, allow=["security.insecure"])

    masks = [int(output(image, "cat /c", engine).split()[1], 16) for image in (sandboxed, insecure)]
    assert not masks[0] & 1 << 21 and masks[1] & 1 << 21  # CAP_SYS_ADMIN


def test_links_of_an_image_lead_nowhere(build: Build, engine: Engine, tmp_path: Path) -> None:
    """Mount targets and working directories behind links of the image stay in the image."""
    canary = tmp_path / "canary"
    canary.mkdir()
    image = build(
        f"""
        FROM tools
        RUN mkdir -p {canary} && ln -s {canary} /link && ln -s ../../../../../../../../../..{canary} /up
        RUN --mount=type=tmpfs,target=/link/a --mount=type=tmpfs,target=/up/b true
        WORKDIR /link/w
        RUN echo 1 > f
        COPY f /up/g
        """,
        {"f": "2"},
    )

    assert os.listdir(canary) == []
    assert output(image, f"cat {canary}/w/f {canary}/g", engine) == "1\n2"
