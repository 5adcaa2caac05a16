"""What Kubernetes adds to CEL: functions on lists, texts, regular expressions, addresses, URLs, quantities.

Each function gets and gives plain values and those of `values`; what it cannot do is an error of Python that
becomes one of the expression.

Source: Kubernetes, "Common Expression Language in Kubernetes", "Kubernetes CEL libraries".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from container_kit.cluster.meta import quantity
from container_kit.cluster.meta.names import (
    dns1035_label_problems,
    dns1123_label_problems,
    dns1123_subdomain_problems,
    label_value_problems,
    qualified_name_problems,
)
from container_kit.cluster.schema.cel.meter import LARGEST, Meter, TooCostly
from container_kit.cluster.schema.cel.operators import OPERATORS, as_integer
from container_kit.cluster.schema.cel.parsing import CelError
from container_kit.cluster.schema.cel.standard import STANDARD, as_text
from container_kit.cluster.schema.cel.values import NOTHING, Optional, Quantity, compared, equal
from container_kit.cluster.schema.formats import is_of_format
from container_kit.cluster.schema.patterns import compiled

__all__ = ["FUNCTIONS", "METERED", "PATTERNS"]

_MOST_PLACES = 100  # after the point of a number that is shown


def _quantity(text: str) -> Quantity:
    return Quantity(Fraction(quantity(str.__str__(text))))


def _amount(value: Any) -> Fraction:
    return value.amount if type(value) is Quantity else Fraction(int(value))


def _whole(value: Quantity) -> int:
    if value.amount.denominator != 1:
        raise ValueError("cannot convert value to integer")
    return as_integer(value.amount.numerator)


def _is(make: Callable[[Any], object]) -> Callable[[Any], bool]:
    """Whether a text is one from which *make* makes something."""

    def check(text: str) -> bool:
        try:
            make(str.__str__(text))
        except ValueError:
            return False
        return True

    return check


def _url(text: str) -> SplitResult:
    parts = urlsplit(str.__str__(text))
    if not (parts.scheme and parts.netloc) and not text.startswith("/"):
        raise ValueError(f"URL parse error during conversion from string: {text[:80]!r}")
    if any(char <= " " for char in text):
        raise ValueError("URL parse error during conversion from string: invalid character")
    int(parts.port or 0)
    return parts


def _host(url: SplitResult) -> str:
    return url.netloc.rpartition("@")[2]


def _hostname(url: SplitResult) -> str:
    return _host(url).rpartition(":")[0] if url.port is not None else _host(url).strip("[]")


def _query(url: SplitResult) -> dict[str, list[str]]:
    return parse_qs(url.query, keep_blank_values=True)


def _address(value: Any) -> Any:
    if type(value) is not str:
        return value.ip  # of a range
    found = ipaddress.ip_address(value)
    if "%" in value or (found.version == 6 and getattr(found, "ipv4_mapped", None)):
        raise ValueError(f"IP Address {value[:80]!r} has a zone, or is an IPv4 address in IPv6")
    return found


def _range(text: str) -> Any:
    if "/" not in text:
        raise ValueError(f"network address parse error during conversion from string: {text[:80]!r}")
    _address(text.partition("/")[0])
    return ipaddress.ip_interface(text)


def _contains_address(network: Any, other: Any) -> bool:
    return (_address(other) if type(other) is str else other) in network.network


def _contains_range(network: Any, other: Any) -> bool:
    inner = (_range(other) if type(other) is str else other).network
    return inner.version == network.version and bool(inner.subnet_of(network.network))


def _is_canonical(text: str) -> bool:
    return str(_address(text)) == text


def _is_global(address: Any) -> bool:
    return not (
        address.is_multicast
        or address.is_unspecified
        or address.is_loopback
        or address.is_link_local
        or str(address) == "255.255.255.255"
    )


def _is_sorted(items: list[Any]) -> bool:
    return all(compared(one, other) <= 0 for one, other in pairwise(items))


def _sum(items: list[Any], *, meter: Meter) -> Any:
    total = items[0] if items else 0
    for item in items[1:]:
        total = OPERATORS["+"](total, item, meter)
    return total


def _extreme(sign: int) -> Callable[[list[Any]], Any]:
    def find(items: list[Any]) -> Any:
        found = items[0]
        for item in items[1:]:
            if compared(item, found) * sign > 0:
                found = item
        return found

    return find


def _index(items: Any, wanted: Any, start: int = 0, *, meter: Meter) -> int:
    if type(items) is str:
        return items.find(wanted, start)
    return next((place for place, item in enumerate(items) if equal(item, wanted, meter)), -1)


def _last_index(items: Any, wanted: Any, end: int | None = None, *, meter: Meter) -> int:
    if type(items) is str:
        return items.rfind(wanted, 0, None if end is None else end + len(wanted))
    return max((place for place, item in enumerate(items) if equal(item, wanted, meter)), default=-1)


def _is_part(items: list[Any], others: list[Any], *, meter: Meter) -> bool:
    """Whether every one of *others* is in *items*."""
    return all(any(equal(item, other, meter) for item in items) for other in others)


def _are_equivalent(items: list[Any], others: list[Any], *, meter: Meter) -> bool:
    return _is_part(items, others, meter=meter) and _is_part(others, items, meter=meter)


def _intersects(items: list[Any], others: list[Any], *, meter: Meter) -> bool:
    return any(equal(item, other, meter) for item in items for other in others)


def _bounded(size: int) -> None:
    """Refuse to make what is larger than that before it is made."""
    if size > LARGEST:
        raise TooCostly("the expression costs too much: what it makes is too long")


def _join(parts: list[str], separator: str = "") -> str:
    _bounded(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


def _replace(text: str, old: str, new: str, most: int = -1) -> str:
    count = text.count(old) if most < 0 else min(most, text.count(old))
    _bounded(len(text) + count * len(new))
    return text.replace(old, new, most)


def _split(text: str, separator: str, most: int = -1) -> list[str]:
    if most == 0:
        return []
    if separator == "":
        whole = list(text)
        return whole if most < 0 or most >= len(whole) else [*whole[: most - 1], text[most - 1 :]]
    return text.split(separator, -1 if most < 0 else most - 1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise ValueError("index out of range")
    return text[start:stop]


def _lower(text: str) -> str:
    return "".join(char.lower() if char < "\x80" else char for char in text)


def _upper(text: str) -> str:
    return "".join(char.upper() if char < "\x80" else char for char in text)


def _find(text: str, pattern: str) -> str:
    match = compiled(pattern).search(str.__str__(text))
    return str(match[0]) if match else ""


def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    found: list[str] = []
    for match in compiled(pattern).finditer(str.__str__(text)):
        if 0 <= most <= len(found):
            break
        found.append(match[0])
    return found


_DIRECTIVE = re.compile(r"%(?:\.(\d+))?([sdfexXbo%])|%")


def _format(template: str, values: list[Any], *, meter: Meter) -> str:
    """``"%s: %d".format([a, b])``."""
    wanted = iter(values)

    def shown(match: re.Match[str]) -> str:
        if match[2] == "%":
            return "%"
        places = int((match[1] or "6")[:4])
        value = next(wanted, CelError)
        if value is CelError or match[2] is None or places > _MOST_PLACES:
            raise CelError("could not parse formatting clause: index out of range, or no such clause")
        return _directed(match[2], places, value, meter)

    return _DIRECTIVE.sub(shown, template)


def _directed(directive: str, places: int, value: Any, meter: Meter) -> str:
    if directive == "s":
        return _shown(value, meter)
    if directive in "fe":
        return f"{float(value):.{places}{directive}}"
    if directive in "xX" and type(value) in (str, bytes):
        found = (value.encode() if type(value) is str else value).hex()
        return found if directive == "x" else found.upper()
    if type(value) is not int and not (directive == "b" and type(value) is bool):
        raise CelError(f"error during formatting: %{directive} needs an integer")
    return f"{int(value):{directive}}"


def _shown(value: Any, meter: Meter) -> str:
    meter.spend(1)
    if type(value) is list:
        parts = [_shown(item, meter) for item in value]
        _bounded(sum(map(len, parts)))
        return "[" + ", ".join(parts) + "]"
    if type(value) is dict:
        parts = [f"{_shown(key, meter)}: {_shown(item, meter)}" for key, item in sorted(value.items())]
        _bounded(sum(map(len, parts)))
        return "{" + ", ".join(parts) + "}"
    return "null" if value is None else as_text(value)


class _Format(str):
    """The name of a form that texts can have."""


def _of_form(form: str) -> Callable[[str], Sequence[str]]:
    return lambda text: [] if is_of_format(form, text) else [f"invalid {form}"]


_FORMS: dict[str, Callable[[str], Sequence[str]]] = {
    "dns1123Label": dns1123_label_problems,
    "dns1123Subdomain": dns1123_subdomain_problems,
    "dns1035Label": dns1035_label_problems,
    "qualifiedName": qualified_name_problems,
    "labelValue": label_value_problems,
    "uri": _of_form("uri"),
    "uuid": _of_form("uuid"),
    "byte": _of_form("byte"),
    "date": _of_form("date"),
    "datetime": _of_form("date-time"),
}


def _validated(form: _Format, text: str) -> Optional:
    problems = list(_FORMS[form](str.__str__(text)))
    return Optional(problems) if problems else NOTHING


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **STANDARD,
    # lists
    "isSorted": _is_sorted,
    "sum": _sum,
    "min": _extreme(-1),
    "max": _extreme(1),
    "indexOf": _index,
    "lastIndexOf": _last_index,
    "sets.contains": _is_part,
    "sets.equivalent": _are_equivalent,
    "sets.intersects": _intersects,
    # texts
    "charAt": lambda text, place: "" if place == len(text) else _substring(text, place, place + 1),
    "join": _join,
    "lowerAscii": _lower,
    "upperAscii": _upper,
    "replace": _replace,
    "split": _split,
    "substring": _substring,
    "trim": lambda text: str.strip(text),
    "format": _format,
    "find": _find,
    "findAll": _find_all,
    # forms of texts
    "format.named": lambda name: Optional(_Format(name)) if name in _FORMS else NOTHING,
    "validate": _validated,
    # URLs
    "url": _url,
    "isURL": _is(_url),
    "getScheme": lambda url: url.scheme,
    "getHost": _host,
    "getHostname": _hostname,
    "getPort": lambda url: str(url.port or ""),
    "getEscapedPath": lambda url: url.path,
    "getQuery": _query,
    # addresses
    "ip": _address,
    "isIP": _is(_address),
    "ip.isCanonical": _is_canonical,
    "family": lambda address: address.version,
    "isLoopback": lambda address: address.is_loopback,
    "isUnspecified": lambda address: address.is_unspecified,
    "isGlobalUnicast": _is_global,
    "isLinkLocalUnicast": lambda address: address.is_link_local,
    "isLinkLocalMulticast": lambda address: (
        (int(address) >> (8 if address.version == 4 else 112)) in (0xE00000, 0xFF02)
    ),
    "cidr": _range,
    "isCIDR": _is(_range),
    "containsIP": _contains_address,
    "containsCIDR": _contains_range,
    "prefixLength": lambda network: network.network.prefixlen,
    "masked": lambda network: ipaddress.ip_interface(str(network.network)),
    # quantities
    "quantity": _quantity,
    "isQuantity": _is(_quantity),
    "isLessThan": lambda one, other: _amount(one) < _amount(other),
    "isGreaterThan": lambda one, other: _amount(one) > _amount(other),
    "compareTo": lambda one, other: (_amount(one) > _amount(other)) - (_amount(one) < _amount(other)),
    "add": lambda one, other: Quantity(_amount(one) + _amount(other)),
    "sub": lambda one, other: Quantity(_amount(one) - _amount(other)),
    "sign": lambda one: (_amount(one) > 0) - (_amount(one) < 0),
    "isInteger": lambda one: _amount(one).denominator == 1,
    "asInteger": _whole,
    "asApproximateFloat": lambda one: float(_amount(one)),
    **{f"format.{name}": partial(_Format, name) for name in _FORMS},
}

# Those that spend by themselves, as what they do depends on more than the size of what they are given.
METERED = frozenset(
    {"format", "indexOf", "lastIndexOf", "sets.contains", "sets.equivalent", "sets.intersects", "sum"}
)
# Those whose second argument is a regular expression.
PATTERNS = frozenset({"find", "findAll", "matches"})
