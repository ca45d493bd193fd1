"""Playbooks from a seed, for properties that must hold of all of them.

Each one can end: arcs that go back are guarded by counters.
"""

from __future__ import annotations

import random
from typing import Any

import orjson

#: The tool kind that generated playbooks call; whoever runs them decides what it answers.
KIND = "act"


def random_playbook(
    rng: random.Random, *, path: str = "random", child: str = "", steps_max: int = 9
) -> str:
    """Return a playbook.

    Args:
        rng: decides everything.
        path: its path in the catalog.
        child: path of a playbook that it may call; none if empty.
        steps_max: how many steps it has at most.
    """
    names = [f"s{i}" for i in range(rng.randint(1, steps_max))]
    spec: dict[str, Any] = {}
    if rng.random() < 0.15:
        spec["final_step"] = rng.choice(names[1:] or names)
    if rng.random() < 0.1:
        spec["entry_step"] = rng.choice(names)
    document = {
        "apiVersion": "noetl.io/v2",
        "kind": "Playbook",
        "metadata": {"name": path, "path": path},
        "executor": {"spec": spec},
        "workload": {"few": [1, 2, 3], "flag": rng.random() < 0.5},
        "workflow": [_step(rng, i, names, child) for i in range(len(names))],
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()  # JSON is YAML


def _step(rng: random.Random, order: int, names: list[str], child: str) -> dict[str, Any]:
    step: dict[str, Any] = {"step": names[order], "tool": _tool(rng, child), "spec": {}}
    if rng.random() < 0.25:
        step["loop"] = _loop(rng)
    if rng.random() < 0.15:
        step["when"] = "{{ workload.flag }}"
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


def _loop(rng: random.Random) -> dict[str, Any]:
    mode = rng.choice(["sequential", "parallel"])
    spec: dict[str, Any] = {"mode": mode, "on_error": rng.choice(["continue", "fail"])}
    if mode == "parallel":
        spec["max_in_flight"] = rng.randint(1, 4)
    items = rng.choice(["{{ workload.few }}", "{{ range(7) }}", "{{ [] }}", "{{ nothing }}"])
    return {"in": items, "iterator": "item", "spec": spec}


def _tool(rng: random.Random, child: str) -> Any:
    tasks = []
    for i in range(rng.choice([1, 1, 1, 2, 3])):
        if child and rng.random() < 0.2:
            tasks.append({"name": f"t{i}", "kind": "playbook", "path": child})
            continue
        task: dict[str, Any] = {"name": f"t{i}", "kind": KIND, "input": {"n": "{{ item }}"}}
        if rng.random() < 0.15:
            task |= {"redelivery": "never", "input": {"n": "{{ item }}", "once": True}}
        if rng.random() < 0.4:
            task["spec"] = {"policy": {"rules": _rules(rng, i)}}
        tasks.append(task)
    return tasks if len(tasks) > 1 else {k: v for k, v in tasks[0].items() if k != "name"}


def _rules(rng: random.Random, order: int) -> list[dict[str, Any]]:
    rule = rng.choice(
        [
            {"do": "retry", "attempts": 3, "backoff": "exponential", "delay": 0.5},
            {"do": "retry", "attempts": 2, "delay": 20},
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


__all__ = ["KIND", "random_playbook"]
