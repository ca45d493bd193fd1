"""What the python tool promises of the packages that a task lists."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from arcbook.outcome import ErrorKind
from arcbook.testing.tools import FakeContext, call_tool
from arcbook.tools.confinement import Confinement
from arcbook.tools.python import Python
from arcbook.tools.python_env import environments, pools, store, uv
from arcbook.tools.python_env.api import PackageSources
from arcbook.tools.python_env.distributions import DISTRIBUTIONS, advice_for
from wheels import make_sdist, make_wheel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.blocks("a process of Python starts, and it is waited for when it ends"),
]

WHERE_IMPORTED = "import os, random\nPID = os.getpid()\nchance = random.Random()\n"


@pytest.fixture
def links(tmp_path: Path) -> Path:
    """A folder of packages."""
    folder = tmp_path / "links"
    folder.mkdir()
    make_wheel(folder, "tinypkg", "1.0")
    make_wheel(folder, "tinypkg", "1.5")
    make_wheel(folder, "tinypkg", "2.0")
    make_wheel(folder, "needstiny", "1.0", requires=["tinypkg<2"])
    make_wheel(folder, "whereimported", files={"whereimported.py": WHERE_IMPORTED})
    return folder


@pytest.fixture
def sources(tmp_path: Path, links: Path) -> PackageSources:
    return PackageSources(
        folder=str(tmp_path / "environments"), find_links=(str(links),), is_offline=True
    )


@pytest.fixture
async def python() -> AsyncIterator[Python]:
    tool = Python()
    yield tool
    await tool.close()


async def run(tool: Python, sources: PackageSources, dependencies: list[str], code: str, **facts):
    config = {"code": code, "dependencies": dependencies, **facts.pop("config", {})}
    context = FakeContext(confinement=Confinement(packages=sources))
    return await call_tool(tool, "python", config, context=context, **facts)


def made(sources: PackageSources) -> list[str]:
    """Return the environments of a folder."""
    return sorted(p.parent.name for p in Path(sources.folder).glob("*/environment.json"))


def children() -> list[bytes]:
    """Return the command lines of this process's children."""
    below = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in below]


async def test_code_imports_what_its_task_lists(python, sources):
    code = "import tinypkg\nresult = tinypkg.VERSION"

    for requirement, expected in [
        ("tinypkg", "2.0"),
        ("tinypkg<2", "1.5"),
        ("tinypkg==1.0", "1.0"),
    ]:
        outcome = await run(python, sources, [requirement], code)
        assert outcome.data == expected, outcome.error
    assert len(made(sources)) == 3


async def test_what_a_package_needs_comes_with_it(python, sources):
    outcome = await run(python, sources, ["needstiny"], "import tinypkg\nresult = tinypkg.VERSION")

    assert outcome.data == "1.5", outcome.error


async def test_an_environment_has_nothing_but_what_is_listed(python, sources):
    code = "import importlib.util\nresult = importlib.util.find_spec('msgspec') is None"

    assert (await run(python, sources, ["tinypkg"], code)).data is True
    # The tool without packages still has those of the worker.
    assert (await call_tool(python, "python", {"code": code})).data is False


async def test_programs_and_the_interpreter_are_those_of_the_environment(python, sources):
    code = """
import subprocess, sys
result = subprocess.check_output([sys.executable, "-c", "import tinypkg; print(tinypkg.VERSION)"], text=True)
"""
    assert (await run(python, sources, ["tinypkg==1.0"], code)).data == "1.0\n"


async def test_the_order_of_requirements_makes_no_other_environment(python, sources):
    await run(python, sources, ["tinypkg", "whereimported"], "result = 1")
    await run(python, sources, ["whereimported", "tinypkg"], "result = 1")
    await run(python, sources, ["whereimported", "tinypkg>=2"], "result = 1")

    assert len(made(sources)) == 1


async def test_an_environment_is_made_once_for_all_who_want_it_at_once(sources, monkeypatch):
    count = []
    make = uv.Uv.make

    async def counted(self, *args):
        count.append(1)
        await make(self, *args)

    monkeypatch.setattr(uv.Uv, "make", counted)
    # Each tool is one process's, as far as locks can tell.
    tools = [Python(), Python(), Python()]
    try:
        outcomes = await asyncio.gather(
            *(
                run(
                    tool,
                    sources,
                    ["tinypkg"],
                    "import tinypkg\nresult = tinypkg.VERSION",
                    execution_id=n,
                )
                for tool in tools
                for n in range(4)
            )
        )
    finally:
        for tool in tools:
            await tool.close()

    assert [outcome.data for outcome in outcomes] == ["2.0"] * 12
    assert len(count) == 1


async def test_only_some_environments_are_made_at_once(python, sources, links, monkeypatch):
    monkeypatch.setattr(environments, "MADE_AT_ONCE_MAX", 2)
    making: list[int] = [0]
    most: list[int] = []
    make = uv.Uv.make

    async def counted(self, *args):
        making[0] += 1
        most.append(making[0])
        try:
            await make(self, *args)
        finally:
            making[0] -= 1

    monkeypatch.setattr(uv.Uv, "make", counted)
    lists = [["tinypkg==1.0"], ["tinypkg==1.5"], ["tinypkg==2.0"], ["whereimported"]]
    outcomes = await asyncio.gather(*(run(python, sources, one, "result = 1") for one in lists))

    assert [outcome.data for outcome in outcomes] == [1, 1, 1, 1]
    assert len(most) == 4
    assert max(most) == 2


async def test_modules_are_imported_ahead_of_the_call(python, sources):
    code = "import os, whereimported\nresult = [whereimported.PID, os.getpid()]"
    told = [(await run(python, sources, ["whereimported"], code)).data for _ in range(4)]

    imported, ran = told[-1]
    assert imported != ran


async def test_a_second_runtime_uses_what_the_first_has_made_and_resolved(sources, monkeypatch):
    code = "import tinypkg\nresult = tinypkg.VERSION"
    for tool in (Python(), Python()):
        assert (await run(tool, sources, ["tinypkg"], code)).data == "2.0"
        await tool.close()
        # Whoever comes second has no packages to install.
        for name in ("resolve", "make"):
            monkeypatch.delattr(uv.Uv, name, raising=False)


HALF = """
import asyncio, sys
from arcbook.tools.python_env import store
from arcbook.tools.python_env.api import PackageSources, EnvironmentRequest

async def stop_here(*_):
    print("half", flush=True)
    await asyncio.Event().wait()

store.run = stop_here
sources = PackageSources(folder=sys.argv[1], find_links=(sys.argv[2],), is_offline=True)
asyncio.run(store.EnvironmentStore(sources).obtain(EnvironmentRequest(("tinypkg",), "")))
"""


def kill_while_making(*arguments: str) -> None:
    command = [sys.executable, "-c", HALF, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()


async def test_a_killed_maker_leaves_no_half_environment(python, sources, links):
    kill_while_making(sources.folder, str(links))
    assert made(sources) == []
    assert list(Path(sources.folder).glob("*.making"))

    outcome = await run(python, sources, ["tinypkg"], "import tinypkg\nresult = tinypkg.VERSION")

    assert outcome.data == "2.0", outcome.error
    assert len(made(sources)) == 1
    assert not list(Path(sources.folder).glob("*.making"))


async def test_a_cancelled_call_stops_the_making_and_the_next_one_makes_it(
    python, sources, monkeypatch
):
    started = asyncio.Event()
    make = uv.Uv.make

    async def endless(*_):
        started.set()
        await uv.run(["sleep", "1000"], {"PATH": os.environ["PATH"]})

    monkeypatch.setattr(uv.Uv, "make", endless)
    code = "import tinypkg\nresult = tinypkg.VERSION"
    call = asyncio.create_task(run(python, sources, ["tinypkg"], code))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    monkeypatch.setattr(uv.Uv, "make", make)

    assert not [p for p in children() if b"sleep" in p]
    assert (await run(python, sources, ["tinypkg"], code)).data == "2.0"


async def test_a_call_whose_environment_takes_longer_than_its_timeout_says_so(
    python, sources, monkeypatch
):
    async def endless(*_):
        await asyncio.Event().wait()

    monkeypatch.setattr(uv.Uv, "make", endless)
    outcome = await run(python, sources, ["tinypkg"], "result = 1", timeout_seconds=0.5)

    assert outcome.error.kind is ErrorKind.TIMEOUT
    assert "environment" in outcome.error.message


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        ("nosuchpkg", "nosuchpkg was not found"),
        ("tinypkg>=3", "only tinypkg<=2.0 is available"),
        ("onlysource", "onlysource"),
    ],
)
async def test_a_package_that_cannot_be_had_is_named(python, sources, links, requirement, reason):
    mark = links.parent / "built"
    make_sdist(links, "onlysource", "1.0", f"open({str(mark)!r}, 'w')")
    outcome = await run(python, sources, [requirement], "result = 1")

    assert outcome.error.kind is ErrorKind.CONFIG
    assert outcome.error.code == "DEPENDENCIES"
    assert requirement in outcome.error.message
    assert reason in outcome.error.message
    # The code of a package that has to be built does not run.
    assert not mark.exists()
    assert made(sources) == []


@pytest.mark.parametrize(
    "requirement",
    [
        "tinypkg @ http://169.254.169.254/tinypkg.whl",
        "tinypkg @ file:///etc/passwd",
        "http://127.0.0.1/tinypkg.whl",
        "./tinypkg",
        "/etc/passwd",
        "-r /etc/passwd",
        "--index-url=http://127.0.0.1",
        "tinypkg\n--index-url http://127.0.0.1",
        "tinypkg --hash=sha256:00",
        "tinypkg # comment",
        "",
        "x" * 400,
    ],
)
async def test_what_is_no_requirement_by_name_is_refused(python, sources, requirement):
    outcome = await run(python, sources, [requirement], "result = 1")

    assert outcome.error.kind is ErrorKind.CONFIG
    assert "is not a requirement" in outcome.error.message
    assert not Path(sources.folder).exists()


@pytest.mark.parametrize(
    "requirement",
    [
        "tinypkg",
        "tinypkg>=1.0,<2",
        "tinypkg[extra] ~= 1.0",
        "tinypkg (>=1.0)",
        "tinypkg; python_version >= '3.8'",
    ],
)
async def test_requirements_are_written_as_in_python(python, sources, requirement):
    code = "import tinypkg\nresult = tinypkg.VERSION"
    assert (await run(python, sources, [requirement], code)).data in ("1.5", "2.0")


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("3.99", "there is no Python 3.99 on this machine"),
        ("three", "is not a version"),
        ("3.9", "Python 3.11 or later"),
    ],
)
async def test_a_version_of_python_that_cannot_be_had_is_refused(python, sources, version, said):
    outcome = await run(python, sources, [], "result = 1", config={"python": version})

    assert outcome.error.kind is ErrorKind.CONFIG
    assert outcome.error.code == "PYTHON"
    assert said in outcome.error.message


async def test_the_version_of_python_can_be_named(python, sources):
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    code = "import sys\nresult = sys.version_info[:2]"
    outcome = await run(python, sources, [], code, config={"python": version})

    assert outcome.data == list(sys.version_info[:2]), outcome.error


async def test_without_uv_the_error_names_the_extra(python, sources, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)

    with pytest.raises(ImportError, match=r"pip install 'arcbook\[python\]'"):
        await run(python, sources, ["tinypkg"], "result = 1")


async def test_a_failure_counts_for_those_who_ask_shortly_after(python, sources, monkeypatch):
    first = await run(python, sources, ["nosuchpkg"], "result = 1")
    monkeypatch.setattr(uv, "run", None)  # whoever runs a program now raises
    second = await run(python, sources, ["nosuchpkg"], "result = 1")

    assert first.error.message == second.error.message
    assert environments.FAILURE_SECONDS < 60


async def test_a_version_that_is_gone_is_not_tried_again(sources, links):
    code = "import tinypkg\nresult = tinypkg.VERSION"
    sources = msgspec.structs.replace(sources, environments_max=1)
    for requirement in ("tinypkg", "tinypkg==1.0"):
        tool = Python()
        assert (await run(tool, sources, [requirement], code)).is_ok
        await tool.close()
    # The first environment is removed by now, and so are its package and its download.
    (links / "tinypkg-2.0-py3-none-any.whl").unlink()
    shutil.rmtree(Path(sources.folder) / "cache")
    outcomes = []
    for _ in range(2):
        tool = Python()
        outcomes.append(await run(tool, sources, ["tinypkg"], code))
        await tool.close()

    assert outcomes[0].error.code == "DEPENDENCIES"
    assert outcomes[1].data == "1.5"


# -- removing ---------------------------------------------------------------------------


async def test_beyond_the_limit_the_longest_unused_environment_is_removed(sources):
    one = msgspec.structs.replace(sources, environments_max=1)
    names = []
    for requirement in ("tinypkg==1.0", "tinypkg==2.0"):
        tool = Python()
        await run(tool, one, [requirement], "result = 1")
        await tool.close()
        names.append(made(sources))

    assert [len(found) for found in names] == [1, 1]
    assert names[0] != names[1]


async def test_an_environment_in_use_is_not_removed(python, sources):
    one = msgspec.structs.replace(sources, environments_max=1)
    other = Python()
    code = "import tinypkg\nresult = tinypkg.VERSION"
    try:
        assert (await run(python, one, ["tinypkg==1.0"], code)).data == "1.0"
        assert (await run(other, one, ["tinypkg==2.0"], code)).data == "2.0"
        assert len(made(sources)) == 2
        assert (await run(python, one, ["tinypkg==1.0"], code + "\n", execution_id=2)).data == "1.0"
    finally:
        await other.close()


async def test_what_nobody_used_for_long_is_removed(python, sources):
    tool = Python()
    await run(tool, sources, ["tinypkg==1.0"], "result = 1")
    await tool.close()
    long_ago = 0.0
    for file in Path(sources.folder).rglob("environment.json"):
        os.utime(file, (long_ago, long_ago))
    await run(python, sources, ["tinypkg==2.0"], "result = 1")

    assert len(made(sources)) == 1
    assert store.UNUSED_SECONDS > 24 * 3600


async def test_of_many_environments_only_some_keep_processes(python, sources, links, monkeypatch):
    monkeypatch.setattr(pools, "POOLS_MAX", 1)
    code = "import tinypkg\nresult = tinypkg.VERSION"
    for _ in range(2):
        for version in ("1.0", "1.5", "2.0"):
            assert (await run(python, sources, [f"tinypkg=={version}"], code)).data == version

    assert len([command for command in children() if sources.folder.encode() in command]) == 1


# -- modules that are missing -----------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"code": "import PIL.Image"}, "dependencies: [pillow]"),
        ({"code": "from sklearn import svm"}, "dependencies: [scikit-learn]"),
        ({"code": "result = 1", "libs": {"img": "cv2"}}, "dependencies: [opencv-python-headless]"),
        ({"code": "result = bs4.x", "libs": ["bs4"]}, "dependencies: [beautifulsoup4]"),
        ({"code": "import no_such_thing"}, "dependencies: [no-such-thing]"),
    ],
)
async def test_a_missing_module_says_which_line_brings_it(python, config, line):
    outcome = await call_tool(python, "python", config)

    assert not outcome.is_ok
    assert line in outcome.error.message


@pytest.mark.parametrize("code", ["import _no_such", "undefined_name", "import json.nothing"])
async def test_what_no_package_brings_gets_no_advice(python, code):
    outcome = await call_tool(python, "python", {"code": code})

    assert "dependencies" not in outcome.error.message


def test_every_package_of_the_table_has_another_name_than_its_module():
    for module, package in DISTRIBUTIONS.items():
        assert package != module.lower().replace("_", "-")
        assert f"dependencies: [{package}]" in advice_for(f"{module}.inner")
