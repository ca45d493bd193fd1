"""Random playbooks as plain values: what a document says, before anybody reads it.

There are two families, so that every course of events comes to the same. In *chains* a step goes
on to one other, perhaps to an earlier one; there is one token. In *graphs* a step may go on to
several, always forward; what a step reads is its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

KIND: Final = "act"

#: Guards of arcs: as a document has them, by what they are called here.
GUARDS: Final = {
    "always": None,
    "flag": "{{ workload.flag }}",
    "not flag": "{{ not workload.flag }}",
    "many": "{{ output.data.n > 2 }}",
    "failed": "{{ output.status == 'error' }}",
    "went wrong": "{{ event.name == 'call.error' }}",
    "went well": "{{ output.status == 'ok' }}",
    "never": "{{ false }}",
}


@dataclass
class Task:
    """One call."""

    #: What follows an error: nothing, or one of the rules.
    on_error: str = ""
    attempts: int = 0
    #: Jumps back to the first task so many times, where its number is large.
    jumps: int = 0


@dataclass
class Arc:
    """A way on."""

    to: int
    guard: str = "always"
    #: Taken so many times at most; 0 means any number.
    times: int = 0


@dataclass
class Step:
    """A step."""

    tasks: list[Task]
    arcs: list[Arc] = field(default_factory=list)
    inclusive: bool = False
    no_match_fails: bool = False
    #: Guard of the step itself: ``always``, ``flag`` or ``not flag``.
    when: str = "always"
    #: The rule that admits it, of the same kind.
    admit: str = "always"
    #: Items of its loop; nothing if it has none.
    items: list[int] | None = None
    parallel: bool = False
    goes_on: bool = False
    sets: bool = False
    join: str | int = "all"


@dataclass
class Playbook:
    """A playbook, and what the world answers to its calls."""

    steps: list[Step]
    flag: bool
    #: For each call, by step, task and item: how often it fails at first, and its number.
    fails: dict[tuple[int, int, int], int]
    numbers: dict[tuple[int, int, int], int]
    is_chain: bool


def chain(rng: random.Random) -> Playbook:
    """Return a playbook with one token."""
    count = rng.randint(1, 7)
    steps = [_step(rng, n, count) for n in range(count)]
    for n, step in enumerate(steps):
        ahead = list(range(n + 1, count))
        for to in rng.sample(ahead, min(len(ahead), rng.choice([0, 1, 2, 3]))):
            step.arcs.append(Arc(to, _guard(rng, step)))
        if rng.random() < 0.3:
            back = Arc(rng.randint(0, n), "always", times=rng.randint(1, 2))
            step.arcs.insert(rng.randint(0, len(step.arcs)), back)
    return _played(rng, steps, is_chain=True)


def graph(rng: random.Random) -> Playbook:
    """Return a playbook with several tokens, which never go back."""
    count = rng.randint(2, 8)
    steps = [_step(rng, n, count) for n in range(count)]
    for n, step in enumerate(steps):
        step.inclusive = rng.random() < 0.7
        ahead = list(range(n + 1, count))
        for to in rng.sample(ahead, min(len(ahead), rng.choice([0, 1, 2, 2, 3]))):
            step.arcs.append(Arc(to, _guard(rng, step)))
        if rng.random() < 0.25:
            joins: list[str | int] = ["any", 2, "all"]
            step.join = rng.choice(joins)
    return _played(rng, steps, is_chain=False)


def _step(rng: random.Random, order: int, count: int) -> Step:
    tasks = [_task(rng, n) for n in range(rng.choice([1, 1, 1, 2, 3]))]
    step = Step(tasks=tasks, sets=rng.random() < 0.4, no_match_fails=rng.random() < 0.15)
    if rng.random() < 0.2:
        step.when = rng.choice(["flag", "not flag"])
    if rng.random() < 0.15:
        step.admit = rng.choice(["flag", "not flag"])
    if rng.random() < 0.3:
        step.items = [rng.randint(0, 9) for _ in range(rng.choice([0, 1, 3, 4]))]
        step.items = list(dict.fromkeys(step.items))
        step.parallel = rng.random() < 0.5
        # How far a loop of several at once comes that stops at an error is a matter of chance.
        step.goes_on = step.parallel or rng.random() < 0.5
    return step


def _task(rng: random.Random, order: int) -> Task:
    on_error = rng.choice(["", "", "", "retry", "retry", "continue", "break", "fail", "short"])
    task = Task(on_error, attempts=rng.choice([1, 2, 3]))
    if order and rng.random() < 0.25:
        task.jumps = rng.choice([1, 2])
    return task


def _guard(rng: random.Random, step: Step) -> str:
    if step.when != "always" or step.admit != "always":
        # What its own result is, where it is passed over, is another question.
        return rng.choice(["always", "always", "flag", "not flag", "never"])
    return rng.choice(["always", "always", *GUARDS])


def _played(rng: random.Random, steps: list[Step], *, is_chain: bool) -> Playbook:
    fails, numbers = {}, {}
    for n, step in enumerate(steps):
        for t in range(len(step.tasks)):
            for item in step.items if step.items is not None else [-1]:
                fails[n, t, item] = rng.choice([0, 0, 0, 0, 0, 1, 2, 99])
                numbers[n, t, item] = rng.randint(0, 5)
    return Playbook(steps, rng.random() < 0.5, fails, numbers, is_chain)


# -- as a document ------------------------------------------------------------------------


def document(playbook: Playbook) -> str:
    """Return a playbook as its author would write it."""
    made = {
        "apiVersion": "noetl.io/v2",
        "kind": "Playbook",
        "metadata": {"name": "random", "path": "tests/random"},
        "workload": {"flag": playbook.flag},
        "workflow": [_written(n, step, playbook) for n, step in enumerate(playbook.steps)],
    }
    return orjson.dumps(made).decode()  # JSON is YAML


def _written(order: int, step: Step, playbook: Playbook) -> dict[str, Any]:
    made: dict[str, Any] = {"step": f"s{order}", "spec": {}}
    item = "{{ item }}" if step.items is not None else -1
    tasks = [_call(order, n, task, item) for n, task in enumerate(step.tasks)]
    made["tool"] = tasks
    if step.when != "always":
        made["when"] = GUARDS[step.when]
    if step.admit != "always":
        refused = "not flag" if step.admit == "flag" else "flag"
        rules = [{"when": GUARDS[refused], "then": {"allow": False}}]
        made["spec"]["policy"] = {"admit": {"rules": rules}}
    if step.join != "all":
        made["spec"]["join"] = step.join
    if step.items is not None:
        spec: dict[str, Any] = {"mode": "parallel" if step.parallel else "sequential"}
        spec["on_error"] = "continue" if step.goes_on else "fail"
        made["loop"] = {"in": step.items, "iterator": "item", "spec": spec}
    if step.sets:
        value = "stats.total" if step.items is not None else "n"
        made["set"] = {f"ctx.v{order}": f"{{{{ output.data.{value} | default(-1) }}}}"}
    if step.arcs:
        mode = "inclusive" if step.inclusive else "exclusive"
        spec = {"mode": mode, "on_no_match": "error" if step.no_match_fails else "complete"}
        arcs = [_way(order, n, arc) for n, arc in enumerate(step.arcs)]
        made["next"] = {"spec": spec, "arcs": arcs}
    return made


def _way(order: int, number: int, arc: Arc) -> dict[str, Any]:
    made: dict[str, Any] = {"step": f"s{arc.to}"}
    if GUARDS[arc.guard] is not None:
        made["when"] = GUARDS[arc.guard]
    if arc.times:
        counter = f"ctx.c{order}_{number}"
        made["when"] = f"{{{{ ({counter} | default(0)) < {arc.times} }}}}"
        made["set"] = {counter: f"{{{{ ({counter} | default(0)) + 1 }}}}"}
    return made


def _call(order: int, number: int, task: Task, item: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": f"t{number}",
        "kind": KIND,
        "who": [order, number],
        "item": item,
    }
    rules: list[dict[str, Any]] = []
    if task.jumps:
        again = f"iter.j{number} | default(0)"
        rules.append(
            {
                "when": f"{{{{ output.status == 'ok' and output.data.n > 2 and {again} < {task.jumps} }}}}",
                "then": {
                    "do": "jump",
                    "to": "t0",
                    "set": {f"iter.j{number}": f"{{{{ ({again}) + 1 }}}}"},
                },
            }
        )
    if task.on_error == "short":
        made["retry"] = {"attempts": task.attempts, "delay": 0.5}
    elif task.on_error:
        then: dict[str, Any] = {"do": task.on_error}
        if task.on_error == "retry":
            then["attempts"] = task.attempts
        rules.append({"when": "{{ output.status == 'error' }}", "then": then})
    if rules:
        made["spec"] = {"policy": {"rules": rules}}
    return made
