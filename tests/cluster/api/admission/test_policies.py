"""Writes are held against policies written in CEL."""

from typing import Any

import pytest

from tests.cluster.api.admission.conftest import Admitting
from tests.cluster.api.conftest import MAPS

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
RULE = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "operations": ["CREATE", "UPDATE", "DELETE"],
    "resources": ["configmaps"],
}


def bind(
    admitting: Admitting, *rules: dict[str, Any], actions: tuple[str, ...] = ("Deny",), **spec: Any
) -> None:
    """A policy of these rules, bound to all ConfigMaps."""
    binding = spec.pop("binding", {})
    whole = {"matchConstraints": {"resourceRules": [RULE]}, "validations": list(rules), **spec}
    admitting.do("POST", POLICIES, {"metadata": {"name": "p"}, "spec": whole})
    bound = {"policyName": "p", "validationActions": list(actions), **binding}
    admitting.do("POST", BINDINGS, {"metadata": {"name": "b"}, "spec": bound})


def config_map(name: str = "m", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def test_what_breaks_a_rule_is_refused(admitting: Admitting) -> None:
    """The refusal names policy, binding and rule, and has the code of its reason."""
    bind(
        admitting,
        {"expression": "object.data.size() < 2"},
        {"expression": "!has(object.data.b)", "reason": "Forbidden"},
    )

    start = "configmaps \"m\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "
    many = admitting.fail("POST", MAPS, config_map(a="1", c="2"))
    assert many == (422, "Invalid", f"{start}failed expression: object.data.size() < 2")
    assert admitting.fail("POST", MAPS, config_map(b="1"))[:2] == (403, "Forbidden")
    admitting.do("POST", MAPS, config_map(a="1"))


def test_parameters_variables_and_messages(admitting: Admitting) -> None:
    """Parameters come from an object, variables from expressions, and messages say what they found."""
    admitting.do("POST", MAPS, config_map("limits", most="1"))
    rule = {
        "expression": "variables.n <= int(params.data.most)",
        "messageExpression": "'too many: ' + string(variables.n)",
    }
    bind(
        admitting,
        rule,
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        variables=[{"name": "n", "expression": "object.data.size()"}],
        matchConditions=[
            {"name": "new", "expression": "request.operation == 'CREATE' && request.name != 'free'"}
        ],
        binding={"paramRef": {"name": "limits", "parameterNotFoundAction": "Deny"}},
    )

    assert admitting.fail("POST", MAPS, config_map(a="1", b="2"))[2].endswith("too many: 2")
    admitting.do("POST", MAPS, config_map("free", a="1", b="2"))
    admitting.do("DELETE", f"{MAPS}/limits?propagationPolicy=Background")
    assert "no params found" in admitting.fail("POST", MAPS, config_map(a="1"))[2]


@pytest.mark.parametrize(("policy", "status"), [("Fail", 422), ("Ignore", 201)])
def test_a_rule_that_cannot_be_judged_counts_by_the_failure_policy(
    admitting: Admitting, policy: str, status: int
) -> None:
    """A missing field is no answer; whether that refuses is for the policy to say."""
    bind(admitting, {"expression": "object.data.absent == 'x'"}, failurePolicy=policy)
    assert admitting.ask("POST", MAPS, config_map(a="1")).status == status


def test_a_warning_lets_pass(admitting: Admitting) -> None:
    """A binding may warn only."""
    bind(admitting, {"expression": "false", "message": "think twice"}, actions=("Warn",))

    answer = admitting.ask("POST", MAPS, config_map())
    assert answer.status == 201
    said = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': think twice"
    assert answer.headers["Warning"] == [f'299 - "{said}"']


def test_a_policy_cannot_lock_out_who_would_remove_it(admitting: Admitting) -> None:
    """Policies and bindings are not judged by policies."""
    everything = {**RULE, "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
    bind(admitting, {"expression": "false"}, matchConstraints={"resourceRules": [everything]})

    assert admitting.fail("POST", MAPS, config_map())[0] == 422
    admitting.do("DELETE", f"{BINDINGS}/b")
    admitting.do("POST", MAPS, config_map())


def test_a_policy_cannot_hold_up_the_server(admitting: Admitting) -> None:
    """Whatever its expressions cost, together they are stopped, and the write is refused."""
    numbers = "[" + ",".join(map(str, range(200))) + "]"
    greedy = f"{numbers}.all(a, {numbers}.all(b, {numbers}.all(c, a + b + c >= 0)))"
    bind(admitting, *[{"expression": greedy}] * 50, {"expression": "true"})

    status, _, message = admitting.fail("POST", MAPS, config_map())
    assert status == 422 and "costs too much" in message
