"""Inputs that come while a server does not know whether it owns an execution any more."""

from __future__ import annotations

import asyncio

import pytest
from playbooks import playbook

from arcbook.engine.inputs import Cancel
from arcbook.outcome import ok
from arcbook.owner.drive import LostOwnershipError
from arcbook.owner.ports import FullOwnership
from arcbook.testing.clock import run_virtually
from arcbook.testing.local import bench

WAITS = playbook("""
- step: start
  tool: {kind: slow}
""")


class Lease(FullOwnership):
    """An owner whose lease may be in doubt."""

    is_sure = True
    is_lost = False

    def owns(self, execution_id):
        return self.is_sure and not self.is_lost

    def may_own(self, execution_id):
        return not self.is_lost


async def _slow(_):
    await asyncio.sleep(5)
    return ok({})


async def _cancelled(then):
    """Cancel, by an input that nobody repeats, while the lease is in doubt; return the status."""
    async with bench({"slow": _slow}) as made:
        drive = made.runtime.drive
        drive.ownership = lease = Lease(made.ids)
        running = asyncio.create_task(made.runtime.run(await made.register(WAITS), {}))
        await asyncio.sleep(1)
        lease.is_sure = False
        (execution_id,) = drive.slots
        drive.submit(execution_id, Cancel(reason="enough"))
        await asyncio.sleep(1)
        then(lease)
        lease.is_sure = True
        return str((await running).status)


def test_an_input_waits_until_it_is_known_who_owns_the_execution():
    assert run_virtually(_cancelled(lambda _: None)) == "CANCELLED"


def test_who_waits_for_an_answer_is_refused_at_once():
    async def asked():
        async with bench({"slow": _slow}) as made:
            drive = made.runtime.drive
            drive.ownership = lease = Lease(made.ids)
            running = asyncio.create_task(made.runtime.run(await made.register(WAITS), {}))
            await asyncio.sleep(1)
            lease.is_sure = False
            (execution_id,) = drive.slots
            with pytest.raises(LostOwnershipError):
                await drive.ask(execution_id, Cancel(reason="enough"))
            lease.is_sure = True
            return str((await running).status)

    assert run_virtually(asked()) == "COMPLETED"
