"""A rehearsal shows how something would end, and ends nobody else."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from arcbook.owner import rehearsal
from arcbook.owner.rehearsal import rehearse


def nothing():
    return None


def raises():
    raise ValueError("this is met again")


def dies():
    os.kill(os.getpid(), signal.SIGKILL)


def leaves():
    os._exit(0)


def never_ends():
    while True:
        time.sleep(1)


def turns_for_ever():
    while True:
        pass


def takes_everything():
    held = []
    while True:
        held.append(bytearray(2**24))


def children():
    """Return the processes that are children of this one, dead ones included."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (nothing, ""),
        (raises, ""),
        (dies, "signal SIGKILL killed it"),
        (leaves, "it exited with status 0"),
        (never_ends, "it ran for more than 0.3 s"),
        (turns_for_ever, "it ran for more than 0.3 s"),
        (takes_everything, "it needed more than 67,108,864 bytes of memory"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_a_rehearsal_says_how_it_ended(work, said, monkeypatch):
    monkeypatch.setattr(rehearsal, "REHEARSAL_SECONDS", 20.0 if "memory" in said else 0.3)
    monkeypatch.setattr(rehearsal, "MEMORY_BYTES_MAX", 2**26)

    before = children()

    assert await rehearse(work) == said
    assert children() == before


async def test_what_a_rehearsal_changes_is_changed_nowhere_else():
    changed = []

    assert not await rehearse(lambda: changed.append(1))
    assert changed == []
