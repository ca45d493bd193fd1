"""Ids: unique 63-bit numbers that grow with time.

41 bits of milliseconds since 2024-01-01 UTC, 10 bits of machine number and 12 bits of
sequence: the layout of the reference, so that ids of both are interchangeable. In JSON an id
is a string, because JavaScript numbers cannot represent it.
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
    """Generates ids for one machine number; tolerates a clock that stops or goes back."""

    def __init__(self, clock: Clock, machine: int) -> None:
        self._clock = clock
        self._last_ms = 0
        self._sequence = 0
        self.switch_machine(machine)

    def switch_machine(self, machine: int) -> None:
        """Switch to another machine number without ever repeating an id."""
        if not 0 <= machine <= MACHINE_MAX:
            raise ValueError(f"the machine number must be 0 to {MACHINE_MAX}, not {machine}")
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


def first_id_at(at_us: int) -> int:
    """Return the smallest id that can be generated at ``at_us``, microseconds since the epoch."""
    return max(0, at_us // 1000 - EPOCH_MS) << (_MACHINE_BITS + _SEQUENCE_BITS)
