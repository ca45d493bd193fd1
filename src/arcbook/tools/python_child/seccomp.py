"""A filter of system calls: what administers a machine is refused, whoever asks.

Namespaces, users and capabilities decide what code of users reaches. This takes away the
calls that such code never needs and that the kernel's own mistakes were most often found in:
mounting, tracing, loading modules, keys, namespaces, asynchronous rings. It is a program for
the kernel, made here for the machine's architecture; another one's calls are refused.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import Final, NamedTuple

_LOAD: Final = 0x20
_EQUAL: Final = 0x15
_AT_LEAST: Final = 0x35
_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06

_ALLOW: Final = 0x7FFF0000
_ERROR: Final = 0x00050000

_NUMBER, _ARCHITECTURE, _FLAGS = 0, 4, 16

_NAMESPACES: Final = 0x7E020000
"""Flags of ``clone`` that make namespaces: of mounts, names, processes, users, ..."""

_SET_SECCOMP: Final = 22
_FILTER: Final = 2


class _Machine(NamedTuple):
    architecture: int
    clone: int
    #: Numbers from here on are of another way to call; 0 if there is none.
    foreign: int
    refused: tuple[int, ...]


_EVERYWHERE: Final = (
    425, 426, 427,  # io_uring_setup, io_uring_enter, io_uring_register
    428, 429, 430, 431, 432, 433, 442,  # open_tree, move_mount, fsopen, fsconfig, fsmount, ...
    438,  # pidfd_getfd
)  # fmt: skip

_MACHINES: Final = {
    "x86_64": _Machine(
        0xC000003E,
        clone=56,
        foreign=0x40000000,
        refused=(
            101, 310, 311, 312,  # ptrace, process_vm_readv, process_vm_writev, kcmp
            155, 161, 165, 166,  # pivot_root, chroot, mount, umount2
            163, 167, 168, 169, 170, 171, 172, 173, 179,  # acct, swapon, ..., reboot, iopl, ...
            159, 164, 227, 305,  # adjtimex, settimeofday, clock_settime, clock_adjtime
            103, 135, 153, 154,  # syslog, personality, vhangup, modify_ldt
            175, 176, 313, 246, 320,  # init_module, delete_module, ..., kexec_load, ...
            248, 249, 250,  # add_key, request_key, keyctl
            272, 308,  # unshare, setns
            298, 321, 323,  # perf_event_open, bpf, userfaultfd
            303, 304,  # name_to_handle_at, open_by_handle_at
            *_EVERYWHERE,
        ),
    ),
    "aarch64": _Machine(
        0xC00000B7,
        clone=220,
        foreign=0,
        refused=(
            117, 270, 271, 272,
            41, 51, 40, 39,
            89, 224, 225, 142, 161, 162, 60,
            171, 170, 112, 266,
            116, 92, 58,
            105, 106, 273, 104, 294,
            217, 218, 219,
            97, 268,
            241, 280, 282,
            264, 265,
            *_EVERYWHERE,
        ),
    ),
}  # fmt: skip

_CLONE3: Final = 435
"""Its flags lie in memory, where a filter cannot see them; libraries go back to ``clone``."""


def program() -> bytes:
    """Return the filter for this machine; empty for one that is not known."""
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        return b""
    checks = [(_EQUAL, number) for number in machine.refused]
    if machine.foreign:
        checks.insert(0, (_AT_LEAST, machine.foreign))
    # After the checks: clone's flags, and then the three ends.
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, len(checks) + 6, machine.architecture),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for at, (kind, value) in enumerate(checks):
        lines.append((kind, len(checks) - at + 4, 0, value))
    lines += [
        (_EQUAL, 5, 0, _CLONE3),
        (_EQUAL, 0, 2, machine.clone),
        (_LOAD, 0, 0, _FLAGS),
        (_ANY_BIT, 1, 0, _NAMESPACES),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERROR | errno.EPERM),
        (_RETURN, 0, 0, _ERROR | errno.ENOSYS),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def install() -> None:
    """Filter the calls of this process, and of all that it starts, for good.

    Raises:
        OSError: the kernel has no filters.
    """
    import ctypes  # of children alone: a run of one's own need not load it

    lines = program()
    if not lines:
        return

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_char_p))

    filter_program = Program(len(lines) // struct.calcsize("HBBI"), lines)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(filter_program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "system calls cannot be filtered")
