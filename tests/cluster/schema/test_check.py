"""Unknown fields and values of a wrong type are found, in the words of the original."""

import pytest

from container_kit.cluster.schema import check

DEPLOYMENT = ("apps", "v1", "Deployment")
POD = ("", "v1", "Pod")


def _pod(container: dict[str, object]) -> dict[str, object]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}, container]}}


@pytest.mark.parametrize(
    ("obj", "kind", "message"),
    [
        (
            {"metadata": {"name": True}},
            POD,
            "bool into Go struct field ObjectMeta.metadata.name of type string",
        ),
        (
            {"spec": {"replicas": "x"}},
            DEPLOYMENT,
            "string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            {"data": {"a": 5}},
            ("", "v1", "ConfigMap"),
            "number into Go struct field ConfigMap.data of type string",
        ),
        (
            {"data": "x"},
            ("", "v1", "ConfigMap"),
            "string into Go struct field ConfigMap.data of type map[string]string",
        ),
        (
            {"spec": {"containers": ["x"]}},
            POD,
            "string into Go struct field PodSpec.spec.containers of type v1.Container",
        ),
        (
            {"spec": {"containers": {}}},
            POD,
            "object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            _pod({"ports": [{"containerPort": 1.5}]}),
            POD,
            "number 1.5 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        (
            _pod({"ports": [{"containerPort": 2**31}]}),
            POD,
            "number 2147483648 into Go struct field "
            "ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
    ],
)
def test_a_wrong_type_is_named_with_its_place(obj: object, kind: tuple[str, str, str], message: str) -> None:
    """The message names struct, path without indexes, and type, as Go's decoder does."""
    assert check(obj, kind).errors == [f"json: cannot unmarshal {message}"]


@pytest.mark.parametrize("amount", ["1", "1.5", "100m", "1Ki", "1e3", "-2", "+1", ".5", 3, 0.5])
def test_quantities_are_numbers_with_a_suffix(amount: object) -> None:
    """All forms of a quantity pass."""
    assert check(_pod({"resources": {"requests": {"cpu": amount}}}), POD).errors == []


@pytest.mark.parametrize("amount", ["abc", "", "1 Gi", "1kb", True])
def test_other_texts_are_no_quantities(amount: object) -> None:
    """What is no quantity is refused while it is decoded, not later."""
    assert len(check(_pod({"resources": {"requests": {"cpu": amount}}}), POD).errors) == 1


def test_unknown_fields_are_found_and_dropped() -> None:
    """Each unknown field is named by its full path; what is known stays when they are dropped."""
    pod = _pod({"bogus": 1, "image": "i"}) | {"extra": {}}
    pod["metadata"] = {"name": "p", "nope": 1}

    findings = check(pod, POD)
    assert findings.unknown_fields == ["metadata.nope", "spec.containers[1].bogus", "extra"]
    findings.clean(pod)
    assert pod == _pod({"image": "i"})
    assert check(pod, POD).unknown_fields == []


def test_null_fits_everywhere() -> None:
    """A field that is null is a field that is not set."""
    findings = check({"metadata": None, "spec": {"containers": None, "hostNetwork": None, "nope": None}}, POD)

    assert (findings.errors, findings.unknown_fields) == ([], ["spec.nope"])


def test_the_case_of_a_field_counts() -> None:
    """Unlike Go's own decoder, the API tells ``Containers`` from ``containers``."""
    assert check({"spec": {"Containers": []}}, POD).unknown_fields == ["spec.Containers"]


def test_types_that_hold_themselves_can_be_checked() -> None:
    """A JSON schema in a CRD nests as deep as it likes."""
    schema: dict[str, object] = {"type": "object", "bogus": 1}
    for _ in range(20):
        schema = {"type": "object", "properties": {"a": schema}}
    crd = {"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}}

    found = check(crd, ("apiextensions.k8s.io", "v1", "CustomResourceDefinition")).unknown_fields
    assert found == ["spec.versions[0].schema.openAPIV3Schema" + ".properties.a" * 20 + ".bogus"]


def test_times_are_written_as_the_server_does() -> None:
    """What clients send back in their own form is the same time; a Lease has microseconds."""
    lease = {
        "metadata": {"name": "l", "creationTimestamp": "2026-11-24T02:09:14+00:00"},
        "spec": {"renewTime": "2026-11-24T04:09:14.5+02:00", "acquireTime": "2026-11-24T02:09:14.000000Z"},
    }
    found = check(lease, ("coordination.k8s.io", "v1", "Lease"))
    assert (found.errors, found.unknown_fields) == ([], [])
    found.clean(lease)
    assert lease["metadata"]["creationTimestamp"] == "2026-11-24T02:09:14Z"
    assert lease["spec"] == {
        "renewTime": "2026-11-24T02:09:14.500000Z",
        "acquireTime": "2026-11-24T02:09:14.000000Z",
    }


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01T00:00:00Z+1", "0001-01-01T00:00:00+09:00", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Also when only the calendar, or its edge, is against it."""
    found = check({"metadata": {"creationTimestamp": text}}, POD)
    assert found.errors and "parsing time" in found.errors[0]
