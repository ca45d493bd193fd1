"""Packages that add tool kinds and credential types, and packages that are broken."""

from __future__ import annotations

import textwrap

import pytest
from playbooks import playbook

from arcbook.dsl.load import load_playbook
from arcbook.outcome import ErrorKind, ok
from arcbook.plugins import PluginError
from arcbook.secrets import types
from arcbook.secrets.types import CredentialInvalidError, checked
from arcbook.testing.local import FakeCredentials, play
from arcbook.tools.api import Credential
from arcbook.tools.registry import Registry

GOOD = """
from arcbook.dsl.kinds import Kind
from arcbook.outcome import ok
from arcbook.tools.spec import ToolSpec

class Greet:
    def run(self, call, context):
        return ok("hello")

    async def close(self):
        pass

SPEC = ToolSpec(kind=Kind(name="greet", open=True), factory=Greet)
"""


GREETS = playbook("- {step: start, tool: {kind: greet}}")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package of one module, as pip would lay it out."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(types, "_added", types._added.__wrapped__)

    def put(name, code, entries):
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        info = tmp_path / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(textwrap.dedent(entries))

    return put


def tools(entry):
    return f"[arcbook.tools]\n{entry}\n"


def test_a_package_adds_a_kind(install):
    install("pack-good", GOOD, tools("greet = pack_good:SPEC"))
    registry = Registry()

    assert "greet" in registry.names()
    assert registry.kind("greet").absence is None
    assert registry.tool("greet").run(None, None) == ok("hello")
    assert registry.problems() == []


BROKEN = {
    "lacks an import": ("import nothing_like_it", "No module named 'nothing_like_it'"),
    "has a syntax error": ("def", "SyntaxError"),
    "ends the process": ("raise SystemExit(3)", "SystemExit: 3"),
    "lacks the object": ("", "has no attribute 'SPEC'"),
    "names something else": ("SPEC = 7", "is an int and must be a ToolSpec"),
    "names a kind of another name": (
        GOOD.replace('"greet"', '"salute"'),
        "provides tool kind 'salute' under the name",
    ),
}


@pytest.mark.parametrize(("code", "why"), BROKEN.values(), ids=BROKEN)
def test_a_broken_package_is_named_with_what_is_wrong_and_what_to_do(install, code, why):
    name = f"pack-b{abs(hash(code)) % 10**9}"
    install(name, code, tools(f"greet = {name.replace('-', '_')}:SPEC"))
    registry = Registry()

    text = playbook("- {step: start, tool: {kind: greet, anything: goes}}")
    loaded = load_playbook(text, registry)
    with pytest.raises(PluginError) as caught:
        registry.tool("greet")

    (diagnostic,) = loaded.diagnostics
    assert diagnostic.code == "ARC410"
    for words in (diagnostic.message, str(caught.value)):
        assert f"package '{name} 1.2'" in words
        assert why in words
    assert diagnostic.hint
    assert [str(error) for error in registry.problems()] == [str(caught.value)]


def test_a_task_of_a_broken_package_fails_with_its_name(install):
    install("pack-task", "import no_such", tools("greet = pack_task:SPEC"))

    error = play(GREETS).state.error

    assert error.kind is ErrorKind.CONFIG
    assert error.code == "BROKEN_PLUGIN"
    assert "package 'pack-task 1.2' cannot be loaded" in error.message
    assert "pip install --upgrade pack-task" in error.message


def test_a_kind_of_ours_is_never_replaced(install):
    install("pack-http", GOOD, tools("http = pack_http:SPEC"))
    registry = Registry()

    assert type(registry.tool("http")).__module__ == "arcbook.tools.http"
    (problem,) = registry.problems()
    assert "package 'pack-http 1.2' provides tool kind 'http', which Arcbook has itself" in str(
        problem
    )


def test_of_two_packages_with_one_kind_none_is_chosen(install):
    install("pack-one", GOOD, tools("greet = pack_one:SPEC"))
    install("pack-two", GOOD, tools("greet = pack_two:SPEC"))

    kind = Registry().kind("greet")

    assert kind.absence.is_fault
    assert "'pack-one 1.2' and 'pack-two 1.2' both provide tool kind 'greet'" in kind.absence.reason
    assert kind.absence.advice == "remove all of these packages but one"


def test_a_factory_without_its_imports_says_what_to_install(install):
    code = GOOD.replace("factory=Greet", "factory=lambda: __import__('no_such'), extra='pack[x]'")
    install("pack-extra", code, tools("greet = pack_extra:SPEC"))

    with pytest.raises(ImportError, match=r"tool kind 'greet' needs .* pip install 'pack\[x\]'"):
        Registry().tool("greet")


def test_a_factory_that_raises_is_a_fault_of_its_package(install):
    install(
        "pack-raise", GOOD.replace("=Greet", "=lambda: 1 / 0"), tools("greet = pack_raise:SPEC")
    )

    with pytest.raises(PluginError, match=r"'pack-raise 1.2' cannot make the tool.*ZeroDivision"):
        Registry().tool("greet")


@pytest.mark.parametrize("how", ["def", "async def"])
def test_a_tool_that_returns_no_outcome_fails_its_task(install, how):
    name = f"pack-{how.replace(' ', '-')}"
    code = GOOD.replace('return ok("hello")', 'return {"plain": 1}').replace(
        "def run", how + " run"
    )
    install(name, code, tools(f"greet = {name.replace('-', '_')}:SPEC"))

    error = play(GREETS).state.error

    assert error.kind is ErrorKind.UNKNOWN
    assert "tool 'greet' must return an Outcome, not dict" in error.message


@pytest.mark.parametrize(("kind", "status"), [("vip_key", "COMPLETED"), ("basic", "FAILED")])
def test_a_credential_of_a_type_that_the_tool_does_not_take_is_refused(install, kind, status):
    name = f"pack-{kind.replace('_', '-')}"
    code = GOOD.replace("factory=", "credential_types=('vip_key',), factory=")
    install(name, code, tools(f"greet = {name.replace('-', '_')}:SPEC"))
    known = Credential(name="mine", type=kind, data={"key": "k"})

    ran = play(GREETS.replace("kind: greet", "kind: greet, auth: mine"), credentials=One(known))

    assert ran.status == status
    if status == "FAILED":
        assert ran.state.error.kind is ErrorKind.AUTH
        assert "credential 'mine' is of type 'basic'; tool 'greet' takes vip_key" in str(
            ran.state.error.message
        )


class One(FakeCredentials):
    """One credential."""

    def __init__(self, credential):
        super().__init__()
        self._one = credential

    async def credential(self, alias, execution_id):
        return self._one


FORM = """
from arcbook.secrets.types import Form

VIP = Form(needed=(("key", "vip_token"),), numbers=("port",))
"""


def test_a_package_adds_a_type_of_credential(install):
    install("pack-vip", FORM, "[arcbook.credential_types]\nvip_key = pack_vip:VIP\n")

    assert checked("vip-key", {"vip_token": "t"}) == "vip_key"
    with pytest.raises(CredentialInvalidError, match="'vip_key' needs 'key'"):
        checked("vip_key", {"other": 1})
    with pytest.raises(CredentialInvalidError, match=r"not known: .*, vip_key$"):
        checked("vap_key", {"key": "k"})


def test_a_type_of_a_broken_package_is_refused_with_its_name(install):
    install("pack-vap", "VIP = 7", "[arcbook.credential_types]\nvip_key = pack_vap:VIP\n")

    with pytest.raises(CredentialInvalidError, match=r"package 'pack-vap 1.2' .* must be a Form"):
        checked("vip_key", {"key": "k"})
