"""A hung decision is interrupted once, and no later decision is."""

from __future__ import annotations

import asyncio
import threading

import pytest

from arcbook.owner.boundary import DecisionHungError
from arcbook.owner.watchdog import Deciding, Watchdog
from arcbook.supervision import Service


def test_a_decision_is_interrupted_once():
    deciding = Deciding()
    watchdog = Watchdog(deciding)
    deciding.number, deciding.execution_id = 7, 1
    watchdog._interrupting = (7, "it hung")

    with pytest.raises(DecisionHungError, match="it hung"):
        watchdog._on_signal(0, None)
    watchdog._on_signal(0, None)


def test_a_decision_that_has_followed_is_left_alone():
    deciding = Deciding()
    watchdog = Watchdog(deciding)
    watchdog._interrupting = (7, "it hung")
    deciding.number, deciding.execution_id = 8, 1

    watchdog._on_signal(0, None)


async def test_a_watchdog_whose_thread_has_ended_ends_what_it_watches(monkeypatch):
    def broken(_self):
        raise RuntimeError("no clock")

    monkeypatch.setattr(Watchdog, "_watch", broken)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    service = Service("server")
    await service.start()
    with Watchdog(Deciding()).watching(service):
        await asyncio.wait_for(service.failed.wait(), 5)

    assert "thread has ended" in str(service.cause)
