"""Policy rules: what they allow, and whether some rules allow all that others do.

Source: Kubernetes API reference, PolicyRule; "Using RBAC Authorization".
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from container_kit.cluster.api.routing import Route
from container_kit.cluster.meta.status import go_quoted

__all__ = ["Rule", "allows", "missing_rules", "shown"]

Rule = dict[str, Any]
ALL = "*"


def _has(words: Sequence[str] | None, word: str) -> bool:
    return words is not None and (ALL in words or word in words)


def allows(rule: Rule, route: Route) -> bool:
    """Whether a rule allows what is asked for."""
    if not _has(rule.get("verbs"), route.verb):
        return False
    if not route.is_resource:
        return any(_path_matches(path, route.path) for path in rule.get("nonResourceURLs") or ())
    if not _has(rule.get("apiGroups"), route.group):
        return False
    names = rule.get("resourceNames")
    if names and route.name not in names:
        return False
    return _resource_matches(rule.get("resources") or (), route.resource, route.subresource)


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in (ALL, path) or (pattern.endswith(ALL) and path.startswith(pattern[:-1]))


def _resource_matches(resources: Sequence[str], resource: str, subresource: str) -> bool:
    wanted = f"{resource}/{subresource}" if subresource else resource
    return ALL in resources or wanted in resources or bool(subresource and f"*/{subresource}" in resources)


def missing_rules(owned: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The parts of *wanted* that *owned* does not allow, each of one verb and one thing; then joined."""
    parts = [part for rule in wanted for part in _parts(rule)]
    return _joined([part for part in parts if not any(_covers(rule, part) for rule in owned)])


def _parts(rule: Rule) -> Iterator[Rule]:
    for verb in rule.get("verbs") or ():
        for path in rule.get("nonResourceURLs") or ():
            yield {"verbs": [verb], "nonResourceURLs": [path]}
    for group in rule.get("apiGroups") or ():
        for resource in rule.get("resources") or ():
            for verb in rule.get("verbs") or ():
                part = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                names = rule.get("resourceNames") or ()
                if not names:
                    yield part
                for name in names:
                    yield part | {"resourceNames": [name]}


def _covers(rule: Rule, part: Rule) -> bool:
    """Whether a rule allows a part of another; names of resources mean themselves, ``*`` all of them."""
    if not _has(rule.get("verbs"), part["verbs"][0]):
        return False
    if "nonResourceURLs" in part:
        wanted = part["nonResourceURLs"][0]
        return any(_path_matches(path, wanted) for path in rule.get("nonResourceURLs") or ())
    if not _has(rule.get("apiGroups"), part["apiGroups"][0]):
        return False
    resource, _, subresource = part["resources"][0].partition("/")
    if not _resource_matches(rule.get("resources") or (), resource, subresource):
        return False
    names = rule.get("resourceNames")
    return not names or part.get("resourceNames", [""])[0] in names


def _joined(parts: list[Rule]) -> list[Rule]:
    """Rules of one resource put together, their verbs in order of appearance."""
    joined: dict[tuple[str, str], Rule] = {}
    others: list[Rule] = []
    for part in parts:
        if "resourceNames" in part or "nonResourceURLs" in part:
            others.append(part)
            continue
        key = (part["apiGroups"][0], part["resources"][0])
        known = joined.setdefault(key, {**part, "verbs": []})
        known["verbs"] += [verb for verb in part["verbs"] if verb not in known["verbs"]]
    return [*joined.values(), *others]


_SHOWN = {
    "APIGroups": "apiGroups",
    "Resources": "resources",
    "NonResourceURLs": "nonResourceURLs",
    "ResourceNames": "resourceNames",
    "Verbs": "verbs",
}


def shown(rule: Rule) -> str:
    """A rule in one line: ``{APIGroups:[""], Resources:["pods"], Verbs:["get"]}``."""
    parts = [
        f"{name}:[{' '.join(map(go_quoted, rule[key]))}]" for name, key in _SHOWN.items() if rule.get(key)
    ]
    return "{" + ", ".join(parts) + "}"
