"""Classes that are finished at their first use behave as those of attrs from the first."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import attrs
import pytest

from container_kit._values import frozen


@frozen
class Lazy:
    """One of ours."""

    name: str
    size: int = attrs.field(default=3, converter=int)
    words: tuple[str, ...] = attrs.field(factory=tuple)

    @size.validator
    def _not_negative(self, _: object, value: int) -> None:
        if value < 0:
            raise ValueError("negative")

    @property
    def double(self) -> int:
        """A method of its own."""
        return 2 * self.size


@attrs.frozen
class Eager:
    """The same, by attrs alone."""

    name: str
    size: int = attrs.field(default=3, converter=int)
    words: tuple[str, ...] = attrs.field(factory=tuple)


@frozen(kw_only=True)
class Keywords(Lazy):
    """One that inherits."""

    more: str = ""


@pytest.mark.parametrize("make", [Lazy, Eager], ids=["ours", "attrs"])
def test_values_are_compared_printed_and_kept_from_change(make: Any) -> None:
    """Equal values are equal and hash alike; others are not; none can be changed."""
    one, same, other = make("a", "4"), make("a", 4), make("a", 5)
    assert one == same and hash(one) == hash(same) and one != other and len({one, same, other}) == 2
    assert repr(one) == f"{make.__name__}(name='a', size=4, words=())"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.name = "b"
    assert attrs.evolve(one, size=5) == other
    assert copy.copy(one) == one and pickle.loads(pickle.dumps(one)) == one
    assert one != Lazy("a", 4) or make is Lazy


def test_validators_converters_and_methods_work() -> None:
    """What stands in the class is in force."""
    assert Lazy("a", "4").double == 8  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        Lazy("a", -1)
    with pytest.raises(TypeError):
        Lazy()  # type: ignore[call-arg]


def test_a_class_can_inherit() -> None:
    """Fields come first to last, as in attrs."""
    assert Keywords(name="a", more="b") == Keywords(name="a", more="b", size=3)
    assert [field.name for field in attrs.fields(Keywords)] == ["name", "size", "words", "more"]


def test_fields_are_known_before_the_first_instance() -> None:
    """`attrs.has` and `attrs.fields` finish a class as an instance does; its defaults are no attributes."""

    @frozen
    class Fresh:
        word: str = "x"

    assert attrs.has(Fresh) and [field.name for field in attrs.fields(Fresh)] == ["word"]
    assert "word" not in vars(Fresh)
    assert Fresh().word == "x"


def test_a_start_that_failed_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception while a class is finished, as of a signal handler, costs that call only."""

    @frozen
    class Fresh:
        word: str = "x"

    with monkeypatch.context() as patch:
        patch.setattr(attrs, "frozen", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Fresh()
    assert Fresh() == Fresh("x")


def test_an_import_compiles_only_what_it_uses() -> None:
    """Most words of the specification cost no compilation until they are used."""
    program = (
        "import attrs, builtins; seen = []; real = builtins.compile\n"
        "builtins.compile = lambda *a, **k: seen.append(str(a[1])) or real(*a, **k)\n"
        "import container_kit.oci.runtime_spec as words\n"
        "print(len([name for name in seen if 'attrs generated' in name]), len(words.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    compiled, classes = map(int, done.stdout.split())
    assert compiled <= classes / 5
