"""What a pod's specification means for one container, and what it refers to on this machine."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.containers.engine import Engine
from container_kit.errors import InvalidInput
from container_kit.pods.grpc import status_in
from container_kit.pods.providing import LocalProvider
from container_kit.pods.settings import command_of, expand, limits_of, pod_limits, quantity, settings_of
from container_kit.pods.spec import PodSpec
from tests.pods.conftest import PATIENCE_S, StartPod, pod_of, sh, statuses, until


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("100m", "0.1"),
        ("1", "1"),
        ("1.5Gi", str(3 * 2**29)),
        ("1e3", "1000"),
        ("2E", "2" + "0" * 18),
        ("10n", "0.00000001"),
        (0.5, "0.5"),
        ("128Mi", str(2**27)),
    ],
)
def test_quantities_are_read_as_kubernetes_writes_them(text: str | float, number: str) -> None:
    """Decimal and binary units and exponents mean what they do in Kubernetes."""
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "x", "1 Mi", "1KiB", "--1", "1mm"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """A quantity that cannot be read is refused, also in a pod."""
    with pytest.raises(InvalidInput):
        quantity(text)
    with pytest.raises(InvalidInput):
        pod_limits(pod_of({"resources": {"limits": {"memory": text}}})["spec"])


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)-$(B)", "1-2"),
        ("$$(A)", "$(A)"),
        ("$(C)", "$(C)"),
        ("$A $ $$", "$A $ $"),
        ("$(A", "$(A"),
    ],
)
def test_references_in_commands(text: str, expanded: str) -> None:
    """``$(NAME)`` is replaced where the name has a value, ``$$`` is a dollar, all else stays."""
    assert expand(text, {"A": "1", "B": "2"}) == expanded
    assert command_of({"command": [text], "args": [text]}, {"A": "1", "B": "2"}) == ((expanded,), (expanded,))


@given(st.text())
def test_what_refers_to_nothing_stays(text: str) -> None:
    """Without dollars a command is what it was."""
    clean = text.replace("$", "")
    assert expand(clean, {"A": "1"}) == clean


def test_resources_are_limits() -> None:
    """Requests weigh, limits bound; a pod is bounded by what its containers may use together."""
    found = limits_of({"requests": {"cpu": "250m"}, "limits": {"cpu": "500m", "memory": "64Mi"}})
    assert found is not None
    assert (found.cpu_shares, found.cpu_quota_us, found.memory) == (256, 50_000, 64 << 20)
    some = {"resources": {"limits": {"memory": "64Mi"}}}
    more = {"resources": {"limits": {"memory": "1Gi"}}, "name": "i", "image": "x"}
    sidecar = {**more, "name": "s", "restartPolicy": "Always"}
    for initial, expected in (([], 128 << 20), ([more], 1 << 30), ([sidecar], (128 << 20) + (1 << 30))):
        together = pod_limits(pod_of(some, some, initContainers=initial)["spec"])
        assert together is not None and together.memory == expected
    assert pod_limits(pod_of(some, {})["spec"]) is None


def test_a_container_takes_over_what_the_pod_says() -> None:
    """Of the security contexts the container's wins, field by field."""
    own = {"runAsUser": 7, "capabilities": {"add": ["NET_RAW"], "drop": ["ALL"]}, "procMount": "Unmasked"}
    pod = {
        "runAsUser": 1,
        "runAsGroup": 2,
        "fsGroup": 3,
        "sysctls": [{"name": "net.core.somaxconn", "value": "9"}],
    }
    spec = PodSpec.of(pod_of({"securityContext": own}, securityContext=pod))
    found = settings_of(spec, spec.containers[0], {})
    assert (found["user"], found["group_add"]) == ("7:2", ["3"])
    assert (found["cap_add"], found["cap_drop"], found["masked_paths"]) == (["NET_RAW"], ["ALL"], ())
    assert found["sysctls"] == {"net.core.somaxconn": "9"}


@pytest.mark.parametrize("message", [b"", b"\0\0\0\0", b"\1\0\0\0\2\x08\1", b"\0\0\0\0\2\x12\1"])
def test_what_is_no_health_is_an_error(message: bytes) -> None:
    """An answer that is no message of the health protocol is a failure, and never taken for health."""
    with pytest.raises(ValueError, match=r"answer|know"):
        status_in(message)


@given(st.binary(max_size=60))
def test_no_answer_breaks_the_reader(message: bytes) -> None:
    """Whatever a server sends, it is a status or an error."""
    with contextlib.suppress(ValueError):
        assert status_in(message) in ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


def test_variables_and_files_of_a_pod(start: StartPod, tmp_path: Path) -> None:
    """Variables come from maps, secrets, fields and each other; volumes have the files they say."""
    objects: list[dict[str, Any]] = [
        {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1", "b.txt": "two"}},
        {"kind": "Secret", "metadata": {"name": "s"}, "data": {"key": "d29yZA=="}},
    ]
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "file").write_text("from the host")
    env = [
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
        {"name": "BOTH", "value": "$(SECRET)-$(C_a)"},
        {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y", "optional": True}}},
    ]
    labels = {"fieldRef": {"fieldPath": "metadata.labels"}}
    sources = [{"configMap": {"name": "c"}}, {"downwardAPI": {"items": [{"path": "labels", **labels}]}}]
    volumes = [
        {"name": "p", "projected": {"sources": sources}},
        {"name": "img", "image": {"reference": "box", "pullPolicy": "Never"}},
        {"name": "h", "hostPath": {"path": str(tmp_path / "host"), "type": "Directory"}},
        {
            "name": "one",
            "secret": {"secretName": "s", "items": [{"key": "key", "path": "deep/er", "mode": 0o400}]},
        },
    ]
    main = {
        "env": env,
        "envFrom": [{"prefix": "C_", "configMapRef": {"name": "c"}}],
        "resources": {"limits": {"memory": "64Mi"}},
        "volumeMounts": [{"name": one["name"], "mountPath": f"/{one['name']}"} for one in volumes]
        + [{"name": "h", "mountPath": "/part", "subPath": "file", "readOnly": True}],
    }
    manifest = pod_of(main, volumes=volumes)
    manifest["metadata"]["labels"] = {"app": "shop"}
    pod = start(manifest, provider=LocalProvider(objects))
    pod.wait(timeout=PATIENCE_S)
    said = pod.exec(sh("echo $SECRET $BOTH $ME $APP $MEM [$NONE]"), check=True).stdout
    assert said == "word word-1 web shop 64 []\n"
    assert pod.exec("cat /p/b.txt /p/labels /one/deep/er /h/file /part", check=True).stdout == (
        'twoapp="shop"wordfrom the hostfrom the host'
    )
    assert "bin" in pod.exec("ls /img", check=True).stdout.split()


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "no", "key": "x"}}}]},
            'secret "no" not found',
        ),
        ({"envFrom": [{"configMapRef": {"name": "no"}}]}, 'configmap "no" not found'),
        ({"volumeMounts": [{"name": "no", "mountPath": "/x"}]}, "not in spec.volumes"),
        ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.no"}}}]}, "no field 'spec.no'"),
    ],
)
def test_what_is_missing_is_told(start: StartPod, one: dict[str, Any], words: str) -> None:
    """A container that refers to what is not there waits, and says what is missing."""
    pod = start(pod_of(one))
    found = until(lambda: words in statuses(pod)["c0"]["state"]["waiting"].get("message", ""), words)
    assert found
    assert statuses(pod)["c0"]["state"]["waiting"]["reason"] == "CreateContainerConfigError"


def test_names_and_servers_of_a_pod(start: StartPod) -> None:
    """Aliases of hosts and the pod's own DNS configuration are in its files, the same in all containers."""
    config = {
        "nameservers": ["10.1.2.3"],
        "searches": ["shop.local"],
        "options": [{"name": "ndots", "value": "3"}],
    }
    aliases = [{"ip": "10.9.8.7", "hostnames": ["db", "db.local"]}]
    pod = start(pod_of({}, {}, hostAliases=aliases, dnsConfig=config, hostname="named"), network="bridge")
    pod.wait(timeout=PATIENCE_S)
    for name in ("c0", "c1"):
        hosts = pod.exec("cat /etc/hosts", name, check=True).stdout
        assert "10.9.8.7\tdb\n10.9.8.7\tdb.local\n" in hosts and f"{pod.ips[0]}\tnamed\n" in hosts
        resolving = pod.exec("cat /etc/resolv.conf", name, check=True).stdout
        assert resolving == "nameserver 10.1.2.3\nsearch shop.local\noptions ndots:3\n"


def test_resources_change_while_it_runs(start: StartPod, engine: Engine) -> None:
    """A pod that is updated with other limits has them at once, and its container is not started again."""
    pod = start(pod_of({"resources": {"limits": {"memory": "64Mi"}}}))
    pod.wait(timeout=PATIENCE_S)
    pod.update({**pod.manifest, "spec": pod_of({"resources": {"limits": {"memory": "32Mi"}}})["spec"]})
    until(lambda: _limit(engine, pod.container().id) == 32 << 20)
    assert statuses(pod)["c0"]["restartCount"] == 0


def _limit(engine: Engine, container_id: str) -> int | None:
    memory = engine.cgroup_of(container_id).stats().memory
    return None if memory is None else memory.limit
