"""``keychain``: fetched when mentioned, by workers only, and in no event."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from playbooks import playbook

from arcbook.dsl.load import load_playbook
from arcbook.events.codec import encode
from arcbook.secrets.api import Credential, CredentialError
from arcbook.secrets.keychain import Keychain, RenderedEntry
from arcbook.testing.clock import LoopClock, run_virtually
from arcbook.testing.local import FakeCredentials, play
from arcbook.tools.registry import Registry

SECRET = "s3cret-in-the-chain"
STATIC = f"keychain:\n- {{name: api, kind: static, map: {{token: '{{{{ workload.given }}}}-x', key: {SECRET}}}}}\n"
STORED = "keychain:\n- {name: api, kind: credential, credential: vaulted}\n"
KNOWN = {"vaulted": Credential(name="vaulted", type="bearer", data={"token": SECRET})}


def echo(call):
    return {**call.config, **call.input}


def run(steps, head=STORED, known=KNOWN, tools=None, **facts):
    text = playbook(steps, head)
    return play(text, tools or {"web": echo}, credentials=FakeCredentials(known), **facts)


def all_events(ran):
    return b"\n".join(encode(e.event) for e in ran.events).decode()


def test_21_a_secret_of_the_keychain_never_stands_in_an_event():
    ran = run("""
        - step: start
          tool: {kind: web, url: "http://h/?t={{ keychain.api.token }}", deep: ["{{ keychain.api.token | upper | lower }}"]}
          next: {arcs: [{step: after}]}
        - step: after
          tool: {kind: web, again: "{{ start.deep[0] }}"}
        """)

    assert ran.status == "COMPLETED"
    assert ran.calls[0].config["url"] == f"http://h/?t={SECRET}"
    assert ran.calls[1].config["again"] == SECRET
    assert SECRET not in all_events(ran)
    assert SECRET not in str(msgspec.to_builtins(ran.state.results))


def test_an_entry_is_rendered_for_the_execution_that_asks():
    steps = "- step: start\n  tool: {kind: web, a: '{{ keychain.api.token }}', b: '{{ keychain.api.key }}'}"
    head = "workload: {given: abcdef}\n" + STATIC
    ran = run(steps, head, payload={"given": "ghijkl"})

    assert ran.calls[0].config == {"a": "ghijkl-x", "b": SECRET}
    assert "ghijkl-x" not in all_events(ran)


def test_what_no_template_mentions_is_not_fetched():
    ran = run("- step: start\n  tool: {kind: web, a: 1}", known={})

    assert ran.status == "COMPLETED"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ keychain.api.token }}", "credential 'vaulted' is not known"),
        ("{{ keychain.nobody.token }}", "credential 'nobody' is not known"),
        ("{{ keychain.api.token | default('x') }}", "credential 'vaulted' is not known"),
    ],
)
def test_what_cannot_be_had_fails_the_task_by_its_name(template, message):
    ran = run(f'- step: start\n  tool: {{kind: web, a: "{template}"}}', known={})

    assert ran.status == "FAILED"
    assert ran.state.error.kind == "auth"
    assert message in ran.state.error.message
    assert not ran.calls


def test_a_field_that_is_not_there_is_an_error_and_no_empty_text():
    ran = run('- step: start\n  tool: {kind: web, a: "{{ keychain.api.tokn }}"}')

    assert ran.state.error.kind == "auth"
    assert "has no field 'tokn'; its fields are token" in ran.state.error.message


def test_a_rule_may_handle_what_cannot_be_had():
    rules = "spec: {policy: {rules: [{when: \"{{ output.error.kind == 'auth' }}\", then: {do: continue}}]}}"
    ran = run(f'- step: start\n  tool: {{kind: web, a: "{{{{ keychain.x.y }}}}", {rules}}}')

    assert ran.status == "COMPLETED"


def test_auth_names_an_entry_as_well():
    head = "keychain:\n- {name: mine, kind: bearer, token: '{{ keychain.api.token }}!'}\n- {name: api, kind: credential, credential: vaulted}\n"
    ran = run("- step: start\n  tool: {kind: web, auth: mine}", head)

    assert ran.calls[0].auth.type == "bearer"
    assert ran.calls[0].auth.data["token"] == SECRET + "!"


def test_entries_that_stand_on_themselves_are_refused():
    head = "keychain:\n- {name: a, kind: bearer, token: '{{ keychain.a.token }}'}\n"
    ran = run('- step: start\n  tool: {kind: web, a: "{{ keychain.a.token }}"}', head)

    assert "'a' references itself" in ran.state.error.message


def test_a_loop_and_its_claim_read_secrets():
    ran = run("""
        - step: start
          loop: {in: [1, 2], iterator: n, spec: {mode: parallel}}
          tool: {kind: web, a: "{{ keychain.api.token }}{{ iter.n }}"}
          next: {arcs: [{step: rows}]}
        - step: rows
          loop: {cursor: {kind: web, claim: "{{ keychain.api.token }}"}, iterator: row}
          tool: {kind: web, b: "{{ keychain.api.token }}"}
        """)

    assert sorted(c.config["a"] for c in ran.calls[:2]) == [SECRET + "1", SECRET + "2"]
    assert ran.calls[2].config["command"] == SECRET
    assert SECRET not in all_events(ran)


@pytest.mark.parametrize(
    "step",
    [
        "{step: start, when: '{{ keychain.a.b }}', tool: {kind: noop}}",
        "{step: start, tool: {kind: noop}, set: {ctx.a: '{{ keychain.a.b }}'}}",
        "{step: start, tool: {kind: noop}, loop: {in: '{{ keychain.a.b }}', iterator: x}}",
        "{step: start, tool: {kind: noop}, next: {arcs: [{step: start, when: \"{{ 'a' in keychain['a']['b'] }}\"}]}}",
        "{step: start, tool: {kind: noop}, next: {arcs: [{step: start, set: {ctx.a: '{{ keychain.a.b }}'}, when: no}]}}",
    ],
)
def test_what_the_control_plane_decides_must_not_read_secrets(step):
    text = playbook(f"- {step}")

    assert "ARC307" in [d.code for d in load_playbook(text, Registry()).errors]


class Slow:
    """Counts how often it is asked."""

    def __init__(self, seconds=1.0):
        self.asked = 0
        self.seconds = seconds

    async def credential(self, alias, execution_id):
        self.asked += 1
        await asyncio.sleep(self.seconds)
        if alias == "gone":
            raise CredentialError(alias, "is not known")
        return Credential(name=alias, type="bearer", data={"token": f"t{self.asked}"})


def chain(work, **facts):
    async def inner():
        source = Slow(**facts)
        keychain = Keychain(source, LoopClock(asyncio.get_running_loop()))
        return await work(source, keychain)

    return run_virtually(inner())


def wanted(alias="a", of=1, **config):
    return RenderedEntry("entry", "credential", {"credential": alias, **config}, of)


def test_a_hundred_readers_cause_one_fetch_and_again_when_it_is_no_longer_good():
    async def work(source, keychain):
        first = await asyncio.gather(*(keychain.open(wanted(ttl_seconds=60)) for _ in range(100)))
        await asyncio.sleep(50)
        await keychain.open(wanted(ttl_seconds=60))
        before = source.asked
        await asyncio.sleep(20)
        later = await asyncio.gather(*(keychain.open(wanted(ttl_seconds=60)) for _ in range(100)))
        return (
            before,
            source.asked,
            {c.data["token"] for c in first},
            {c.data["token"] for c in later},
        )

    assert chain(work) == (1, 2, {"t1"}, {"t2"})


def test_a_failure_is_told_to_all_who_wait_and_is_not_kept():
    async def work(source, keychain):
        asked = [keychain.open(wanted("gone")) for _ in range(100)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        with pytest.raises(CredentialError):
            await keychain.open(wanted("gone"))
        return source.asked, {str(error) for error in found}

    assert chain(work) == (2, {"credential 'gone' is not known"})


def test_one_who_gives_up_does_not_take_it_from_the_others():
    async def work(source, keychain):
        tasks = [asyncio.create_task(keychain.open(wanted())) for _ in range(3)]
        await asyncio.sleep(0.5)
        tasks[0].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        return source.asked, isinstance(found[0], asyncio.CancelledError), found[1].data

    assert chain(work) == (1, True, {"token": "t1"})


@pytest.mark.parametrize(
    ("scope", "secrets"),
    [("", 1), ("global", 1), ("playbook", 1), ("shared", 1), ("execution", 2), ("local", 2)],
)
def test_scopes_say_who_shares_a_secret(scope, secrets):
    config = {"endpoint": "http://issuer/", "scope": scope}

    assert (
        len({RenderedEntry("entry", "oauth2", config, id_).key() for id_ in (1, 2, 1)}) == secrets
    )


def test_each_execution_asks_for_a_stored_credential_so_that_the_audit_has_it():
    async def work(source, keychain):
        for execution_id in (1, 2, 1):
            await keychain.open(wanted(scope="global", of=execution_id))
        return source.asked

    assert chain(work) == 2


@pytest.mark.parametrize(
    ("kind", "config", "reason"),
    [
        ("frob", {}, "has kind 'frob'; known are"),
        ("static", {}, "needs a 'map'"),
        ("static", {"map": {"a": None}}, "has nothing for a"),
        ("bearer", {"token": ""}, "has an empty 'token'"),
        ("oauth2", {}, "needs an 'endpoint'"),
        ("oauth2", {"endpoint": "http://x", "data": {"client_id": None}}, "has nothing for client_id"),
        ("google_id_token", {}, "needs 'service_account_credential'"),
        ("google_id_token", {"service_account_credential": "a"}, "needs a 'target_audience'"),
        ("google_id_token", {"service_account_credential": "a", "target_audience": "x"}, "without 'client_email'"),
        ("secrets", {"provider": "frob", "map": {"a": "b"}}, "has provider 'frob'"),
        ("secrets", {"provider": "aws", "map": {"a": None}}, "has nothing for a"),
        ("secrets", {"region": "eu", "allowed_regions": ["us"], "map": {"a": "b"}}, "may not come from region"),
        ("static", {"map": {"a": "b"}, "ttl_seconds": "soon"}, "is not a number"),
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_resolved_says_why(kind, config, reason):
    async def work(_, keychain):
        with pytest.raises(CredentialError) as caught:
            await keychain.open(RenderedEntry("entry", kind, config, 1))
        return str(caught.value)

    found = chain(work)

    assert reason in found
    assert json.dumps(found)
