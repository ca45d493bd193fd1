"""Templates: values, text, guards, missing names, limits; and that both paths agree."""

from __future__ import annotations

import contextlib
import datetime as dt
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcbook.template import limits, programs
from arcbook.template.access import MISSING
from arcbook.template.code import compile_code
from arcbook.template.errors import BudgetError, TemplateError
from arcbook.template.names import roots
from arcbook.template.paths import follow, parse_path
from arcbook.template.render import compile_condition, compile_text, compile_value
from arcbook.template.scope import DictScope
from arcbook.template.text import to_json, to_text, to_value

NAMES = {
    "page": {"items": [1, 2, 3], "next": None, "hasMore": True, "get": "a key"},
    "rows": [{"id": 7, "name": "Ada"}, {"id": 8, "name": "Lin"}],
    "n": 3,
    "x": 2.5,
    "flag": False,
    "text": "hello",
    "when": dt.datetime(2030, 1, 2, 3, 4, tzinfo=dt.UTC),
    "empty": "",
}


def render(value, names=None):
    return compile_value(value).render(DictScope(NAMES if names is None else names))


def holds(guard, names=None):
    return compile_condition(guard).test(DictScope(NAMES if names is None else names))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ n }}", 3),
        ("{{ x }}", 2.5),
        ("{{ flag }}", False),
        ("{{ page.items }}", [1, 2, 3]),
        ("{{ page.get }}", "a key"),
        ("{{ page['items'][0] }}", 1),
        ("{{ rows[1].name }}", "Lin"),
        ("{{ rows[9].name }}", None),
        ("{{ nothing.at.all }}", None),
        ("{{ page.next }}", None),
        ("{{ rows | length }}", 2),
        ("{{ rows | map(attribute='id') | list }}", [7, 8]),
        ("{{ n + 1 }}", 4),
        ("{{ [n, text] }}", [3, "hello"]),
        ("{{ {'a': n} }}", {"a": 3}),
        ("{{ when }}", "2030-01-02T03:04:00+00:00"),
        ("{{ missing | default('other') }}", "other"),
        ("{{ page.next | default(5) }}", 5),
        ("{{ n if flag else text }}", "hello"),
        ("{{ rows[0].items() | list | length }}", 2),
        ("{{ '5' | int + 1 }}", 6),
        ("{{ 'a,b' | split(',') }}", ["a", "b"]),
        ("{{ (1, 2) }}", [1, 2]),
        ("{{ range(3) }}", [0, 1, 2]),
        (" {{ n }} ", 3),
        ("plain", "plain"),
        ("{{ '{{ n }}' }}", "{{ n }}"),
    ],
)
def test_a_lone_expression_keeps_the_type_of_its_value(template, expected):
    assert render(template) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("n={{ n }}", "n=3"),
        ("{{ flag }}!", "false!"),
        ("<{{ page.next }}>", "<>"),
        ("<{{ nothing }}>", "<>"),
        ("{{ rows[0] }}.", '{"id": 7, "name": "Ada"}.'),
        ("{{ text }} {{ n }}", "hello 3"),
        ("{% for r in rows %}{{ r.id }},{% endfor %}", "7,8,"),
        ("{% if n > 2 %}many{% else %}few{% endif %}", "many"),
        ("{% set k = n * 2 %}{{ k }}", "6"),
        ("{% raw %}{{ n }}{% endraw %}", "{{ n }}"),
        ("{# a remark #}x", "x"),
        ("line {{ n }}\n", "line 3\n"),
    ],
)
def test_templates_in_text_yield_text_as_json_and_sql_want_it(template, expected):
    assert render(template) == expected


def test_templates_are_rendered_in_the_depth_of_a_value_in_keys_too():
    value = {"a": ["{{ n }}", {"{{ n }}": "{{ text }}"}], "b": 1}

    assert render(value) == {"a": [3, {"3": "hello"}], "b": 1}


def test_what_a_template_yields_is_data_and_is_not_rendered_again():
    assert render("{{ text }}", {"text": "{{ n }}", "n": 1}) == "{{ n }}"


@pytest.mark.parametrize(
    ("guard", "expected"),
    [
        (True, True),
        ("true", True),
        ("false", False),
        ("{{ n > 2 }}", True),
        ("{{ n > 2 and flag }}", False),
        ("n > 2", True),
        ("{{ missing }}", False),
        ("{{ missing.deep > 3 }}", False),
        ("{{ 'no' }}", False),
        ("{{ 'False' }}", False),
        ("{{ empty }}", False),
        ("{{ rows }}", True),
        ("{{ not missing }}", True),
        ("{{ missing is defined }}", False),
        ("{{ page.next is none }}", True),
        ("{{ '0' }}", False),
    ],
)
def test_one_rule_says_what_counts_as_true(guard, expected):
    assert holds(guard) is expected


def test_a_missing_value_that_is_needed_is_noted_with_its_name():
    scope = DictScope({"a": {}})
    compile_value({"x": "{{ a.b }}", "y": "v={{ nothing }}"}).render(scope)

    assert scope.take_missing() == ["a.b", "nothing"]
    assert scope.take_missing() == []


@pytest.mark.parametrize("source", ["{{ n ", "{{ }}", "{% if n %}", "{{ n | nofilter }}", "{{ 1 +"])
def test_a_template_that_is_none_is_an_error_when_it_is_compiled(source):
    with pytest.raises(TemplateError):
        compile_value(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ rows.append(1) }}",
        "{{ page.update({'a': 1}) }}",
        "{{ 10 ** 100000 }}",
        "{{ 'x' * 99999999999 }}",
        "{{ range(99999999999) | list }}",
        "{{ 1 / 0 }}",
        "{{ text.nothing() }}",
    ],
)
def test_a_template_can_neither_escape_nor_change_nor_exhaust(source):
    try:
        found = render(source)
    except TemplateError:
        return
    assert found is None


def test_the_work_of_a_render_is_limited():
    text = "{% for a in range(2000) %}{% for b in range(2000) %}x{% endfor %}{% endfor %}"
    with pytest.raises(BudgetError, match="units of work"):
        render(text)


def test_the_text_of_a_render_is_limited(monkeypatch):
    monkeypatch.setattr(limits, "OUTPUT_CHARACTERS_MAX", 100)
    with pytest.raises(BudgetError, match="characters"):
        render("{% for a in range(1000) %}xxxxxxxxxx{% endfor %}")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ a.b }}", {"a"}),
        ("{{ a.b + c['d'] }} {{ e }}", {"a", "c", "e"}),
        ("{% for x in xs %}{{ x.y }}{{ z }}{% endfor %}", {"xs", "z"}),
        ("{% set k = a %}{{ k }}", {"a"}),
        ("{{ range(a) }}", {"a"}),
        ("{{ a.get(b) }}", {"a", "b"}),
        ("{% macro f(x) %}{{ x }}{{ y }}{% endmacro %}{{ f(z) }}", {"y", "z"}),
        ("{% set ns = namespace(k=a) %}{{ ns.k }}", {"a"}),
        ("{% with k = a %}{{ k }}{% endwith %}{{ b }}", {"a", "b"}),
        ("no template", set()),
    ],
)
def test_the_names_that_a_template_reads_are_known_without_running_it(source, expected):
    assert roots(compile_value(source).names) == expected


def test_values_in_python_code_are_written_as_python_has_them():
    template = compile_code("x = {{ flag }}\ny = {{ page }}\nz = f'{{n}}'")

    x, y, z = template.render(DictScope({**NAMES, "page": {"next": None}})).splitlines()
    assert (x, y) == ("x = False", "y = {'next': None}")
    assert z == "z = f'3'"


def test_braces_in_python_code_that_name_nothing_stay():
    code = "z = f'{{literal}} {x}'"

    assert compile_code(code).render(DictScope(NAMES)) == code


# -- both ways of evaluating agree ----------------------------------------------------

names = st.sampled_from(["a", "b", "items", "get", "keys", "true_", "x1"])
leaves = st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab{} ", max_size=4)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
parts = st.one_of(
    names.map(lambda n: f".{n}"),
    st.integers(0, 3).map(lambda i: f"[{i}]"),
    names.map(lambda n: f"['{n}']"),
    names.map(lambda n: f'["{n}"]'),
)
paths = st.builds(lambda root, rest: root + "".join(rest), names, st.lists(parts, max_size=4))


@given(path=paths, scope=st.dictionaries(names, values, max_size=5))
def test_the_fast_path_finds_what_a_program_finds(path, scope):
    parsed = parse_path(path)
    assert parsed is not None
    root, rest = parsed
    value = scope.get(root, MISSING)
    quick = MISSING if value is MISSING else follow(value, rest)
    program = programs.expression(path, path, is_result=False)
    assert program is not None

    assert to_value(quick) == to_value(program(DictScope(scope)))


@given(path=paths, scope=st.dictionaries(names, values, max_size=5))
def test_the_fast_path_writes_what_a_program_writes(path, scope):
    quick = compile_text(f"<{{{{ {path} }}}}>").render(DictScope(scope))
    slow = programs.text(f"<{{{{ {path} }}}}>")(DictScope(scope))

    assert quick == slow


@given(path=paths, scope=st.dictionaries(names, values, max_size=5))
def test_the_fast_path_tests_what_a_program_tests(path, scope):
    quick = compile_condition(f"{{{{ {path} }}}}").test(DictScope(scope))
    slow = compile_condition(f"{{{{ ({path}) }}}}").test(DictScope(scope))

    assert quick == slow


@given(st.text(string.printable, max_size=40))
def test_compiling_any_text_yields_a_template_or_an_error_that_says_why(source):
    with contextlib.suppress(TemplateError):
        compile_value(source).render(DictScope({}))


@given(values)
def test_json_text_of_a_value_is_that_value(value):
    import json

    assert json.loads(to_json(value)) == to_value(value)


@given(leaves)
def test_text_of_a_value_is_text(value):
    assert isinstance(to_text(value), str)
