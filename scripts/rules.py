"""Rules of this code that no common linter knows: ``python scripts/rules.py``.

Each says what has no place here, and why. An exception stands in a list beside the rule,
with its reason; what is not in a list has no way in.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCE: Final = ROOT / "src" / "arcbook"

CORE: Final = ("dsl", "engine", "events", "template")

Rule = Callable[[str, ast.AST], str | None]


def called(node: ast.AST) -> str:
    """Return the dotted name of what a call calls, or an empty text."""
    parts: list[str] = []
    target = node.func if isinstance(node, ast.Call) else None
    while isinstance(target, ast.Attribute):
        parts.append(target.attr)
        target = target.value
    if isinstance(target, ast.Name):
        parts.append(target.id)
        return ".".join(reversed(parts))
    return ""


def last_name(node: ast.AST) -> str:
    """Return the name of what a call calls, without what it belongs to."""
    target = node.func if isinstance(node, ast.Call) else None
    if isinstance(target, ast.Attribute):
        return target.attr
    return target.id if isinstance(target, ast.Name) else ""


def keywords(node: ast.AST) -> dict[str, ast.expr]:
    """Return the arguments of a call that are given by name."""
    given = node.keywords if isinstance(node, ast.Call) else []
    return {k.arg: k.value for k in given if k.arg is not None}


def no_name_from_data(name: str, node: ast.AST) -> str | None:
    """In the core, ``getattr`` takes a name that is written there, never one from data."""
    if not name.startswith(CORE) or called(node) not in (
        "getattr",
        "setattr",
        "hasattr",
        "delattr",
    ):
        return None
    assert isinstance(node, ast.Call)
    if len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
        return None
    return "a name that is not written here reaches into an object"


RUNNING: Final = {
    "template/programs.py": "compiles source that emission generated, none of it the template's",
    "tools/python_child": "runs the code of playbooks: in a process of its own, which is its purpose",
}

_RUNS: Final = frozenset({"eval", "exec", "compile", "__import__", "pickle.loads", "pickle.load", "marshal.loads"})  # fmt: skip


def no_code_from_data(name: str, node: ast.AST) -> str | None:
    """Nothing compiles or runs text, or unpickles, but what exists for it."""
    if called(node) not in _RUNS or name.startswith(tuple(RUNNING)):
        return None
    return f"{called(node)} turns data into code"


def no_loose_yaml(name: str, node: ast.AST) -> str | None:
    """YAML is read by the composer of this project, which makes plain values only."""
    if called(node) not in ("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"):
        return None
    return "yaml.load builds objects that a document names; use dsl.composer, or yaml.safe_load"


WAITED_FOR: Final = {
    "compose/machine/programs.py": "asks installed programs for their version and waits; they start nothing",
}

_STARTS: Final = frozenset(
    ["subprocess.Popen", "subprocess.run", "subprocess.call", "subprocess.check_output", "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell", "os.system", "os.popen"]
)  # fmt: skip


def processes_in_groups(name: str, node: ast.AST) -> str | None:
    """A process is started in a session or group of its own, so that all of it can be ended."""
    what = called(node)
    if what not in _STARTS and not what.endswith(".subprocess_exec"):
        return None
    if name in WAITED_FOR or {"start_new_session", "process_group"} & keywords(node).keys():
        return None
    return f"{what} starts a process in our own group; give start_new_session=True"


_SECRET: Final = frozenset({"token", "secret", "signature", "mac", "digest", "password", "proof"})


def secrets_in_constant_time(name: str, node: ast.AST) -> str | None:
    """Secrets are compared by ``hmac.compare_digest``, which takes the same time for all."""
    if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
        return None
    sides = [node.left, *node.comparators]
    if any(isinstance(side, ast.Constant) for side in sides):
        return None
    for side in sides:
        word = side.attr if isinstance(side, ast.Attribute) else getattr(side, "id", "")
        if word in _SECRET and name not in NOT_SECRET:
            return f"{word!r} is compared by ==; use hmac.compare_digest"
    return None


NOT_SECRET: Final = {
    "secrets/forms.py": "looks for the forms of a secret that it holds; nobody waits for the answer",
}


def no_world_writable(name: str, node: ast.AST) -> str | None:
    """No file is made that others may write, or under a name that others can guess."""
    if called(node) in ("tempfile.mktemp", "os.tempnam"):
        return "somebody else can take the name first; use tempfile.mkstemp or mkdtemp"
    if not called(node).endswith("chmod"):
        return None
    given = [a.value for a in ast.walk(node) if isinstance(a, ast.Constant)]
    modes = [m for m in given if isinstance(m, int) and m & 0o022 and m < 0o10000]
    return f"mode {modes[0]:o} lets others write" if modes else None


TASKS: Final = {
    "supervision.py": "what begins tasks for all others",
    "bus/nats/link.py": "the first connection, which its start waits for and ends",
    "cli/": "a verb waits for what it begins, and its process ends with it",
    "performer/runner.py": "commands: each tells how it ended, and 'close' ends them",
    "owner/plans.py": "a plan, once for all who wait for it; they are told its error",
    "secrets/keychain.py": "an entry, once for all who wait for it; they are told its error",
    "server/bus_gateway.py": "a call that waits; both tasks are ended where they are begun",
    "server/http/feed.py": "a read, once for all who wait for it; they are told its error",
    "tools/nats_pool.py": "what a tool call waits for, and ends",
    "tools/shell.py": "what a tool call waits for, and ends",
    "tools/container/waiting.py": "the start of a job, which a cancellation awaits to undo it",
    "worker/core.py": "a playbook, once for all commands that wait for it; they are told its error",
}

_BEGINS: Final = ("create_task", "ensure_future", "run_coroutine_threadsafe")


def no_task_alone(name: str, node: ast.AST) -> str | None:
    """What goes on is a loop or a task of a service, or an errand: its end is noticed."""
    what = last_name(node)
    if what not in _BEGINS or name.startswith(tuple(TASKS)):
        return None
    # A task group ends with what it holds, and raises what was raised in it.
    return None if "group" in called(node) else f"{what} begins what nobody looks after"


RULES: Final[tuple[Rule, ...]] = (
    no_name_from_data,
    no_code_from_data,
    no_loose_yaml,
    processes_in_groups,
    secrets_in_constant_time,
    no_world_writable,
    no_task_alone,
)


def broken(name: str, text: str) -> Iterator[str]:
    """Yield where a file breaks a rule."""
    for node in ast.walk(ast.parse(text)):
        for rule in RULES:
            what = rule(name, node)
            if what is not None:
                reason = (rule.__doc__ or "").splitlines()[0]
                yield f"src/arcbook/{name}:{getattr(node, 'lineno', 1)}: {what}. {reason}"


ENDLESS: Final = {
    "compose/machine/cluster.py: watch": "the verb 'up' waits for it",
    "compose/job_watch.py: run": "the verb 'watch-jobs' waits for it",
    "tools/container/watching.py: watch_jobs": "the same",
    "tools/container/watching.py: _watch_processes": "the same",
    "tools/container/watching.py: _watch_kubernetes": "the same",
    "performer/services.py: drive_on": "a generator's StopIteration ends it",
}


def unsupervised(files: dict[str, str]) -> Iterator[str]:
    """Yield the coroutines that go on for ever and are no loop or task of a service."""
    trees = {name: ast.parse(text) for name, text in files.items()}
    kept = {kept for tree in trees.values() for node in ast.walk(tree) for kept in _kept(node)}
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.AsyncFunctionDef) and _is_endless(node):
                if node.name in kept or f"{name}: {node.name}" in ENDLESS:
                    continue
                yield f"src/arcbook/{name}:{node.lineno}: {node.name} goes on for ever; have a Service keep it"


def _kept(node: ast.AST) -> Iterator[str]:
    """Yield the name of a coroutine that a call gives to a service, or awaits within one."""
    if last_name(node) not in ("loop", "task"):
        return
    assert isinstance(node, ast.Call)
    for given in node.args[1:]:
        inner = given.args[0] if called(given) == "partial" and given.args else given  # type: ignore[attr-defined]
        target = inner.func if isinstance(inner, ast.Call) else inner
        if isinstance(target, (ast.Attribute, ast.Name)):
            yield target.attr if isinstance(target, ast.Attribute) else target.id


def _is_endless(function: ast.AsyncFunctionDef) -> bool:
    """Return whether a coroutine has a loop that only an error ends."""
    loops = [node for node in _own(function) if isinstance(node, ast.While)]
    return any(
        isinstance(loop.test, ast.Constant)
        and not any(isinstance(node, (ast.Return, ast.Break, ast.Yield)) for node in _own(loop))
        for loop in loops
    )


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is in a function or loop, but not in functions within it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from _own(child)


def main() -> int:
    """Print what is wrong, and return 1 if anything is."""
    files = {
        path.relative_to(SOURCE).as_posix(): path.read_text("utf-8")
        for path in sorted(SOURCE.rglob("*.py"))
    }
    ours = {name: text for name, text in files.items() if not name.startswith("testing/")}
    problems = [problem for name, text in ours.items() for problem in broken(name, text)]
    problems += unsupervised(ours)
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
