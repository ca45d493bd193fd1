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
    "local/programs.py": "asks installed programs for their version and waits; they start nothing",
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


RULES: Final[tuple[Rule, ...]] = (
    no_name_from_data,
    no_code_from_data,
    no_loose_yaml,
    processes_in_groups,
    secrets_in_constant_time,
    no_world_writable,
)


def broken(name: str, text: str) -> Iterator[str]:
    """Yield where a file breaks a rule."""
    for node in ast.walk(ast.parse(text)):
        for rule in RULES:
            what = rule(name, node)
            if what is not None:
                reason = (rule.__doc__ or "").splitlines()[0]
                yield f"src/arcbook/{name}:{getattr(node, 'lineno', 1)}: {what}. {reason}"


def main() -> int:
    """Print what is wrong, and return 1 if anything is."""
    problems = [
        problem
        for path in sorted(SOURCE.rglob("*.py"))
        if not path.relative_to(SOURCE).as_posix().startswith("testing/")
        for problem in broken(path.relative_to(SOURCE).as_posix(), path.read_text("utf-8"))
    ]
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
