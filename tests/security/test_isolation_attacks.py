"""Code of an execution that tries to reach its worker, the machine and other executions.

A real worker process holds a secret in its environment and memory, and a key in its folder;
it runs each attack as code of an execution. Run by root, the attacks are tried at a worker
of root and at one of an ordinary user.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arcbook.tools.confinement import Isolation
from arcbook.tools.sandbox import bound

ROOT = Path(__file__).parents[2]
NOBODY = 65534

SCAN = """
import os, re
marker = b"s3cret" + b"-of-the-worker"
found = []
for pid in os.listdir("/proc"):
    if not pid.isdigit() or int(pid) == os.getpid():
        continue
    WHAT
result = found
"""

ENVIRON = """
    try:
        if marker in open(f"/proc/{pid}/environ", "rb").read():
            found.append(pid)
    except OSError:
        pass
"""
MEMORY = """
    try:
        memory = open(f"/proc/{pid}/mem", "rb", 0)
        for line in open(f"/proc/{pid}/maps"):
            first, last = (int(n, 16) for n in line.split()[0].split("-"))
            if "rw" not in line or last - first > 1 << 26:
                continue
            memory.seek(first)
            try:
                if marker in memory.read(last - first):
                    found.append(pid)
            except OSError:
                pass
    except OSError:
        pass
"""
DESCRIPTORS = """
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    except OSError:
        pass
"""
TRACE = """
    import ctypes
    libc = ctypes.CDLL(None)
    if int(pid) == WORKER and libc.ptrace(16, int(pid), 0, 0) == 0:
        found.append(pid)
"""
VM_READ = """
    import ctypes
    libc = ctypes.CDLL(None)
    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
    here = ctypes.create_string_buffer(16)
    try:
        first = int(open(f"/proc/{pid}/maps").readline().split("-")[0], 16)
    except (OSError, ValueError):
        first = 0x400000
    mine, theirs = Vector(ctypes.addressof(here), 16), Vector(first, 16)
    if int(pid) == WORKER and libc.process_vm_readv(
        int(pid), ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0) > 0:
        found.append(pid)
"""

READS = {
    "the environment of any process": SCAN.replace("    WHAT", ENVIRON.strip("\n")),
    "the memory of any process": SCAN.replace("    WHAT", MEMORY.strip("\n")),
    "the worker by ptrace": SCAN.replace("    WHAT", TRACE.strip("\n")),
    "the worker by process_vm_readv": SCAN.replace("    WHAT", VM_READ.strip("\n")),
}

SHELL_READS = {
    "the environment of any process": "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c 's3cret''-of' || true",
    "the environment of its parent": "cat /proc/$PPID/environ | grep -c 's3cret''-of' || true",
    "the memory of the worker": "head -c 1000 /proc/WORKER/mem >/dev/null 2>&1 && echo 1 || echo 0",
    "the descriptors of the worker": "ls /proc/WORKER/fd 2>/dev/null | grep -c . || true",
}


class Attacked:
    """A worker process, and the way to have it run code."""

    def __init__(self, isolation: Isolation, uid: int, folder: Path, **settings: str) -> None:
        self.isolation = isolation
        self.folder = folder
        self.has_own_user = uid == 0
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "tests"),
            "ARCBOOK_ENCRYPTION_KEY": "s3cret-of-the-worker",
            "ARCBOOK_DSN": "postgresql://s3cret-of-the-worker@db/x",
            **settings,
        }
        command = [
            *(as_user(uid) if uid != os.getuid() or uid == 0 else []),
            *(sys.executable, "-m", "security.isolated_worker", isolation.value, str(folder)),
        ]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        told = json.loads(self.process.stdout.readline())
        self.pid, self.uid = told["pid"], told["uid"]
        self._executions = iter(range(1, 100_000))

    def next(self) -> int:
        return next(self._executions)

    def together(self, *calls: dict[str, Any]) -> list[Any]:
        self.process.stdin.write(json.dumps(calls) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the worker is gone"
        return json.loads(line)

    def run(self, kind: str, config: dict[str, Any], execution: int | None = None, **facts) -> Any:
        number = self.next() if execution is None else execution
        call = {"kind": kind, "config": config, "execution_id": number, **facts}
        return self.together(call)[0]

    def python(self, code: str, execution: int | None = None, **facts: Any) -> Any:
        outcome = self.run(
            "python", {"code": code.replace("WORKER", str(self.pid))}, execution, **facts
        )
        assert outcome["status"] == "ok", outcome
        return outcome["data"]

    def shell(self, command: str, execution: int | None = None, **config: Any) -> Any:
        config["command"] = command.replace("WORKER", str(self.pid))
        outcome = self.run("shell", config, execution)
        assert "data" in outcome, outcome
        return outcome["data"]

    def said(self, command: str, execution: int | None = None, **config: Any) -> str:
        data = self.shell(command, execution, **config)
        return data["stdout"].strip()

    def workspace(self, execution: int) -> Path:
        return self.folder / "work" / str(execution)

    def close(self) -> None:
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def as_user(uid: int) -> list[str]:
    """Return what runs a command as a user who can pass to where Python is."""
    home = Path(sys.base_prefix)
    view = ["bwrap", "--dev-bind", "/", "/"]
    for parent in reversed(home.parents):
        if parent != Path("/") and not parent.stat().st_mode & 0o005:
            view += ["--perms", "0755", "--tmpfs", str(parent)]
            view += bound(str(home), "--ro-bind")
            break
    drop = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]
    return [*view, "--", *(drop if uid else [])]


def workers() -> list[tuple[int, Isolation]]:
    """Return whose workers there are, and how they run code."""
    if os.getuid() == 0:
        return [
            (0, Isolation.SANDBOX),
            (0, Isolation.USER),
            (NOBODY, Isolation.SANDBOX),
            (NOBODY, Isolation.PROCESS),
        ]
    return [(os.getuid(), Isolation.SANDBOX), (os.getuid(), Isolation.PROCESS)]


@contextlib.contextmanager
def started(uid: int, isolation: Isolation, **settings: str) -> Iterator[Attacked]:
    # Not below pytest's folder, which other users cannot pass.
    folder = Path(tempfile.mkdtemp(prefix="arcbook-attacked-"))
    folder.chmod(0o711)
    key = folder / "key"
    key.write_text("s3cret-of-the-worker in a file")
    key.chmod(0o600)
    if os.getuid() == 0:
        os.chown(folder, uid, uid)
        os.chown(key, uid, uid)
    made = Attacked(isolation, uid, folder, **settings)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


def named(worker: tuple[int, Isolation]) -> str:
    return f"{'root' if worker[0] == 0 else 'ordinary'}-{worker[1].value}"


@pytest.fixture(scope="module", params=workers(), ids=named)
def worker(request) -> Iterator[Attacked]:
    """A worker of every kind that this user can start."""
    with started(*request.param) as made:
        yield made


APART = [w for w in workers() if w[1] is not Isolation.PROCESS]
BOXED = [w for w in workers() if w[1] is Isolation.SANDBOX]


@pytest.fixture(scope="module", params=APART, ids=named)
def apart(request) -> Iterator[Attacked]:
    """A worker whose code runs as another user or in a sandbox."""
    with started(*request.param) as made:
        yield made


@pytest.fixture(scope="module", params=BOXED, ids=named)
def boxed(request) -> Iterator[Attacked]:
    """A worker whose code runs in a sandbox."""
    with started(*request.param) as made:
        yield made


# -- at every worker --------------------------------------------------------------------


@pytest.mark.parametrize("what", READS)
def test_refused_python_that_reads(worker, what):
    found = worker.python(READS[what])
    if worker.isolation is Isolation.PROCESS:
        # The tests themselves may run as the same user, and hold the secret.
        found = [pid for pid in found if int(pid) == worker.pid]
    assert found == []


@pytest.mark.parametrize("what", SHELL_READS)
def test_refused_a_shell_that_reads(worker, what):
    assert worker.said(SHELL_READS[what]) == "0"


def test_refused_python_that_looks_at_the_descriptors_of_the_worker(worker):
    code = """
import os
try:
    result = os.listdir("/proc/WORKER/fd")
except OSError:
    result = "refused"
"""
    assert worker.python(code) == "refused"


def test_contained_code_gets_no_variable_of_the_worker(worker):
    code = "import os\nresult = sorted(n for n in os.environ if 'ARCBOOK' in n or 'PYTHON' in n)"

    assert worker.python(code) == []
    assert "ARCBOOK" not in worker.said("env")


def test_contained_a_command_inherits_no_descriptor(worker):
    assert worker.said("for fd in /proc/self/fd/*; do echo ${fd##*/}; done").split()[:3] == [
        "0",
        "1",
        "2",
    ]
    assert len(worker.said("ls /proc/self/fd").split()) <= 4, "and that of the listing"


def test_contained_a_command_reads_nothing_from_its_standard_input(worker):
    assert worker.said("cat") == ""


def test_the_worker_shows_none_of_its_secrets_even_to_root(worker):
    environ = Path(f"/proc/{worker.pid}/environ")
    if os.getuid() == 0:
        assert b"s3cret" not in environ.read_bytes()
    else:
        with pytest.raises(PermissionError):
            environ.read_bytes()


# -- where code is another user, or in a sandbox ----------------------------------------------


def test_refused_a_signal_to_the_worker(apart):
    code = """
import os, signal
refused = 0
for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, 0):
    try:
        os.kill(WORKER, number)
    except OSError:
        refused += 1
result = refused
"""
    assert apart.python(code) == 4
    assert apart.said("kill -9 WORKER 2>/dev/null || echo refused") == "refused"
    assert apart.process.poll() is None


def test_contained_a_signal_to_everything(apart):
    victim, attacker = apart.next(), apart.next()
    outcomes = apart.together(
        {"kind": "python", "execution_id": victim,
         "config": {"code": "import time\ntime.sleep(1)\nresult = 'unharmed'"}},
        {"kind": "shell", "execution_id": victim, "config": {"command": "sleep 1; echo unharmed"}},
        {"kind": "python", "execution_id": attacker, "timeout_seconds": 5,
         "config": {"code": "import os, signal\nos.kill(-1, signal.SIGKILL)"}},
        {"kind": "shell", "execution_id": attacker, "config": {"command": "kill -9 -1"}},
    )  # fmt: skip

    assert outcomes[0]["data"] == "unharmed"
    assert outcomes[1]["data"]["stdout"] == "unharmed\n"
    assert apart.python("result = 1") == 1


@pytest.mark.parametrize("name", ["key", "arcbook.db", "work"])
def test_refused_reading_the_folder_of_the_worker(apart, name):
    (apart.folder / "arcbook.db").write_text("s3cret")
    (apart.folder / "arcbook.db").chmod(0o600)
    path = apart.folder / name
    code = f"""
import os
try:
    result = os.listdir({str(path)!r}) if {name!r} == "work" else open({str(path)!r}).read()
except OSError:
    result = "refused"
"""
    execution = apart.next()
    found = apart.python(code, execution)
    # In a sandbox the folder is there, with nothing in it but one's own.
    assert found in ("refused", [str(execution)])


def test_refused_writing_into_the_folder_of_the_worker(apart):
    execution = apart.next()
    apart.said(f"echo x > {apart.folder}/planted; mkdir -p {apart.folder}/work/planted", execution)

    assert not (apart.folder / "planted").exists()
    assert not (apart.folder / "work" / "planted").exists()


def test_refused_the_workspace_of_another_execution(apart):
    victim, attacker = apart.next(), apart.next()
    apart.said("umask 0; echo s3cret > kept; chmod 644 kept", victim)
    theirs = apart.workspace(victim)

    assert apart.said(f"cat {theirs}/kept 2>/dev/null || echo refused", attacker) == "refused"
    assert apart.said(f"echo x > {theirs}/planted; ls ../ | wc -l", attacker)
    assert not (theirs / "planted").exists()
    code = f"import os\nresult = os.path.exists({str(theirs / 'kept')!r})"
    assert apart.python(code, attacker) is False
    assert apart.said("cat kept", victim) == "s3cret"


def test_contained_what_code_writes_to_its_own_workspace_stays_there_for_its_next_step(apart):
    execution = apart.next()
    apart.python("open('kept', 'w').write('mine')", execution)

    assert apart.said("cat kept", execution) == "mine"
    assert (apart.workspace(execution) / "kept").read_text() == "mine"


def test_refused_a_folder_to_run_in_that_is_outside(apart):
    for cwd in ("/root", "../..", str(apart.folder), "/proc/1/cwd"):
        for kind, config in (("python", {"code": "result = 1"}), ("shell", {"command": "pwd"})):
            outcome = apart.run(kind, {**config, "cwd": cwd})
            assert outcome["error"]["kind"] == "config", (cwd, outcome)


def test_refused_a_folder_to_run_in_that_is_a_link_to_the_outside(apart):
    execution = apart.next()
    apart.said(f"ln -s {apart.folder} out", execution)
    for kind, config in (("python", {"code": "result = 1"}), ("shell", {"command": "pwd"})):
        outcome = apart.run(kind, {**config, "cwd": "out"}, execution)
        assert outcome["error"]["kind"] == "config"


@pytest.mark.parametrize(
    "path", ["/usr/bin/planted", "/etc/planted", "/usr/lib/planted", "/planted"]
)
def test_refused_writing_to_the_system(apart, path):
    apart.said(f"echo x > {path}")
    apart.python(f"try:\n    open({path!r}, 'w')\nexcept OSError:\n    pass")

    assert not Path(path).exists()


@pytest.mark.parametrize(
    "path",
    ["/etc/shadow", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/dev/mem", "/dev/vda"],
)
def test_refused_opening_what_is_of_the_system_alone(apart, path):
    mode = "r" if path in ("/etc/shadow", "/dev/mem", "/dev/vda") else "w"
    code = f"try:\n    open({path!r}, {mode!r})\n    result = 'opened'\nexcept OSError:\n    result = 'refused'"

    assert apart.python(code) == "refused"
    opening = f"exec 3<{path}" if mode == "r" else f"exec 3>{path}"
    assert apart.said(f"({opening}) 2>/dev/null && echo opened || echo refused") == "refused"


def test_refused_every_capability(apart):
    lines = "grep -h ^Cap /proc/self/status | grep -v CapBnd | grep -vc 0000000000000000 || true"
    assert apart.said(lines) == "0"
    code = """
lines = [l.split() for l in open("/proc/self/status") if l.startswith(("CapInh", "CapPrm", "CapEff", "CapAmb"))]
result = sorted({value for _, value in lines})
"""
    assert apart.python(code) == ["0" * 16]


def test_refused_new_privileges_by_programs_that_give_some(worker):
    assert worker.said("grep -h NoNewPrivs /proc/self/status").split() == ["NoNewPrivs:", "1"]
    code = (
        "result = [l.split()[1] for l in open('/proc/self/status') if l.startswith('NoNewPrivs')]"
    )
    assert worker.python(code) == ["1"]


def test_refused_being_root_again(apart):
    code = """
import os
done = []
for change in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgid(0), lambda: os.setgroups([0])):
    try:
        change()
        done.append(os.getresuid())
    except OSError:
        pass
result = [done, os.geteuid()]
"""
    done, uid = apart.python(code)
    assert done == []
    assert uid != 0


@pytest.mark.parametrize(
    "attack",
    [
        "mount -t tmpfs none /tmp",
        "mknod node b 8 0",
        "chroot / true",
        "umount -l /proc",
        "hostname pwned",
    ],
)
def test_refused_a_command_for_root_alone(apart, attack):
    assert apart.said(f"({attack}) >/dev/null 2>&1 && echo done || echo refused") == "refused"


def test_contained_a_path_that_hides_the_programs_which_set_commands_apart(apart):
    execution = apart.next()
    plant = """
for name in env bwrap setpriv prlimit sh; do
  printf '#!/bin/sh\\nid -u > %s/ran-as; cat /proc/self/status >> %s/ran-as\\n' "$PWD" "$PWD" > $name
  chmod 755 $name
done
"""
    apart.said(plant, execution)
    workspace = apart.workspace(execution)
    apart.run(
        "shell", {"command": "true", "env": {"PATH": f"{workspace}:/usr/bin:/bin"}}, execution
    )

    ran = workspace / "ran-as"
    assert not ran.exists() or "CapEff:\t0000000000000000" in ran.read_text()
    assert apart.said("id -u") != "0"


@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_AUDIT", "ENV", "BASH_ENV"])
def test_contained_a_variable_that_loads_code_into_what_starts(apart, name):
    execution = apart.next()
    workspace = apart.workspace(execution)
    apart.said("printf 'id -u > ran-as\\n' > planted; chmod 755 planted", execution)
    apart.run("shell", {"command": "true", "env": {name: f"{workspace}/planted"}}, execution)

    ran = workspace / "ran-as"
    assert not ran.exists() or ran.read_text().strip() != "0"


def test_contained_values_of_the_environment_stand_in_no_list_of_processes(apart):
    seen = []
    code = "import time\ntime.sleep(0.5)"
    calls = [
        {"kind": "shell", "execution_id": apart.next(),
         "config": {"command": "sleep 0.3", "env": {"TOKEN": "s3cret-in-a-variable"}}},
        {"kind": "python", "execution_id": apart.next(),
         "config": {"code": code, "env": {"TOKEN": "s3cret-in-a-variable"}}},
    ]  # fmt: skip
    apart.process.stdin.write(json.dumps(calls) + "\n")
    apart.process.stdin.flush()
    reading = subprocess.Popen(["sleep", "0.6"])
    while reading.poll() is None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                seen.append(path.read_bytes())
    assert apart.process.stdout.readline()
    assert seen
    assert not any(b"s3cret-in-a-variable" in words for words in seen)


def test_contained_a_bomb_of_processes(apart):
    code = """
import os, signal, time
started = []
try:
    while len(started) < 5000:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        started.append(pid)
except OSError:
    pass
for pid in started:
    os.kill(pid, signal.SIGKILL)
for pid in started:
    os.waitpid(pid, 0)
result = len(started)
"""
    assert apart.python(code) < 1100
    assert apart.said("ulimit -p 2>/dev/null || ulimit -u") == "512"


def test_contained_limits_that_code_cannot_raise(worker):
    assert worker.said("ulimit -n 100000 2>/dev/null && echo raised || echo refused") == "refused"
    assert worker.said("ulimit -c") == "0"


# -- in a sandbox -----------------------------------------------------------------------


def test_contained_a_sandbox_shows_no_processes_but_its_own(boxed):
    assert boxed.python("import os\nresult = [p for p in os.listdir('/proc') if p.isdigit()]") == [
        "1"
    ]
    assert int(boxed.said("ls -d /proc/[0-9]* | wc -l")) <= 5


@pytest.mark.parametrize("place", ["/tmp", "/var/tmp", "/dev/shm"])
def test_contained_files_left_among_temporary_ones(boxed, place):
    mark = f"{place}/left-{secrets.token_hex(4)}"
    for execution in (boxed.next(), boxed.next()):
        assert boxed.python(f"import os\nresult = os.path.exists({mark!r})", execution) is False
        boxed.python(f"open({mark!r}, 'w').write('s3cret')", execution)
        boxed.said(f"echo s3cret > {mark}", execution)
    assert boxed.said(f"cat {mark} 2>/dev/null || echo nothing") == "nothing"
    assert not Path(mark).exists()


def test_contained_shared_memory_left_for_the_next_execution(boxed):
    make = """
import ctypes
libc = ctypes.CDLL(None)
result = libc.shmget(0x5ec7e7, 4096, 0o1666)
"""
    find = make.replace("0o1666", "0")
    assert boxed.python(make) >= 0
    assert boxed.python(find) == -1


def test_contained_a_process_left_in_the_background(boxed):
    mark = secrets.token_hex(8)
    boxed.said(f"setsid -f sh -c ': {mark}; while sleep 1; do :; done' >/dev/null 2>&1")
    code = f"""
import subprocess
subprocess.Popen(["setsid", "-f", "sh", "-c", ": {mark}; while sleep 1; do :; done"])
"""
    boxed.python(code)

    assert not _gone(mark.encode())


def _gone(mark: bytes) -> list[Path]:
    """Wait until no process of the machine has a mark in its words."""
    for _ in range(200):
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes():
                    found.append(path)
        if not found:
            return []
        subprocess.run(["sleep", "0.05"], check=True)
    return found


def test_contained_a_command_past_its_time_ends_with_all_that_it_started(boxed):
    mark = secrets.token_hex(8)
    command = f"setsid sh -c 'trap \"\" TERM HUP; : {mark}; while sleep 1; do :; done' & sleep 100"
    outcome = boxed.run("shell", {"command": command}, timeout_seconds=0.5)

    assert outcome["error"]["kind"] == "timeout"
    assert not _gone(mark.encode())


def test_a_command_in_a_sandbox_has_time_to_end_by_itself(boxed):
    execution = boxed.next()
    command = "trap 'echo ended > how; exit 0' TERM; sleep 100 & wait"
    outcome = boxed.run("shell", {"command": command}, execution, timeout_seconds=0.5)

    assert outcome["error"]["kind"] == "timeout"
    assert (boxed.workspace(execution) / "how").read_text() == "ended\n"


@pytest.mark.parametrize(
    "place",
    ["/home", "/root/.ssh", "/srv", "/boot", "/run/docker.sock", "/sys/fs/cgroup", "/var/lib"],
)
def test_contained_a_sandbox_does_not_show(boxed, place):
    code = f"""
import os
try:
    result = os.listdir({place!r})
except OSError:
    result = []
"""
    assert boxed.python(code) == []
    assert boxed.said(f"ls -A {place} 2>/dev/null | wc -l") == "0"


def test_refused_a_namespace_in_which_an_ordinary_user_would_be_root(boxed):
    if boxed.uid == 0:
        assert (
            boxed.said("unshare -rm mount -t tmpfs none /usr 2>/dev/null; ls /usr/bin | wc -l")
            != "0"
        )
        return
    assert boxed.said("unshare -rm true 2>/dev/null && echo made || echo refused") == "refused"
    code = """
import ctypes
result = ctypes.CDLL(None).unshare(0x10000000)
"""
    assert boxed.python(code) == -1


def test_refused_getting_out_by_a_link_to_the_root_of_the_first_process(boxed):
    for path in ("/proc/1/root", "/proc/self/root", "/proc/1/cwd/../../.."):
        found = boxed.said(f"cat {path}{boxed.folder}/key 2>/dev/null || echo refused")
        assert found == "refused"


def test_contained_a_hard_link_to_the_key(boxed):
    execution = boxed.next()
    boxed.said(f"ln {boxed.folder}/key stolen; cat stolen", execution)

    assert not (boxed.workspace(execution) / "stolen").exists()


def test_contained_what_one_execution_mounts_or_renames_is_its_own(boxed):
    execution = boxed.next()
    boxed.said("cd ..; mv $OLDPWD moved 2>/dev/null; rm -rf * 2>/dev/null", execution)

    assert boxed.workspace(execution).is_dir()


# -- the choice -----------------------------------------------------------------------------


def test_a_worker_that_ends_takes_its_sandboxes_along():
    uid, isolation = BOXED[0]
    mark = secrets.token_hex(8)
    with started(uid, isolation) as made:
        calls = [
            {"kind": "shell", "execution_id": 1, "config": {"command": f": {mark}; sleep 100; :"}},
            {"kind": "python", "execution_id": 2,
             "config": {"code": f"import subprocess\nsubprocess.run(['sh', '-c', ': {mark}; sleep 100; :'])"}},
        ]  # fmt: skip
        made.process.stdin.write(json.dumps(calls) + "\n")
        made.process.stdin.flush()
        while not _running(mark.encode()):
            subprocess.run(["sleep", "0.05"], check=True)
        os.kill(made.pid, signal.SIGKILL)
        assert not _gone(mark.encode())


def _running(mark: bytes) -> bool:
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += path.read_bytes().startswith(b"sh\0-c\0: " + mark)
    return found >= 1


# -- system calls -----------------------------------------------------------------------

CALLED = """
import ctypes, errno, platform
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": NUMBERS[0], "aarch64": NUMBERS[1]}[platform.machine()]
code = libc.syscall(number, *ARGUMENTS)
result = errno.errorcode[ctypes.get_errno()] if code == -1 else "done"
"""

CALLS = {
    # What an ordinary user may do elsewhere, or is told is wrong with it.
    "trace itself": ((101, 117), "0, 0, 0, 0", "EPERM"),
    "make a namespace of users": ((272, 97), "0x10000000", "EPERM"),
    "clone into a namespace of users": ((56, 220), "0x10000011, 0, 0, 0, 0", "EPERM"),
    "clone by the newer call": ((435, 435), "0, 0", "ENOSYS"),
    "join a namespace": ((308, 268), "0, 0", "EPERM"),
    "make a ring": ((425, 425), "1, 0", "EPERM"),
    "find a key": ((250, 219), "0, -3, 0", "EPERM"),
    "change its personality": ((135, 92), "0xFFFFFFFF", "EPERM"),
    "load a program into the kernel": ((321, 280), "0, 0, 0", "EPERM"),
    "handle faults itself": ((323, 282), "1", "EPERM"),
    "count events": ((298, 241), "0, 0, -1, -1, 0", "EPERM"),
    "mount": ((165, 40), "0, 0, 0, 0, 0", "EPERM"),
    "open a file by its handle": ((304, 265), "-1, 0, 0", "EPERM"),
    "read another's memory": ((310, 270), "0, 0, 0, 0, 0, 0", "EPERM"),
    "load a module": ((313, 273), "-1, 0, 0", "EPERM"),
    "set the clock": ((227, 112), "0, 0", "EPERM"),
}


@pytest.mark.parametrize("call", CALLS)
def test_refused_a_system_call_to(boxed, call):
    numbers, arguments, refusal = CALLS[call]
    code = CALLED.replace("NUMBERS", str(numbers)).replace("ARGUMENTS", f"({arguments},)")

    assert boxed.python(code) == refusal


def test_contained_a_command_is_filtered_as_python_is(boxed):
    assert boxed.said("grep Seccomp: /proc/self/status").split()[1] == "2"
    assert boxed.python("result = open('/proc/self/status').read()").count("Seccomp:\t2") == 1


def test_what_code_needs_passes_the_filter(boxed):
    code = """
import concurrent.futures, os, subprocess, threading
thread = threading.Thread(target=int)
thread.start()
thread.join()
said = subprocess.run(["sh", "-c", "echo hello | cat"], capture_output=True, text=True).stdout
child = os.fork()
if child == 0:
    os._exit(7)
result = [said.strip(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]
"""

    assert boxed.python(code) == ["hello", 7]
