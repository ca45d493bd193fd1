"""A model of commands, claims, leases and reports: the possible steps of servers and workers.

A state consists of the stored data, the view of each server, the commands that each worker
holds, and the messages in transit. :meth:`Model.steps` yields its successors. There is no
time: anything slow may take forever. So a lease may end whenever its worker is dead or, as
often as the bounds allow, while it is only silent; and a server may take over executions that
another one still believes to own.
"""

from __future__ import annotations

from collections.abc import Iterator

from arcbook.testing.exhaust.known import (
    GOES_ON,
    NOBODY,
    Bounds,
    Held,
    Key,
    Known,
    Label,
    Message,
    Row,
    Rules,
    Stored,
)


class Model:
    """The transitions of the model."""

    def __init__(self, bounds: Bounds, rules: Rules | None = None) -> None:
        self.bounds = bounds
        self.rules = rules or Rules()

    def first(self, worker: int = NOBODY) -> Known:
        """Return the state in which the first command was just given out, or handed over."""
        bounds = self.bounds
        rows = (_handed(Row("pending"), worker), *(Row() for _ in range(bounds.commands - 1)))
        stored = Stored(1, rows)
        return Known(
            stored,
            (stored, *(None for _ in range(bounds.servers - 1))),
            (frozenset[Held](),) * bounds.workers,
            way=frozenset([Message("claimed", (0, 0, 1), worker)] if worker != NOBODY else ()),
            mishaps=bounds.mishaps,
            performed=(0,) * bounds.commands,
        )

    def steps(self, known: Known) -> Iterator[tuple[Label, Known]]:
        """Return what may be done, and the state after it."""
        for server, view in enumerate(known.views):
            if view is not None:
                yield from self._server(known, server, view)
            yield from self._come_and_go(known, server, view)
        for worker, commands in enumerate(known.workers):
            if commands is not None:
                yield from self.worker_steps(known, worker, commands)
        yield from self._mishaps(known)

    # -- servers ----------------------------------------------------------------------

    def _server(self, known: Known, server: int, view: Stored) -> Iterator[tuple[Label, Known]]:
        for message in known.way:
            after = self._without(known, message)
            if message.kind == "notice":
                yield from self._asked(known, server, view, message)
            elif message.kind == "report":
                yield from self._report(after, server, view, message)
            elif message.kind == "record":
                yield from self._record(after, server, view, message)
            elif message.kind == "receipt" and view.rows[message.key[0]].is_out and view.cancelled:
                yield from self._stopped(after, server, view, message.key[0])
        for command, row in enumerate(view.rows):
            yield from self._by_the_clock(known, server, view, command, row)
        cancelling = self._spend(known, "cancels")
        if cancelling is not None and not view.cancelled and _goes_on(view):
            stored = view._replace(cancelled=True)
            yield from self._commit(cancelling, server, view, stored, Label("cancel"))

    def _by_the_clock(
        self, known: Known, server: int, view: Stored, command: int, row: Row
    ) -> Iterator[tuple[Label, Known]]:
        key = (command, row.generation, row.attempt)
        limited = self._spend(known, "limits")
        if limited is not None and row.status in GOES_ON:
            stored = _with_row(view, command, row._replace(status="stopped"))
            yield from self._commit(limited, server, view, stored, Label("withdraw", command))
        if view.cancelled:
            if row.status == "claimed":
                stop = Message("stop", key, row.worker)
                if stop not in known.way:
                    yield Label("_stop", *key), self._with(known, stop)
            if (
                row.status == "pending"
                or (row.status == "claimed" and self.rules.stop_in_time)
                or row.status == "waiting"
            ):
                yield from self._stopped(known, server, view, command)
        elif row.status == "pending":
            yield from self._publish(known, server, view, key)
        elif row.status == "claimed":
            yield from self._expire(known, server, view, key, row)
        elif row.status == "waiting":
            yield from self._resume(known, server, view, command)

    def _publish(
        self, known: Known, server: int, view: Stored, key: Key
    ) -> Iterator[tuple[Label, Known]]:
        row, notice = view.rows[key[0]], Message("notice", key)
        if notice in known.way or (row.announced and not self.rules.tell_again):
            return
        announced = known
        if not self.bounds.endless:
            announced = _viewing(
                known, server, _with_row(view, key[0], row._replace(announced=True))
            )
        yield Label("publish", *key), self._with(announced, notice)

    def _resume(
        self, known: Known, server: int, view: Stored, command: int
    ) -> Iterator[tuple[Label, Known]]:
        row = view.rows[command]
        ready = Row("pending", row.generation + 1, row.attempt, began=row.began)
        key = (command, ready.generation, ready.attempt)
        for worker in (NOBODY, *self._living(known)):
            stored = _with_row(view, command, _handed(ready, worker))
            message = None if worker == NOBODY else Message("claimed", key, worker)
            label = Label("resume", *key, worker)
            yield from self._commit(known, server, view, stored, label, message)

    def _asked(
        self, known: Known, server: int, view: Stored, notice: Message
    ) -> Iterator[tuple[Label, Known]]:
        """Hear a worker that was told, and asks at once: a late request is a late notice."""
        for worker, commands in enumerate(known.workers):
            if commands is not None:
                asked = notice._replace(worker=worker)
                yield from self._claim(known, server, view, asked)

    def _claim(
        self, known: Known, server: int, view: Stored, asked: Message
    ) -> Iterator[tuple[Label, Known]]:
        key, row = asked.key, view.rows[asked.key[0]]
        is_stopped = view.cancelled and self.rules.cancel_before_claims
        if not row.is_for(key) or row.status != "pending" or is_stopped:
            return
        if self.rules.fence_claims_by_events and known.stored.seq != view.seq:
            yield Label("_fenced"), _viewing(known, server, known.stored)
            return
        actual = known.stored.rows[key[0]]
        if self.rules.fence_claims and not (actual.is_for(key) and actual.status == "pending"):
            yield Label("_fenced"), _viewing(known, server, known.stored)
            return
        claimed = row._replace(status="claimed", worker=asked.worker)
        began = "began" if row.began and self.rules.tell_what_began else ""
        after = known._replace(stored=_with_row(known.stored, key[0], claimed))
        after = _viewing(after, server, _with_row(view, key[0], claimed))
        answer = Message("claimed", key, asked.worker, began)
        yield Label("claim", *key, asked.worker), self._with(after, answer)

    def _is_current(self, row: Row, key: Key) -> bool:
        if not row.is_out:
            return False
        same = row.generation == key[1] or not self.rules.check_generations
        return same and (row.attempt == key[2] or not self.rules.check_attempts)

    def _report(
        self, known: Known, server: int, view: Stored, message: Message
    ) -> Iterator[tuple[Label, Known]]:
        key, row = message.key, view.rows[message.key[0]]
        command = key[0]
        if not self._is_current(row, key):
            answer = Message("answer", key, message.worker, "refused")
            yield Label("refuse", *key, message.worker), self._with(known, answer)
            return
        answer = Message("answer", key, message.worker, "accepted")
        early = known if self.rules.answer_after_commit else self._with(known, answer)
        if view.cancelled and self.rules.cancel_before_reports:
            yield from self._stopped(early, server, view, command, answer)
        elif message.detail == "waits":
            waiting = Row("waiting", row.generation + 1, row.attempt, began=row.began)
            stored = _with_row(view, command, waiting)
            label = Label("wait", *key, message.worker)
            yield from self._commit(early, server, view, stored, label, answer)
        else:
            done = row._replace(status="done", applied=row.applied + 1)
            label = Label("done", *key, message.worker)
            for brings in (NOBODY, message.worker):
                yield from self._done(early, server, view, done, label, answer, brings)

    def _done(  # what a report leads to
        self,
        known: Known,
        server: int,
        view: Stored,
        done: Row,
        label: Label,
        answer: Message,
        brings: int,
    ) -> Iterator[tuple[Label, Known]]:
        """Apply an outcome; the next command may go to the worker with the answer."""
        command = answer.key[0]
        stored = _with_row(view, command, done)
        has_next = command + 1 < len(view.rows) and view.rows[command + 1].status == "none"
        if brings != NOBODY and not has_next:
            return
        if has_next:
            row = _handed(Row("pending"), brings if self.rules.record_hand_over else NOBODY)
            stored = _with_row(stored, command + 1, row)
        if brings != NOBODY:
            answer = answer._replace(brings=(command + 1, 0, 1))
        yield from self._commit(known, server, view, stored, label, answer)

    def _record(
        self, known: Known, server: int, view: Stored, message: Message
    ) -> Iterator[tuple[Label, Known]]:
        key, row = message.key, view.rows[message.key[0]]
        if not self._is_current(row, key) or view.cancelled:
            answer = Message("answer", key, message.worker, "refused")
            yield Label("_not-recorded", *key), self._with(known, answer)
            return
        answer = Message("answer", key, message.worker, "recorded")
        stored = _with_row(view, key[0], row._replace(began=True))
        label = Label("record", *key, message.worker)
        yield from self._commit(known, server, view, stored, label, answer)

    def _expire(
        self, known: Known, server: int, view: Stored, key: Key, row: Row
    ) -> Iterator[tuple[Label, Known]]:
        """End a lease: of a worker that is gone, or was only silent."""
        if not self.rules.end_leases:
            return
        commands = known.workers[row.worker]
        if commands is not None and any(one.key == key for one in commands):
            silent = self._spend(known, "silences")
            if silent is None:
                return
            known = silent
        if row.attempt >= self.bounds.attempts_max:
            failed = row._replace(status="failed")
            stored = _with_row(view, key[0], failed)
            yield from self._commit(known, server, view, stored, Label("fail", *key))
            return
        lost = Row("pending", row.generation, row.attempt + 1, began=row.began)
        stored = _with_row(view, key[0], lost)
        yield from self._commit(known, server, view, stored, Label("lose", *key))

    def _stopped(
        self, known: Known, server: int, view: Stored, command: int, answer: Message | None = None
    ) -> Iterator[tuple[Label, Known]]:
        stored = _with_row(view, command, view.rows[command]._replace(status="stopped"))
        label = Label("stopped", command)
        yield from self._commit(known, server, view, stored, label, answer)

    def _commit(  # what is written, by whom, and who is told
        self,
        known: Known,
        server: int,
        view: Stored,
        stored: Stored,
        label: Label,
        answer: Message | None = None,
    ) -> Iterator[tuple[Label, Known]]:
        """Write events, unless another server was first: then load what it wrote."""
        if self.rules.fence_events and known.stored.seq != view.seq:
            yield Label("_fenced"), _viewing(known, server, known.stored)
            return
        # Keep concurrent changes by claims alone, which write no event.
        rows = tuple(
            actual if target == before else target
            for target, before, actual in zip(
                stored.rows, view.rows, known.stored.rows, strict=True
            )
        )
        written = stored._replace(seq=known.stored.seq + 1, rows=rows)
        after = self._forgotten(known._replace(stored=written))
        after = _viewing(after, server, written._replace(rows=stored.rows))
        yield label, after if answer is None else self._with(after, answer)

    def _come_and_go(
        self, known: Known, server: int, view: Stored | None
    ) -> Iterator[tuple[Label, Known]]:
        if view == known.stored or not (view is None or self.bounds.endless):
            return
        alone = all(other is None for other in known.views)
        taking = known if alone or self.bounds.endless else self._spend(known, "takeovers")
        if taking is None:
            return
        stored = known.stored
        if not self.rules.load_on_takeover:
            rows = tuple(r._replace(status="none") if r.is_out else r for r in stored.rows)
            stored = stored._replace(rows=rows)
        yield Label("_take-over"), _viewing(taking, server, stored)

    # -- workers ----------------------------------------------------------------------

    def worker_steps(
        self, known: Known, worker: int, commands: frozenset[Held]
    ) -> Iterator[tuple[Label, Known]]:
        """Return what a worker may do of itself."""
        for message in known.way:
            if message.worker == worker:
                after = self._without(known, message)
                if message.kind == "claimed":
                    yield from self._begin(after, worker, commands, message.key, message.detail)
                elif message.kind == "answer":
                    yield from self._answered(after, worker, commands, message)
                elif message.kind == "stop":
                    yield from self._stop(after, worker, commands, message)
        for one in commands:
            yield from self._go_on(known, worker, commands, one)

    def _begin(
        self, known: Known, worker: int, commands: frozenset[Held], key: Key, began: str
    ) -> Iterator[tuple[Label, Known]]:
        if self.bounds.endless:
            hands = {Held(key, "began"), Held(key, "asks")}
        elif self.bounds.never:
            wary = "asks" if self.rules.record_first else "may"
            hands = {Held(key, "broken" if began else wary)}
        elif self.bounds.mishaps.cancels:
            hands = {Held(key, "began")}
        else:
            # Slow work is equivalent to a late answer, unless it can be stopped.
            yield from self._perform(known, worker, commands, key)
            return
        if not hands <= commands:
            yield Label("_begin"), self._holding(known, worker, commands | hands)

    def _go_on(
        self, known: Known, worker: int, commands: frozenset[Held], one: Held
    ) -> Iterator[tuple[Label, Known]]:
        command = one.key[0]
        if one.phase == "asks":
            record = Message("record", one.key, worker)
            if not self._is_on_its_way(known, worker, one.key, "record"):
                yield Label("_ask-to-record"), self._with(known, record)
        elif one.phase in ("began", "may", "broken"):
            count = list(known.performed)
            if self.bounds.never and not self.bounds.endless and one.phase != "broken":
                count[command] = min(count[command] + 1, 2)
            after = known._replace(performed=tuple(count))
            remaining = commands if self.bounds.endless else commands - {one}
            yield from self._perform(after, worker, remaining, one.key)
        elif self.rules.report_again:
            report = Message("report", one.key, worker, one.phase)
            if not self._is_on_its_way(known, worker, one.key, "report"):
                yield Label("_report-again"), self._with(known, report)

    def _perform(
        self, known: Known, worker: int, commands: frozenset[Held], key: Key
    ) -> Iterator[tuple[Label, Known]]:
        """Perform a task, and report what came of it."""
        if self.bounds.endless:
            ways = ["done", "waits"]
        else:
            ways = ["waits" if self.bounds.waits and key[1] == 0 else "done"]
        for way in ways:
            after = commands | {Held(key, way)}
            if after != known.workers[worker]:
                reported = Message("report", key, worker, way)
                yield Label("_perform"), self._with(self._holding(known, worker, after), reported)

    def _is_on_its_way(self, known: Known, worker: int, key: Key, kind: str) -> bool:
        return any(
            m.key == key and m.worker == worker and m.kind in (kind, "answer") for m in known.way
        )

    def _answered(
        self, known: Known, worker: int, commands: frozenset[Held], message: Message
    ) -> Iterator[tuple[Label, Known]]:
        mine = [one for one in commands if one.key == message.key]
        if message.detail == "recorded":
            asking = Held(message.key, "asks")
            may = Held(message.key, "may")
            if asking in commands and may not in commands:
                remaining = commands | {may} if self.bounds.endless else commands - {asking} | {may}
                yield Label("_may"), self._holding(known, worker, remaining)
            elif not self.bounds.endless:
                yield Label("_heard"), known
            return
        if self.bounds.endless:
            return
        remaining = commands.difference(mine)
        after = self._holding(known, worker, remaining)
        if message.brings is None:
            yield Label("_heard"), after
        else:
            yield from self._begin(after, worker, remaining, message.brings, "")

    def _stop(
        self, known: Known, worker: int, commands: frozenset[Held], message: Message
    ) -> Iterator[tuple[Label, Known]]:
        """Stop, and say so; what is done already is reported in any case."""
        receipt = Message("receipt", message.key, worker)
        if self.bounds.endless:
            if receipt not in known.way:
                yield Label("_stop"), self._with(known, receipt)
            return
        mine = [one for one in commands if one.key == message.key]
        after = self._holding(known, worker, commands.difference(mine))
        if mine and mine[0].phase not in ("done", "waits"):
            after = self._with(after, receipt)
        yield Label("_stop"), after

    # -- what goes wrong --------------------------------------------------------------

    def _mishaps(self, known: Known) -> Iterator[tuple[Label, Known]]:
        if self.bounds.endless:
            return
        crashed = self._spend(known, "crashes")
        if crashed is not None:
            yield from self._crashes(crashed)
        lost = self._spend(known, "losses")
        if lost is not None:
            for message in known.way:
                yield Label("_lost"), lost._replace(way=known.way - {message})
        doubled = self._spend(known, "twins")
        if doubled is not None:
            for message in known.way:
                if not message.twin:
                    yield Label("_twin"), self._with(doubled, message._replace(twin=True))

    def _crashes(self, known: Known) -> Iterator[tuple[Label, Known]]:
        for worker, commands in enumerate(known.workers):
            if commands is not None:
                workers = list(known.workers)
                workers[worker] = None
                yield Label("die", worker=worker), known._replace(workers=tuple(workers))
        for server, view in enumerate(known.views):
            if view is not None:
                yield Label("_server-dies"), _viewing(known, server, None)

    def _forgotten(self, known: Known) -> Known:
        """Drop notices that nobody would make anything of: fewer states, and no step less."""
        if self.bounds.endless:
            return known
        states = [known.stored, *(view for view in known.views if view is not None)]
        useless = {
            m
            for m in known.way
            if m.kind == "notice" and not any(v.rows[m.key[0]].is_for(m.key) for v in states)
        }
        return known._replace(way=known.way - useless) if useless else known

    # -- parts ------------------------------------------------------------------------

    def _spend(self, known: Known, kind: str) -> Known | None:
        """Return a state with one mishap fewer; nothing, if there are none left."""
        if self.bounds.endless:
            return known
        remaining = getattr(known.mishaps, kind)
        if not remaining:
            return None
        return known._replace(mishaps=known.mishaps._replace(**{kind: remaining - 1}))

    def _without(self, known: Known, message: Message) -> Known:
        if self.bounds.endless:
            return known
        return known._replace(way=known.way - {message})

    def _with(self, known: Known, message: Message) -> Known:
        return known._replace(way=known.way | {message})

    def _holding(self, known: Known, worker: int, commands: frozenset[Held]) -> Known:
        workers = list(known.workers)
        workers[worker] = commands
        return known._replace(workers=tuple(workers))

    def _living(self, known: Known) -> list[int]:
        """Return the workers that may be given what another command's report led to."""
        if not self.bounds.endless:
            return []
        return [number for number, commands in enumerate(known.workers) if commands is not None]


def _goes_on(stored: Stored) -> bool:
    return any(row.status in GOES_ON for row in stored.rows)


def _handed(row: Row, worker: int) -> Row:
    return row if worker == NOBODY else row._replace(status="claimed", worker=worker)


def _with_row(stored: Stored, command: int, row: Row) -> Stored:
    rows = list(stored.rows)
    rows[command] = row
    return stored._replace(rows=tuple(rows))


def _viewing(known: Known, server: int, view: Stored | None) -> Known:
    views = list(known.views)
    views[server] = view
    return known._replace(views=tuple(views))
