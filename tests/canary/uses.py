"""The ways in which a secret is used: each is one task of a playbook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

USES = 200
"""Ways in all."""

PER_PLAYBOOK = 10

SECRET = "keychain.canary.token"
T = "{{ " + SECRET + " }}"
"""The secret, in a template."""

CONTINUE = {"policy": {"rules": [{"else": {"then": {"do": "continue"}}}]}}

KEY = "keychain.canary_key.private_key"
"""A secret of several lines, kept in the middle of a text of JSON."""

NUMBER = "keychain.canary_number.pin"
"""A secret that is a number."""

KEYCHAIN = [
    {"name": "canary", "kind": "credential", "credential": "canary_secret"},
    {"name": "borne", "kind": "bearer", "token": T},
    {"name": "mapped", "kind": "static", "map": {"deep": T, "wide": "<" + T + ">"}},
]

Task = dict[str, Any]

PLAIN_FILTERS = (
    "abs", "b64decode", "b64encode", "capitalize", "count", "e", "escape", "filesizeformat",
    "first", "float", "forceescape", "fromjson", "int", "items", "keys", "last", "len", "length",
    "list", "lower", "max", "min", "pprint", "reverse", "round", "safe", "sort", "split",
    "string", "striptags", "sum", "title", "tojson", "trim", "unique", "upper", "urlencode",
    "values", "wordcount", "wordwrap", "random",
)  # fmt: skip

FILTERS_WITH_MORE = (
    "S | attr('x')", "S | batch(3) | list", "S | list | join", "S | center(90)",
    "S | default('x')", "nothing | d(S)", "{'a': S} | dictsort", "'%s!' | format(S)",
    "{'a': S} | get('a')", "[{'a': S}] | groupby('a') | list", "S | indent(4)",
    "[S, S] | join(',')", "[S] | map('upper') | list", "[S] | reject('none') | list",
    "[{'a': S}] | rejectattr('b') | list", "S | replace('c', 'k')", "[S] | select | list",
    "[{'a': S}] | selectattr('a') | list", "[S, S] | slice(2) | list", "S | truncate(400)",
    "{'a': S} | xmlattr",
)  # fmt: skip

EXPRESSIONS = (
    "S ~ '!'", "'<' ~ S ~ '>'", "'x' * 300 ~ S", "S ~ 'x' * 300", "S * 3", "'%s' % S",
    "[S]", "[[S], [S, [S]]]", "{'k': S}", "{S: 1}", "{'a': {S: [S]}}", "S if S else 'no'",
    "S[0:400]", "S.upper()", "S.encode().hex()", "S.split('/')", "(S, S)", "S == 'guess'",
    "keychain.borne.token", "keychain.mapped.deep", "keychain.mapped.wide", "keychain.canary",
    "keychain['canary']['token']", "[keychain.canary]", "(S ~ ' ') * 3000", "S | b64encode | b64encode",
    "S | tojson | tojson", "S | urlencode | b64encode",
)  # fmt: skip

TEXTS = (
    "{% for c in [S] %}{{ c }};{% endfor %}",
    "{% set x = S %}{{ x }}{{ x }}",
    "{% if S %}{{ S }}{% else %}none{% endif %}",
    "one\ntwo {{ S }}\nthree",
    '{"json": "{{ S }}"}',
    "https://user:{{ S | urlencode }}@host/path?q={{ S | urlencode }}",
    "Authorization: Bearer {{ S }}\r\nCookie: a={{ S }}",
)

CODES = (
    "print(s); result = 1",
    "import sys; print(s, file=sys.stderr); result = 1",
    "import logging; logging.error('it is %s', s); result = 1",
    "import warnings; warnings.warn(s); result = 1",
    "raise ValueError(s)",
    "raise KeyError(s)",
    "raise RuntimeError('no: ' + s + ' ' + 'x' * 300)",
    "raise RuntimeError('x' * 300 + s)",
    "try:\n    raise ValueError(s)\nexcept ValueError as error:\n    raise RuntimeError('again') from error",
    "assert not s, s",
    "import sys; sys.exit(s)",
    "result = s",
    "result = {'a': [s, {'b': s}]}",
    "result = {s: 1}",
    "import base64; result = base64.b64encode(s.encode()).decode()",
    "import base64; result = base64.b64encode(('x' + s + 'y').encode()).decode()",
    "import base64; result = base64.b64encode(('xy' + s + 'z').encode()).decode()",
    "import base64; result = base64.urlsafe_b64encode(('x' + s).encode()).decode()",
    "from urllib.parse import quote; result = quote(s, safe='')",
    "from urllib.parse import quote; result = quote(s)",
    "from urllib.parse import quote_plus; result = quote_plus(s)",
    "from urllib.parse import urlencode; result = urlencode({'a': s})",
    "import json; result = json.dumps({'a': s})",
    "import json; result = json.dumps({'a': s}, ensure_ascii=False)",
    "import json; result = json.dumps(json.dumps({'a': s}))",
    "import json; print(json.dumps([s])); result = repr(s)",
    "result = s.encode().hex()",
    "result = s.encode().decode('latin-1')",
    "result = ascii([s])",
    "import html; result = html.escape(s)",
    "result = s[::-1] + s.upper() + s.lower()",
    "result = [s] * 20000",
    "result = {'a': 'x' * 200000 + s}",
    "print('y' * 9000 + s); result = 1",
    "print(s + 'y' * 9000); result = 1",
    "import traceback\ntry:\n    raise ValueError(s)\nexcept ValueError:\n    result = traceback.format_exc().replace('Traceback', '')",
    "import subprocess; result = subprocess.run(['echo', s], capture_output=True, text=True).stdout",
    "open(private + '/python', 'w').write(s); result = open(private + '/python').read()",
    "open(private + '/' + s, 'r')",
    "int(s)",
    "result = s.encode()",
    "import json; result = json.dumps({s: json.dumps({'a': [s]})})",
    "import base64, json; result = base64.b64encode(json.dumps({'auth': s}).encode()).decode()",
    "import base64, json; result = base64.urlsafe_b64encode(base64.b64encode(('me:' + s).encode())).decode()",
    "from urllib.parse import quote; result = quote(quote(s, safe=''), safe='')",
    "from yarl import URL; result = str(URL.build(scheme='http', host='h', user='u', password=s).with_query(q=s))",
    "import json; from urllib.parse import quote; result = quote(json.dumps([s]))",
    "result = [s.title(), s.capitalize(), s.swapcase(), s.casefold()]",
    "result = s.split('/') + s.partition('+')[:1] + s.split()",
    "error = ValueError('x'); error.add_note(s); raise error",
    "raise ExceptionGroup(s, [ValueError(s), KeyError(s)])",
    "class Odd(Exception):\n    def __str__(self):\n        return s\nraise Odd",
    "import logging; logging.getLogger('odd').error('%d of it', s); result = 1",
    "import os; os.write(1, (s + '\\n').encode()); os.write(2, (s + '\\n').encode()); result = 1",
    "import sys; sys.__stdout__.write(s + '\\n'); sys.__stderr__.write(s + '\\n'); result = 1",
    "import subprocess; subprocess.run(['echo', s], check=True); result = 1",
)

KEY_CODES = (
    "result = s",
    "result = s.splitlines()",
    "for line in s.splitlines():\n    print(line)\nresult = 1",
    "import logging\nfor line in s.splitlines():\n    logging.error('a line: %s', line)\nresult = 1",
    "import json; result = json.dumps({'key': s})",
    "import base64; result = base64.b64encode(s.splitlines()[2].encode()).decode()",
    "raise ValueError(s.splitlines()[1])",
)

NUMBER_CODES = (
    "result = s",
    "result = {'deep': [s, {'b': s}], 'text': f'it is {s}'}",
    "raise ValueError(s)",
    "print(s); result = {s: 1}",
)

SHELLS = (
    'echo "$S"',
    'echo "$S" >&2',
    'echo "$S"; exit 3',
    'echo "$S" >&2; exit 3',
    'printf "%0485d $S" 0 >&2; exit 4',
    'set -x; true "$S"',
    'printf %s "$S" | base64 -w0',
    'printf %s "$S" >"$PRIVATE/shell"; cat "$PRIVATE/shell"',
    'cat "$PRIVATE/$S"',
    "env",
    '"$S"',
)

SQL = (
    "select 'S' as x",
    "select 'S'::int",
    "selec 'S'",
    'select 1 as "<S>"',
    "create temp table t (v text); insert into t values ('S'); select * from t",
    "do $$ begin raise exception '%', 'S'; end $$",
    'select * from "S"',
    "select 1 -- S",
)  # fmt: skip


def uses(url: str, database: dict[str, Any], private: str) -> list[Task]:
    """Return the tasks, each with a name of its own.

    Args:
        url: a service that answers with what it was asked.
        database: where a PostgreSQL is, without a password.
        private: a folder in which playbooks may keep secrets.
    """
    found = [
        *(
            {"kind": "python", "input": {"s": T, "private": private}, "code": code}
            for code in CODES
        ),
        *({"kind": "python", "input": {"s": _of(KEY)}, "code": code} for code in KEY_CODES),
        *({"kind": "python", "input": {"s": _of(NUMBER)}, "code": code} for code in NUMBER_CODES),
        _noop(_of(KEY) + " and " + _of(NUMBER)),
        {"kind": "noop", "result": _of(NUMBER)},
        *({"kind": "shell", "env": {"S": T, "PRIVATE": private}, "command": c} for c in SHELLS),
        *_http(url),
        *_sql(database),
        *_kept(url),
        *_templates(),
    ]
    for text in (*PLAIN_FILTERS, *FILTERS_WITH_MORE):
        expression = text if "S" in text else f"S | {text}"
        found.append(_noop(f"before {{{{ {expression} }}}} after"))
    assert len(found) >= USES, len(found)
    return [{"name": f"use{n}", "spec": CONTINUE, **task} for n, task in enumerate(found[:USES])]


def playbooks(url: str, database: dict[str, Any], private: str) -> Iterator[tuple[str, str]]:
    """Yield the playbooks: name and text. JSON is YAML."""
    tasks = uses(url, database, private)
    for n in range(0, len(tasks), PER_PLAYBOOK):
        name = f"canary{n // PER_PLAYBOOK}"
        some = tasks[n : n + PER_PLAYBOOK]
        proof = {"name": "proof", "kind": "http", "method": "POST", "url": f"{url}/proof/{name}"}
        again = {"kind": "http", "method": "POST", "url": f"{url}/again/{name}"}
        body = {task["name"]: f"{{{{ results.{task['name']} }}}}" for task in some}
        later = {key: f"{{{{ start.{key} }}}}" for key in body}
        steps = [
            {
                "step": "start",
                "tool": [*some, {**proof, "json": body}],
                "set": {"ctx.kept": "{{ start.proof }}"},
                "next": {"arcs": [{"step": "again"}]},
            },
            {
                "step": "again",
                "tool": {**again, "json": later},
                "next": {"arcs": [{"step": "loop"}]},
            },
            {
                "step": "loop",
                "loop": {"in": [1, 2], "iterator": "n", "spec": {"mode": "parallel"}},
                "tool": {"kind": "noop", "result": T + "{{ iter.n }}"},
                "next": {"arcs": [{"step": "fail"}]},
            },
            {
                "step": "fail",
                "tool": {
                    "kind": "python",
                    "input": {"s": T, "kept": "{{ ctx.kept }}"},
                    "code": "raise ValueError('ends: ' + s + ' ' + str(kept)[-900:])",
                },
            },
        ]
        document = {
            "apiVersion": "noetl.io/v2",
            "kind": "Playbook",
            "metadata": {"name": name, "path": f"canary/{name}"},
            "keychain": KEYCHAIN,
            "workflow": steps,
        }
        yield name, json.dumps(document)


def _of(name: str) -> str:
    return "{{ " + name + " }}"


def _templates() -> Iterator[Task]:
    yield {"kind": "noop", "result": T}
    for name in PLAIN_FILTERS:
        yield _noop(f"{{{{ S | {name} }}}}")
    for expression in (*FILTERS_WITH_MORE, *EXPRESSIONS):
        yield _noop(f"{{{{ {expression} }}}}")
    for text in TEXTS:
        yield _noop(text)


def _noop(text: str) -> Task:
    return {"kind": "noop", "result": _named(text)}


def _named(text: str) -> str:
    """Put the secret's name in the place of a lone S."""
    import re

    return re.sub(r"(?<![A-Za-z0-9_'$])S(?![A-Za-z0-9_'])", SECRET, text)


def _http(url: str) -> Iterator[Task]:
    base: Task = {"kind": "http", "url": f"{url}/use"}
    for alias in ("canary", "canary_basic", "canary_header", "canary_query", "borne"):
        yield {**base, "auth": alias}
    yield {**base, "headers": {"X-Secret": T}}
    yield {**base, "url": f"{url}/use/{{{{ {SECRET} | urlencode }}}}"}
    yield {**base, "url": f"{url}/use?q={{{{ {SECRET} | urlencode }}}}"}
    yield {**base, "params": {"q": T}}
    for key in ("json", "form"):
        yield {**base, "method": "POST", key: {"q": T}}
    yield {**base, "method": "POST", "data": "text " + T}
    yield {**base, "url": "http://127.0.0.1:9/" + f"{{{{ {SECRET} | urlencode }}}}"}
    yield {**base, "url": "frob://" + T}
    yield {**base, "method": T}
    yield {**base, "auth": {"type": "bearer", "token": T}}
    address = url.replace("://", f"://user:{{{{ {SECRET} | urlencode | replace('/', '%2F') }}}}@")
    yield {**base, "url": f"{address}/use"}


def _sql(database: dict[str, Any]) -> Iterator[Task]:
    for statement in SQL:
        text = (
            statement.replace("S", T, 1)
            if "'S'" not in statement
            else statement.replace("'S'", f"'{T}'")
        )
        yield {"kind": "postgres", "auth": "canary_pg", "query": text}
    yield {"kind": "postgres", "auth": "canary_pg", "query": "select $1::text", "params": [T]}
    yield {"kind": "postgres", **database, "password": T, "query": "select 1"}
    yield {"kind": "postgres", **database, "password": "no" + T, "query": "select 1"}
    yield {"kind": "postgres", "auth": "canary_pg", "port": 9, "query": "select 1"}
    yield {"kind": "duckdb", "query": f"select '{T}' as x"}
    yield {"kind": "duckdb", "query": f"select '{T}'::int"}
    yield {"kind": "duckdb", "query": f"selec '{T}'"}


def _kept(url: str) -> Iterator[Task]:
    """Yield tasks whose state is kept on the way: set, retries, pauses, records before calls."""
    yield {"kind": "noop", "set": {"ctx.c": T, "iter.i": T, "step.s": {"deep": [T]}}}
    retry = {"else": {"then": {"do": "retry", "attempts": 2, "delay": 1.2}}}
    code = "raise ValueError('tried ' + s)"
    yield {
        "kind": "python",
        "input": {"s": T},
        "code": code,
        "spec": {"policy": {"rules": [
            {"when": "{{ _attempt < 2 }}", **retry["else"]},
            {"else": {"then": {"do": "continue"}}},
        ]}},
    }  # fmt: skip
    yield {"kind": "http", "url": f"{url}/never", "headers": {"X-A": T}, "redelivery": "never"}
