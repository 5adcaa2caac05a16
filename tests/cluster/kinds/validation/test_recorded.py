"""Wrong objects are refused as a real server refuses them."""

import copy
import re
from typing import Any

from container_kit.cluster.kinds import Context, strategy_for
from container_kit.cluster.meta import FieldError, Object, StatusError
from container_kit.cluster.meta.status import invalid
from tests.cluster.kinds.recorded import NOW, EmptyWorld, built_in, cases, group_of

UID = "8f1a9603-0ea5-4a88-88b4-342737bbd9c6"

# Checked elsewhere: schemas of CustomResourceDefinitions.
ELSEWHERE = ("CustomResourceDefinition",)

REFUSED = [
    case
    for case in cases("exchanges/validation")
    if len(case["steps"]) == 1
    and case["steps"][0]["response"]["status"] == 422
    and built_in(case["steps"][0]["request"]["body"])
    and case["steps"][0]["request"]["body"]["kind"] not in ELSEWHERE
]


def errors_of(obj: Object) -> tuple[FieldError, ...]:
    """What is wrong with an object that is to be created."""
    strategy, context = strategy_for(group_of(obj), obj["kind"]), Context(NOW, EmptyWorld())
    obj["metadata"]["uid"] = UID
    if strategy.namespaced:
        obj["metadata"].setdefault("namespace", "x-validation")
    strategy.default(obj)
    try:
        strategy.prepare_create(obj, context)
    except StatusError as error:
        return error.causes
    finally:
        context.finish()
    return tuple(strategy.validate(obj, context))


def test_wrong_objects_have_the_recorded_problems() -> None:
    """Fields and reasons are those of a real server, and so is the text, but for printed pointers."""
    assert len(REFUSED) > 80
    for case in REFUSED:
        compare(case)


def compare(case: dict[str, Any]) -> None:
    step = case["steps"][0]
    recorded, obj = step["response"]["body"], copy.deepcopy(step["request"]["body"])
    errors = errors_of(obj)

    causes = {(cause["reason"], cause["field"]) for cause in recorded["details"]["causes"]}
    assert {(error.reason, error.field) for error in errors} == causes, case["id"]
    message = invalid(obj["kind"], obj["metadata"].get("name", ""), errors, group_of(obj)).message
    if "compilation failed" not in recorded["message"]:
        assert without_addresses(message.replace(UID, "<uid-1>")) == without_addresses(recorded["message"])


def without_addresses(text: str) -> str:
    """A text with the same address wherever one of the server's memory is printed."""
    return re.sub(r"\(0x[0-9a-f]+\)", "(0x)", text)
