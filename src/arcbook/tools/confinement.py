"""How far apart code of users runs from the worker, and which files tools may reach for it.

``process``: a process of its own, as the same user. ``user``: as a user whom nothing
belongs to, another one for each execution; the worker must be root. ``sandbox``: in
namespaces of its own, made by bubblewrap, with the system read-only, no processes but its
own, and a workspace and temporary files that no other execution sees.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec

from arcbook.egress import Egress
from arcbook.tools import sandbox
from arcbook.tools.environment import environment
from arcbook.tools.python_child import seccomp
from arcbook.tools.python_env.api import PackageSources

PROGRAMS: Final = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin"
"""Where programs are that set others apart."""

PACKAGES: Final = {
    "bwrap": "bubblewrap",
    "env": "coreutils",
    "prlimit": "util-linux",
    "setpriv": "util-linux",
}
"""The package that has each of them."""

UIDS: Final = 16_384
"""User ids over which executions are spread, where code runs as other users."""

PROCESSES_MAX: Final = 512
"""Processes of one execution, where code runs as a user of its own."""

FILES_MAX: Final = 4096
"""Descriptors that a process of users may have open."""

FILE_BYTES_MAX: Final = 64 * 1024**3
"""Size of a file that a process of users may write."""

MEMORY_BYTES_MAX: Final = 4 * 1024**3
"""Memory that one process of users may use."""


class Isolation(StrEnum):
    """How far apart code of users runs, from the weakest."""

    PROCESS = "process"
    USER = "user"
    SANDBOX = "sandbox"


class OutsideError(PermissionError):
    """A path leads out of what tools may reach; the message says where it leads."""


class ProcessPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where, for whom and with what a command runs."""

    execution_id: int
    workspace: str
    cwd: str | None
    env: dict[str, str]


class Launch(NamedTuple):
    """How a command is started."""

    argv: list[str]
    cwd: str | None
    env: dict[str, str]
    #: What it reads its environment from; nothing if it is given one.
    variables: bytes | None

    #: Whether what it starts may only make the system calls that the filter lets through.
    filtered: bool = False

    @contextlib.contextmanager
    def opened(self) -> Iterator[Opened]:
        """Yield what is to be started, with the descriptors that it gets."""
        with contextlib.ExitStack() as stack:
            stdin = _file(self.variables, stack)
            if not self.filtered:
                yield Opened(self.argv, stdin, ())
                return
            rules = _file(seccomp.program(), stack)
            argv = [str(rules) if word is FILTER else word for word in self.argv]
            yield Opened(argv, stdin, (rules,))


class Opened(NamedTuple):
    """A command with the descriptors that it gets."""

    argv: list[str]
    stdin: int
    passed: tuple[int, ...]


FILTER: Final = "the descriptor of the filter"
"""Stands in a command for a number that is known when it is started."""


def _file(data: bytes | None, stack: contextlib.ExitStack) -> int:
    """Open a file in memory that holds some data, or one that holds nothing."""
    if data is None:
        fd = os.open(os.devnull, os.O_RDONLY)
        stack.callback(os.close, fd)
        return fd
    fd = os.memfd_create("arcbook")
    stack.callback(os.close, fd)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


_WITH_ENVIRONMENT: Final = ("/bin/sh", "-c", '. /dev/stdin; exec "$0" "$@" </dev/null')
"""Takes the environment from its standard input: what stands in words, every user can see."""

_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def _exports(env: dict[str, str]) -> bytes:
    """Return variables as a shell reads them."""
    lines = []
    for name, value in env.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            raise ValueError(f"{name!r} cannot be a variable of a command")
        lines.append(f"export {name}=" + "'" + value.replace("'", "'\\''") + "'\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


@lru_cache
def program(name: str) -> str:
    """Return where a program of the system is, whatever the path of whoever calls says.

    Raises:
        FileNotFoundError: it is not installed.
    """
    found = shutil.which(name, path=PROGRAMS)
    if found is None:
        raise FileNotFoundError(f"there is no program {name!r}; install {PACKAGES[name]}")
    return found


class JobPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where jobs run that hold no worker, and how they are reached."""

    backend: str = "kubernetes"
    #: Where the jobs of the backend ``process`` are kept.
    folder: str = ""
    #: The file and the context that say how Kubernetes is reached; else the usual places.
    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""


class Confinement(msgspec.Struct, frozen=True, kw_only=True):
    """What code of users, and tools that work for it, can reach on this machine."""

    isolation: Isolation = Isolation.PROCESS
    #: What tools may use beside the workspace; everything if nothing is said.
    folders: tuple[str, ...] | None = None
    #: The folder in which all workspaces are.
    workspaces: str = ""
    has_network: bool = True
    #: First of the user ids that code runs as.
    first_uid: int = 20_000
    memory_bytes: int = MEMORY_BYTES_MAX
    #: Where tools may connect to.
    egress: Egress = Egress()
    #: Where Python environments are kept, and what their packages come from.
    packages: PackageSources = PackageSources()
    jobs: JobPlace = JobPlace()

    @classmethod
    def of_worker(  # what a worker may say of it
        cls,
        isolation: Isolation,
        *,
        workspaces: Path,
        folders: Iterable[str] = (),
        has_network: bool = True,
        first_uid: int = 20_000,
        memory_bytes: int = MEMORY_BYTES_MAX,
        egress: Egress | None = None,
        packages: PackageSources | None = None,
        jobs: JobPlace | None = None,
    ) -> Confinement:
        """Return that of a worker, which works for others: only named folders are reached."""
        workspaces.mkdir(parents=True, exist_ok=True)
        # Whoever is in one of them learns nothing of the others.
        workspaces.chmod(0o711)
        return cls(
            isolation=isolation,
            folders=tuple(os.path.realpath(folder) for folder in folders),
            workspaces=os.path.realpath(workspaces),
            has_network=has_network,
            first_uid=first_uid,
            memory_bytes=memory_bytes,
            egress=egress or Egress(),
            packages=packages or PackageSources(),
            jobs=jobs or JobPlace(),
        )

    @property
    def is_open(self) -> bool:
        """Whether tools may reach all that this process may: a run of one's own."""
        return self.folders is None

    def uid(self, execution_id: int) -> int | None:
        """Return the user whose code an execution's is; nothing where it is our own."""
        if self.isolation is Isolation.PROCESS or os.geteuid() != 0:
            return None
        return self.first_uid + execution_id % UIDS

    # -- places -------------------------------------------------------------------------

    def make_workspace(self, execution_id: int) -> str:
        """Return the folder that steps of an execution share; made if it is not there."""
        folder = Path(self.workspaces, str(execution_id))
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        uid = self.uid(execution_id)
        # It may be there from a time when code ran as the worker itself.
        if uid is not None and folder.stat().st_uid != uid:
            os.chown(folder, uid, uid)
        return str(folder)

    def resolve(self, path: str | os.PathLike[str], workspace: str) -> str:
        """Return where a path leads, links followed; a relative one begins in the workspace.

        Raises:
            OutsideError: it leads out of the workspace and of the folders of the settings.
        """
        if self.folders is None:
            return str(path)
        try:
            found = os.path.realpath(Path(workspace) / path)
        except OSError as error:
            raise OutsideError(f"{str(path)!r} cannot be followed: {error.strerror}") from None
        if not self.is_within(found, workspace):
            raise OutsideError(
                f"{str(path)!r} leads to {found}, which is neither in the execution's folder nor "
                "in one of ARCBOOK_FOLDERS"
            )
        return found

    def open(self, path: str | os.PathLike[str], workspace: str) -> BinaryIO:
        """Open a file to read it; what counts is the file that was opened, not its path.

        Raises:
            OutsideError: it is outside of what tools may reach.
            OSError: it cannot be opened.
        """
        found = self.resolve(path, workspace)
        # A pipe or a device would have whoever opens it wait.
        file = os.fdopen(os.open(found, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
        real = str(Path(f"/proc/self/fd/{file.fileno()}").readlink())
        if self.is_within(real, workspace) and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
        raise OutsideError(f"{str(path)!r} is {real}, which is no plain file that may be read")

    def is_within(self, found: str, workspace: str) -> bool:
        """Whether a path without links lies where tools may reach."""
        if self.folders is None:
            return True
        roots = [os.path.realpath(root) for root in (workspace, *self.folders) if root]
        return any(found == root or found.startswith(root + os.sep) for root in roots)

    def environment(self, workspace: str, given: dict[str, Any] | None = None) -> dict[str, str]:
        """Return the environment of a command."""
        if self.is_open:
            return environment(given)
        found = environment()
        found.pop("TMPDIR", None)
        return {**found, "HOME": workspace, **environment(given, inherited=())}

    # -- processes ----------------------------------------------------------------------

    def launch(self, command: list[str], place: ProcessPlace) -> Launch:
        """Return how to start a command of an execution, apart as it is to run.

        Raises:
            ValueError: a variable's name cannot be given to it.
        """
        if self.is_open or not _can_limit():
            return Launch(command, place.cwd, place.env, None)
        uid = self.uid(place.execution_id)
        is_ours = self.isolation is Isolation.PROCESS
        inside = [program("setpriv"), "--no-new-privs"]
        if uid is not None:
            inside += [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
            inside += ["--inh-caps=-all", "--bounding-set=-all"]
        inside += ["--", *_limited(self.memory_bytes, processes=not is_ours)]
        # Whoever sets a command's environment must not choose what runs before it is apart.
        inside += [*_WITH_ENVIRONMENT, *command]
        variables = _exports(place.env)
        if self.isolation is not Isolation.SANDBOX:
            return Launch(inside, place.cwd, {}, variables)
        view = sandbox.view(self.folders or (), has_network=self.has_network)
        view += [*sandbox.bound(place.workspace, "--bind"), "--die-with-parent"]
        if uid is None:
            view += ["--unshare-user", "--disable-userns", "--cap-drop", "ALL"]
        is_filtered = bool(seccomp.program())
        if is_filtered:
            view += ["--seccomp", FILTER]
        view += ["--chdir", place.cwd or "/", "--"]
        # Bubblewrap itself lives on when the command is asked to end.
        outside = [program("env"), "--ignore-signal=TERM", program("bwrap"), *view]
        command = [*outside, program("env"), "--default-signal=TERM", *inside]
        return Launch(command, None, {}, variables, filtered=is_filtered)

    def zygote(self, readable: Iterable[str] = ()) -> list[str]:
        """Return what stands before the process that forks children for Python code.

        Children see the folders that are named, and cannot change them.

        It keeps what it needs to set its children apart from each other, runs no code of
        users, and its children lose it before they do.
        """
        if self.isolation is not Isolation.SANDBOX:
            return []
        view = sandbox.view(self.folders or (), has_network=self.has_network)
        for folder in readable:
            view += sandbox.bound(folder, "--ro-bind")
        view += [*sandbox.bound(self.workspaces, "--bind"), "--as-pid-1"]
        if os.geteuid() != 0:
            view += ["--unshare-user", "--disable-userns", "--cap-add", "CAP_SYS_ADMIN"]
        return [program("bwrap"), *view, "--"]


def _can_limit() -> bool:
    try:
        return bool(program("setpriv") and program("prlimit"))
    except FileNotFoundError:
        return False  # only 'process' goes without; others do not begin to work


def _limited(memory_bytes: int, *, processes: bool) -> Iterable[str]:
    limits = {"core": 0, "nofile": FILES_MAX, "fsize": FILE_BYTES_MAX, "data": memory_bytes}
    if processes:  # of a user that is not the worker's own
        limits["nproc"] = PROCESSES_MAX
    return (program("prlimit"), *(f"--{name}={limit}" for name, limit in limits.items()))
