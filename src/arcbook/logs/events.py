"""All log events of Arcbook: each with its name and message, declared once.

A message names its fields, which the call passes in a dict, so that they become fields of
JSON logs: ``log.warning(events.STORE_FAILED, {"reason": error})``.
"""

from __future__ import annotations

from typing import Final, Self


class Event(str):
    """A log message together with the event's name."""

    __slots__ = ("name",)

    name: str

    def __new__(cls, name: str, message: str) -> Self:
        event = super().__new__(cls, message)
        event.name = name
        return event


# -- the bus --------------------------------------------------------------------------
BUS_AWAY: Final = Event("bus.away", "the bus is unavailable: %(reason)s")
BUS_CUT: Final = Event("bus.cut", "lost the connection to %(bus)s")
BUS_BACK: Final = Event("bus.back", "restored the connection to %(bus)s")
BUS_SAID: Final = Event("bus.said", "%(bus)s: %(reason)s")
DATABASE_OPEN: Final = Event("database.open", "%(reason)s")
BUS_OPEN: Final = Event("bus.open", "%(reason)s")
MESSAGE_LOST: Final = Event("message.lost", "a message was lost: %(reason)s")
MESSAGE_UNREADABLE: Final = Event("message.unreadable", "dropped an unreadable message: %(reason)s")
MESSAGE_FORGED: Final = Event(
    "message.forged", "dropped a notice that no server of this cluster sent"
)
MESSAGES_UNACKNOWLEDGED: Final = Event(
    "message.unacknowledged", "cannot acknowledge messages: %(reason)s"
)
MESSAGES_COME_AGAIN: Final = Event(
    "message.comes_again",
    "messages will be redelivered, because the bus is unavailable: %(reason)s",
)
MESSAGES_UNEXTENDED: Final = Event(
    "message.unextended", "cannot extend the time to acknowledge messages: %(reason)s"
)
DEAD_LETTER_LOST: Final = Event("dead_letter.lost", "cannot store a dead letter: %(reason)s")
CONSUMER_FAILED: Final = Event(
    "consumer.failed", "cannot create the consumer of pool %(pool)s: %(reason)s"
)

# -- requests -------------------------------------------------------------------------
REQUEST_UNHANDLED: Final = Event("request.unhandled", "handling a request to %(subject)s failed")
REQUEST_REFUSED: Final = Event("request.refused", "refused: %(reason)s")
REQUEST_FAILED: Final = Event("request.failed", "a request failed")
CLAIMS_REFUSED: Final = Event("claims.refused", "claims refused: %(reason)s")
CLAIMS_UNANSWERED: Final = Event("claims.unanswered", "no answer to claims: %(reason)s")
SHARD_UNANSWERED: Final = Event("shard.unanswered", "shard %(shard)d does not answer: %(reason)s")
OWNER_UNANSWERED: Final = Event(
    "owner.unanswered", "the previous owner %(server)s does not answer: %(reason)s"
)
REPORTS_UNANSWERED: Final = Event("reports.unanswered", "no answer to reports: %(reason)s")
HEARTBEATS_UNANSWERED: Final = Event(
    "heartbeats.unanswered", "no answer to heartbeats from %(server)s: %(reason)s"
)
REGISTRY_UNANSWERED: Final = Event(
    "registry.unanswered", "the registry does not answer: %(reason)s"
)
CREDENTIAL_REFUSED: Final = Event(
    "credential.refused", "refused credential %(alias)r to %(who)s: %(reason)s"
)
JWT_REFUSED: Final = Event("jwt.refused", "refused a JWT: %(reason)s")
JWT_KEYS_AWAY: Final = Event("jwt.keys_away", "cannot fetch the keys of %(issuer)s: %(reason)s")
AUDIT_OPEN: Final = Event("audit.open", "the audit entry of %(action)s has no result: %(reason)s")
PLAYBOOK_WARNED: Final = Event("playbook.warned", "%(reason)s; %(hint)s")

# -- servers --------------------------------------------------------------------------
STORE_FAILED: Final = Event(
    "store.failed", "the store failed; all executions are reloaded: %(reason)s"
)
STORE_UNREACHABLE: Final = Event("store.unreachable", "the store or the bus failed: %(reason)s")
SERVER_TAKES_OVER: Final = Event(
    "server.takes_over", "server %(server)s takes over %(count)d executions"
)
SERVER_LEASE_LOST: Final = Event(
    "server.lease_lost", "server %(server)s lost its lease and joins again"
)
SERVER_BEAT_FAILED: Final = Event("server.beat_failed", "a heartbeat failed: %(reason)s")
SERVICE_ENDED: Final = Event("service.ended", "%(service)s ends")
ERRAND_FAILED: Final = Event("errand.failed", "a background task of %(errand)s failed")
SERVER_KEEPS: Final = Event("server.keeps", "server %(server)s could not hand over: %(reason)s")
OUTBOX_WAITS: Final = Event(
    "outbox.waits", "the bus is unavailable; commands wait in the store: %(reason)s"
)
TABLES_MADE: Final = Event("tables.made", "created the event tables of %(count)d months")
REQUESTS_FORGOTTEN: Final = Event(
    "requests.forgotten", "deleted %(count)d request bodies from the blob store"
)
REQUESTS_KEPT: Final = Event(
    "requests.kept", "cannot delete request bodies from the blob store: %(reason)s"
)
TABLES_FAILED: Final = Event(
    "tables.failed", "cannot create the event tables of the coming months: %(reason)s"
)
SCHEDULES_UNREADABLE: Final = Event("schedules.unreadable", "cannot read schedules: %(reason)s")
SCHEDULE_FAILED: Final = Event(
    "schedule.failed", "schedule %(schedule)r cannot start its playbook: %(reason)s"
)
WORKER_REFUSED: Final = Event("worker.refused", "refused worker %(worker)r: %(reason)s")
WORKER_UNFIT: Final = Event("worker.unfit", "registration refused: %(reason)s")
WORKER_UNTOLD: Final = Event("worker.untold", "cannot send a stop notice to a worker: %(reason)s")
WORKER_TOKEN_UNKEPT: Final = Event(
    "worker.token_unkept", "workers of this home need ARCBOOK_WORKER_TOKEN: %(reason)s"
)

# -- executions -----------------------------------------------------------------------
INPUT_SLOW: Final = Event(
    "input.slow", "execution %(execution)d: an input took %(milliseconds)d ms"
)
DECISION_FAILED: Final = Event("decision.failed", "execution %(execution)d: deciding failed")
DECISION_BROKEN_OFF: Final = Event(
    "decision.broken_off", "execution %(execution)d: interrupted a decision: %(reason)s"
)
CHANGE_UNSTORABLE: Final = Event(
    "change.unstorable", "execution %(execution)d: cannot store its change: %(reason)s"
)
INBOX_UNREADABLE: Final = Event("inbox.unreadable", "cannot read the inbox: %(reason)s")
INPUT_UNREADABLE: Final = Event(
    "input.unreadable", "execution %(execution)d: dropped an unreadable input: %(reason)s"
)
LISTENER_FAILED: Final = Event("listener.failed", "a listener failed at execution %(execution)d")
EXECUTION_SUSPECT: Final = Event(
    "execution.suspect", "execution %(execution)d was being decided when its owner ended"
)
EXECUTION_CONDEMNED: Final = Event(
    "execution.condemned", "execution %(execution)d ends its owner: %(reason)s"
)

# -- workers --------------------------------------------------------------------------
WORKER_DRAINS: Final = Event(
    "worker.drains",
    "draining: %(held)d commands are held, of which %(unbegun)d never began and are handed back",
)
COMMANDS_RETURNED: Final = Event(
    "commands.returned", "worker %(worker)s returned %(count)d commands"
)
WORKER_DRAINED: Final = Event(
    "worker.drained", "%(count)d commands did not end in time and are handed back"
)
WORKER_ADAPTED: Final = Event(
    "worker.adapted", "%(limit)d commands at once instead of %(before)d, lag %(lag).3f s"
)
WORKER_NOT_LET_IN: Final = Event("worker.not_let_in", "a server refused this worker: %(reason)s")
COMMAND_KEPT: Final = Event("command.kept", "cannot hand back command %(command)s: %(reason)s")
COMMAND_FAILED: Final = Event(
    "command.failed", "%(command)s of execution %(execution)d: %(reason)s"
)
PLAYBOOK_UNFIT: Final = Event("playbook.unfit", "cannot prepare playbook %(playbook)d")
PLAYBOOK_AWAY: Final = Event("playbook.away", "cannot fetch playbook %(playbook)d: %(reason)s")
JOB_REPORTED: Final = Event(
    "job.reported", "job %(job)s ended as %(state)s; the server answered %(answer)s"
)
JOB_UNREPORTED: Final = Event(
    "job.unreported", "the end of job %(job)s is not reported: %(reason)s"
)
JOBS_UNWATCHED: Final = Event("jobs.unwatched", "jobs cannot be watched now: %(reason)s")
ISOLATION_CHOSEN: Final = Event("isolation.chosen", "isolation: %(isolation)s")
ISOLATION_ABSENT: Final = Event(
    "isolation.absent", "isolation '%(isolation)s' is unavailable: %(reason)s"
)
ISOLATION_WEAK: Final = Event(
    "isolation.weak",
    "isolation: process; code of users runs as the worker's own user and can read its "
    "files: install bubblewrap, or run playbooks that you trust",
)
