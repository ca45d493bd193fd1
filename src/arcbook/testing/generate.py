"""Random playbooks from a seed, to test properties that hold for every playbook.

Every playbook terminates: counters guard the arcs that lead back.
"""

from __future__ import annotations

import random
from typing import Any

import orjson

#: The tool kind that generated playbooks call; whoever runs them decides what it answers.
#: In place of a task it is a cursor's claim: the rows of a queue that the loop empties.
KIND = "act"

#: The kind whose outcome comes from outside, by a callback.
ASK = "ask"


def random_playbook(
    rng: random.Random,
    *,
    path: str = "random",
    child: str = "",
    steps_max: int = 9,
    wide: bool = False,
) -> str:
    """Generate a playbook.

    Args:
        rng: the source of all choices.
        path: its path in the catalog.
        child: path of a playbook that it may call; empty for none.
        steps_max: maximum number of steps.
        wide: whether to use cursors, callbacks and shared tasks, which need matching tools.
    """
    names = [f"s{i}" for i in range(rng.randint(1, steps_max))]
    spec: dict[str, Any] = {}
    if rng.random() < 0.15:
        spec["final_step"] = rng.choice(names[1:] or names)
    if rng.random() < 0.1:
        spec["entry_step"] = rng.choice(names)
    if rng.random() < 0.05:
        spec["timeout"] = rng.choice([5, 60])
    document: dict[str, Any] = {
        "apiVersion": "noetl.io/v2",
        "kind": "Playbook",
        "metadata": {"name": path, "path": path},
        "executor": {"spec": spec},
        "workload": {"few": [1, 2, 3], "flag": rng.random() < 0.5},
        "workflow": [_step(rng, i, names, child, wide=wide) for i in range(len(names))],
    }
    if rng.random() < 0.2:
        document["output"] = {"last": f"{{{{ {rng.choice(names)}.n | default(-1) }}}}"}
    if wide:
        document["workbook"] = [{"name": SHARED, "tool": {"kind": KIND, "input": {"n": 1}}}]
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()  # JSON is YAML


SHARED = "shared_task"
"""Name of the shared task in wide playbooks."""


def _step(
    rng: random.Random, order: int, names: list[str], child: str, *, wide: bool
) -> dict[str, Any]:
    step: dict[str, Any] = {"step": names[order], "spec": {}}
    if rng.random() < 0.3:
        step["loop"] = _cursor(rng) if wide and rng.random() < 0.25 else _loop(rng, names)
    if wide and rng.random() < 0.07:
        step["tool"] = {"kind": "workbook", "name": SHARED}
    else:
        step["tool"] = _tool(rng, child, wide=wide, rows="cursor" in step.get("loop", {}))
    if rng.random() < 0.15:
        step["when"] = "{{ workload.flag }}"
    if rng.random() < 0.1:
        rules = [{"when": "{{ ctx.v0 | default(0) > 2 }}", "then": {"allow": False}}]
        step["spec"]["policy"] = {"admit": {"rules": rules}}
    if rng.random() < 0.2:
        step["set"] = {f"ctx.v{order}": "{{ output.data.n | default(0) }}"}
    if rng.random() < 0.3:
        step["spec"]["join"] = rng.choice(["any", "all", 2])
    if rng.random() < 0.1:
        step["spec"]["timeout"] = rng.choice([1, 30])
    arcs = _arcs(rng, order, names)
    if arcs:
        mode = rng.choice(["exclusive", "inclusive", "inclusive"])
        on_no_match = "error" if rng.random() < 0.1 else "complete"
        step["next"] = {"spec": {"mode": mode, "on_no_match": on_no_match}, "arcs": arcs}
    return step


def _arcs(rng: random.Random, order: int, names: list[str]) -> list[dict[str, Any]]:
    ahead = names[order + 1 :]
    arcs = [
        _guarded(rng, {"step": name})
        for name in rng.sample(ahead, min(len(ahead), rng.choice([0, 1, 1, 2, 3])))
    ]
    if rng.random() < 0.25:
        counter = f"ctx.back{order}"
        count = f"({counter} | default(0))"
        arcs.append(
            {
                "step": rng.choice(names[: order + 1]),
                "when": f"{{{{ {count} < {rng.randint(1, 3)} }}}}",
                "set": {counter: f"{{{{ {count} + 1 }}}}"},
            }
        )
    rng.shuffle(arcs)
    return arcs


def _guarded(rng: random.Random, arc: dict[str, Any]) -> dict[str, Any]:
    guard = rng.choice(
        [
            None,
            None,
            "{{ workload.flag }}",
            "{{ output.data.n > 2 }}",
            "{{ event.name == 'call.error' }}",
            "{{ output.status == 'ok' }}",
        ]
    )
    return arc if guard is None else {**arc, "when": guard}


def _loop(rng: random.Random, names: list[str]) -> dict[str, Any]:
    mode = rng.choice(["sequential", "parallel"])
    spec: dict[str, Any] = {"mode": mode, "on_error": rng.choice(["continue", "fail"])}
    if mode == "parallel":
        spec["max_in_flight"] = rng.randint(1, 4)
    items = rng.choice(
        [
            "{{ workload.few }}",
            "{{ range(7) }}",
            "{{ [] }}",
            "{{ nothing }}",
            f"{{{{ {rng.choice(names)}.results | default([4, 5]) }}}}",
        ]
    )
    return {"in": items, "iterator": "item", "spec": spec}


def _cursor(rng: random.Random) -> dict[str, Any]:
    frame: dict[str, Any] = {
        "max_rows": rng.randint(1, 3),
        "row_concurrency": rng.choice([1, 1, 2]),
    }
    claim = "{{ __frame_max_rows }}"
    if rng.random() < 0.1:
        frame["process"] = "frame"
        claim = "whole " + claim  # for whoever answers: a body for each claim, not for each row
    spec = {
        "mode": "cursor",
        "max_in_flight": rng.choice([1, 1, 2, 3]),
        "on_error": rng.choice(["continue", "fail"]),
        "frame": frame,
    }
    cursor = {"kind": KIND, "claim": claim}
    return {"cursor": cursor, "iterator": "item", "spec": spec}


def _tool(rng: random.Random, child: str, *, wide: bool, rows: bool) -> Any:
    count = rng.choice([1, 1, 1, 2, 3])
    tasks = [_task(rng, i, child, wide=wide, rows=rows) for i in range(count)]
    return tasks if count > 1 else {k: v for k, v in tasks[0].items() if k != "name"}


def _task(rng: random.Random, order: int, child: str, *, wide: bool, rows: bool) -> dict[str, Any]:
    name = f"t{order}"
    if child and rng.random() < 0.2:
        return {"name": name, "kind": "playbook", "path": child}
    if wide and rng.random() < 0.1:
        limit = {"timeout": 20} if rng.random() < 0.2 else {}
        return {"name": name, "kind": ASK, "input": {"n": "{{ item }}"}, **limit}
    arguments: dict[str, Any] = {"n": "{{ item }}"}
    if rows:
        arguments["row"] = True
    task: dict[str, Any] = {"name": name, "kind": KIND, "input": arguments}
    if rng.random() < 0.15:
        arguments["once"] = True
        task["redelivery"] = "never"
    if rng.random() < 0.1:
        task["set"] = {rng.choice(["ctx.w", "iter.w", "step.w", "w"]): "{{ output.data.n }}"}
    if rng.random() < 0.1:
        task["timeout"] = rng.choice([1, 10])
    if wide and rng.random() < 0.1:
        task["output"] = {"inline_max_bytes": 4, "select": rng.choice([[], ["n"]])}
    if rng.random() < 0.4:
        task["spec"] = {"policy": {"rules": _rules(rng, order)}}
    elif rng.random() < 0.1:
        task["retry"] = {"attempts": 2, "delay": 0.2}
    return task


def _rules(rng: random.Random, order: int) -> list[dict[str, Any]]:
    rule = rng.choice(
        [
            {"do": "retry", "attempts": 3, "backoff": "exponential", "delay": 0.5},
            {"do": "retry", "attempts": 2, "delay": 20},
            {
                "do": "retry",
                "attempts": 3,
                "set": {"ctx.tries": "{{ ctx.tries | default(0) + 1 }}"},
            },
            {"do": "continue"},
            {"do": "break"},
            {"do": "fail"},
        ]
    )
    rules = [{"when": "{{ output.status == 'error' }}", "then": rule}]
    if order and rng.random() < 0.2:
        again = "{{ output.data.n > 3 and iter.jumps | default(0) < 2 }}"
        count = {"iter.jumps": "{{ iter.jumps | default(0) + 1 }}"}
        rules.insert(0, {"when": again, "then": {"do": "jump", "to": "t0", "set": count}})
    return [*rules, {"when": "{{ true }}", "then": {"do": "continue"}}]


__all__ = ["ASK", "KIND", "random_playbook"]
