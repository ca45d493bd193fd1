"""The process in which Python code of playbooks runs. Standard library only.

Started once as a *zygote*: it imports what code commonly needs and then forks a child
for each request of its parent, so a fresh process costs a fork and no start of an
interpreter. A child serves one call. Code that provably cannot leave anything behind
(:class:`_Purity`) lets its child serve another.

Wire: on the control socket the parent sends one byte for each child it wants and gets
back the child's pid with two descriptors: its socket, and the file that takes what it
prints. On a child's socket both sides send a length (4 bytes) and JSON.
"""

from __future__ import annotations

import array
import ast
import base64
import builtins
import contextlib
import datetime as _dt
import fcntl
import gc
import importlib
import inspect
import io
import json
import linecache
import marshal
import os
import resource
import select
import signal
import socket
import struct
import sys
import traceback

OUTPUT_BYTES_MAX = 1024 * 1024
"""What code may print; the rest is dropped."""

TRACEBACK_LINES_MAX = 60
"""Lines of a traceback that are reported."""

FILENAME = "<playbook>"

#: Modules that code may use without importing them.
GIVEN_MODULES = frozenset(
    [
        "base64",
        "collections",
        "csv",
        "datetime",
        "functools",
        "hashlib",
        "io",
        "itertools",
        "json",
        "logging",
        "math",
        "os",
        "random",
        "re",
        "statistics",
        "string",
        "sys",
        "textwrap",
        "time",
        "traceback",
        "urllib",
        "uuid",
    ]
)

#: Modules that every process has at hand. Few, because a fork copies what they take.
BASE_MODULES = [
    "base64",
    "collections",
    "datetime",
    "functools",
    "hashlib",
    "io",
    "itertools",
    "json",
    "math",
    "os",
    "random",
    "re",
    "string",
    "sys",
    "time",
]

_F_ADD_SEALS, _F_SEAL_GROW, _F_SEAL_SHRINK = 1033, 0x0004, 0x0002


# -- analysis -------------------------------------------------------------------------


class _Purity(ast.NodeVisitor):
    """Whether code can only change what belongs to its own call.

    It may compute with its own names and call listed functions of listed modules. No
    attribute is assigned, no name with an underscore at its front is reached, nothing
    that could reach other modules' insides is called.
    """

    MODULES = {
        "base64": "b64decode b64encode b16encode urlsafe_b64decode urlsafe_b64encode",
        "collections": "Counter OrderedDict defaultdict deque namedtuple",
        "datetime": "date datetime time timedelta timezone UTC MINYEAR MAXYEAR",
        "decimal": "Decimal ROUND_HALF_UP ROUND_HALF_EVEN ROUND_DOWN ROUND_UP",
        "functools": "reduce partial cmp_to_key",
        "hashlib": "md5 sha1 sha256 sha512 blake2b new",
        "itertools": "accumulate chain combinations count cycle groupby islice permutations"
        " product repeat takewhile dropwhile starmap tee zip_longest batched pairwise",
        "json": "dumps loads JSONDecodeError",
        "math": "*",
        "random": "choice choices gauss randint random randrange sample shuffle uniform",
        "re": "compile escape findall finditer fullmatch match search split sub subn"
        " IGNORECASE MULTILINE DOTALL VERBOSE I M S X error",
        "statistics": "mean median mode stdev variance pstdev pvariance quantiles fmean",
        "string": "ascii_letters ascii_lowercase ascii_uppercase digits punctuation Template",
        "textwrap": "dedent fill indent shorten wrap",
        "time": "gmtime localtime monotonic perf_counter sleep strftime time time_ns",
        "uuid": "UUID uuid1 uuid3 uuid4 uuid5 NAMESPACE_DNS NAMESPACE_URL NAMESPACE_OID",
    }
    NAMES = frozenset(
        [
            "abs",
            "all",
            "any",
            "ascii",
            "bin",
            "bool",
            "bytearray",
            "bytes",
            "callable",
            "chr",
            "complex",
            "dict",
            "divmod",
            "enumerate",
            "filter",
            "float",
            "format",
            "frozenset",
            "hash",
            "hex",
            "int",
            "isinstance",
            "issubclass",
            "iter",
            "len",
            "list",
            "map",
            "max",
            "min",
            "next",
            "object",
            "oct",
            "ord",
            "pow",
            "print",
            "range",
            "repr",
            "reversed",
            "round",
            "set",
            "slice",
            "sorted",
            "str",
            "sum",
            "tuple",
            "type",
            "zip",
            "True",
            "False",
            "None",
            "Ellipsis",
            "NotImplemented",
            "__name__",
        ]
    )
    HIDDEN = frozenset(
        [
            "ag_frame",
            "cr_frame",
            "f_back",
            "f_builtins",
            "f_globals",
            "f_locals",
            "gi_frame",
            "tb_frame",
            "mro",
        ]
    )

    def __init__(self, modules):
        self.modules = {m for m in modules if m in self.MODULES}
        self.pure = all(m in self.MODULES for m in modules)

    def visit(self, node):
        if self.pure:
            super().visit(node)

    def visit_Import(self, node):
        for alias in node.names:
            if alias.name not in self.MODULES:
                self.pure = False
            self.modules.add(alias.asname or alias.name)
            if alias.asname and alias.asname != alias.name:
                self.pure = False

    def visit_ImportFrom(self, node):
        allowed = self.MODULES.get(node.module or "", "").split()
        for alias in node.names:
            if node.level or not (
                alias.name in allowed or (allowed == ["*"] and alias.name != "*")
            ):
                self.pure = False

    def visit_Attribute(self, node):
        if (
            not isinstance(node.ctx, ast.Load)
            or node.attr.startswith("_")
            or node.attr in self.HIDDEN
        ):
            self.pure = False
            return
        if isinstance(node.value, ast.Name) and node.value.id in self.modules:
            allowed = self.MODULES.get(node.value.id, "").split()
            self.pure = self.pure and (node.attr in allowed or allowed == ["*"])
            return
        self.visit(node.value)

    def visit_Name(self, node):
        unsafe = hasattr(builtins, node.id) and node.id not in self.NAMES
        exception = isinstance(getattr(builtins, node.id, None), type) and issubclass(
            getattr(builtins, node.id), BaseException
        )
        if (unsafe and not exception) or node.id in self.modules:
            self.pure = False
        if node.id.startswith("__") and node.id != "__name__":
            self.pure = False

    def _impure(self, _node):
        self.pure = False

    visit_AsyncFunctionDef = visit_ClassDef = visit_Await = visit_Global = visit_Nonlocal = _impure
    visit_AsyncFor = visit_AsyncWith = _impure


class Prepared:
    """Code made ready: compiled, and what is known of it."""

    def __init__(self, source, modules):
        tree = ast.parse(source, FILENAME)
        self.given = _given_modules(tree)
        self.imports = _not_at_hand(tree, {*modules, *self.given})
        known = {m.partition(".")[0]: m for m in modules}
        purity = _Purity({*known, *self.given})
        purity.visit(tree)
        self.pure = purity.pure and all("." not in m for m in modules)
        self.returns = _has_top_level_return(tree)
        if self.returns:
            tree = _in_function(tree)
        self.code = compile(tree, FILENAME, "exec")

    def wire(self):
        return {
            "code": base64.b64encode(marshal.dumps(self.code)).decode(),
            "given": sorted(self.given),
            "imports": sorted(self.imports),
            "pure": self.pure,
            "returns": self.returns,
        }


def _given_modules(tree):
    """Return modules that the code uses and does not import."""
    stored = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)
    }
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            stored |= {(a.asname or a.name).partition(".")[0] for a in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            stored.add(node.name)
        if isinstance(node, ast.arguments):
            stored |= {a.arg for a in (*node.args, *node.kwonlyargs, *node.posonlyargs)}
    loaded = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    }
    return (loaded & GIVEN_MODULES) - stored


def _not_at_hand(tree, modules):
    """Return modules that the code imports and that this process has not imported yet."""
    found = set(modules)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return {
        name for name in found if name not in sys.modules and name.replace(".", "").isidentifier()
    }


def _outside_functions(nodes):
    """Yield nodes that belong to the module itself, not to a function or class in it."""
    todo = list(nodes)
    while todo:
        node = todo.pop()
        yield node
        inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        if not isinstance(node, inner):
            todo.extend(ast.iter_child_nodes(node))


def _has_top_level_return(tree):
    return any(isinstance(node, ast.Return) for node in _outside_functions(tree.body))


def _in_function(tree):
    """Return code with a ``return`` of its own as the body of a function.

    Its names stay global: code may read an input and then assign to the same name.
    """
    names = set()
    for node in _outside_functions(tree.body):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(a.asname or a.name).partition(".")[0] for a in node.names} - {"*"}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    body = ([ast.Global(sorted(names))] if names else []) + tree.body
    empty = ast.arguments([], [], None, [], [], None, [])
    function = ast.FunctionDef("_playbook_body_", empty, body, [], None, None)
    if sys.version_info >= (3, 12):
        function.type_params = []
    module = ast.Module([function], [])
    return ast.fix_missing_locations(module)


# -- running --------------------------------------------------------------------------


class RowSet(dict):
    """A query's result: a mapping that is also the list of its rows, and its first row.

    Playbooks treat what a query yields in all three ways.
    """

    __slots__ = ()

    @property
    def __class__(self):
        return list

    def __getitem__(self, key):
        if isinstance(key, (int, slice)):
            return self.get("rows")[key]
        try:
            return dict.__getitem__(self, key)
        except KeyError:
            rows = dict.get(self, "rows")
            if rows and isinstance(rows[0], dict) and key in rows[0]:
                return rows[0][key]
            raise

    def get(self, key, default=None):
        try:
            return self[key]
        except KeyError:
            return default

    def __iter__(self):
        return iter(dict.get(self, "rows"))

    def __len__(self):
        return len(dict.get(self, "rows"))

    def __bool__(self):
        return True


def _is_rowset(value):
    return (
        type(value) is dict
        and isinstance(value.get("rows"), list)
        and "columns" in value
        and "row_count" in value
    )


class _Output(io.TextIOBase):
    """Standard output and error of a call: kept up to a limit, then dropped."""

    encoding = "utf-8"

    def __init__(self, fd):
        self.fd = fd
        self.room = OUTPUT_BYTES_MAX

    def write(self, text):
        data = text.encode("utf-8", "replace")
        if self.room > 0:
            with contextlib.suppress(OSError):
                self.room -= os.write(self.fd, data[: self.room])
        return len(text)

    def fileno(self):
        return self.fd

    def writable(self):
        return True

    def isatty(self):
        return False


def run(request, prepared, output_fd):
    """Run code once; return the answer for the parent."""
    namespace = {"__name__": "__main__", "__builtins__": builtins, "__file__": FILENAME}
    inputs = {k: RowSet(v) if _is_rowset(v) else v for k, v in request["input"].items()}
    stream = _Output(output_fd)
    sys.stdout = sys.stderr = stream
    sys.stdin = io.StringIO("")
    try:
        _add_modules(namespace, request.get("libs"), prepared.given)
        namespace.setdefault("execution_id", request.get("execution_id"))
        for name in ("args", "input_data"):
            namespace[name] = inputs
        if request.get("context") is not None:
            namespace["context"] = request["context"]
        namespace.update(inputs)
        returned = _execute(prepared, namespace)
        value = _result(returned, namespace, inputs, "result" in inputs)
        return {"ok": True, "data": encodable(value), "empty": value is None}
    except SystemExit as stop:
        if stop.code in (None, 0):
            value = namespace.get("result")
            return {"ok": True, "data": encodable(value), "empty": value is None}
        return _failure(stop, f"the code called sys.exit({stop.code!r})")
    except MissingLibraryError as error:
        return {"ok": False, "kind": "config", "message": str(error), "exception": "ImportError"}
    except BaseException as error:  # noqa: BLE001  # the boundary to other people's code
        return _failure(error, str(error) or type(error).__name__)


class MissingLibraryError(ImportError):
    """A module that the task lists in ``libs`` is not installed."""


def _add_modules(namespace, libs, given):
    for name in given:
        namespace[name] = importlib.import_module(name)
    if isinstance(libs, list):
        for name in libs:
            with contextlib.suppress(ImportError):
                module = str(name).partition("=")[0].partition("[")[0].strip().replace("-", "_")
                namespace[module] = importlib.import_module(module)
    for alias, target in (libs or {}).items() if isinstance(libs, dict) else ():
        module = target.get("from") if isinstance(target, dict) else target
        try:
            found = importlib.import_module(str(module or alias))
            if isinstance(target, dict) and target.get("import"):
                found = getattr(found, str(target["import"]))
        except (ImportError, AttributeError) as error:
            reason = f"'libs' names {alias!r}, which cannot be imported: {error}"
            raise MissingLibraryError(reason) from None
        namespace[alias] = found


def _execute(prepared, namespace):
    exec(prepared.code, namespace)  # noqa: S102  # the purpose of this process
    if prepared.returns:
        return namespace.pop("_playbook_body_")()
    return None


def _result(returned, namespace, inputs, given):
    if returned is not None:
        return returned
    value = namespace.get("result")
    main = namespace.get("main")
    untouched = given and value is inputs.get("result")
    if (value is None or untouched) and callable(main) and not isinstance(main, type):
        value = main(**_arguments(main, inputs))
        if inspect.iscoroutine(value):
            import asyncio  # only for code that is asynchronous

            value = asyncio.run(value)
    return value


def _arguments(main, inputs):
    """Return the inputs that ``main`` takes."""
    parameters = inspect.signature(main).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return dict(inputs)
    return {p.name: inputs[p.name] for p in parameters if p.name in inputs}


def _failure(error, message):
    at = error.__traceback__
    while at is not None and at.tb_frame.f_code.co_filename == __file__:
        at = at.tb_next
    lines = "".join(traceback.format_exception(type(error), error, at)).splitlines()
    return {
        "ok": False,
        "exception": type(error).__name__,
        "bases": [c.__name__ for c in type(error).__mro__],
        "message": message,
        "traceback": "\n".join(lines[-TRACEBACK_LINES_MAX:]),
    }


def encodable(value, depth=0):
    """Return a value as JSON has it, whatever the code made."""
    kind = type(value)
    if kind in (str, int, bool, type(None)):
        return value
    if kind is float:
        return value if value == value and abs(value) != float("inf") else None
    if depth > 100:
        raise ValueError("the result nests deeper than 100 levels, or contains itself")
    if isinstance(value, dict):
        return {_key(k): encodable(v, depth + 1) for k, v in dict.items(value)}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [encodable(v, depth + 1) for v in value]
    return _unusual(value, depth)


def _key(key):
    if isinstance(key, str):
        return key
    return json.dumps(key) if isinstance(key, (bool, int, float, type(None))) else str(key)


def _unusual(value, depth):
    if isinstance(value, (_dt.datetime, _dt.date, _dt.time)):
        return value.isoformat()
    if type(value).__name__ in ("Decimal", "UUID"):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, (str, int)):
        return value + type(value)()
    for name in ("tolist", "to_dict", "_asdict", "item", "isoformat"):
        method = getattr(value, name, None)
        if callable(method) and not isinstance(value, type):
            return encodable(method(), depth + 1)
    fields = getattr(value, "__dataclass_fields__", None)
    if fields and not isinstance(value, type):
        return {name: encodable(getattr(value, name), depth + 1) for name in fields}
    if hasattr(value, "__next__"):
        return [encodable(v, depth + 1) for v in value]
    return str(value)


# -- processes ------------------------------------------------------------------------


def receive(sock):
    """Return the next message, or ``None`` when the other side is gone."""
    data = sock.recv(1 << 16)
    while 0 < len(data) < 4:
        data += sock.recv(4 - len(data))
    if not data:
        return None
    rest = _exactly(sock, 4 + struct.unpack("!I", data[:4])[0] - len(data))
    return None if rest is None else json.loads(data[4:] + rest)


def _exactly(sock, size):
    parts = []
    while size:
        part = sock.recv(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def answer(sock, message):
    """Send a message."""
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    sock.sendall(struct.pack("!I", len(body)) + body)


def serve(sock, output_fd):
    """Serve calls in a child, until one may have left something behind."""
    os.dup2(output_fd, 1)
    os.dup2(output_fd, 2)
    known = {}
    while (request := receive(sock)) is not None:
        os.lseek(output_fd, 0, os.SEEK_SET)
        reply = _serve(request, known, output_fd)
        pure = reply.pop("pure", False)
        reply["printed"] = os.lseek(output_fd, 0, os.SEEK_CUR)
        reply["again"] = pure and reply["ok"]
        answer(sock, reply)
        if not reply["again"]:
            return


def _serve(request, known, output_fd):
    digest = request["digest"]
    prepared, wire = known.get(digest), None
    if prepared is None:
        try:
            prepared, wire = _prepare(request)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return _syntax_failure(error)
        known[digest] = prepared
    linecache.cache[FILENAME] = (0, None, request.get("lines") or [], FILENAME)
    fresh = not prepared.pure or bool(request.get("env") or request.get("cwd"))
    if fresh:
        _settle_in(request)
    reply = run(request, prepared, output_fd)
    reply["pure"] = not fresh
    if wire is not None:
        reply["prepared"] = wire
    return reply


def _prepare(request):
    held = request.get("prepared")
    if held:
        prepared = Prepared.__new__(Prepared)
        prepared.code = marshal.loads(base64.b64decode(held["code"]))  # noqa: S302  # our own
        prepared.given = set(held["given"])
        prepared.pure, prepared.returns = held["pure"], held["returns"]
        return prepared, None
    libs = request.get("libs")
    modules = []
    if isinstance(libs, dict):
        modules = [str((t.get("from") if isinstance(t, dict) else t) or a) for a, t in libs.items()]
        if any(alias != module for alias, module in zip(libs, modules, strict=True)):
            modules.append("not.plain")
    elif isinstance(libs, list):
        modules = [str(name) for name in libs]
    prepared = Prepared(request["source"], modules)
    return prepared, prepared.wire()


def _settle_in(request):
    """Give a child that serves one call its own environment, folder and limits."""
    if request.get("env"):
        os.environ.update({str(k): str(v) for k, v in request["env"].items()})
    if request.get("cwd"):
        os.chdir(request["cwd"])
        sys.path.insert(0, request["cwd"])


def _syntax_failure(error):
    line = getattr(error, "lineno", None)
    place = f" (line {line} of the code)" if line else ""
    message = getattr(error, "msg", None) or str(error) or type(error).__name__
    text = "".join(traceback.format_exception_only(type(error), error))
    return {
        "ok": False,
        "exception": type(error).__name__,
        "bases": [c.__name__ for c in type(error).__mro__],
        "message": f"{message}{place}",
        "traceback": text.strip(),
    }


def _output_file():
    """Return a file in memory that cannot grow past what code may print."""
    fd = os.memfd_create("printed", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(fd, OUTPUT_BYTES_MAX + 4096)
    fcntl.fcntl(fd, _F_ADD_SEALS, _F_SEAL_GROW | _F_SEAL_SHRINK)
    return fd


class Zygote:
    """Forks children for its parent, and takes them along when the parent is gone."""

    def __init__(self, control, memory_bytes):
        self.control = control
        self.memory_bytes = memory_bytes
        self.children = set()

    def run(self):
        wake, signalled = os.pipe()
        for fd in (wake, signalled):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([self.control, wake], [], [])
            if wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
                self._reap()
            if self.control in ready:
                try:
                    wanted = self.control.recv(256)
                except ConnectionError:
                    wanted = b""
                if not wanted:
                    self._end()
                    return
                for _ in wanted:
                    self._fork()

    def _reap(self):
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, _ = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self.children.discard(pid)

    def _fork(self):
        mine, theirs = socket.socketpair()
        output_fd = _output_file()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                self.control.close()
                theirs.close()
                self._become_child()
                serve(mine, output_fd)
                status = 0
            except BaseException:  # noqa: BLE001  # nothing may run in a child but a call
                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(status)
        self.children.add(pid)
        mine.close()
        fds = array.array("i", [theirs.fileno(), output_fd])
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
        with contextlib.suppress(OSError):
            self.control.sendmsg([struct.pack("!I", pid)], ancillary)
        theirs.close()
        os.close(output_fd)

    def _become_child(self):
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if self.memory_bytes:
            resource.setrlimit(resource.RLIMIT_DATA, (self.memory_bytes, self.memory_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def _end(self):
        for pid in self.children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


def main():
    """Be a zygote: ``python_child.py <control fd> <memory bytes> [module ...]``."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in sys.argv[3:]:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    for name in BASE_MODULES:
        importlib.import_module(name)
    memory_bytes = int(sys.argv[2])
    sys.argv = [FILENAME]
    gc.collect()
    gc.freeze()
    Zygote(control, memory_bytes).run()


if __name__ == "__main__":
    main()
