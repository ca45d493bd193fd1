"""The metrics of a server, all declared here and exported from the start."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from arcbook.engine.state import State, Status
from arcbook.events.types import TERMINAL, AnyEvent, Recorded
from arcbook.owner.decider import SLOW_US
from arcbook.owner.ports import TurnTimes
from arcbook.server.core import Server
from arcbook.server.lateness import LATE_SECONDS

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

MICROSECONDS: Final = 1_000_000

SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets of durations."""

QUICK_SECONDS: Final = (
    *(0.00002, 0.00003, 0.00005, 0.00007, 0.0001, 0.00015, 0.0002, 0.0003, 0.0005, 0.0007),
    *(0.001, 0.0015, 0.002, 0.003, 0.005, 0.007, 0.01, 0.02, 0.05, 0.1, 1.0),
)
"""Buckets of what the drive loop does."""

PHASES: Final = ("decide", "encode", "store", "tell")

JOB_STATES: Final = (
    "succeeded",
    "failed",
    "failed_image_pull",
    "failed_node_lost",
    "failed_oom",
    "failed_timeout",
    "other",
)
"""The ends of jobs that callbacks report; all else is counted as one."""

WORKER_SEEN_SECONDS: Final = 60.0
"""Time after which a worker that is not heard of does not count."""

_ENDED: Final = {f"playbook.{status.lower()}": status for status in Status if status.is_terminal}


def _event_types() -> list[str]:
    return sorted(str(kind.__struct_config__.tag) for kind in AnyEvent.__args__)


class Metrics:
    """Counts what this server commits and answers, and looks up what is out."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.registry = CollectorRegistry()
        self.events = Counter(
            "arcbook_events", "Events committed by this server.", ["type"], registry=self.registry
        )
        self.started = Counter(
            "arcbook_executions_started", "Executions started here.", registry=self.registry
        )
        self.ended = Counter(
            "arcbook_executions_ended", "Executions ended.", ["status"], registry=self.registry
        )
        self.requests = Counter(
            "arcbook_http_requests",
            "Requests answered.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "arcbook_http_request_seconds",
            "Time to the first byte of an answer.",
            ["route", "method"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.input_seconds = Histogram(
            "arcbook_input_seconds",
            "Time that taking one input takes the server, without the store.",
            buckets=QUICK_SECONDS,
            registry=self.registry,
        )
        self.phase_seconds = Histogram(
            "arcbook_turn_phase_seconds",
            "Time of the phases of a turn of the drive loop, which takes many inputs.",
            ["phase"],
            buckets=QUICK_SECONDS,
            registry=self.registry,
        )
        self.slow = Counter(
            "arcbook_slow_inputs",
            "Inputs that took longer than a server's loop should ever stand still.",
            registry=self.registry,
        )
        self.late_seconds = Histogram(
            "arcbook_loop_late_seconds",
            "By how much later than asked for the server's loop had its turn.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.held_up = Counter(
            "arcbook_loop_held_up",
            "Looks at which the server's loop was late by more than it ever should be.",
            registry=self.registry,
        )
        self.callbacks, self.stale_callbacks = _callback_counters(self.registry)
        self._phases = {name: self.phase_seconds.labels(name) for name in PHASES}
        server.drive.on_turn(self._turned)
        self.commands = Gauge(
            "arcbook_commands", "Commands that are out.", ["pool", "state"], registry=self.registry
        )
        self.workers = Gauge("arcbook_workers", "Workers that are there.", registry=self.registry)
        self.shards = Gauge("arcbook_shards_owned", "Shards owned here.", registry=self.registry)
        self.held = Gauge(
            "arcbook_executions_held", "Executions held in memory.", registry=self.registry
        )
        self._declare()
        server.on_events(self._on_events)
        server.lateness.on_look(self._looked)

    def _declare(self) -> None:
        """Make every series whose labels are known, so that absence means absence."""
        for name in _event_types():
            self.events.labels(name)
        for status in _ENDED.values():
            self.ended.labels(str(status))
        for state in JOB_STATES:
            self.callbacks.labels(state)
            self.stale_callbacks.labels(state)
        for state in ("pending", "claimed"):
            self.commands.labels("shared", state)

    def _on_events(self, _: int, events: list[Recorded], __: State) -> None:
        for recorded in events:
            name = recorded.event.type
            self.events.labels(name).inc()
            if name == "playbook.started":
                self.started.inc()
            elif name in TERMINAL:
                self.ended.labels(str(_ENDED[name])).inc()

    def called_back(self, state: str, *, accepted: bool) -> None:
        """Count a callback of a job."""
        known = state if state in JOB_STATES else "other"
        self.callbacks.labels(known).inc()
        if not accepted:
            self.stale_callbacks.labels(known).inc()

    def _looked(self, late: float) -> None:
        self.late_seconds.observe(late)
        if late > LATE_SECONDS:
            self.held_up.inc()

    def _turned(self, times: TurnTimes) -> None:
        shared = (times.encode + times.tell) / max(1, len(times.decide))
        for decide in times.decide:
            self.input_seconds.observe((decide + shared) / MICROSECONDS)
            if decide > SLOW_US:
                self.slow.inc()
        self._phases["decide"].observe(sum(times.decide) / MICROSECONDS)
        self._phases["encode"].observe(times.encode / MICROSECONDS)
        self._phases["store"].observe(times.store / MICROSECONDS)
        self._phases["tell"].observe(times.tell / MICROSECONDS)

    async def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        store = self._server.store
        self.commands.clear()
        self._declare()
        for pool, (pending, claimed) in (await store.backlog()).items():
            self.commands.labels(pool, "pending").set(pending)
            self.commands.labels(pool, "claimed").set(claimed)
        self.workers.set(len(await store.workers(WORKER_SEEN_SECONDS)))
        self.shards.set(len(self._server.ownership.shards))
        self.held.set(len(self._server.drive.slots))
        return generate_latest(self.registry)


def _callback_counters(registry: CollectorRegistry) -> tuple[Counter, Counter]:
    """Return the counters of jobs' callbacks: of all, and of those that nobody waited for."""
    name, help_text = "arcbook_container_callback", "Callbacks of jobs, by the state they report."
    stale = "Those that no step waited for, or that came again."
    return (
        Counter(name, help_text, ["state"], registry=registry),
        Counter(f"{name}_stale", stale, ["state"], registry=registry),
    )
