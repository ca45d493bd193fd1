"""Packages that attack: their code runs when they are imported, or when Python starts.

A task chooses its packages, so what they do must stay within its execution, as what its code
does. The package here tries everything at each chance that a wheel has to run code.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from security.test_isolation_attacks import APART, Attacked, named, started
from wheels import make_sdist, make_wheel

LOOK = """
import os, json
def look(place):
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    work = os.environ.get("HOME", "")
    try:
        others = [n for n in os.listdir(os.path.dirname(work)) if n != os.path.basename(work)]
    except OSError:
        others = []
    try:
        open(os.path.join(os.path.dirname(__file__), "left"), "w")
        left = True
    except OSError:
        left = False
    return {"place": place, "uid": os.getuid(), "capable": status["CapEff"].strip().strip("0"),
            "others": others, "left": left, "home": work}
def note(place):
    with open(os.path.join(os.environ.get("HOME", "/nowhere"), "noted"), "a") as file:
        file.write(json.dumps(look(place)) + "\\n")
"""

NOTED = "import json\nresult = [json.loads(line) for line in open('noted')]"

STAYS = """
import subprocess
subprocess.Popen(["sleep", "31415"], start_new_session=True)
"""

EVIL = {
    "evil/__init__.py": "from evil.looking import note\nnote('import')\n",
    "evil/looking.py": LOOK,
    "evil.pth": "import evil.looking; evil.looking.note('start')\n",
}
SWAPS = {
    "swaps.py": "",
    "swaps-1.0.data/data/bin/python": "#!/bin/sh\ntouch MARK\n",
    "swaps-1.0.data/data/bin/python3": "#!/bin/sh\ntouch MARK\n",
    "swaps-1.0.data/data/pyvenv.cfg": "home = /nowhere\n",
    "swaps-1.0.data/data/environment.json": "{}",
}


@pytest.fixture(scope="module")
def links() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="arcbook-links-"))
    folder.chmod(0o755)
    mark = folder / "mark"
    make_wheel(folder, "evil", files=EVIL)
    make_wheel(folder, "swaps", files={k: v.replace("MARK", str(mark)) for k, v in SWAPS.items()})
    make_wheel(folder, "stays", files={"stays.py": STAYS})
    make_wheel(folder, "tame")
    make_sdist(folder, "built", "1.0", f"open({str(mark)!r}, 'w')")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=APART, ids=named)
def apart(request, links) -> Iterator[Attacked]:
    settings = {"ARCBOOK_PYTHON_FIND_LINKS": str(links), "ARCBOOK_PYTHON_OFFLINE": "true"}
    uid, isolation = request.param
    with started(uid, isolation, **settings) as made:
        yield made


def python(worker: Attacked, packages: list[str], code: str, execution: int | None = None):
    outcome = worker.run("python", {"code": code, "dependencies": packages}, execution)
    assert outcome["status"] == "ok", outcome
    return outcome["data"]


def test_contained_code_of_a_package_that_runs_at_the_start_and_on_import(apart):
    other, own = apart.next(), apart.next()
    python(apart, ["tame"], "open('mine', 'w')", other)
    python(apart, ["evil"], "import evil", own)
    noted = apart.python(NOTED, own)

    uid = apart.python("import os\nresult = os.getuid()", own)
    assert {one["place"] for one in noted} == {"start", "import"}
    for one in noted:
        assert one["uid"] == uid
        assert (one["uid"] != 0) or not apart.has_own_user
        assert one["capable"] == ""
        assert one["left"] is False
        assert one["others"] == [] or apart.isolation.value == "user"
        assert one["home"] == str(apart.workspace(own))


def test_refused_the_place_of_the_interpreter_to_a_file_of_a_package(apart, links):
    apart.run("python", {"code": "import swaps", "dependencies": ["swaps"]})
    apart.run("python", {"code": "import swaps, tame", "dependencies": ["swaps", "tame"]})

    assert not (links / "mark").exists()


def test_contained_a_package_that_leaves_a_process(apart):
    execution = apart.next()
    for _ in range(3):
        python(apart, ["stays"], "import stays\nresult = 1", execution)
    others = apart.python(
        """
import os
found = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        found.append(open(f"/proc/{pid}/cmdline").read())
    except OSError:
        pass
result = [one for one in found if "31415" in one]
""",
        apart.next(),
    )
    assert others == []


def test_refused_a_package_that_has_to_be_built_here(apart, links):
    outcome = apart.run("python", {"code": "result = 1", "dependencies": ["built"]})

    assert outcome["error"]["code"] == "DEPENDENCIES"
    assert not (links / "mark").exists()


def test_refused_a_change_to_packages_that_others_use(apart):
    attack = """
import os, tame
where = os.path.dirname(tame.__file__)
result = []
for path in (tame.__file__, os.path.join(where, "planted.py")):
    try:
        open(path, "a").write("x = 1\\n")
        result.append(path)
    except OSError:
        pass
"""
    assert python(apart, ["tame"], attack) == []
    assert python(apart, ["tame"], "import tame\nresult = tame.VERSION") == "1.0"


def test_refused_the_worker_to_code_with_packages(apart):
    attack = """
import tame, os
found = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        if b"s3cret" + b"-of-the-worker" in open(f"/proc/{pid}/environ", "rb").read():
            found.append(pid)
    except OSError:
        pass
try:
    found.append(open("FOLDER/key").read())
except OSError:
    pass
result = found
""".replace("FOLDER", str(apart.folder))
    assert python(apart, ["tame"], attack) == []


def test_contained_one_execution_beside_another_with_the_same_packages(apart):
    one, two = apart.next(), apart.next()
    python(
        apart, ["tame"], "import tame\ntame.VERSION = 'forged'\nopen('mine', 'w').write('x')", one
    )

    assert python(apart, ["tame"], "import tame\nresult = tame.VERSION", two) == "1.0"
    look = f"import os, tame\nresult = os.access({str(apart.workspace(one) / 'mine')!r}, os.F_OK)"
    assert python(apart, ["tame"], look, two) is False


def test_contained_calls_of_one_execution_in_forks_of_one_process(apart):
    execution = apart.next()
    code = "import tame, random, os\nresult = [random.random(), os.getpid(), getattr(tame, 'left', 0)]\ntame.left = 1"
    told = [python(apart, ["tame"], code, execution) for _ in range(5)]

    assert len({number for number, _, _ in told}) == 5
    assert len({pid for _, pid, _ in told}) == 5
    assert {left for _, _, left in told} == {0}
