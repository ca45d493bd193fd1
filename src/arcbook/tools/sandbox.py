"""What a sandbox shows of the machine: the arguments of bubblewrap.

An allow-list: programs and libraries, Python, what name resolution and TLS read, and
folders of the settings. Neither homes nor the worker's own folder are there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

PROGRAM: Final = "bwrap"

_SYSTEM: Final = ("/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin")

_ETC: Final = (
    "alternatives", "ca-certificates", "crypto-policies", "group", "host.conf", "hosts",
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf",
    "passwd", "pki", "protocols", "resolv.conf", "services", "ssl", "timezone",
)  # fmt: skip


def view(folders: Iterable[str], *, has_network: bool) -> list[str]:
    """Return the arguments for namespaces of one's own and what is seen in them."""
    arguments = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if not has_network:
        arguments.append("--unshare-net")
    arguments += ["--ro-bind", "/usr", "/usr"]
    for path in _SYSTEM:
        if Path(path).is_symlink():
            arguments += ["--symlink", str(Path(path).readlink()), path]
        elif Path(path).is_dir():
            arguments += ["--ro-bind", path, path]
    for name in _ETC:
        arguments += _bound_as_is(f"/etc/{name}")
    arguments += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp"]
    # After the empty folders: an installation may lie below one of them.
    for path in _python():
        arguments += bound(path, "--ro-bind")
    for folder in folders:
        arguments += bound(folder, "--bind")
    return arguments


def bound(path: str, how: str) -> list[str]:
    """Return the arguments to see a folder where it is, below folders that all may pass."""
    above = [str(parent) for parent in reversed(Path(path).parents)][1:]
    passed = [part for parent in above for part in ("--perms", "0755", "--dir", parent)]
    return [*passed, how, path, path]


def readable() -> list[str]:
    """Return what programs and Python read of the system, wherever it is seen."""
    etc = [os.path.realpath(f"/etc/{name}") for name in _ETC]
    return ["/usr", *_SYSTEM, *etc, *_python()]


def _bound_as_is(path: str) -> list[str]:
    """Return how a file is seen, by what a link leads to, which may lie elsewhere."""
    real = os.path.realpath(path)
    return ["--ro-bind", real, path] if Path(real).exists() else []


def _python() -> list[str]:
    """Return where the interpreter and what is installed for it are, as far as not in /usr."""
    places = [sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), *_linked()]
    folders = [place for place in dict.fromkeys(places) if not place.startswith("/usr/")]
    return [p for p in folders if not any(p.startswith(q + os.sep) for q in folders)]


def _linked() -> list[str]:
    """Return the interpreter's own folder, which a virtual environment only links to."""
    return [str(Path(os.path.realpath(sys.executable)).parents[1])]
