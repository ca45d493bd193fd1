"""The bugs that are planted to see whether the simulator finds them."""

from __future__ import annotations

from typing import Final, NamedTuple


class Patch(NamedTuple):
    """A change of one file of the package, as text that occurs in it once."""

    file: str
    old: str
    new: str


class Mutant(NamedTuple):
    """A planted bug."""

    name: str
    patches: tuple[Patch, ...]
    #: Rates of the faults that bring it about, as JSON, if those that seeds choose rarely do.
    faults: str = ""


def _mutant(name: str, *patches: tuple[str, str, str], faults: str = "") -> Mutant:
    return Mutant(name, tuple(Patch(*patch) for patch in patches), faults)


MUTANTS: Final = (
    _mutant(
        "drop the fencing of events and of shards",
        ("store/memory.py", "if change.owner and self", "if False and self"),
        ("store/memory.py", "if change.events and change.after_seq !=", "if False and 0 !="),
    ),
    _mutant(
        "acknowledge before the commit",
        (
            "owner/drive.py",
            "                    item.accepted = await self._take(item, pending)\n",
            """\
                    item.accepted = await self._take(item, pending)
                    if item.future is not None:
                        item.future.set_result(item.accepted)
""",
        ),
    ),
    _mutant(
        "tell before the commit",
        (
            "owner/drive.py",
            "        lost: dict[int, Exception] = {}\n",
            """\
        lost: dict[int, Exception] = {}
        for entry in changed.values():
            self.listeners.tell(entry.slot.state.execution_id, entry.events, entry.slot.state)
""",
        ),
    ),
    _mutant(
        "forget to tell again what nobody claimed",
        ("server/core.py", "self.owner.publish(self.owner.unclaimed(", "(self.owner.unclaimed("),
    ),
    _mutant(
        "lose the wake-up of a worker that has room again",
        (
            "worker/core.py",
            "        holding = self.held.pop(command_id, None)\n        if self.room:",
            "        holding = self.held.pop(command_id, None)\n        if False:",
        ),
    ),
    _mutant(
        "count a duplicate iteration",
        (
            "engine/fold.py",
            "None if event.partial else run.commands.pop(event.command_id, None)",
            "None if event.partial else run.commands.get(event.command_id)",
        ),
    ),
    _mutant(
        "skip the generation check",
        (
            "engine/decide.py",
            "(command.generation, command.lost + 1) != (received.generation, received.attempt)",
            "command.lost + 1 != received.attempt",
        ),
    ),
    _mutant(
        "skip the attempt check",
        (
            "engine/decide.py",
            "(command.generation, command.lost + 1) != (received.generation, received.attempt)",
            "command.generation != received.generation",
        ),
    ),
    _mutant(
        "hand over without recording it",
        ("owner/commands.py", 'worker=handed.get(command.command_id, "")', 'worker=""'),
    ),
    _mutant(
        "do not load commands on a takeover",
        ("server/core.py", "                self.owner.add(row)\n", "                pass\n"),
        ("owner/commands.py", "self._stale and self._matches_state(slot):", "self._stale:"),
    ),
    _mutant(
        "do not extend leases",
        (
            "owner/commands.py",
            """\
            return False
        outstanding.expires_at = self.clock.monotonic_us() + self.lease_us
""",
            "            return False\n",
        ),
    ),
    _mutant(
        "let leases never end",
        (
            "owner/commands.py",
            "elif outstanding.expires_at and outstanding.expires_at <= now:",
            "elif False:",
        ),
    ),
    _mutant(
        "drop a child's end",
        (
            "owner/children.py",
            "        if not parent.command_id:",
            "        if parent.command_id:",
        ),
    ),
    _mutant(
        "do not load timers on a takeover",
        (
            "owner/drive.py",
            "            self._timers.put(item.execution_id, slot.timers)\n",
            "",
        ),
    ),
    _mutant(
        "do not cancel children",
        (
            "owner/children.py",
            "        with contextlib.suppress(ExecutionMissingError):\n",
            "        with contextlib.suppress(ExecutionMissingError):\n            return\n",
        ),
    ),
    _mutant(
        "do not send a report again",
        (
            "worker/reporting.py",
            "                self._again(report)",
            "                self._worker.release(report.given.command_id)",
        ),
    ),
    _mutant(
        "accept a claim twice",
        (
            "owner/commands.py",
            "outstanding.row.worker or claim.command_id in entry.claims",
            "False",
        ),
        ("store/memory.py", "return row is not None and (row", "return row is not None or (row"),
    ),
    _mutant(
        "tick a schedule without a fence",
        (
            "store/memory.py",
            "schedule is None or schedule.next_at != change.tick.due_at",
            "schedule is None",
        ),
    ),
    _mutant(
        "load one event too few after a snapshot",
        ("store/memory.py", "self.log[execution_id][seq:]", "self.log[execution_id][seq + 1 :]"),
    ),
    _mutant(
        "allow one frame more than the limit",
        (
            "engine/loops.py",
            "len(run.commands) < limit and",
            "len(run.commands) <= limit and",
        ),
    ),
    _mutant(
        "wait for ever for a tool to stop",
        (
            "owner/commands.py",
            "if outstanding.stop_by and outstanding.stop_by <= now:",
            "if False:",
        ),
    ),
    _mutant(
        "let timers move on what is being cancelled",
        ("engine/decide.py", "turn.state.is_cancelling or turn.state.due(", "turn.state.due("),
    ),
    _mutant(
        "forget a new stop of what was cancelled before a takeover",
        (
            "owner/drive.py",
            "            if entry.stop:\n                self",
            "            if False:\n                self",
        ),
    ),
    _mutant(
        "let shards go in the middle of a commit",
        ("server/core.py", "        await self.drive.quiet()\n", ""),
    ),
    _mutant(
        "end the ownership loop when a heartbeat fails",
        (
            "server/ownership.py",
            "except (StoreError, BusError, LostServerError) as error:",
            "except ZeroDivisionError as error:",
        ),
    ),
    _mutant(
        "let whoever believes it owns a shard commit to it",
        ("store/memory.py", "if change.owner and self", "if False and self"),
    ),
    _mutant(
        "forget the rows that a frame leaves to another",
        ("engine/loops.py", "if received.rest and not loop.stopping:", "if False:"),
    ),
    _mutant(
        "take what came for an earlier wait",
        ("engine/waits.py", "is_late = received.generation >= 0 and", "is_late = False and"),
    ),
    _mutant(
        "let the drive loop end when blobs cannot be read",
        (
            "blobs/api.py",
            "class BlobStoreError(StoreError):",
            "class BlobStoreError(RuntimeError):",
        ),
    ),
    _mutant(
        "let go of a command that has come anew",
        (
            "worker/reporting.py",
            "return (reported.generation, reported.attempt) == (work.generation, work.attempt)",
            "return reported.generation == work.generation",
        ),
        faults='{"bus": 0.2, "echo": 0.5, "late": 0.3, "stall": 0.1}',
    ),
    _mutant(
        "perform two deliveries of a command at once",
        (
            "performer/runner.py",
            "if job.command_id in self._tasks:\n            self.ab",
            "if False:\n            self.ab",
        ),
    ),
    _mutant(
        "begin again what a second answer brings",
        ("worker/core.py", "before is not None and _del", "before is None and _del"),
    ),
    _mutant(
        "put an earlier checkpoint over a later one",
        ("engine/decide.py", "if 0 < received.number <= command.recorded:", "if False:"),
    ),
    _mutant(
        "perform again what must not be",
        ("engine/pipeline.py", "if task.redelivery is Redelivery.NEVER:", "if False:"),
    ),
    _mutant(
        "beat for one of the commands that a server gave out",
        (
            "worker/core.py",
            "held=[_held_command(h.work) for h in holdings]",
            "held=[_held_command(holdings[0].work)]",
        ),
    ),
    _mutant(
        "beat at one server alone",
        (
            "worker/core.py",
            "for server, holdings in by_server.items()),",
            "for server, holdings in list(by_server.items())[:1]),",
        ),
    ),
    _mutant(
        "wait in a round of heartbeats for a server that hangs",
        (
            "worker/core.py",
            """\
            async with asyncio.timeout(self._beat_seconds):
                answer = await self._control.owner(""",
            """\
            async with asyncio.timeout(None):
                answer = await self._control.owner(""",
        ),
    ),
    _mutant(
        "let a late heartbeat's answer let go of a newer delivery",
        (
            "worker/core.py",
            "if self.held.get(command_id) is sent.get(command_id):",
            "if command_id in self.held:",
        ),
        faults='{"late": 0.6, "stall": 0.25, "deaf": 0.2}',
    ),
    _mutant(
        "drop what comes while the owner is in doubt",
        (
            "owner/drive.py",
            "if item.future is None and self.ownership.may_own(item.execution_id):",
            "if False:",
        ),
    ),
    _mutant(
        "count the time for which a server stood still against workers",
        ("owner/commands.py", "if since > STANDSTILL_US:", "if False:"),
    ),
    _mutant(
        "take over commands without a new lease",
        (
            "owner/commands.py",
            """\
        if row.worker:
            outstanding.expires_at = self.clock.monotonic_us() + self.lease_us
""",
            """\
        if row.worker:
            outstanding.expires_at = self.clock.monotonic_us()
""",
        ),
    ),
    _mutant(
        "swallow what a loop raises",
        (
            "supervision.py",
            """\
            error.add_note(f"the loop {name!r} of {self.name} ended by it")
            raise
""",
            """\
            error.add_note(f"the loop {name!r} of {self.name} ended by it")
""",
        ),
    ),
    _mutant(
        "tell nobody that a loop has ended",
        ("supervision.py", "            self.failed.set()\n", ""),
    ),
    _mutant(
        "let a server go on whose heartbeats have ended",
        ("server/core.py", "        service.watch(self.beating)\n", ""),
    ),
    _mutant(
        "let a worker go on that pulls no more",
        ("worker/core.py", "        self.service.watch(self.pulling)\n", ""),
    ),
    _mutant(
        "pass over a step, and lead on nowhere",
        ("engine/firing.py", "took = arcs_of_skipped(turn, step, scope)", "took = []"),
    ),
)
"""All of them."""
