"""Identities: 63-bit numbers that grow with time and never repeat.

41 bits of milliseconds since 2024-01-01 UTC, 10 bits of machine, 12 bits of sequence:
the layout of the reference, so that ids of both mean the same. In JSON an id is a
string, because browsers cannot hold it as a number.
"""

from __future__ import annotations

from typing import Final

from arcbook.clock import Clock

EPOCH_MS: Final = 1_704_067_200_000
MACHINE_MAX: Final = 1023
_SEQUENCE_BITS: Final = 12
_MACHINE_BITS: Final = 10
_SEQUENCE_MAX: Final = (1 << _SEQUENCE_BITS) - 1


class IdGenerator:
    """Yields ids for one machine number; the clock may stand still or go back."""

    def __init__(self, clock: Clock, machine: int) -> None:
        self._clock = clock
        self._last_ms = 0
        self._sequence = 0
        self.go_on_as(machine)

    def go_on_as(self, machine: int) -> None:
        """Have another machine number; none of the ids before comes again under it."""
        if not 0 <= machine <= MACHINE_MAX:
            raise ValueError(f"a machine number is 0 to {MACHINE_MAX}, not {machine}")
        self._machine = machine << _SEQUENCE_BITS

    def __call__(self) -> int:
        now_ms = self._clock.now_us() // 1000 - EPOCH_MS
        if now_ms > self._last_ms:
            self._last_ms, self._sequence = now_ms, 0
        elif self._sequence == _SEQUENCE_MAX:
            self._last_ms, self._sequence = self._last_ms + 1, 0
        else:
            self._sequence += 1
        return self._last_ms << (_MACHINE_BITS + _SEQUENCE_BITS) | self._machine | self._sequence


def time_of(identity: int) -> int:
    """Return when an id was made, in microseconds since the epoch."""
    return ((identity >> (_MACHINE_BITS + _SEQUENCE_BITS)) + EPOCH_MS) * 1000


def first_id_at(at_us: int) -> int:
    """Return the smallest id that can be made at a time, in microseconds since the epoch."""
    return max(0, at_us // 1000 - EPOCH_MS) << (_MACHINE_BITS + _SEQUENCE_BITS)
