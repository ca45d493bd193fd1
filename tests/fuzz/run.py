"""Runs targets on inputs that a seed decides, and keeps what breaks them."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field

from fuzz.mutation import mutated
from fuzz.targets import Target

SECONDS_FOR_ONE_MAX = 5.0
"""Processor time that one input may take."""

BROKEN_MAX = 5
"""Inputs that break a target, after which it is left alone."""


@dataclass
class Broken:
    """An input that a target did not take well."""

    target: str
    data: bytes
    reason: str


@dataclass
class Report:
    """What a run came to."""

    inputs: int = 0
    refused: int = 0
    broken: list[Broken] = field(default_factory=list)


def run(targets: Iterable[Target], seconds: float, seed: int, least: int = 0) -> Report:
    """Run each target for some seconds, on ``least`` new inputs or more."""
    report = Report()
    for target in targets:
        chance = random.Random(f"{seed}:{target.name}")
        end = time.monotonic() + seconds
        found: list[Broken] = []
        for data in target.seeds:
            found += attempt(target, data, report)
        made = 0
        while (time.monotonic() < end or made < least) and len(found) < BROKEN_MAX:
            made += 1
            found += attempt(target, mutated(chance, target.seeds), report)
        report.broken += found
    return report


def attempt(target: Target, data: bytes, report: Report) -> list[Broken]:
    """Give one input to a target; return it if that breaks it."""
    report.inputs += 1
    begin = time.process_time()
    try:
        target.read(data)
    except target.refuses:
        report.refused += 1
    except Exception:  # noqa: BLE001  # whatever it is, it is what is looked for
        return [Broken(target.name, data, traceback.format_exc(limit=-3))]
    if (spent := time.process_time() - begin) > SECONDS_FOR_ONE_MAX:
        return [Broken(target.name, data, f"took {spent:.1f} s")]
    return []
