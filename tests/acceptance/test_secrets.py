"""A credential is used everywhere, and stands nowhere but where it is kept."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from acceptance.service import Service
from acceptance.terminal import Ran, Screen, Terminal, files_below

CANARY = 'c4n/ry "sings"+at=dawn&é%'
PASSWORD = "p4ss:w0rd/of@the?d4tabase"
ACCESS = "acc3ss-t0ken-0f-the-cl0ud"
NUMBER = 4711081547110815

USES = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: uses, path: shop/uses}
workload: {url: "", log: ""}
workflow:
  - step: start
    tool: {kind: http, method: POST, url: "{{ workload.url }}/login", auth: canary, body: {hello: 1}}
    next: {arcs: [{step: cloud}]}
  - step: cloud
    tool: {kind: http, method: POST, url: "{{ workload.url }}/cloud", auth: "team:cloud.prod"}
    next: {arcs: [{step: basic}]}
  - step: basic
    tool: {kind: http, method: POST, url: "{{ workload.url }}/basic", auth: person}
    next: {arcs: [{step: query}]}
  - step: query
    tool: {kind: http, url: "{{ workload.url }}/query", auth: number}
    next: {arcs: [{step: code}]}
  - step: code
    set: {ctx.kept: "{{ start.data.headers.Authorization }}"}
    tool:
      kind: python
      input:
        token: "{{ start.data.headers.Authorization }}"
        basic: "{{ basic.data.headers.Authorization }}"
        cloud: "{{ cloud.data.headers.Authorization }}"
      code: |
        import base64, json, sys, urllib.parse
        plain = token.removeprefix("Bearer ")
        print("token:", plain, file=sys.stderr)
        print(json.dumps({"token": plain}))
        result = {
            "plain": plain,
            "length": len(plain),
            "inside": f"before{plain}after",
            "b64": base64.b64encode(plain.encode()).decode(),
            "b64inside": base64.b64encode(f"xy{plain}z".encode()).decode(),
            "b64url": base64.urlsafe_b64encode(plain.encode()).decode(),
            "url": urllib.parse.quote(plain, safe=""),
            "plus": urllib.parse.quote_plus(plain),
            "json": json.dumps({"x": plain}),
            "unicode": json.dumps({"x": plain}, ensure_ascii=False),
            "hex": plain.encode().hex(),
            "key": {plain: [plain, {"deep": plain}]},
            "basic": base64.b64decode(basic.removeprefix("Basic ")).decode(),
            "cloud": cloud,
            "large": [plain] * 20000,
        }
    next: {arcs: [{step: shell}]}
  - step: shell
    loop: {in: "{{ [code.plain, code.cloud] }}", iterator: word, spec: {mode: parallel}}
    tool:
      kind: shell
      env: {WORD: "{{ iter.word }}"}
      command: 'echo "$WORD"; echo "$WORD" >&2; test -n "$WORD"'
    next: {arcs: [{step: child}]}
  - step: child
    tool: {kind: playbook, path: shop/child, input: {token: "{{ ctx.kept }}"}}
    next: {arcs: [{step: proof}]}
  - step: proof
    tool:
      kind: python
      input: {log: "{{ workload.log }}", code: "{{ code }}", out: "{{ shell }}", kept: "{{ ctx.kept }}", child: "{{ child }}"}
      code: |
        import json
        code["large"] = len(set(code["large"]))
        with open(log, "w") as file:
            json.dump({"code": code, "out": out, "kept": kept, "child": child}, file)
        result = "proved"
    next: {arcs: [{step: fail}]}
  - step: fail
    tool:
      kind: python
      input: {token: "{{ code.plain }}"}
      code: |
        raise ValueError("no: " + token + " " + "x" * 300)
      spec: {policy: {rules: [{else: {then: {do: continue}}}]}}
    next: {arcs: [{step: end}]}
  - step: end
    tool:
      kind: shell
      env: {WORD: "{{ code.plain }}"}
      command: 'echo "$WORD"; printf "bad %0485d $WORD" 0 >&2; exit 3'
"""

CHILD = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: child, path: shop/child}
workload: {token: ""}
workflow:
  - step: start
    tool:
      kind: python
      input: {token: "{{ workload.token }}"}
      code: "print(token); result = {'length': len(token), 'again': token}"
"""

CREDENTIALS = {
    "canary": ("bearer", {"token": CANARY}),
    "team:cloud.prod": ("bearer", {"access_token": ACCESS}),
    "person": ("basic", {"username": "someone", "password": PASSWORD}),
    "number": ("api_key", {"key": NUMBER, "in": "query", "param": "code"}),
}

LARGE = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: large, path: tests/large}
workflow:
  - step: start
    tool: {kind: python, code: "result = 'x' * 1_000_000"}
"""


class Used:
    """A home in which the secrets were used, and all that was printed on the way."""

    def __init__(self, arcbook: Terminal, service: Service) -> None:
        self.arcbook = arcbook
        self.service = service
        self.log = arcbook.folder / "proof.json"
        self.ran: list[Ran] = []
        arcbook.write("uses.yaml", USES)
        arcbook.write("child.yaml", CHILD)
        for name, (kind, data) in CREDENTIALS.items():
            file = arcbook.write("fields.json", json.dumps(data))
            self.call("credential", "add", name, "--type", kind, "--file", file)
            (arcbook.folder / file).unlink()
        given = ("--set", f"url={service.url}", "--set", f"log={self.log}")
        self.run = self.call("run", "uses.yaml", *given)
        self.proof = json.loads(self.log.read_text())
        self.log.unlink()

    def call(self, *arguments: object) -> Ran:
        ran = self.arcbook(*arguments)
        self.ran.append(ran)
        return ran


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    with Service().serving() as service:
        yield Used(Terminal(tmp_path_factory.mktemp("secrets")), service)


def forms(secret: str) -> Iterator[str]:
    """Yield the forms in which a secret must not be seen."""
    data = secret.encode()
    yield from (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (quote(secret), quote(secret, safe=""), quote_plus(secret), data.hex())
    for shift in range(3):
        yield base64.b64encode(b"\0" * shift + data).decode()[4:-4]
        yield base64.urlsafe_b64encode(b"\0" * shift + data).decode()[4:-4]


SECRETS = (CANARY, PASSWORD, ACCESS, str(NUMBER))


def assert_clean(text: str, where: object) -> None:
    assert CANARY[:8] not in text, where
    for secret in SECRETS:
        for form in forms(secret):
            at = text.find(form)

            assert at < 0, f"{form!r} stands in {where}: {text[max(0, at - 200) : at + 60]!r}"


def test_the_other_side_is_shown_the_secrets(used: Used) -> None:
    by_path = {request.path.partition("?")[0]: request for request in used.service.requests}
    basic = base64.b64encode(f"someone:{PASSWORD}".encode()).decode()

    assert by_path["/login"].headers["Authorization"] == f"Bearer {CANARY}"
    assert by_path["/cloud"].headers["Authorization"] == f"Bearer {ACCESS}"
    assert by_path["/basic"].headers["Authorization"] == f"Basic {basic}"
    assert by_path["/query"].path == f"/query?code={NUMBER}"


def test_steps_hand_on_what_they_got_unchanged(used: Used) -> None:
    code, out = used.proof["code"], used.proof["out"]["results"]

    assert code["plain"] == CANARY
    assert code["length"] == len(CANARY)
    assert code["inside"] == f"before{CANARY}after"
    assert base64.b64decode(code["b64"]).decode() == CANARY
    assert base64.b64decode(code["b64inside"]).decode() == f"xy{CANARY}z"
    assert json.loads(code["json"]) == {"x": CANARY}
    assert code["key"] == {CANARY: [CANARY, {"deep": CANARY}]}
    assert code["basic"] == f"someone:{PASSWORD}"
    assert code["large"] == 1
    assert [one["stdout"] for one in out] == [f"{CANARY}\n", f"Bearer {ACCESS}\n"]
    assert used.proof["kept"] == f"Bearer {CANARY}"


def test_a_called_playbook_gets_what_it_is_given_and_returns_it(used: Used) -> None:
    assert used.proof["child"]["length"] == len(f"Bearer {CANARY}")
    assert used.proof["child"]["again"] == f"Bearer {CANARY}"


def test_the_terminal_shows_no_secret(used: Used) -> None:
    assert used.run.code == 1
    assert "***" in used.run.err
    for ran in used.ran:
        assert_clean(ran.all, "what was printed")


def test_no_verb_shows_a_secret(used: Used) -> None:
    for row in used.arcbook.executions():
        identity = row["execution_id"]
        for arguments in (
            ("events", identity), ("events", identity, "--json"), ("executions", "show", identity),
            ("result", identity), ("result", identity, "start"),
        ):  # fmt: skip
            assert_clean(used.arcbook(*arguments).all, arguments)
    for verb in (("executions", "list"), ("result", identity, "code"), ("credential", "list")):
        assert_clean(used.arcbook(*verb).all, verb)


def test_the_home_holds_no_secret_but_sealed(used: Used) -> None:
    files = list(files_below(used.arcbook.home))

    assert len(files) > 2
    for path in files:
        assert_clean(path.read_bytes().decode("utf-8", "replace"), path)
        assert_clean(path.read_bytes().decode("latin-1"), path)


def test_the_key_is_readable_by_its_owner_only(used: Used) -> None:
    assert (used.arcbook.home / "key").stat().st_mode & 0o077 == 0


def test_a_secret_that_is_typed_is_not_echoed(arcbook: Terminal) -> None:
    screen = Screen(arcbook, "credential", "add", "typed", "--type", "bearer", "--set", "token=-")
    screen.wait_for("token:")
    screen.press(ACCESS.encode() + b"\n")
    code = screen.end()

    assert code == 0
    assert "credential 'typed' (bearer) is stored: token" in screen.text
    assert ACCESS not in screen.text
    assert "typed" in arcbook("credential", "list").out


def test_an_unknown_alias_fails_the_step_and_says_how_to_add_it(used: Used, tmp_path: Path) -> None:
    arcbook = Terminal(tmp_path)
    arcbook.write("uses.yaml", USES)
    ran = arcbook("run", "uses.yaml", "--set", f"url={used.service.url}")

    assert ran.code == 1
    assert "credential 'canary' is not known" in ran.err
    assert "arcbook credential add canary" in ran.err


def test_secrets_come_back_after_a_crash_and_are_hidden_again(
    arcbook: Terminal, service: Service
) -> None:
    arcbook.write("later.yaml", LATER)
    arcbook("credential", "add", "a.b:c", "--type", "bearer", "--set", f"token={ACCESS}")
    service.held.add("/hold")
    process = arcbook.start("run", "later.yaml", "--set", f"url={service.url}")
    service.wait_for("/hold")
    process.kill()
    process.wait()
    service.release("/hold")
    resumed = arcbook("resume")

    assert resumed.code == 0
    assert service.requests[-1].path == "/last"
    assert json.loads(service.requests[-1].body) == {"seen": f"Bearer {ACCESS}"}
    assert_clean(resumed.all, "what was printed")
    for path in files_below(arcbook.home):
        assert_clean(path.read_bytes().decode("latin-1"), path)


LATER = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: later}
workload: {url: ""}
workflow:
  - step: start
    tool: {kind: http, method: POST, url: "{{ workload.url }}/login", auth: "a.b:c"}
    next: {arcs: [{step: hold}]}
  - step: hold
    tool: {kind: http, method: POST, url: "{{ workload.url }}/hold"}
    next: {arcs: [{step: last}]}
  - step: last
    tool:
      kind: http
      method: POST
      url: "{{ workload.url }}/last"
      body: {seen: "{{ start.data.headers.Authorization }}"}
"""


def test_files_of_the_home_are_readable_by_their_owner_alone(arcbook: Terminal) -> None:
    arcbook.write("large.yaml", LARGE)
    arcbook("run", "large.yaml")

    files = [path for path in arcbook.home.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"arcbook.db"}
    assert [path.name for path in files if path.stat().st_mode & 0o077] == []
