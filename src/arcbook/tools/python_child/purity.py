"""Whether code looks as if it left nothing behind in its process.

It decides whether the next call of the same execution may use the process again, and no
more: code that deceives it meets only itself.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable
from typing import ClassVar


class Purity(ast.NodeVisitor):
    """Whether code can only change what belongs to its own call.

    It may compute with its own names and call listed functions of listed modules. No
    attribute is assigned, no name with an underscore at its front is reached, nothing
    that could reach other modules' insides is called.
    """

    MODULES: ClassVar[dict[str, str]] = {
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
    NAMES: ClassVar[frozenset[str]] = frozenset(
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
    HIDDEN: ClassVar[frozenset[str]] = frozenset(
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

    #: What is not looked into.
    UNKNOWN: ClassVar = (
        ast.AsyncFor,
        ast.AsyncFunctionDef,
        ast.AsyncWith,
        ast.Await,
        ast.ClassDef,
        ast.Global,
        ast.Nonlocal,
    )

    def __init__(self, modules: Iterable[str]) -> None:
        named = set(modules)
        self.modules = {m for m in named if m in self.MODULES}
        self.pure = named <= self.MODULES.keys()

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, self.UNKNOWN):
            self.pure = False
        if self.pure:
            super().visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name not in self.MODULES:
                self.pure = False
            self.modules.add(alias.asname or alias.name)
            if alias.asname and alias.asname != alias.name:
                self.pure = False

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        allowed = self.MODULES.get(node.module or "", "").split()
        for alias in node.names:
            if node.level or not (
                alias.name in allowed or (allowed == ["*"] and alias.name != "*")
            ):
                self.pure = False

    def visit_Attribute(self, node: ast.Attribute) -> None:
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

    def visit_Name(self, node: ast.Name) -> None:
        unsafe = hasattr(builtins, node.id) and node.id not in self.NAMES
        exception = isinstance(getattr(builtins, node.id, None), type) and issubclass(
            getattr(builtins, node.id), BaseException
        )
        if (unsafe and not exception) or node.id in self.modules:
            self.pure = False
        if node.id.startswith("__") and node.id != "__name__":
            self.pure = False
