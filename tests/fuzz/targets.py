"""What reads input of others: each with inputs to begin with, and what it may raise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import orjson

from arcbook.dsl.load import load_document, load_playbook
from arcbook.dsl.source import SourceError
from arcbook.dsl.upgrade.comparisons import NotUnderstoodError, comparison, stands_outside
from arcbook.events.codec import UnreadableEventError, decode
from arcbook.results.refs import InvalidRefError, parse_ref
from arcbook.schedules import ScheduleError, upcoming, validated
from arcbook.secrets.taint import Secrets
from arcbook.store.api import ScheduleRow
from arcbook.template.budget import Budget
from arcbook.template.code import compile_code
from arcbook.template.errors import TemplateError
from arcbook.template.render import compile_condition, compile_value
from arcbook.template.scope import DictScope
from arcbook.template.script import compile_script, foreign_in
from arcbook.tools.sql import text as sql
from fuzz import house
from unit.kinds import every_kind
from unit.test_script_text import STAYS
from unit.test_upgrade import COMPARISONS

KINDS: Final = every_kind()
ROOT: Final = Path(__file__).parents[2]
NAMES: Final = {
    "workload": {"rows": [{"a": 1, "b": "x"}] * 20, "n": 3, "text": "some text"},
    "output": {"status": "ok", "data": {"rows": [1, 2, 3]}},
}


@dataclass(frozen=True)
class Target:
    """Something that reads input."""

    name: str
    read: Callable[[bytes], object]
    seeds: Sequence[bytes]
    #: What it may raise: its own errors, which say what is wrong.
    refuses: tuple[type[Exception], ...] = ()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _scope() -> DictScope:
    scope = DictScope(dict(NAMES))
    scope.budget = Budget(20_000)
    return scope


def templates(data: bytes) -> None:
    """Read, render and test a template."""
    for compiled in (compile_value(_text(data)), compile_condition(_text(data))):
        for use in (compiled.render, compiled.evaluate, compiled.test):
            use(_scope())


def code(data: bytes) -> None:
    """Read and render code with holes."""
    compile_code(_text(data)).render(_scope())


def scripts(data: bytes) -> None:
    """Read and render text for a shell."""
    text = _text(data)
    foreign_in(text, NAMES)
    compile_script(text, NAMES).render(_scope())


def guards(data: bytes) -> None:
    """Read a guard whose comparison may stand outside of its braces."""
    text = _text(data)
    if stands_outside(text):
        compile_condition("{{ " + comparison(text).exact + " }}")


def documents(data: bytes) -> None:
    """Read and check a document."""
    loaded = load_playbook(_text(data), KINDS)
    for found in loaded.diagnostics:
        assert found.code
        assert found.message
    load_document(_text(data), KINDS)


def statements(data: bytes) -> None:
    """Split SQL: nothing of it is lost."""
    text = _text(data)
    pieces = sql.split(text)
    for piece in pieces:
        assert piece in text
        sql.head(piece)
        capitals = piece.upper()
        assert all(word in capitals for word in islice(sql.words(piece), 100))


def names_in_sql(data: bytes) -> None:
    """Read the name of a table."""
    sql.quoted(*sql.name_parts(_text(data)))


def schedules(data: bytes) -> None:
    """Read a schedule, and say when it comes next."""
    given = orjson.loads(data)
    row = msgspec.convert(given, ScheduleRow, strict=False)
    upcoming(validated(row), 1_900_000_000_000_000)


def redaction(data: bytes) -> None:
    """Take a secret out of text, and put it back."""
    secrets = Secrets()
    text = _text(data)
    secrets.add({"canary": "s3cr3t-Canary/Value+1"})
    hidden = secrets.hide(text)
    assert "s3cr3t-Canary/Value+1" not in hidden


def _files(*patterns: str) -> list[bytes]:
    return [path.read_bytes() for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def _lines(name: str) -> list[bytes]:
    module = (ROOT / name).read_bytes()
    return [line for line in module.splitlines() if b"{{" in line or b"{%" in line]


TEMPLATES: Final = [*_lines("tests/security/test_templates.py"), *_lines("docs/language.md")]
DOCUMENTS: Final = [
    *_files("examples/**/*.yaml", "tests/corpus/spellings/*.yaml"),
    *[block.encode() for block in (ROOT / "docs/language.md").read_text("utf-8").split("```yaml")],
]

SCRIPTS: Final = [
    text.encode() for text in (*STAYS, "{% for a in b %}{{ a.id }} {{.ID}}{% endfor %}")
]

TARGETS: Final = (
    Target("templates", templates, TEMPLATES, (TemplateError,)),
    Target("code", code, [*TEMPLATES, b"x = f'{{a}}'\n"], (TemplateError,)),
    Target("scripts", scripts, SCRIPTS, (TemplateError,)),
    Target("guards", guards, [guard.encode() for guard, _ in COMPARISONS], (NotUnderstoodError, TemplateError)),
    Target("documents", documents, DOCUMENTS, (SourceError,)),
    Target("sql", statements, [b"select 1; select $$a;b$$; insert into t values ('x''y', E'\\'');", b"begin; do $a$ begin null; end $a$; commit"]),
    Target("sql names", names_in_sql, [b'public."a b".c', b"t"], (sql.BadNameError,)),
    Target("events", decode, [b'{"type":"step.exit","step":"a","visit":1,"status":"ok","result":{"tasks":{},"last":""}}', b'{"type":"playbook.started","path":"a"}'], (UnreadableEventError,)),
    Target("references", lambda data: parse_ref(_text(data)), [b"noetl://execution/1/result/a/b"], (InvalidRefError,)),
    Target("schedules", schedules, [b'{"name":"a","path":"p","cron":"*/5 * * * *","timezone":"Europe/Berlin"}', b'{"name":"a","path":"p","every_seconds":60}'], (ScheduleError, msgspec.ValidationError, orjson.JSONDecodeError)),
    Target("api", house.api, house.CALLS),
    Target("bus frames", house.frames, [*house.REQUESTS, b"\x01{}", b"\x00" * 64]),
    Target("bus requests", house.requests, house.REQUESTS),
    Target("redaction", redaction, [b"s3cr3t-Canary/Value+1 and czNjcjN0LUNhbmFyeS9WYWx1ZSsx"]),
)  # fmt: skip
