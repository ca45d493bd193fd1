"""Unknown keys that ask for something: misspelt ones, and those of other workflow engines.

Ignoring such a key would silently drop what the document asks for, so it is an error. A key
that is neither similar to one of the language nor listed here is treated as a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

_WHEN: Final = "write 'when: \"{{ name == 'value' }}\"' on the step"
_LOOP: Final = "write 'loop: {in: \"{{ name_of_a_list }}\", iterator: item}' on the step"
_NEXT: Final = "write 'next: {arcs: [{step: <name>}]}' on the step that comes before"
_ON: Final = "write 'next: {arcs: [{step: <name>}]}'"
_RETRY: Final = "write 'retry: {attempts: 3}' below 'tool'"
_SECRETS: Final = "write 'keychain' at the root, and read '{{ keychain.<name>.<field> }}'"
_PAUSE: Final = "wait in the code of a task, or start the playbook with 'arcbook schedule'"
_SKIP: Final = "write 'when: false' on the step, or remove it"
_AGAIN: Final = "nothing is cached; pass the earlier result as input"
_JOIN: Final = "write 'spec: {join: any}' on the step, and guards by 'output.status' on the arcs"
_CATCH: Final = "write an arc with 'when: \"{{ output.status == 'error' }}\"'"


def _each(keys: str, repair: str) -> dict[str, str]:
    return dict.fromkeys(keys.split(), repair)


_ANYWHERE: Final = {
    **_each("if condition only_if run_if unless", _WHEN),
    **_each("foreach for_each for with_items iterate", _LOOP),
    **_each("depends_on dependson needs after", _NEXT),
    **_each("then goto transition on_success", _ON),
    **_each("on_error on_failure catch errors finally always", _CATCH),
    **_each("continue_on_error allow_failure ignore_error ignore_errors", _CATCH),
    **_each("disabled enabled skip", _SKIP),
    **_each("cache cache_ttl cache_policy memoize", _AGAIN),
    **_each("sleep delay wait", _PAUSE),
    "dry_run": "write 'arcbook run FILE --dry-run'",
    **_each("secret secrets", _SECRETS),
}

FOREIGN: Final[dict[str, dict[str, str]]] = {
    "step": {
        **_ANYWHERE,
        **_each("timeout timeout_seconds timeout_s", "write 'spec: {timeout: 30}' on the step"),
        **_each("retry retries max_retries", _RETRY),
        **_each("join policy", "move it below the step's 'spec'"),
        **_each("arcs on_no_match", "move it below the step's 'next'"),
        **_each("trigger_rule trigger", _JOIN),
        **_each("parallel concurrency max_in_flight", "write 'loop: {spec: {max_in_flight: 4}}'"),
    },
    "task": {
        **_ANYWHERE,
        "when": _WHEN,
        "loop": _LOOP,
        "next": _ON,
        **_each("retries max_retries", _RETRY),
        **_each("policy", "move it below the task's 'spec'"),
        **_each("rules", "write 'spec: {policy: {rules: [...]}}'"),
    },
    "step_policy": {
        **_each("rules", "move it below the tool: 'spec: {policy: {rules: [...]}}' of the task"),
    },
    "loop": {
        **_each("over items list each", "write 'in: \"{{ name_of_a_list }}\"'"),
        **_each("as item", "write 'iterator: item'"),
        **_each("concurrency max_concurrency parallel", "write 'spec: {max_in_flight: 4}'"),
        **_each("when if where", "write 'in: \"{{ items | selectattr('field') }}\"'"),
        **_each("retry retries", _RETRY),
    },
    "loop_spec": {
        **_each("concurrency max_concurrency parallel", "write 'max_in_flight: 4'"),
    },
    "next": {
        **_each("when if", "move it to the arc: 'arcs: [{step: <name>, when: ...}]'"),
    },
    "arc": {
        **_each("if condition", "write 'when: \"{{ name == 'value' }}\"'"),
        **_each("to goto target then", "write 'step: <name>'"),
    },
    "rule": {
        **_each("if condition", "write 'when'"),
        **_each("action", "write 'then: {do: ...}'"),
    },
    "then": {
        **_each("retries max_attempts max_retries times", "write 'attempts: 3'"),
        **_each("wait interval", "write 'delay: 5'"),
        **_each("action", "write 'do: continue', or retry, jump, break, fail"),
    },
    "executor_spec": _each("timeout_seconds timeout_s", "write 'timeout: 30'"),
    "playbook": {
        **_each("secret secrets", _SECRETS),
        **_each("steps jobs", "write 'workflow: [{step: start, tool: {kind: ...}}]'"),
        **_each("timeout", "write 'executor: {spec: {timeout: 30}}'"),
        **_each("retry retries", _RETRY),
        **_each("on schedule cron", "write 'arcbook schedule', or a schedule of the API"),
        **_each("depends_on needs", _NEXT),
        **_each(
            "spec policy", "write 'executor: {spec: ...}', or indent it below '- step: <name>'"
        ),
        **_each("triggers trigger", "write 'arcbook schedule', or a document of kind Subscription"),
        **_each("errors finally", _CATCH),
        **_each("concurrency max_in_flight", "write 'loop: {spec: {max_in_flight: 4}}' on a step"),
        **_each("disabled enabled", "remove it, or the playbook from the catalog"),
        **_each("step tool next loop when set arcs input", "indent it below '- step: <name>'"),
    },
}
"""Keys of other workflow engines, by table, and what to write instead."""

ELSEWHERE: Final = {"pool": "write 'spec: {pool: <name>}' on the step"}
"""Keys that only affect where something runs, which documents also have in other places."""

REMARKS: Final = frozenset(
    ["assert", "capabilities", "desc", "description", "labels", "max_bytes", "max_seconds", "tags"]
)
"""Keys that do not affect executions, so misspelling them is harmless."""

_INVISIBLE: Final = re.compile(r"[\s\u200b-\u200f\u2060\ufeff]")
"""White space and characters without a width, which editors and web pages leave in keys."""

_BRACKETS: Final = re.compile('[]{}[:\uff1a\uff0c"\u201c\u201d\u2018\u2019]')
"""Characters that a key has only if its line is not the YAML that its author meant."""

FOREIGN_LENGTH_MIN: Final = 6
"""Minimum length of a key that may match a misspelt key of another engine."""

BEHEADED_LENGTH_MIN: Final = 4
"""Minimum length of a word whose first letter may be missing or swapped."""

LONG: Final = 7
"""Length from which a word may have two typos instead of one."""


def repair_of(key: str, table: str, known: Iterable[str]) -> str:
    """Return what to write instead of a key, or an empty string for a harmless one."""
    if key in ELSEWHERE:
        return ""
    if _BRACKETS.search(key):
        return "check the colon, the quotes and the brackets around the key"
    foreign = FOREIGN.get(table, {})
    plain = _INVISIBLE.sub("", key).lower().replace("-", "_")
    if plain in foreign:
        return foreign[plain]
    near = misspelt(key, known)
    if near:
        return "" if near in REMARKS else f"did you mean {near!r}?"
    foreign_match = misspelt(key, foreign) if len(key) >= FOREIGN_LENGTH_MIN else ""
    return foreign[foreign_match] if foreign_match else ""


def asks_nothing(key: str, value: object) -> bool:
    """Return whether a switch is set to what happens anyway: ``enabled: true``, ``skip: false``."""
    return value is (key == "enabled") if isinstance(value, bool) else False


def misspelt(word: str, known: Iterable[str]) -> str:
    """Return the known word that ``word`` is a misspelling of, or an empty string.

    Case and hyphens are ignored. Otherwise one or two typos are allowed. The first letter may only
    be missing, or be swapped with the second.
    """
    plain = _plain(word)
    by_plain: Mapping[str, str] = {_plain(k): k for k in known if k != word}
    if plain in by_plain:
        return by_plain[plain]
    candidates = [(_slips(plain, other), other) for other in by_plain if len(other) > 1]
    slips, nearest = min(candidates, default=(LONG, ""))
    return by_plain[nearest] if slips <= (2 if len(plain) >= LONG else 1) else ""


def _plain(word: str) -> str:
    return _INVISIBLE.sub("", word).replace("-", "").replace("_", "").lower()


def _swapped(word: str) -> str:
    """Return a word with its first two letters swapped."""
    return word[1:2] + word[:1] + word[2:]


def _slips(one: str, other: str) -> int:
    """Return the number of missing, extra, wrong or transposed letters (3 for many)."""
    if one[:1] != other[:1]:
        is_near = len(other) >= BEHEADED_LENGTH_MIN and one in (other[1:], _swapped(other))
        return 1 if is_near else 3
    if abs(len(one) - len(other)) > 2:
        return 3
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            cost = min(row[j - 1] + 1, rows[-1][j] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]
