"""A step's result is its data, everywhere in expressions."""

from __future__ import annotations

import pytest

from arcbook.engine.views import OutputView, StepView, result_view
from arcbook.events.types import LoopResult, StepResult, Value
from arcbook.template.render import compile_condition, compile_value
from arcbook.template.scope import DictScope


def step(data):
    return StepView(StepResult(tasks={"t": Value(data)}, last="t", status="ok"), {})


NAMES = {
    "count": step(5),
    "price": {"a": 1, "five": 5},
    "word": step("five"),
    "listed": step([3, 1, 2]),
    "mapped": step({"b": 1, "a": 2}),
    "flag": step(data=False),
    "nothing": step(None),
    "half": step(2.5),
    "output": OutputView("ok", 7, None, {}, ""),
    "looped": result_view(LoopResult(total=2, success=1, failed=1, items=["x", None]), {}),
}


def render(source):
    return compile_value(source).render(DictScope(NAMES))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ count > 3 }}", True),
        ("{{ 3 < count < 6 }}", True),
        ("{{ count + 1 }}", 6),
        ("{{ 10 - count * 2 // 3 }}", 7),
        ("{{ count ** 2 % 7 }}", 4),
        ("{{ -count }}", -5),
        ("{{ +count }}", 5),
        ("{{ count == 5 }}", True),
        ("{{ 5 == count }}", True),
        ("{{ count != count }}", False),
        ("{{ count in [4, 5] }}", True),
        ("{{ 3 in listed }}", True),
        ("{{ 'iv' in word }}", True),
        ("{{ 'a' in mapped }}", True),
        ("{{ word[1:] }}", "ive"),
        ("{{ word[0] }}", "f"),
        ("{{ listed[1:] }}", [1, 2]),
        ("{{ listed[-1] }}", 2),
        ("{{ range(count) }}", [0, 1, 2, 3, 4]),
        ("{{ range(0, count, 2) }}", [0, 2, 4]),
        ("{{ half | round }}", 2.0),
        ("{{ mapped | dictsort }}", [["a", 2], ["b", 1]]),
        ("{{ listed | random in [1, 2, 3] }}", True),
        ("{{ dict(mapped, b=2) }}", {"b": 2, "a": 2}),
        ("{{ word | urlencode }}", "five"),
        ("{{ mapped | urlencode }}", "b=1&a=2"),
        ("{{ price[word] }}", 5),
        ("{{ ['a', 'b', 'c', 'd', 'e', 'f'][count] }}", "f"),
        ("{{ listed[listed[1]] }}", 1),
        ("{{ word | pprint }}", "'five'"),
        ("{{ mapped | pprint }}", "{'a': 2, 'b': 1}"),
        ("{{ word | upper ~ count }}", "FIVE5"),
        ("{{ [count, word] }}", [5, "five"]),
        ("{{ {'k': mapped} }}", {"k": {"b": 1, "a": 2}}),
        ("{{ listed | sort }}", [1, 2, 3]),
        ("{{ listed + listed }}", [3, 1, 2, 3, 1, 2]),
        ("{{ word * 2 }}", "fivefive"),
        ("{{ '%s-%03d' % (word, count) }}", "five-005"),
        ("{{ '{}'.format(word) }}", "five"),
        ("{{ word.upper() }}", "FIVE"),
        ("{{ mapped.items() | list }}", [["b", 1], ["a", 2]]),
        ("{{ mapped.get('b') }}", 1),
        ("{{ count | int + 1 }}", 6),
        ("{{ output + 1 }}", 8),
        ("{{ output > 6 }}", True),
        ("{{ not flag }}", True),
        ("{{ flag or 'x' }}", "x"),
        ("{{ nothing is none }}", True),
        ("{{ nothing | default('d') }}", "d"),
        ("{{ count if flag else word }}", "five"),
        ("{{ looped | length }}", 2),
        ("{{ looped | list }}", ["x", None]),
        ("{{ 'x' in looped }}", True),
        ("{{ looped[0] }}", "x"),
        ("{{ looped is mapping }}", True),
        ("{% for x in listed %}{{ x }}{% endfor %}{{ count }}", "3125"),
    ],
)
def test_a_view_that_is_used_as_a_value_is_its_data(source, expected):
    assert render(source) == expected


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("count", "number"),
        ("count", "integer"),
        ("half", "float"),
        ("word", "string"),
        ("listed", "sequence"),
        ("mapped", "mapping"),
        ("flag", "boolean"),
        ("flag", "false"),
        ("nothing", "none"),
        ("count", "odd"),
        ("word", "lower"),
    ],
)
def test_a_test_of_a_view_is_a_test_of_its_data(name, kind):
    assert compile_condition(f"{name} is {kind}").test(DictScope(NAMES)) is True


@pytest.mark.parametrize("kind", ["string", "mapping", "sequence", "none", "boolean"])
def test_a_number_is_of_no_other_kind(kind):
    assert compile_condition(f"count is {kind}").test(DictScope(NAMES)) is False
