"""How long a template takes beside plain Jinja2: ``python -m benchmarks.templates``.

Templates as real playbooks have them are rendered by Arcbook (a scope made for each render,
a budget charged) and by Jinja2's own native environment, compiled before, in turn. The last
line is one JSON object: microseconds, ``ratio_to_jinja2`` (geometric mean of the medians of
paired rounds) and ``ratio_worst``.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from jinja2 import ChainableUndefined
from jinja2.nativetypes import NativeEnvironment

from arcbook.template.render import compile_condition, compile_value
from arcbook.template.scope import DictScope
from arcbook.template.text import to_json
from benchmarks.machine import facts

ROUNDS: Final = 15
ROUND_SECONDS: Final = 0.02

ROWS: Final = [
    {"id": n, "name": f"user {n}", "score": n * 1.5, "active": n % 3 == 0, "tags": ["a", "b"]}
    for n in range(60)
]

NAMES: Final[dict[str, Any]] = {
    "api_url": "https://api.example.org",
    "ctx": {
        "page": 2,
        "pages_fetched": 7,
        "user_status": "active",
        "facility_mapping_id": 41,
        "paginated_items": ROWS,
    },
    "env": {"REGION": "eu-west-1"},
    "event": {"name": "loop.done"},
    "execution_id": "514379526912000123",
    "fetch": {"has_more": True, "rows": ROWS, "cursor": "MjAyNi0xMS0yOQ"},
    "iter": {
        "item": {"id": 7, "url": "https://example.org/7", "price": 12.5},
        "records_fetched": 100,
        "detail": {"name": "O'Neil", "visits": [1, 2, 3]},
        "batch_rows": ROWS[:10],
    },
    "number": 3,
    "output": {
        "status": "ok",
        "data": {"more": True, "next": 3, "rows": ROWS[:5], "body": {"page": 4}},
        "error": {"kind": "rate_limit", "retryable": True, "message": "slow down"},
        "http": {"status": 200, "headers": {"content-type": "application/json"}},
    },
    "start": {"rows": ROWS, "total_size": 4096},
    "test_table": "orders_2026",
    "workload": {
        "batch_size": "250",
        "drop_tables": "True",
        "environment": "production",
        "limit": 10,
        "num_facilities": "12",
        "regions": ["eu", "us", "ap"],
    },
}

TEMPLATES: Final = (
    "{{ workload.environment }}",
    "{{ output.data.rows[0].name }}",
    "{{ output.status == 'error' and output.http.status in [429, 503] }}",
    "{{ event.name == 'loop.done' }}",
    "{{ ctx.page | default(1) | int + 1 }}",
    "{{ ctx.user_status != 'active' or fetch.has_more == false }}",
    "{{ number | int * 2 + workload.limit }}",
    "{{ env.IBM_QUANTUM_API_KEY | default('') }}",
    "{{ start.rows is not defined or start.rows | length == 0 or not start.rows[0].active }}",
    "{{ fetch.rows | length > 50 and ctx.pages_fetched < workload.limit }}",
    "{{ (workload.drop_tables | string | lower) == 'true' }}",
    "{{ api_url }}/api/v1/items/{{ iter.item.id }}?page={{ ctx.page }}",
    "{{ api_url ~ '/pages/' ~ (ctx.page + 1) ~ '?cursor=' ~ fetch.cursor }}",
    "SELECT * FROM {{ test_table }} WHERE id = {{ iter.item.id | int }} LIMIT {{ workload.batch_size | int }}",
    "CREATE INDEX idx_{{ test_table }}_email ON {{ test_table }} (email)",
    "INSERT INTO log VALUES ('{{ execution_id }}', {{ iter.records_fetched }}, '{{ output.status | upper }}')",
    "{{ 'retry' if output.error.retryable and output.error.kind == 'rate_limit' else 'fail' }}",
    "{{ {'id': iter.item.id, 'total': iter.item.price * 3, 'page': ctx.page} }}",
    "{{ [iter.item.id, iter.item.url, number] }}",
    "{{ workload.regions | join(', ') }}",
    "{{ fetch.rows | map(attribute='id') | list }}",
    "{{ fetch.rows | selectattr('active') | map(attribute='name') | list }}",
    "{{ ctx.paginated_items | sum(attribute='score') }}",
    "{{ start.rows[:10] }}",
    "{% if ctx.page > 1 %}page {{ ctx.page }}{% else %}first page{% endif %} of {{ test_table }}",
    "{% for row in iter.batch_rows %}({{ row.id }}, '{{ row.name }}'){% if not loop.last %}, {% endif %}{% endfor %}",
    "{% set total = namespace(value=0) %}{% for row in fetch.rows %}{% set total.value = total.value + row.id %}{% endfor %}{{ total.value }}",
    "{{ iter.detail | tojson }}",
    "{{ start.total_size // 1024 }} KiB, {{ (start.total_size / 3) | round(2) }} each",
    "{{ output.http.headers['content-type'].split('/')[1] }}",
    "{{ workload.environment in ['staging', 'production'] and number is number }}",
    "{{ fetch.rows | sort(attribute='score', reverse=true) | first }}",
)


def plain_jinja() -> NativeEnvironment:
    """Return Jinja2 as its users would set it up for native values."""
    environment = NativeEnvironment(undefined=ChainableUndefined)
    environment.filters["tojson"] = to_json
    return environment


def microseconds(action: Callable[[], Any]) -> float:
    """Return how long an action takes, over one round."""
    count = 0
    begin = time.perf_counter()
    while (spent := time.perf_counter() - begin) < ROUND_SECONDS:
        for _ in range(20):
            action()
        count += 20
    return spent / count * 1e6


def measure(source: str, environment: NativeEnvironment) -> dict[str, Any]:
    """Time one template both ways, in turn."""
    ours = compile_value(source)
    theirs = environment.from_string(source)
    ours.render(DictScope(NAMES))
    theirs.render(NAMES)
    mine: list[float] = []
    others: list[float] = []
    for _ in range(ROUNDS):
        mine.append(microseconds(lambda: ours.render(DictScope(NAMES))))
        others.append(microseconds(lambda: theirs.render(NAMES)))
    ratio = statistics.median(a / b for a, b in zip(mine, others, strict=True))
    return {
        "template": source,
        "us": round(statistics.median(mine), 2),
        "jinja2_us": round(statistics.median(others), 2),
        "ratio": round(ratio, 3),
    }


def compiling() -> dict[str, float]:
    """Return what it takes to look at a template (lint) and to make it ready to run, once."""
    looked: list[float] = []
    ran: list[float] = []
    for number, source in enumerate(TEMPLATES * 5):
        fresh = source.replace("}}", f"}}}}{{# {number} #}}", 1)
        begin = time.perf_counter()
        compiled = compile_condition(fresh)
        looked.append(time.perf_counter() - begin)
        compiled.render(DictScope(NAMES))
        ran.append(time.perf_counter() - begin)
    return {
        "look_us": round(statistics.median(looked) * 1e6),
        "first_render_us": round(statistics.median(ran) * 1e6),
    }


def main() -> int:
    """Measure, print a table and the JSON line."""
    environment = plain_jinja()
    rows = []
    for source in TEMPLATES:
        row = measure(source, environment)
        rows.append(row)
        print(f"{row['us']:9.2f} {row['jinja2_us']:9.2f} {row['ratio']:6.3f}  {source[:90]}")
    ratios = [row["ratio"] for row in rows]
    result = {
        "machine": facts(),
        "templates": len(rows),
        "ratio_to_jinja2": round(statistics.geometric_mean(ratios), 3),
        "ratio_worst": max(ratios),
        **compiling(),
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
