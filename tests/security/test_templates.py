"""Templates of an attacker: nothing is reached but data, nothing is changed, all of it ends soon."""

from __future__ import annotations

import contextlib
import datetime as dt
import resource
import sys
import time
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arcbook.engine.views import StepView, result_view
from arcbook.events.types import LoopResult, StepResult, Value
from arcbook.template import limits
from arcbook.template.access import MISSING, View
from arcbook.template.budget import Budget
from arcbook.template.code import compile_code
from arcbook.template.errors import TemplateError
from arcbook.template.render import compile_condition, compile_value
from arcbook.template.scope import DictScope

pytestmark = pytest.mark.held("contained")

STEP = StepResult(tasks={"load": Value({"rows": [1, 2], "name": "x"})}, last="load", status="ok")
LOOP = LoopResult(total=2, success=2, failed=0, items=[1, 2])


class Hostile:
    """An object of the host, every method of which would be a way out."""

    secret = "s3cret"

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    def __bool__(self) -> bool:
        raise AssertionError("tested")

    def __str__(self) -> str:
        raise AssertionError("written")

    def __iter__(self) -> Any:
        raise AssertionError("gone through")

    def __call__(self) -> Any:
        raise AssertionError("called")

    __hash__ = object.__hash__


def names() -> dict[str, Any]:
    deep: Any = 1
    for _ in range(3000):
        deep = [deep]
    shared: Any = ["x"]
    for _ in range(40):
        shared = [shared, shared]
    return {
        "workload": {"n": 1, "rows": [{"a": i} for i in range(50)], "text": "abc"},
        "step": StepView(STEP, {}),
        "looped": result_view(LOOP, {}),
        "when": dt.datetime(2030, 1, 2, tzinfo=dt.UTC),
        "amount": Decimal("1e999999"),
        "raw": b"bytes",
        "hostile": Hostile(),
        "function": names,
        "module": sys,
        "deep": deep,
        "shared": shared,
        "long": "a" * 1_000_000,
        "ints": [2**61 - 1] * 3,
    }


ESCAPES = r"""
{{ ([1]|map('string')).gi_frame.f_builtins['__import__']('os').popen('id').read() }}
{{ ([1]|map('string'))|get('gi_frame') }}
{{ [[1]|map('string')]|map(attribute='gi_frame')|list }}
{{ ([1]|select)|attr('gi_code') }}
{{ ''.__class__.__mro__[1].__subclasses__() }}
{{ ''|attr('__class__')|attr('__mro__') }}
{{ ''['__class__'] }}
{{ [''] | map(attribute='__class__') | first }}
{{ [''] | sort(attribute='__class__.__name__') | first }}
{{ [''] | groupby('__class__') | list }}
{{ [[1]] | sum(attribute='__class__') }}
{{ ['a'] | join(',', attribute='__class__') }}
{{ '{0.__class__.__mro__}'.format('') }}
{{ '{0[__class__]}'.format('') }}
{{ '{a.__class__}'.format(a=1) }}
{{ '{:{}}'.format('x', 10) }}
{{ '%(__class__)s' % 'x' }}
{{ '%s' | format(workload.__init__) }}
{{ workload.__class__ }}
{{ workload.get.__self__ }}
{{ workload.get('__class__') }}
{{ workload.items.__func__ }}
{{ range.__class__ }}
{{ range(3).__class__ }}
{{ dict.__base__ }}
{{ dict.fromkeys([1]) }}
{{ namespace.__init__.__globals__ }}
{{ cycler.__init__.__globals__.os }}
{{ joiner.__init__.__globals__ }}
{{ lipsum.__globals__['os'].popen('id').read() }}
{{ self.__init__.__globals__ }}
{{ self._TemplateReference__context }}
{{ loop.__class__ }}
{% for x in [1] %}{{ loop.__init__.__globals__ }}{% endfor %}
{% for x in [1] %}{{ loop }}{% endfor %}
{% for x in [1] %}{{ loop._iterator }}{% endfor %}
{% macro m() %}{{ caller }}{% endmacro %}{{ m.__globals__ }}
{% macro m() %}x{% endmacro %}{{ m }}
{% macro m() %}x{% endmacro %}{{ [m] | map('string') | list }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2) }}
{% set ns = namespace(a=1) %}{{ ns.__class__ }}
{% set ns = namespace(a=1) %}{{ ns }}
{% set ns = namespace(__class__=1) %}{{ ns.__class__.__mro__ }}
{% include 'etc/passwd' %}
{% import 'x' as y %}{{ y }}
{% from 'x' import y %}{{ y }}
{% extends 'x' %}
{% block x %}{{ self.x() }}{% endblock %}
{% call(x) workload.get() %}{% endcall %}
{{ step.__class__ }}
{{ step.plain() }}
{{ step.result.tasks }}
{{ step._result }}
{{ step.loaded }}
{{ looped.loaded }}
{{ hostile }}
{{ hostile.secret }}
{{ hostile == 1 }}
{{ 1 == hostile }}
{{ not hostile }}
{{ [hostile] | list }}
{{ [hostile, hostile] | sort }}
{{ hostile ~ 'x' }}
{{ 'x' in [hostile] }}
{{ hostile | tojson }}
{{ hostile() }}
{{ [hostile] == [hostile] }}
{{ {'a': hostile} }}
{{ function() }}
{{ function.__globals__ }}
{{ module.modules }}
{{ module.exit() }}
{{ when.__class__ }}
{{ when.tzinfo.__class__ }}
{{ when.strftime('%s'.__class__) }}
{{ when.replace(tzinfo=none) }}
{{ when.strptime('2030', '%Y') }}
{{ raw.__class__ }}
{{ 'x'.encode('idna') }}
{{ 'x'.encode('unicode_escape').decode('rot13') }}
{{ raw.decode('zip') }}
{{ 'abc'.translate({97: 'x'}) }}
{{ 'abc'.maketrans('a', 'b') }}
{{ 'a'.format_map(workload) }}
{{ workload | xmlattr(autospace=hostile) }}
{{ workload | tojson(indent=hostile) }}
{{ [1] | map('attr', '__class__') | list }}
{{ [1] | map('format', budget=1) | list }}
{{ '%(budget)s' | format(budget=1, value=2) }}
{{ dict(budget=1, self=2, args=3) }}
{{ 'x' | default(value='y', budget='z') }}
{{ 'x' is test('y') }}
{{ 1 is sameas hostile }}
{{ (1).real }}
{{ (1).__add__(1) }}
{{ (1.5).hex() }}
{{ 'x' | select('callable') | list }}
{{ [function] | select('callable') | list }}
{{ *workload }}
{{ workload.get(*['n']) }}
{{ workload.get(**workload) }}
{{ 'a' | replace(old='a', new='b', budget=3) }}
{{ lookup('workload') }}
{{ run }}{{ b }}{{ s }}{{ K1 }}{{ UNSET }}{{ MISSING }}{{ exhausted() }}{{ __builtins__ }}
{{ "\"); import os; os.system('id'); (\"" }}
{% set b = 5 %}{% set lookup = 6 %}{% set s = 7 %}{% set o = 8 %}{{ b }}{{ lookup }}{{ s }}{{ o }}{{ workload.n }}
{{ workload['\n\"\"\"; import os #'] }}
{{ env['PATH'] }}
""".strip().splitlines()


@pytest.mark.parametrize("source", ESCAPES)
def test_no_template_reaches_anything_but_data(source):
    for compiler in (compile_value, compile_condition, compile_code):
        try:
            template = compiler(source)
            found = [template.render(DictScope(names())), template.evaluate(DictScope(names()))]
            template.test(DictScope(names()))
        except TemplateError:
            continue
        for value in found:
            assert_data(value)
        for trace in ("s3cret", "<class", "object at", "uid=", "root:"):
            assert trace not in str(found[0])


def assert_data(value: Any) -> None:
    """Check every value by its exact type, all the way down, each once however often it stands."""
    waiting, seen = [value], {}
    while waiting:
        one = waiting.pop()
        one = one.plain() if isinstance(one, View) else one
        if id(one) in seen or one is MISSING or one is None:
            continue
        seen[id(one)] = one  # kept, so that no other value gets its place
        if type(one) is dict:
            assert all(type(key) is str for key in one)
            waiting += one.values()
        elif type(one) in (list, tuple):
            waiting += one
        else:
            assert_scalar(one)


def assert_scalar(value: Any) -> None:
    """Check a value in which there is no other."""
    assert type(value) in (
        bool,
        int,
        float,
        str,
        bytes,
        Decimal,
        dt.datetime,
        dt.date,
        dt.time,
        dt.timedelta,
    )


CHANGES = r"""
{{ dict.update(workload, {'n': 2}) }}
{{ workload.update({'n': 2}) }}
{{ workload.pop('n') }}
{{ workload.setdefault('m', 1) }}
{{ workload.clear() }}
{{ workload.popitem() }}
{{ workload.rows.append(1) }}
{{ workload.rows.extend([1]) }}
{{ workload.rows.sort() }}
{{ workload.rows.reverse() }}
{{ workload.rows.insert(0, 1) }}
{{ workload.rows.remove(1) }}
{{ workload.rows.pop() }}
{{ workload.rows.clear() }}
{{ workload.rows | indent }}
{{ workload.rows | batch(60, 'x') | list }}
{{ workload.rows | slice(3, 'x') | list }}
{{ workload.rows | sort(attribute='a', reverse=true) | list }}
{{ workload.rows | reverse | list }}
{{ (workload.rows | list) + [1] }}
{{ [workload.rows, [1]] | sum(start=[]) }}
{{ dict(workload, n=2) }}
{{ workload | dictsort }}
{{ workload.rows | map(attribute='a') | list | sort }}
{% set workload = 5 %}{{ workload }}
{% for workload in [1] %}{{ workload }}{% endfor %}
{% set ns = namespace(n=workload.n) %}{% set ns.n = 2 %}{{ ns.n }}
{% macro m(workload) %}{% set workload = 3 %}{% endmacro %}{{ m(1) }}
{{ step.rows.append(3) }}
{{ looped.results.append(3) }}
{{ workload.copy() }}
{{ workload.rows.copy() }}
""".strip().splitlines()


@pytest.mark.parametrize("source", CHANGES)
def test_no_template_changes_what_it_reads(source):
    given = {"workload": {"n": 1, "rows": [{"a": i} for i in range(50)]}}
    given |= {"step": StepView(STEP, {}), "looped": result_view(LOOP, {})}
    with contextlib.suppress(TemplateError):
        compile_value(source).render(DictScope(given))

    assert given["workload"] == {"n": 1, "rows": [{"a": i} for i in range(50)]}
    assert STEP.tasks["load"].data == {"rows": [1, 2], "name": "x"}
    assert LOOP.items == [1, 2]


EXPENSIVE = r"""
{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}
{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(30) }}
{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}
{% set a=1 %}{{ ('a b '|center(3000000))|wordwrap(2)|length }}
{{ ''|center(3000000000) }}
{{ '%3000000000d' % 1 }}
{{ '%.3000000000f' % 1 }}
{{ '%*d' % (3000000000, 1) }}
{{ '{:3000000000}'.format(1) }}
{{ '{:.3000000000f}'.format(1.5) }}
{{ 'x'.ljust(3000000000) }}
{{ 'x'.zfill(3000000000) }}
{{ '\t'.expandtabs(3000000000) }}
{{ 'x' * 3000000000 }}
{{ [0] * 3000000000 }}
{{ ('x' * 60000) | replace('x', 'y' * 60000) }}
{{ ('x' * 60000) | replace('', 'y' * 6000) }}
{{ ('x' * 60000).replace('x', 'y' * 60000) }}
{{ ('a,' * 60000) | split(',') | join('b' * 60000) }}
{{ ('b' * 60000).join('a' * 60000) }}
{{ ('\n' * 60000) | indent(60000) }}
{{ ('\n' * 60000) | indent('x' * 6000, true, true) }}
{{ range(1000000000) }}
{{ range(10**30) }}
{{ range(9999999) | list | length }}
{{ range(0, 100000, 1) | slice(300000000) | list | length }}
{{ [1] | batch(3000000000, 'x') | list }}
{{ [1] | slice(300000000) | list }}
{{ range(20000) | groupby('x') | list | length }}
{{ range(90000) | map('string') | map('list') | list | sum(start=[]) | length }}
{{ [range(9000)] * 9000 | sum(start=[]) | length }}
{{ (range(30000) | list) == (range(30000) | list) and (range(30000) | list) in [(range(30000) | list)] * 900 }}
{{ range(0, 30000 * (2**61 - 1), 2**61 - 1) | unique | list | length }}
{{ dict(range(0, 30000 * (2**61 - 1), 2**61 - 1) | map('string') | batch(2) | list) | length }}
{{ dict(range(0, 30000 * (2**61 - 1), 2**61 - 1) | batch(2) | list) | length }}
{{ 9 ** 9 ** 9 }}
{{ 9 ** 99999999 }}
{{ 2 ** 4000 * 2 ** 4000 * 2 ** 4000 }}
{{ (10 ** 1000) ** 1000 }}
{{ 1 | round(1000000000) }}
{{ 1.5 | round(1000000000, 'ceil') }}
{{ '9' * 100000 | int }}
{{ ('9' * 1000000) | int }}
{{ ('9' * 1000000) | float }}
{{ amount | int }}
{{ amount // 1 }}
{{ amount | string | length }}
{{ '%d' % amount }}
{{ '{:f}'.format(amount) }}
{{ amount | round(2) }}
{{ amount == 1.5 or amount > 10 ** 1000 }}
{{ ('x' * 60000 ~ 'y') in ('x' * 60000 * 2) }}
{{ ('x' * 14000 ~ 'y') in ('x' * 29000) }}
{{ ('x' * 29000).count('x' * 14000 ~ 'y') }}
{{ ('x' * 60000).rfind('y' ~ 'x' * 30000) }}
{{ ('x' * 60000).rsplit('y' ~ 'x' * 30000) }}
{{ ('x' * 60000).rpartition('y' ~ 'x' * 30000) }}
{{ ('x' * 600000).strip('abcdefghijklmnopqrstuvwxyz' * 1000) }}
{{ ('<' * 300000) | striptags | length }}
{{ ('<!--' * 100000) | striptags | length }}
{{ ('&' * 3000000) | escape | length }}
{{ ('a-' * 9999) | wordwrap(3) | length }}
{{ (' ' * 19999) | wordwrap(3) | length }}
{{ (' a' * 9999 ~ ' ') | wordwrap(1) | length }}
{{ ('a b' * 300000) | title | wordcount }}
{{ ('%' * 1000000) | urlencode | length }}
{{ ('[' * 500000) | fromjson }}
{{ ('[1,' * 200000) | fromjson }}
{{ ('{"a":' * 50000) | fromjson }}
{{ ('[' ~ '[],' * 1000000 ~ '[]]') | fromjson | length }}
{{ ('1' * 4000) | fromjson }}
{{ '1e999999999' | fromjson }}
{{ deep | tojson }}
{{ deep == deep }}
{{ deep | string | length }}
{{ deep ~ '' }}
{{ [deep] }}
{{ deep | list | pprint }}
{{ deep in [deep] }}
{{ [deep, deep] | unique | list }}
{{ [deep, deep] | sort }}
{{ shared | tojson }}
{{ shared == shared }}
{{ [shared] }}
{{ shared | string | length }}
{{ shared | pprint }}
{{ [shared] | unique | list }}
{{ [[shared], [shared]] | sort }}
{{ shared < shared }}
{{ shared | urlencode }}
{{ shared | join }}
{{ shared | map('tojson') | list }}
{{ shared | list | tojson(2) }}
{{ [[[[[[1]]]]]] | tojson(1000) | length }}
{{ range(1000) | list | tojson(1000) | length }}
{% for a in range(100000) %}{% for b in range(100000) %}{% for c in range(100000) %}{% endfor %}{% endfor %}{% endfor %}
{% set ns = namespace(x='x') %}{% for a in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x | length }}
{% set ns = namespace(x=[1]) %}{% for a in range(100) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}
{% set ns = namespace(x=[1]) %}{% for a in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x | length }}
{% set ns = namespace(x=2) %}{% for a in range(100) %}{% set ns.x = ns.x * ns.x %}{% endfor %}{{ ns.x }}
{% set ns = namespace(x={}) %}{% for a in range(5000) %}{% set ns.x = dict(ns.x, **{}) %}{% endfor %}{{ ns.x }}
{% set ns = namespace(x={}) %}{% for a in range(5000) %}{% set ns.x = {'a': ns.x} %}{% endfor %}{{ ns.x }}
{% set x = ['a' * 100000] * 1000 %}{{ x | join }}
{% set x = ['a' * 100000] * 1000 %}{{ x }}
{% set x = ['a' * 100000] * 1000 %}{{ x | unique | list | length }}
{% set x = ['a' * 100000 ~ 'b', 'a' * 100000 ~ 'c'] * 500 %}{{ x | sort | length }}
{% set x = ['a' * 100000 ~ 'b', 'a' * 100000 ~ 'c'] * 500 %}{{ x | max | length }}
{% set x = ['a' * 100000] * 1000 %}{{ ('a' * 99999 ~ 'b') in x }}
{% filter upper %}{% for a in range(1000000) %}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{% endfor %}{% endfilter %}
{% set x %}{% for a in range(1000000) %}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{% endfor %}{% endset %}{{ x }}
{{ range(99999) | map('fromjson') | list | length }}
{{ ['x'] * 99999 | map('int') | list | length }}
{{ (['x'] * 99999) | map('int') | map('string') | map('tojson') | list | length }}
{{ range(99999) | map('tojson') | map('b64encode') | map('b64decode') | list | length }}
{{ long.split('a') | length }}
{{ long | list | length }}
{{ long | upper | lower | title | length }}
{{ long ~ long ~ long ~ long ~ long ~ long ~ long ~ long ~ long ~ long ~ long ~ long ~ long ~ long ~ long ~ long ~ long ~ long }}
{{ workload.rows | map('dictsort') | list | length }}
{{ when.strftime('%999999999d') }}
{{ when.strftime('%Y' * 100000) }}
{{ when.strftime('%') }}
{{ when.strftime('%Q') }}
{{ range(40000) | random }}
{{ ints | unique | list }}
{{ [1, 2] | map('default', 'x' * 1000000) | list | length }}
{{ (range(500) | list) | map('in', range(500) | list) | list }}
{{ range(3000) | select('in', range(3000) | list | reverse | list) | list | length }}
{{ range(3000) | selectattr('a', 'in', shared) | list }}
""".strip().splitlines()


SECONDS_PER_UNIT = 3e-6
"""Far above what a unit takes (a third of a microsecond), for machines that are busy."""


def spent(source: str, budget: Budget) -> float:
    """Return how many seconds of processor time a template takes to be read and run."""
    scope = DictScope(names())
    scope.budget = budget
    begin = time.process_time()
    try:
        template = compile_value(source)
        template.render(scope)
        template.test(scope)
    except TemplateError:
        pass
    return time.process_time() - begin


@pytest.mark.parametrize("source", EXPENSIVE)
def test_every_template_ends_within_its_budget(source):
    budget = Budget()

    assert spent(source, budget) < 1 + limits.UNITS_MAX * SECONDS_PER_UNIT


@pytest.mark.parametrize("source", EXPENSIVE[::4])
def test_no_template_takes_more_memory_than_its_budget_allows(source):
    budget = Budget(100_000)
    scope = DictScope(names())
    scope.budget = budget
    tracemalloc.start()
    try:
        compile_value(source).render(scope)
    except TemplateError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert peak < 24 * 2**20


UNREADABLE = [
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "{{ " + "-" * 20000 + "1 }}",
    "{{ " + "not " * 20000 + "1 }}",
    "{{ " + "1 if 1 else " * 5000 + "1 }}",
    "{{ a" + ".b" * 20000 + " }}",
    "{{ a" + "|upper" * 5000 + " }}",
    "{{ a" + "[0]" * 5000 + " }}",
    "{{ 1" + " + 1" * 20000 + " }}",
    "{{ 1" + " ~ 1" * 20000 + " }}",
    "{{ 1" + " and 1" * 20000 + " }}",
    "{{ 1" + " < 1" * 20000 + " }}",
    "{% if a %}" * 3000 + "{% endif %}" * 3000,
    "{% for a in b %}" * 3000 + "{% endfor %}" * 3000,
    "{% for a in b %}" * 14 + "{% endfor %}" * 14,
    "{% set a %}" * 3000 + "{% endset %}" * 3000,
    "{% filter upper %}" * 3000 + "{% endfilter %}" * 3000,
    "{% macro m() %}" * 3000 + "{% endmacro %}" * 3000,
    "{{ '" + "a" * 300_000 + "' | upper }}",
    "{{ " + "9" * 100_000 + " }}",
    "{{ 0x" + "f" * 100_000 + " }}",
    "{{ f(" * 2000 + ")" * 2000 + " }}",
    "{{ {" + "'a': {" * 3000 + "}" * 3000 + "} }}",
    "{{ x is " + "not " * 3000 + "defined }}",
    "{{ '" + "\\" * 200_001 + " }}",
    "{{ " + "'" * 100_001 + " }}",
    "{{" * 100_000,
    "{%" * 100_000,
    "{#" * 100_000,
    "{{ a }}" * 37_000 + "{{ a | upper }}",
    "{% raw %}" * 10_000,
    "{% if a %}x{% elif b %}" + "{% elif c %}" * 20_000 + "{% endif %}",
]


@pytest.mark.parametrize("source", UNREADABLE, ids=range(len(UNREADABLE)))
def test_reading_any_template_ends_soon_with_a_template_or_a_reason(source):
    begin = time.process_time()
    depth = sys.getrecursionlimit()
    try:
        compile_value(source)
        compile_condition(source)
        compile_code(source)
    except TemplateError as error:
        reason = str(error)
    else:
        reason = "a template"

    assert 0 < len(reason) < 600
    assert time.process_time() - begin < 3
    assert sys.getrecursionlimit() == depth


def test_reading_evaluates_nothing():
    template = compile_value("{% set a=1 %}{{ 1 / 0 }}{{ ('a b '|center(3000000))|wordwrap(2) }}")

    with pytest.raises(TemplateError, match="zero"):
        template.render(DictScope({}))


# -- random adversaries -----------------------------------------------------------------

_values = st.sampled_from(
    ["long", "shared", "deep", "step", "looped", "workload", "workload.rows", "amount", "when", "raw", "9", "'ab'",
     "range(9999)", "2 ** 4000", "[1, 2]", "{'a': 1}", "missing", "none", "1.5", "hostile"]
)  # fmt: skip
_filters = st.sampled_from(
    ["list", "string", "tojson", "length", "upper", "center(99999)", "indent(999)", "wordwrap(3)", "replace('a', 'b' * 999)",
     "join('x' * 999)", "sort", "unique", "sum(start=[])", "map('string')", "map('tojson')", "map('list')", "batch(3)",
     "slice(999)", "groupby('a')", "pprint", "urlencode", "fromjson", "int", "round(9)", "reverse", "first", "last", "max",
     "select", "title", "striptags", "escape", "split('a')", "b64encode", "dictsort", "truncate(9999)", "random"]
)  # fmt: skip
_hostile = st.recursive(
    _values,
    lambda inner: st.one_of(
        st.builds("({} | {})".format, inner, _filters),
        st.builds(
            "({} {} {})".format,
            inner,
            st.sampled_from(["+", "*", "~", "**", "%", "==", "<", "in", "and"]),
            inner,
        ),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("({})[::{}]".format, inner, inner),
        st.builds(
            "({}).{}".format,
            inner,
            st.sampled_from(
                ["__class__", "gi_frame", "a", "items()", "split('')", "get('a')", "join([1])"]
            ),
        ),
    ),
    max_leaves=8,
)
_programs = st.one_of(
    st.builds("{{{{ {} }}}}".format, _hostile),
    st.builds(
        "{{% for x in {} %}}{{{{ {} }}}}{{{{ x ~ x }}}}{{% endfor %}}".format, _hostile, _hostile
    ),
    st.builds(
        "{{% set n = namespace(a={}) %}}{{% for x in range(99) %}}{{% set n.a = [n.a, {}] %}}{{% endfor %}}{{{{ n.a | {} }}}}".format,
        _hostile,
        _hostile,
        _filters,
    ),
    st.builds(
        "{{% macro f(x) %}}{{{{ f(x) ~ {} }}}}{{% endmacro %}}{{{{ f({}) }}}}".format,
        _hostile,
        _hostile,
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(_programs)
def test_random_templates_end_within_their_budget_and_yield_data(source):
    scope = DictScope(names())
    scope.budget = Budget(50_000)
    begin = time.process_time()
    with contextlib.suppress(TemplateError):
        assert_data(compile_value(source).render(scope))

    assert time.process_time() - begin < 1, source


def test_the_memory_of_this_process_stayed_small():
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert peak_kib < 2**20
