"""What Kubernetes adds to CEL: functions on lists, texts, regular expressions, addresses, URLs, quantities.

Each function gets and gives CEL's own types; what it cannot do is an error in the expression.

Source: Kubernetes, "Common Expression Language in Kubernetes", "Kubernetes CEL libraries".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from celpy import celtypes

from container_kit.cluster.meta import quantity
from container_kit.cluster.schema.patterns import compiled

__all__ = ["FUNCTIONS"]

_Text, _Int, _Bool, _List = celtypes.StringType, celtypes.IntType, celtypes.BoolType, celtypes.ListType


class _Quantity:
    """An amount, such as ``1Gi``."""

    def __init__(self, amount: Fraction) -> None:
        self.amount = amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Quantity) and self.amount == other.amount

    def __hash__(self) -> int:
        return hash(self.amount)


_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")


def _quantity(text: Any) -> _Quantity:
    if not isinstance(text, str) or not _QUANTITY.fullmatch(text):
        raise ValueError(f"{text!r} is no quantity")
    return _Quantity(Fraction(quantity(str(text))))


def _amount(value: Any) -> Fraction:
    return value.amount if isinstance(value, _Quantity) else Fraction(int(value))


def _is(make: Callable[[Any], object]) -> Callable[[Any], Any]:
    """Whether a text is one from which *make* makes something."""

    def check(text: Any) -> Any:
        try:
            make(text)
        except (ValueError, TypeError):
            return _Bool(False)
        return _Bool(True)

    return check


def _url(text: Any) -> SplitResult:
    parts = urlsplit(str(text))
    if not (parts.scheme and parts.netloc) and not str(text).startswith("/"):
        raise ValueError(f"{text!r} is no URL")
    return parts


def _address(text: Any) -> Any:
    found = ipaddress.ip_address(str(text))
    if "%" in str(text) or (found.version == 6 and getattr(found, "ipv4_mapped", None)):
        raise ValueError(f"{text!r} has a zone, or is mapped")
    return found


def _network(text: Any) -> Any:
    if "/" not in str(text):
        raise ValueError(f"{text!r} is no CIDR")
    return ipaddress.ip_network(str(text), strict=False)


def _contains(network: Any, other: Any) -> Any:
    """Texts and ranges of addresses both have ``contains``-like functions."""
    inner = other if not isinstance(other, str) else (_network(other) if "/" in other else _address(other))
    if isinstance(inner, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return _Bool(inner.version == network.version and inner.subnet_of(network))
    return _Bool(inner in network)


def _sorted(items: Any) -> Any:
    return _Bool(all(one <= other for one, other in pairwise(items)))


def _sum(items: Any) -> Any:
    total = items[0] if items else _Int(0)
    for item in items[1:]:
        total = total + item
    return total


def _index(items: Any, wanted: Any, start: Any = 0) -> Any:
    if isinstance(items, str):
        return _Int(items.find(wanted, start))
    return _Int(next((place for place, item in enumerate(items) if item == wanted), -1))


def _last_index(items: Any, wanted: Any) -> Any:
    if isinstance(items, str):
        return _Int(items.rfind(wanted))
    places = [place for place, item in enumerate(items) if item == wanted]
    return _Int(places[-1] if places else -1)


def _texts(parts: Any) -> Any:
    return _List([_Text(part) for part in parts])


def _split(text: Any, separator: Any, most: Any = -1) -> Any:
    if most == 0:
        return _List([])
    return _texts(list(text) if separator == "" else text.split(separator, -1 if most < 0 else most - 1))


def _substring(text: Any, start: Any, end: Any = None) -> Any:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise ValueError("index out of range")
    return _Text(text[start:stop])


def _format(template: Any, values: Any) -> Any:
    """``"%s: %d".format([a, b])``; the forms that people use."""
    wanted = iter(values)

    def shown(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        value = next(wanted)
        if match[2] == "f":
            return f"{float(value):.{match[1][1:] or 6}f}"
        return (
            {"x": f"{int(value):x}", "X": f"{int(value):X}", "b": f"{int(value):b}", "o": f"{int(value):o}"}[
                match[2]
            ]
            if match[2] in "xXbo"
            else _shown(value)
        )

    return _Text(re.sub(r"%(\.\d+)?([sdfxXbo%])", shown, template))


def _shown(value: Any) -> str:
    if isinstance(value, celtypes.BoolType):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value)


def _find(text: Any, pattern: Any) -> Any:
    match = compiled(str(pattern)).search(str(text))
    return _Text(match[0] if match else "")


def _find_all(text: Any, pattern: Any, most: Any = -1) -> Any:
    found = [match[0] for match in compiled(str(pattern)).finditer(str(text))]
    return _texts(found if most < 0 else found[:most])


def _query(url: SplitResult) -> Any:
    found = parse_qs(url.query, keep_blank_values=True)
    return celtypes.MapType({_Text(key): _texts(values) for key, values in found.items()})


def _compare(one: Any, other: Any) -> Any:
    left, right = _amount(one), _amount(other)
    return _Int((left > right) - (left < right))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    # lists
    "isSorted": _sorted,
    "sum": _sum,
    "min": lambda *items: min(items[0] if len(items) == 1 else items),
    "max": lambda *items: max(items[0] if len(items) == 1 else items),
    "indexOf": _index,
    "lastIndexOf": _last_index,
    # texts
    "charAt": lambda text, place: _substring(text, place, min(place + 1, len(text))),
    "join": lambda parts, separator="": _Text(str(separator).join(parts)),
    "lowerAscii": lambda text: _Text(text.lower()),
    "upperAscii": lambda text: _Text(text.upper()),
    "replace": lambda text, old, new, most=-1: _Text(text.replace(old, new, most)),
    "split": _split,
    "substring": _substring,
    "trim": lambda text: _Text(text.strip()),
    "format": _format,
    "find": _find,
    "findAll": _find_all,
    # URLs
    "url": _url,
    "isURL": _is(_url),
    "getScheme": lambda url: _Text(url.scheme),
    "getHost": lambda url: _Text(url.netloc.rpartition("@")[2]),
    "getHostname": lambda url: _Text(url.hostname or ""),
    "getPort": lambda url: _Text(url.port or ""),
    "getEscapedPath": lambda url: _Text(url.path),
    "getQuery": _query,
    # addresses
    "ip": _address,
    "isIP": _is(_address),
    "ip.isCanonical": lambda text: _Bool(str(_address(text)) == text),
    "family": lambda address: _Int(address.version),
    "isLoopback": lambda address: _Bool(address.is_loopback),
    "isUnspecified": lambda address: _Bool(address.is_unspecified),
    "isGlobalUnicast": lambda address: _Bool(not (address.is_multicast or address.is_unspecified)),
    "isLinkLocalUnicast": lambda address: _Bool(address.is_link_local),
    "isLinkLocalMulticast": lambda address: _Bool(address.is_multicast),
    "cidr": _network,
    "isCIDR": _is(_network),
    "containsIP": _contains,
    "containsCIDR": _contains,
    "prefixLength": lambda network: _Int(network.prefixlen),
    "masked": lambda network: network,
    # quantities
    "quantity": _quantity,
    "isQuantity": _is(_quantity),
    "isLessThan": lambda one, other: _Bool(_amount(one) < _amount(other)),
    "isGreaterThan": lambda one, other: _Bool(_amount(one) > _amount(other)),
    "compareTo": _compare,
    "add": lambda one, other: _Quantity(_amount(one) + _amount(other)),
    "sub": lambda one, other: _Quantity(_amount(one) - _amount(other)),
    "sign": lambda one: _Int((_amount(one) > 0) - (_amount(one) < 0)),
    "isInteger": lambda one: _Bool(_amount(one).denominator == 1),
    "asInteger": lambda one: _Int(int(_amount(one))),
    "asApproximateFloat": lambda one: celtypes.DoubleType(float(_amount(one))),
}
