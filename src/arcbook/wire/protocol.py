"""The protocol between workers and servers: requests, answers and notices.

Workers address three kinds of subject: the server that owns an execution, by name; the
shard of an execution, regardless of its owner; and any server. A body is one byte for the
format, then JSON, optionally followed by a line feed and raw bytes. A body that does not
fit into one message goes through the blob store, and the message holds its key.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from arcbook.bus.api import PULL_MAX
from arcbook.engine.inputs import Abort, CalledBack, Cancel, Checkpointed, Report, Stopped
from arcbook.secrets.delivery import Delivery
from arcbook.store.api import CatalogEntry, WorkerRow
from arcbook.wire.payload import CommandPayload

PROTOCOL: Final = 5
"""Version of the protocol. Workers with another version are refused."""

ANY_SERVER: Final = "server"
"""Subject that every server serves."""

CHUNK_BYTES: Final = 512 * 1024
"""Size of the parts in which blobs are sent."""

OVERHEAD_BYTES: Final = 4096
"""Space reserved in a message for the bus's own overhead."""


def owner_subject(server_id: str) -> str:
    """Return the subject of a server."""
    return f"owner.{server_id}"


def shard_subject(shard: int) -> str:
    """Return the subject of a shard's owner."""
    return f"shard.{shard}"


def control_subject(worker_id: str) -> str:
    """Return the subject on which a worker is told to stop commands."""
    return f"control.{worker_id}"


class CommandNotice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Announces an outstanding command: where to claim it, and which delivery."""

    execution_id: int
    command_id: str
    generation: int = 0
    attempt: int = 1
    #: The server that owned the execution when this was written.
    server: str = ""


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A command that a worker holds."""

    execution_id: int
    command_id: str
    generation: int


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="ask"):
    """A request from a worker or another server."""


class ClaimRequest(Request, frozen=True, kw_only=True, omit_defaults=True, tag="claim"):
    """Claims commands for a worker."""

    worker: str
    commands: list[CommandNotice]
    #: Whether another server forwarded this; it is not forwarded again.
    forwarded: bool = False
    #: The worker's protocol version; 0 for workers older than versioning.
    protocol: int = 0
    #: The pools and the tenant of the worker, as a server knows them; none means any.
    pools: list[str] = []
    tenant: str = ""


class Claimed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer for one command.

    ``claimed``: the worker holds it. ``already_claimed``: another worker does. ``failed``:
    it is no longer outstanding. ``retry_later``: this server cannot tell.
    """

    outcome: str
    work: CommandPayload | None = None
    #: The server that owns the command, which is not always the one that was asked.
    server: str = ""


class ReportRequest(Request, frozen=True, kw_only=True, omit_defaults=True, tag="report"):
    """Reports of commands; answered once they are stored."""

    worker: str
    reports: list[tuple[int, Report | Checkpointed | Stopped]]
    #: Room for further commands of these pools, which may come with the answer.
    pools: list[str] = []
    room: int = 0
    forwarded: bool = False
    #: The worker's tenant, as a server knows it.
    tenant: str = ""


class Reported(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to reports, in their order."""

    #: Whether each was accepted: a stale one is not; nothing means: ask again.
    accepted: list[bool | None]
    #: Commands that are the worker's from now on.
    works: list[CommandPayload] = []


class HeartbeatRequest(Request, frozen=True, kw_only=True, omit_defaults=True, tag="beat"):
    """A worker's heartbeat with the commands it performs."""

    worker: str
    held: list[Held]
    forwarded: bool = False


class HeartbeatAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The commands that the worker no longer holds."""

    gone: list[str] = []
    #: The server that owns all of these commands; empty if there are several owners.
    server: str = ""


class GiveBackRequest(Request, frozen=True, kw_only=True, omit_defaults=True, tag="give_back"):
    """Commands that a worker will not perform."""

    worker: str
    held: list[Held]
    forwarded: bool = False


class InputRequest(Request, frozen=True, kw_only=True, omit_defaults=True, tag="input"):
    """An external input to an execution; answered once it is stored."""

    execution_id: int
    given: Cancel | Abort | CalledBack
    forwarded: bool = False


class InputTaken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to :class:`InputRequest`."""

    #: Whether it changed anything; nothing means that nobody here can say: ask again.
    accepted: bool | None = None
    #: There is no such execution.
    missing: bool = False


class RegisterRequest(Request, frozen=True, kw_only=True, omit_defaults=True, tag="register"):
    """Registers a worker or renews its registration."""

    row: WorkerRow
    leaving: bool = False
    #: The version that the worker speaks.
    protocol: int = 0


class Registered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer: the reason if the worker is refused."""

    refused: str = ""


class PlaybookRequest(Request, frozen=True, kw_only=True, omit_defaults=True, tag="playbook"):
    """Requests a version of a document."""

    catalog_id: int


class PlaybookAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The document, if it exists."""

    entry: CatalogEntry | None = None


class CredentialRequest(Request, frozen=True, kw_only=True, omit_defaults=True, tag="credential"):
    """Requests a credential; the answer is sealed for the requester."""

    alias: str
    execution_id: int
    #: The worker that performs a command of the execution.
    worker: str
    #: The public key for which the answer is sealed.
    public: bytes
    forwarded: bool = False
    #: The requester for the audit log, as the server knows it; the worker by default.
    who: str = ""
    #: Whether the requester has the servers' internal token or one derived from it.
    is_own: bool = False

    @property
    def bound(self) -> str:
        """The text that binds the answer to this request."""
        return self.bound_to(self.alias, self.execution_id)

    @staticmethod
    def bound_to(alias: str, execution_id: int) -> str:
        """Return the text that binds an answer to an alias and an execution."""
        return f"{execution_id}|{alias}"


class CredentialAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The credential, or why it is unavailable."""

    #: A :class:`Credential` as JSON, sealed.
    sealed: Delivery | None = None
    error: str = ""
    #: Whether the requester lacks permission.
    is_refused: bool = False


class BlobPut(Request, frozen=True, kw_only=True, omit_defaults=True, tag="blob_put"):
    """Stores bytes: a blob, or one part of it to assemble with the others."""

    key: str
    part: int = 0
    parts: int = 1


class BlobKept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to :class:`BlobPut`: the server to send the other parts to."""

    server: str


class BlobGet(Request, frozen=True, kw_only=True, omit_defaults=True, tag="blob_get"):
    """Requests a part of a blob."""

    key: str
    part: int = 0


class BlobPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to :class:`BlobGet`; the bytes follow."""

    parts: int = 0
    missing: bool = False


class LoopRequest(Request, frozen=True, kw_only=True, omit_defaults=True, tag="loop"):
    """Requests the data of a loop's iterations."""

    ref: str


class LoopAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The iterations' data by index, or why it is gone."""

    values: list[Any] = []
    missing: str = ""


class Done(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An empty answer."""


class Stopping(msgspec.Struct, frozen=True, array_like=True):
    """A command to stop, identified so that a late repetition cannot stop a new delivery."""

    command_id: str
    generation: int
    attempt: int


class StopNotice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tells a worker which commands to stop, and which commands have a new owner.

    After a takeover the new owner says so: the previous one may hang while it still serves the
    subjects of its shards, and then receives as many requests for them as the new owner.
    """

    commands: list[Stopping] = []
    #: The new owner of the commands in ``owned``.
    owner: str = ""
    owned: list[str] = []


# -- over HTTP, for workers that cannot reach the bus --------------------------------------

GATEWAY_REQUESTS: Final = "/api/internal/worker/requests"
GATEWAY_MESSAGES: Final = "/api/internal/worker/messages"
GATEWAY_NOTICES: Final = "/api/internal/worker/notices"

GATEWAY_WAIT_SECONDS_MAX: Final = 30.0
"""Maximum time for which a server holds a worker's request for messages or notices."""

NOBODY: Final = "nobody"
"""Error code for a request whose subject no process serves."""

_Seconds = Annotated[float, Meta(ge=0, le=GATEWAY_WAIT_SECONDS_MAX)]


class GatewayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request, as it would go over the bus."""

    subject: Annotated[
        str,
        Meta(
            pattern="^(server|owner\\.[A-Za-z0-9_.-]{1,200}|shard\\.[0-9]{1,4})$",
            description="The receiver: `server` for any, `owner.NAME` or `shard.NUMBER`.",
        ),
    ]
    body: Annotated[bytes, Meta(description="A packed request, as Base64.")]


class GatewayAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request, as it would come over the bus."""

    body: bytes


class GatewayPull(msgspec.Struct, frozen=True, kw_only=True):
    """A pull of messages for some pools."""

    pools: Annotated[
        list[Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]],
        Meta(min_length=1, max_length=64),
    ]
    limit: Annotated[int, Meta(ge=1, le=PULL_MAX)] = 1
    seconds: Annotated[_Seconds, Meta(description="How long to wait for the first one.")] = 0.0


class GatewayMessages(msgspec.Struct, frozen=True, kw_only=True):
    """Messages. They are not redelivered; servers announce unclaimed commands again."""

    messages: list[bytes]


class GatewayListen(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a worker's notices."""

    worker_id: Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]{1,200}$")]
    seconds: Annotated[_Seconds, Meta(description="How long to wait for the first notice.")] = 0.0


class GatewayNotices(msgspec.Struct, frozen=True, kw_only=True):
    """The notices for a worker."""

    notices: list[bytes]


AnyRequest = (
    ClaimRequest | ReportRequest | HeartbeatRequest | GiveBackRequest | RegisterRequest
    | PlaybookRequest | CredentialRequest | BlobPut | BlobGet | LoopRequest | InputRequest
)  # fmt: skip

REQUESTS: Final[msgspec.json.Decoder[AnyRequest]] = msgspec.json.Decoder(AnyRequest)
"""Decodes requests."""

ENCODER: Final = msgspec.json.Encoder()


PLAIN: Final = b"="
"""First byte of a plain body ..."""

ELSEWHERE: Final = b"@"
"""... of a body stored as a blob, whose key follows ..."""

WIRE: Final = "wire/"
"""(prefix of the keys of such blobs, followed by the hour of their creation)"""

WIRE_HOURS: Final = 2
"""Full hours for which such a blob is kept, after the hour of its creation."""

HOUR_US: Final = 3_600_000_000


def wire_key(now_us: int, name: str) -> str:
    """Return the key of a blob with a body; its name must not be guessable."""
    return f"{WIRE}{now_us // HOUR_US:010}/{name}"


def wire_before(now_us: int) -> str:
    """Return the key before which such blobs have expired."""
    return f"{WIRE}{now_us // HOUR_US - WIRE_HOURS:010}/"


FAULT: Final = b"!"
"""... and of an error instead of an answer."""


def pack(value: Any, data: bytes = b"") -> bytes:
    """Encode a value, and optional raw bytes, as the body of a message."""
    head = PLAIN + ENCODER.encode(value)
    return head + b"\n" + data if data else head


def unpack(body: bytes) -> tuple[bytes, bytes]:
    """Return the JSON and the raw bytes of a plain body."""
    head, _, data = body.partition(b"\n")
    return head[1:], data
