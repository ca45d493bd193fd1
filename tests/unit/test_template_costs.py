"""What work in templates costs: the more of it, the more units, whichever word does it."""

from __future__ import annotations

import pytest

from arcbook.template.budget import Budget
from arcbook.template.errors import BudgetError, shorten
from arcbook.template.operators import equal
from arcbook.template.render import compile_text
from arcbook.template.scope import DictScope

SIZE = 32_000


def spent(source: str, count: int) -> int:
    """Return what a template costs, with ``count`` numbers, a text and a mapping as long."""
    scope = DictScope(
        {
            "list": [*range(count)],
            "same": [*range(count)],
            "text": "ab" * (count // 2),
            "map": {f"k{i}": i for i in range(count)},
            "texts": ["ab"] * count,
        }
    )
    compile_text(source).render(scope)
    return scope.budget.limit - scope.budget.left


@pytest.mark.parametrize(
    "source",
    [
        "{{ list + same }}", "{{ list * 2 }}", "{{ list[1:] }}", "{{ list == same }}",
        "{{ -1 in list }}", "{{ list | list }}", "{{ list | reverse | list }}",
        "{{ list | sort }}", "{{ list | unique | list }}", "{{ list | sum }}",
        "{{ list | min }}", "{{ list | max }}", "{{ list | join }}",
        "{{ list | batch(2) | list }}", "{{ list | slice(2) | list }}",
        "{{ list | map('string') | list }}", "{{ list | select('odd') | list }}",
        "{{ list | reject('odd') | list }}", "{{ list | tojson }}", "{{ list | string }}",
        "{{ list.index(list[-1]) }}", "{{ list.count(1) }}", "{{ list | groupby(0) | list }}",
        "{{ map | dictsort }}", "{{ map | items | list }}", "{{ map.keys() | list }}",
        "{{ map.values() | list }}", "{{ map | tojson }}", "{{ dict(map) }}", "{{ map == map }}",
        "{{ texts | join('-') }}", "{{ texts | sort }}", "{{ texts | map('upper') | list }}",
        ".{% for n in list %}{% endfor %}", ".{{ list }}", ".{% set a, b = [list, list] %}{{ a }}",
    ],
)  # fmt: skip
def test_what_walks_through_a_list_or_mapping_costs_a_unit_for_eight_items(source):
    assert spent(source, SIZE) - spent(source, 8) >= (SIZE - 8) // 8


@pytest.mark.parametrize(
    "source",
    [
        "{{ text ~ 'x' }}", "{{ text + 'x' }}", "{{ text * 2 }}", "{{ text[1:] }}",
        "{{ text | upper }}", "{{ text | lower }}", "{{ text | title }}", "{{ text | capitalize }}",
        "{{ text | replace('a', 'c') }}", "{{ text.upper() }}", "{{ text | list }}",
        "{{ text | reverse }}", "{{ text | urlencode }}", "{{ text | b64encode }}",
        "{{ text | tojson }}", "{{ text | indent(2, true) }}", "{{ text.split('b') }}", "{{ text | striptags }}", "{{ text.swapcase() }}",
        "{{ '%s.' % text }}", "{{ '{}.'.format(text) }}", ".{{ text }}",
        ".{% filter upper %}{{ text }}{% endfilter %}", ".{% set a %}{{ text }}{% endset %}",
    ],
)  # fmt: skip
def test_what_makes_a_text_costs_a_unit_for_sixteen_characters(source):
    assert spent(source, SIZE) - spent(source, 8) >= (SIZE - 8) // 16


def test_lists_of_other_lengths_are_told_apart_without_a_walk():
    budget = Budget()

    assert not equal(budget, [*range(SIZE)], [1])
    assert budget.limit - budget.left < 10


def test_the_last_unit_may_be_spent_and_no_more():
    budget = Budget(10)
    budget.spend(10)

    assert budget.left == 0
    with pytest.raises(BudgetError, match="more than 10 units"):
        budget.spend(1)


@pytest.mark.parametrize(("make", "per_unit"), [(Budget.characters, 16), (Budget.slots, 8)])
def test_what_is_made_may_reach_the_limit_but_not_pass_it(make, per_unit):
    budget = Budget(10)
    make(budget, 10 * per_unit - 1)
    assert budget.left == 0

    with pytest.raises(BudgetError, match="more than 10 units"):
        make(Budget(10), 10 * per_unit)


def test_a_replacement_by_text_as_long_costs_no_more_than_the_text():
    text = "ab" * (SIZE // 2)
    longer = spent("{{ text | replace('a', 'cdef') }}", SIZE)
    as_long = spent("{{ text | replace('a', 'c') }}", SIZE)

    assert longer - as_long == len(text.replace("a", "cdef")) // 16 - len(text) // 16


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [("abcde", 5, "abcde"), ("abcdef", 5, "abcd…"), (" a \n b ", 5, "a b"), ("", 5, "")],
)
def test_a_shortened_text_has_at_most_as_many_characters(text, limit, shown):
    assert shorten(text, limit) == shown
