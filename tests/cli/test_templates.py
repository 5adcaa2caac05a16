"""What ``--format`` templates print."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.cli.templates import Template, to_text
from container_kit.errors import InvalidInput

ROW = {
    "Names": "web",
    "State": {"Running": True, "Pid": 3},
    "Mounts": [{"Source": "/a"}, {"Source": "/b"}],
    "Config": {"Labels": {"a.b": "c"}},
    "Args": ["1", "2"],
    "Label": lambda name: {"x": "y"}.get(name, ""),
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (r"{{.Names}}\t{{.State.Running}}", "web\ttrue"),
        ("{{json .State}}", '{"Running":true,"Pid":3}'),
        ("{{range .Mounts}}{{.Source}} {{end}}", "/a /b "),
        ("{{range $i, $m := .Mounts}}{{$i}}={{$m.Source}};{{end}}", "0=/a;1=/b;"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}:{{$v}}{{end}}", "a.b:c"),
        ('{{index .Config.Labels "a.b"}}', "c"),
        ("{{(index .Mounts 1).Source}}", "/b"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ('{{if eq .Names "a"}}1{{else if eq .Names "web"}}2{{else}}3{{end}}', "2"),
        ("{{with .State}}{{.Pid}}{{end}}", "3"),
        ('{{join .Args ","}} {{.Args}}', "1,2 [1 2]"),
        ('{{.Names | upper | printf "<%s>"}}', "<WEB>"),
        ("{{len .Mounts}} {{.State.Nope}}", "2 <no value>"),
        ("a {{- .Names -}} b", "awebb"),
        ("{{/* nothing */}}z", "z"),
        ("{{$x := .Names}}{{$x}}", "web"),
        ('{{"}}"}}', "}}"),
        ('{{.Label "x"}}', "y"),
        ("{{slice .Names 0 2}}", "we"),
        ("{{or .Missing2 .Names}}", None),
    ],
)
def test_template_prints_what_go_prints(template: str, text: str | None) -> None:
    """Fields, functions, pipelines and control words mean what they mean in docker's --format."""
    if text is None:
        with pytest.raises(InvalidInput):
            Template.parse(template).render(ROW)
    else:
        assert Template.parse(template).render(ROW) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{.Names",
        "{{if .Names}}",
        "{{end}}",
        "{{}}",
        "{{nope 1}}",
        "{{.Names 1}}",
        "{{index .Args 9}}",
        "{{)}}",
    ],
)
def test_wrong_templates_are_refused(template: str) -> None:
    """A template that makes no sense is an error of the user, never a traceback."""
    with pytest.raises(InvalidInput):
        Template.parse(template).render(ROW)


def test_unknown_field_names_those_that_exist() -> None:
    """A mistyped field of the row is told together with the fields to choose from."""
    with pytest.raises(InvalidInput, match=r"no field \.Name .*\.Names"):
        Template.parse("{{.Name}}").render(ROW)


@given(st.text(max_size=200))
def test_any_text_is_a_template_or_an_error(text: str) -> None:
    """No text makes the parser fail in any other way than with InvalidInput."""
    with contextlib.suppress(InvalidInput):
        Template.parse(text).render(ROW)


@given(st.text(alphabet=st.characters(exclude_characters="{}\\"), max_size=100))
def test_text_without_actions_is_itself(text: str) -> None:
    """Whatever stands outside {{ }} is printed as it is."""
    assert Template.parse(text).render(ROW) == text


@given(st.text(max_size=100))
def test_values_are_not_read_as_templates(value: str) -> None:
    """A container cannot smuggle an action into the output through its name or labels."""
    assert Template.parse("{{.Names}}").render({"Names": value}) == value


def test_values_print_as_in_go() -> None:
    """Booleans, nothing, lists and maps have Go's notation."""
    assert [to_text(v) for v in (True, None, [1, "a"], {"b": 1, "a": False})] == [
        "true",
        "<no value>",
        "[1 a]",
        "map[a:false b:1]",
    ]
