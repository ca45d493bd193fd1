"""What filters, methods and operators of templates return for values of every type."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any

import pytest

from arcbook.template.access import MISSING, AnyOf, View, item, plain
from arcbook.template.code import uses_name
from arcbook.template.errors import BudgetError, TemplateError
from arcbook.template.operators import truth
from arcbook.template.render import compile_text, compile_value
from arcbook.template.scope import DictScope
from arcbook.template.text import to_text, to_value

NOON = dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC)


class Held(View):
    """A view of a value."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def name(self, key: str) -> Any:
        return MISSING

    def plain(self) -> Any:
        return self.value


NAMES: dict[str, Any] = {
    "noon": NOON,
    "later": NOON + dt.timedelta(hours=2),
    "day": dt.timedelta(days=1),
    "date": dt.date(2024, 12, 30),
    "raw": b"\x00\xffab",
    "exact": Decimal("2.50"),
    "endless": Decimal("Infinity"),
    "nested": {"a": {"b": 1}},
    "pairs": [["x", 1], ["y", 2]],
    "rows": [{"n": 2, "k": "b"}, {"n": 1, "k": "a"}],
    "nothing": None,
    "held": Held([1, 2]),
}


def render(source: str) -> Any:
    return compile_value(source).render(DictScope(NAMES))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        # texts
        ("{{ 'one two'.removeprefix('one ') }}", "two"),
        ("{{ 'one two'.removesuffix(' two') }}", "one"),
        ("{{ 'a\nb'.splitlines() }}", ["a", "b"]),
        ("{{ 'a\nb'.splitlines(true) }}", ["a\n", "b"]),
        ("{{ 'häß' | b64encode }}", "aMOkw58="),
        ("{{ raw | b64encode }}", "AP9hYg=="),
        ("{{ 'aMOkw58=' | b64decode }}", "häß"),
        ("{{ raw.hex() }}", "00ff6162"),
        ("{{ '%c%c' % ('x', 121) }}", "xy"),
        ("{{ {'id': 'a&b', 'n': 5, 'no': nothing} | xmlattr }}", ' id="a&amp;b" n="5"'),
        ("{{ {'id': 'a'} | xmlattr(false) }}", 'id="a"'),
        ("{{ {'no': nothing} | xmlattr }}", ""),
        ("{{ 1 | filesizeformat }}", "1 Byte"),
        ("{{ 999 | filesizeformat }}", "999 Bytes"),
        ("{{ 'abc' | upper is upper }}", True),
        # numbers
        ("{{ (5).bit_length() }}", 3),
        ("{{ 2.0.is_integer() }}", True),
        ("{{ 2.5.is_integer() }}", False),
        ("{{ exact.is_finite() }}", True),
        ("{{ endless.is_finite() }}", False),
        ("{{ nothing | int(7) }}", 7),
        ("{{ 'x' | float(1.5) }}", 1.5),
        ("{{ [] | int(7) }}", 7),
        ("{{ {} | float(2.5) }}", 2.5),
        # times
        ("{{ noon.isoformat() }}", "2024-02-29T12:30:00+00:00"),
        ("{{ noon.isoformat(' ') }}", "2024-02-29 12:30:00+00:00"),
        ("{{ date.isoformat() }}", "2024-12-30"),
        ("{{ noon.replace(hour=1, minute=2).isoformat() }}", "2024-02-29T01:02:00+00:00"),
        ("{{ date.isocalendar() | list }}", [2025, 1, 1]),
        ("{{ noon.weekday() }}", 3),
        ("{{ (noon + day).isoformat() }}", "2024-03-01T12:30:00+00:00"),
        ("{{ (noon - day).day }}", 28),
        ("{{ (later - noon).total_seconds() }}", 7200.0),
        # sequences and mappings
        ("{{ [] | random is defined }}", False),
        ("{{ nothing | first is defined }}", False),
        ("{{ [] | sum }}", 0),
        ("{{ [] | batch(2) | list }}", []),
        ("{{ rows | sort(attribute='n') | map(attribute='k') | list }}", ["a", "b"]),
        ("{{ rows | map(attribute='gone', default=0) | list }}", [0, 0]),
        ("{{ rows | selectattr('n', 'gt', 1) | map(attribute='k') | join }}", "b"),
        ("{{ held | length }}", 2),
        ("{{ held == [1, 2] }}", True),
        ("{{ held ~ '' }}", "[1, 2]"),
        # tests
        ("{{ 1 is sameas 1 }}", True),
        ("{{ 1 is sameas true }}", False),
        ("{{ 'a' is sameas 'a' }}", True),
        ("{{ 'a' is sameas 'b' }}", False),
        ("{{ nested is sameas {'a': {'b': 1}} }}", False),
        ("{{ nested is sameas nested }}", True),
        ("{{ 'upper' is filter }}", True),
        ("{{ 'oops' is filter }}", False),
        ("{{ 'odd' is test }}", True),
        ("{{ 'oops' is test }}", False),
        ("{{ [1, missing] | select('defined') | list }}", [1]),
        ("{{ 3 | default(1 // 0) }}", 3),
        ("{{ 3 | d(1 // 0) + 1 }}", 4),
        ("{{ [1, 2] | reject('undefined') | list }}", [1, 2]),
    ],
)
def test_an_expression_has_the_value_that_python_or_jinja2_gives_it(source, expected):
    found = render(source)

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% for n in [1, 2, 3] if n > 1 %}{{ n }}{% else %}none{% endfor %}", "23"),
        ("{% for n in [1, 2, 3] if n > 5 %}{{ n }}{% else %}none{% endfor %}", "none"),
        ("{% for n in [] %}{{ n }}{% else %}none{% endfor %}", "none"),
        ("{% for n in [1] %}{{ n }}{% else %}none{% endfor %}", "1"),
        ("{% for k, (a, b) in [['x', [1, 2]]] %}{{ k }}{{ a }}{{ b }}{% endfor %}", "x12"),
        ("{% for n in [1, 2, 3] %}{{ loop.cycle('a', 'b') }}{% endfor %}", "aba"),
        ("{% for n in [1, 2, 3] if n > 1 %}{{ loop.index }}{{ loop.length }}{% endfor %}", "1222"),
        ("{% set a, (b, c) = [1, [2, 3]] %}{{ c }}{{ b }}{{ a }}", "321"),
        (
            "{% macro m(a, b='y', c='z') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m('x') }}{{ m(1, 2) }}",
            "xyz12z",
        ),
        ("{{ [1, 2.5, true, nothing, 'ä'] | tojson }}", '[1, 2.5, true, null, "ä"]'),
        ("{{ [exact, noon] | tojson }}", '["2.50", "2024-02-29T12:30:00+00:00"]'),
    ],
)
def test_text_is_written_as_jinja2_writes_it(source, expected):
    found = render("." + source)

    assert found == "." + expected


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ [1] | xmlattr }}", "a mapping"),
        ("{{ {'a b': 1} | xmlattr }}", "name of an attribute"),
        ("{{ '%%%' | b64decode ~ 'A' | b64decode }}", "not Base64"),
        ("{{ '%c' % -1 }}", "character"),
        ("{{ '%c' % 55296 }}", "character"),
        ("{{ '%d' % 'x' }}", "%d|integer"),
        ("{{ noon.isoformat('--') }}", "one character"),
        ("{{ noon.isoformat('') }}", "one character"),
        ("{{ noon.replace(month=13) }}", "no such time"),
        ("{{ noon.replace(era=1) }}", "replaced in"),
        ("{{ noon + noon }}", r"\+"),
        ("{{ noon - 'x' }}", "-"),
        ("{{ [1] - [1] }}", "-"),
        ("{{ loop.cycle() }}", "loop|cycle"),
        ("{{ nothing | default('a', *[true]) }}", "written one by one"),
        ("{{ nothing | default('a', **{'boolean': true}) }}", "written one by one"),
        ("{% set raw.a = 1 %}", "'raw' is no namespace; make it by namespace"),
        ("{{ [1] | slice(0) }}", "slice makes 1 list or more"),
        ("{{ [1][::0] }}", "step must not be zero"),
    ],
)
def test_what_has_no_value_says_why(source, said):
    with pytest.raises(TemplateError, match=said):
        render(source)


class Colour(enum.Enum):
    RED = "red"


class Word(str):
    __slots__ = ()


class Whole(int):
    pass


class Half(float):
    pass


class Table(dict[str, Any]):
    pass


IDENTITY = uuid.UUID(int=5)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Colour.RED, "red"),
        (Word("w"), "w"),
        (Whole(3), 3),
        (Half(0.5), 0.5),
        (Table(a=1), {"a": 1}),
        ((1, 2), [1, 2]),
        (range(2), [0, 1]),
        (IDENTITY, "00000000-0000-0000-0000-000000000005"),
        ([Colour.RED, {"k": (Word("w"), Held({"x": Whole(1)}))}], ["red", {"k": ["w", {"x": 1}]}]),
    ],
)
def test_values_of_a_host_become_plain_data(given, expected):
    scope = DictScope({"given": given})
    found = compile_value("{{ [given] | list }}").render(scope)

    assert found == [expected]
    assert types(found) == types([expected])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Colour.RED, True), (Word("w"), True), (Word(""), False), (Whole(3), True),
        (Whole(0), False), (Half(0.0), False), (Table(a=1), True), (Table(), False),
        (range(2), True), (range(0), False), ({1}, True), (set(), False), (IDENTITY, True),
        (bytearray(b""), False), (Held([1]), True), (Held([]), False), (Held(None), False),
    ],
)  # fmt: skip
def test_values_of_a_host_count_as_true_as_their_data_does(given, expected):
    scope = DictScope({"given": given})

    assert compile_value("{{ 'yes' if given else 'no' }}").render(scope) == (
        "yes" if expected else "no"
    )
    assert compile_value("{{ not given }}").render(scope) is not expected
    assert truth(given) is expected


@pytest.mark.parametrize(
    ("given", "value", "text"),
    [
        (None, None, ""),
        (MISSING, None, ""),
        (True, True, "true"),
        (2.5, 2.5, "2.5"),
        (float("nan"), None, None),
        (Decimal("2.50"), "2.50", "2.50"),
        (Decimal("NaN"), None, None),
        (b"a\xff", "a\ufffd", "a\ufffd"),
        (NOON, "2024-02-29T12:30:00+00:00", "2024-02-29T12:30:00+00:00"),
        (dt.timedelta(hours=1), "1:00:00", "1:00:00"),
        ({"a": [1, None]}, {"a": [1, None]}, '{"a": [1, null]}'),
        ((1, "x"), [1, "x"], '[1, "x"]'),
        ({1: True, None: NOON}, {"1": True, "": "2024-02-29T12:30:00+00:00"}, None),
        (Colour.RED, "red", None),
        (Table(a=(1,)), {"a": [1]}, None),
        ({5}, [5], None),
        (Held({"a": {5}}), {"a": [5]}, None),
        (IDENTITY, "00000000-0000-0000-0000-000000000005", None),
    ],
)
def test_a_value_has_one_form_as_json_and_one_as_text(given, value, text):
    found = to_value(given)

    assert found == value
    assert types(found) == types(value)
    if text is not None:
        assert to_text(given) == text


@pytest.mark.parametrize(
    ("source", "noted"),
    [
        ("{{ a.b == 3 }}", ["a.b"]), ("{{ 3 == a.b }}", ["a.b"]), ("{{ a.b != 'x' }}", ["a.b"]),
        ("{{ a.b < 3 }}", ["a.b"]), ("{{ 3 >= a.b }}", ["a.b"]),
        ("{{ 1 in a.b }}", ["a.b"]), ("{{ a.c == 3 }}", []), ("{{ a.c == a.c }}", []),
        ("{{ a.b is defined and a.b == 3 }}", []), ("{{ a.b | default(1) == 3 }}", []),
    ],
)  # fmt: skip
def test_a_comparison_notes_what_is_missing_and_not_what_is_null(source, noted):
    scope = DictScope({"a": {"c": None}})
    compile_value(source).render(scope)

    assert scope.take_missing() == noted
    assert scope.budget.missed is False


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("not ", ""), ("-", ""), ("+", ""), ("(", ")"), ("[", "]")],
)
def test_brackets_and_prefixes_nest_fifty_deep_and_no_deeper(opening, closing):
    render("{{ " + opening * 50 + "1" + closing * 50 + " }}")

    with pytest.raises(BudgetError, match="nests deeper than 50 levels"):
        render("{{ " + opening * 51 + "1" + closing * 51 + " }}")


@pytest.mark.parametrize(("opening", "closing"), [("{% if 1 %}", "{% endif %}")])
def test_blocks_nest_fifty_deep_and_no_deeper(opening, closing):
    render(opening * 49 + "{{ 1 }}" + closing * 49)

    with pytest.raises(BudgetError, match="nests deeper than 50 levels"):
        render(opening * 51 + "{{ 1 }}" + closing * 51)


def types(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: types(v) for k, v in value.items()}
    return [types(v) for v in value] if isinstance(value, list) else type(value)


def test_other_objects_are_no_data():
    with pytest.raises(TemplateError, match="object is no data"):
        compile_value("{{ [given] | list }}").render(DictScope({"given": object()}))


def test_a_value_that_contains_itself_reaches_a_limit():
    cycle: list[Any] = []
    cycle.append(cycle)

    with pytest.raises(BudgetError, match="nests deeper"):
        compile_value("{{ [given] | tojson }}").render(DictScope({"given": cycle}))


def test_plain_replaces_views_wherever_they_are():
    assert plain(Held(Held({"a": Held(1), "b": [Held(2)]}))) == {"a": 1, "b": [2]}
    untouched = {"a": 1, "b": "x"}
    assert plain(untouched) is untouched
    numbers = [1, 2]
    assert plain(numbers) is numbers


def test_an_item_is_found_by_index_or_key_and_missing_beyond():
    assert item([1, 2], -2) == 1
    assert item([1, 2], -3) is MISSING
    assert item([1, 2], 2) is MISSING
    assert item({"a": 1}, "a") == 1
    assert item({"a": 1}, (1,)) is MISSING
    assert item("text", "upper") is not None
    assert item(5, 0) is MISSING
    assert item([1, 2], Held(1)) == 2


def test_a_status_equals_each_of_its_spellings_and_nothing_else():
    status = AnyOf("ok", "success", number=200)

    assert status in ("success", "x")
    assert status == 200
    assert status != "failed"
    assert (status != "ok") is False
    assert repr(MISSING) == "MISSING"


@pytest.mark.parametrize(
    ("code", "is_used"),
    [
        ("return context['a']", True),
        ("return contexts['a']", False),
        ("# context\nreturn 1", False),
        ("return 'context'", False),
        ("return f'{context}'", True),
        ("return F'{context}'", True),
        ("return f'{contexts}'", False),
        ("return 1", False),
        ("return (context", True),
    ],
)
def test_code_uses_a_name_only_where_python_reads_it(code, is_used):
    assert uses_name(code, "context") is is_used


def test_a_text_of_one_expression_keeps_its_type_in_all_ways_to_render_it():
    template = compile_text("{{ 1 + 1 }}")

    assert template.render(DictScope({})) == 2
