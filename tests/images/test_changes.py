"""The instructions of ``--change``."""

from typing import Any

import pytest

from container_kit.errors import InvalidInput
from container_kit.images.changes import apply_changes


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        ('CMD ["a", "b c"]', "Cmd", ["a", "b c"]),
        ("cmd echo $HOME", "Cmd", ["/bin/sh", "-c", "echo $HOME"]),
        ("CMD [not json", "Cmd", ["/bin/sh", "-c", "[not json"]),
        ('ENTRYPOINT ["/init"]', "Entrypoint", ["/init"]),
        ('ENV A=1 B="two words"', "Env", ["PATH=/bin", "A=1", "B=two words"]),
        ("ENV PATH=/usr/bin", "Env", ["PATH=/usr/bin"]),
        ("ENV OLD style value", "Env", ["PATH=/bin", "OLD=style value"]),
        ("LABEL a.b=c d='e f'", "Labels", {"kept": "yes", "a.b": "c", "d": "e f"}),
        (
            "EXPOSE 80 53/udp 8000-8001",
            "ExposedPorts",
            {"80/tcp": {}, "53/udp": {}, "8000/tcp": {}, "8001/tcp": {}},
        ),
        ("VOLUME /data /more", "Volumes", {"/data": {}, "/more": {}}),
        ('VOLUME ["/a b"]', "Volumes", {"/a b": {}}),
        ("WORKDIR sub", "WorkingDir", "/srv/sub"),
        ("WORKDIR /abs", "WorkingDir", "/abs"),
        ("USER 1000:1000", "User", "1000:1000"),
        ("STOPSIGNAL SIGINT", "StopSignal", "SIGINT"),
        ("ONBUILD RUN make", "OnBuild", ["RUN make"]),
        ('SHELL ["/bin/bash", "-c"]', "Shell", ["/bin/bash", "-c"]),
        ("HEALTHCHECK NONE", "Healthcheck", {"Test": ["NONE"]}),
        (
            "HEALTHCHECK --interval=1m30s --timeout=500ms --retries=2 CMD curl -f /",
            "Healthcheck",
            {
                "Interval": 90_000_000_000,
                "Timeout": 500_000_000,
                "Retries": 2,
                "Test": ["CMD-SHELL", "curl -f /"],
            },
        ),
        ('HEALTHCHECK CMD ["curl"]', "Healthcheck", {"Test": ["CMD", "curl"]}),
    ],
)
def test_each_instruction_sets_its_key(change: str, key: str, value: Any) -> None:
    """An instruction changes its own key, as docker would, and leaves the others as they are."""
    before = {"Env": ["PATH=/bin"], "Labels": {"kept": "yes"}, "WorkingDir": "/srv"}
    after = apply_changes(before, [change])

    assert after[key] == value
    assert {name: after[name] for name in before if name != key} == {
        k: v for k, v in before.items() if k != key
    }
    assert before == {"Env": ["PATH=/bin"], "Labels": {"kept": "yes"}, "WorkingDir": "/srv"}


@pytest.mark.parametrize(
    "change",
    [
        "", "RUN x", "FROM y", "CMD", 'CMD [1, 2]', "ENV =x", "ENV alone", "ENV A='open", "EXPOSE x",
        "EXPOSE 0", "EXPOSE 70000", "EXPOSE 9-8", "EXPOSE 80/icmp", "VOLUME relative", "ONBUILD FROM x",
        "SHELL sh", "HEALTHCHECK CMD", "HEALTHCHECK --interval=3x CMD a", "HEALTHCHECK --retries=x CMD a",
        "HEALTHCHECK maybe",
    ],
)  # fmt: skip
def test_what_is_no_instruction_is_named(change: str) -> None:
    """A change that cannot be applied is refused in words that quote it."""
    with pytest.raises(InvalidInput) as error:
        apply_changes({}, [change])
    assert repr(change) in str(error.value)
