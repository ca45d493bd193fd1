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
BUS_AWAY: Final = Event("bus.away", "the bus is away: %(reason)s")
BUS_CUT: Final = Event("bus.cut", "the connection to %(bus)s was cut")
BUS_BACK: Final = Event("bus.back", "the connection to %(bus)s is back")
BUS_SAID: Final = Event("bus.said", "%(bus)s: %(reason)s")
DATABASE_OPEN: Final = Event("database.open", "%(reason)s")
BUS_OPEN: Final = Event("bus.open", "%(reason)s")
MESSAGE_LOST: Final = Event("message.lost", "something that was sent here is lost: %(reason)s")
MESSAGE_UNREADABLE: Final = Event(
    "message.unreadable", "a message cannot be read and is dropped: %(reason)s"
)
MESSAGE_FORGED: Final = Event(
    "message.forged", "somebody who is no server told this worker something"
)
MESSAGES_UNACKNOWLEDGED: Final = Event(
    "message.unacknowledged", "messages could not be acknowledged: %(reason)s"
)
MESSAGES_COME_AGAIN: Final = Event(
    "message.comes_again", "messages come again, as the bus is away: %(reason)s"
)
MESSAGES_UNEXTENDED: Final = Event(
    "message.unextended", "the bus does not take that messages are being worked on: %(reason)s"
)
DEAD_LETTER_LOST: Final = Event("dead_letter.lost", "a dead letter could not be kept: %(reason)s")
CONSUMER_FAILED: Final = Event(
    "consumer.failed", "the consumer of pool %(pool)s cannot be created: %(reason)s"
)

# -- requests -------------------------------------------------------------------------
REQUEST_UNHANDLED: Final = Event(
    "request.unhandled", "a request of %(subject)s could not be handled"
)
REQUEST_REFUSED: Final = Event("request.refused", "refused: %(reason)s")
REQUEST_FAILED: Final = Event("request.failed", "a request failed")
CLAIMS_REFUSED: Final = Event("claims.refused", "claims refused: %(reason)s")
CLAIMS_UNANSWERED: Final = Event("claims.unanswered", "claims are not answered: %(reason)s")
SHARD_UNANSWERED: Final = Event("shard.unanswered", "shard %(shard)d does not answer: %(reason)s")
OWNER_UNANSWERED: Final = Event(
    "owner.unanswered", "server %(server)s does not answer for what it owned: %(reason)s"
)
REPORTS_UNANSWERED: Final = Event("reports.unanswered", "reports are not answered: %(reason)s")
HEARTBEATS_UNANSWERED: Final = Event(
    "heartbeats.unanswered", "heartbeats are not answered by %(server)s: %(reason)s"
)
REGISTRY_UNANSWERED: Final = Event(
    "registry.unanswered", "the registry does not answer: %(reason)s"
)
CREDENTIAL_REFUSED: Final = Event(
    "credential.refused", "%(who)s gets no credential %(alias)r: %(reason)s"
)
JWT_REFUSED: Final = Event("jwt.refused", "a JWT is refused: %(reason)s")
JWT_KEYS_AWAY: Final = Event("jwt.keys_away", "the keys of %(issuer)s cannot be had: %(reason)s")
AUDIT_OPEN: Final = Event("audit.open", "the audit of %(action)s stays without its end: %(reason)s")
PLAYBOOK_WARNED: Final = Event("playbook.warned", "%(reason)s; %(hint)s")

# -- servers --------------------------------------------------------------------------
STORE_FAILED: Final = Event(
    "store.failed", "the store failed, everything is loaded again: %(reason)s"
)
STORE_UNREACHABLE: Final = Event("store.unreachable", "the store or the bus failed: %(reason)s")
SERVER_TAKES_OVER: Final = Event(
    "server.takes_over", "server %(server)s takes over %(count)d executions"
)
SERVER_LEASE_LOST: Final = Event(
    "server.lease_lost", "server %(server)s lost its lease; it joins again"
)
SERVER_BEAT_FAILED: Final = Event("server.beat_failed", "a heartbeat failed: %(reason)s")
SERVICE_ENDED: Final = Event("service.ended", "%(service)s ends")
ERRAND_FAILED: Final = Event("errand.failed", "a task of %(errand)s has failed")
SERVER_KEEPS: Final = Event("server.keeps", "server %(server)s could not hand over: %(reason)s")
OUTBOX_WAITS: Final = Event(
    "outbox.waits", "the bus is away, commands wait in the store: %(reason)s"
)
TABLES_MADE: Final = Event("tables.made", "made the tables of %(count)d months")
REQUESTS_FORGOTTEN: Final = Event(
    "requests.forgotten", "deleted %(count)d bodies of requests that went beside the bus"
)
REQUESTS_KEPT: Final = Event(
    "requests.kept", "bodies of requests that went beside the bus cannot be deleted: %(reason)s"
)
TABLES_FAILED: Final = Event(
    "tables.failed", "the tables of the coming months cannot be made: %(reason)s"
)
SCHEDULES_UNREADABLE: Final = Event("schedules.unreadable", "schedules cannot be read: %(reason)s")
SCHEDULE_FAILED: Final = Event(
    "schedule.failed", "schedule %(schedule)r cannot start its playbook: %(reason)s"
)
WORKER_REFUSED: Final = Event("worker.refused", "worker %(worker)r is not let in: %(reason)s")
WORKER_UNFIT: Final = Event("worker.unfit", "registration refused: %(reason)s")
WORKER_UNTOLD: Final = Event("worker.untold", "a worker could not be told to stop: %(reason)s")
WORKER_TOKEN_UNKEPT: Final = Event(
    "worker.token_unkept", "workers of this home need a token of their own: %(reason)s"
)

# -- executions -----------------------------------------------------------------------
INPUT_SLOW: Final = Event(
    "input.slow", "execution %(execution)d: an input took %(milliseconds)d ms"
)
DECISION_FAILED: Final = Event("decision.failed", "execution %(execution)d: deciding failed")
DECISION_BROKEN_OFF: Final = Event(
    "decision.broken_off", "execution %(execution)d: a decision is broken off: %(reason)s"
)
CHANGE_UNSTORABLE: Final = Event(
    "change.unstorable", "execution %(execution)d: its change cannot be stored: %(reason)s"
)
INBOX_UNREADABLE: Final = Event(
    "inbox.unreadable", "what others left for our executions cannot be read: %(reason)s"
)
INPUT_UNREADABLE: Final = Event(
    "input.unreadable", "execution %(execution)d: an input cannot be read: %(reason)s"
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
    "commands.returned", "worker %(worker)s gives back %(count)d commands"
)
WORKER_DRAINED: Final = Event(
    "worker.drained", "%(count)d commands did not end in time; they are handed back"
)
WORKER_ADAPTED: Final = Event(
    "worker.adapted", "%(limit)d commands at once instead of %(before)d, lag %(lag).3f s"
)
WORKER_NOT_LET_IN: Final = Event(
    "worker.not_let_in", "a server does not let this worker in: %(reason)s"
)
COMMAND_KEPT: Final = Event(
    "command.kept", "command %(command)s could not be handed back: %(reason)s"
)
COMMAND_FAILED: Final = Event(
    "command.failed", "%(command)s of execution %(execution)d: %(reason)s"
)
PLAYBOOK_UNFIT: Final = Event("playbook.unfit", "playbook %(playbook)d cannot be made ready")
PLAYBOOK_AWAY: Final = Event("playbook.away", "playbook %(playbook)d cannot be fetched: %(reason)s")
ISOLATION_CHOSEN: Final = Event("isolation.chosen", "isolation: %(isolation)s")
ISOLATION_ABSENT: Final = Event(
    "isolation.absent", "isolation '%(isolation)s' cannot be had: %(reason)s"
)
ISOLATION_WEAK: Final = Event(
    "isolation.weak",
    "isolation: process; code of users runs as the worker's own user and can read its "
    "files: install bubblewrap, or run playbooks that you trust",
)
