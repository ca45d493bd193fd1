"""The operations of the API that the client uses: method, path and answer type."""

from __future__ import annotations

from typing import Any, Final, Generic, NamedTuple, TypeVar

from arcbook.wire.http import (
    access,
    catalog,
    credentials,
    execute,
    executions,
    keychain,
    schedules,
    system,
    workers,
)

Answer = TypeVar("Answer")


class Operation(NamedTuple, Generic[Answer]):
    """A route as the client sees it."""

    method: str
    path: str
    answer: type[Answer]


HEALTH: Final = Operation("GET", "/api/health", system.Health)
STATS: Final = Operation("GET", "/api/dashboard/stats", system.Dashboard)

REGISTER: Final = Operation("POST", "/api/catalog/register", catalog.Registered)
CATALOG: Final = Operation("POST", "/api/catalog/list", catalog.Entries)
RESOURCE: Final = Operation("POST", "/api/catalog/resource", catalog.Entry)

EXECUTE: Final = Operation("POST", "/api/execute", execute.Started)
EXECUTIONS: Final = Operation("GET", "/api/executions", list[executions.Summary])
EXECUTION: Final = Operation("GET", "/api/executions/{execution_id}", executions.Detail)
STATUS: Final = Operation("GET", "/api/executions/{execution_id}/status", executions.StatusView)
RESULT: Final = Operation("GET", "/api/executions/{execution_id}/result", executions.ResultView)
ANALYZE: Final = Operation("GET", "/api/executions/{execution_id}/analyze", executions.Analysis)
EVENTS: Final = Operation("GET", "/api/executions/{execution_id}/events", executions.EventsPage)
CANCEL: Final = Operation("POST", "/api/executions/{execution_id}/cancel", executions.Cancelled)
FINALIZE: Final = Operation("POST", "/api/executions/{execution_id}/finalize", executions.Finalized)
RERUN: Final = Operation("POST", "/api/executions/{execution_id}/rerun", executions.Retried)
RETRY_FROM: Final = Operation(
    "POST", "/api/executions/{execution_id}/retry-from", executions.Retried
)
RESOLVE: Final[Operation[Any]] = Operation("GET", "/api/result/resolve", object)

CREDENTIALS: Final = Operation("GET", "/api/credentials", credentials.Credentials)
PUT_CREDENTIAL: Final = Operation("POST", "/api/credentials", credentials.CredentialView)
CREDENTIAL: Final = Operation("GET", "/api/credentials/{name}", credentials.CredentialView)
SEALED_CREDENTIAL: Final = Operation(
    "GET", "/api/credentials/{name}/sealed", credentials.SealedCredential
)
DELETE_CREDENTIAL: Final = Operation("DELETE", "/api/credentials/{name}", credentials.Deleted)

KEYCHAIN: Final = Operation("GET", "/api/keychain/catalog/{catalog_id}", keychain.KeychainView)

SCHEDULES: Final = Operation("GET", "/api/schedules", schedules.Schedules)
PUT_SCHEDULE: Final = Operation("PUT", "/api/schedules/{name}", schedules.ScheduleView)
SCHEDULE: Final = Operation("GET", "/api/schedules/{name}", schedules.ScheduleView)
DELETE_SCHEDULE: Final = Operation("DELETE", "/api/schedules/{name}", credentials.Deleted)
PAUSE_SCHEDULE: Final = Operation("POST", "/api/schedules/{name}/pause", schedules.ScheduleView)
RESUME_SCHEDULE: Final = Operation("POST", "/api/schedules/{name}/resume", schedules.ScheduleView)

REPORT_JOB: Final = Operation(
    "POST", "/api/internal/container-callback/{execution_id}/{step}", access.CallbackTaken
)

TOKENS: Final = Operation("GET", "/api/tokens", access.TokenList)
ADD_TOKEN: Final = Operation("POST", "/api/tokens", access.TokenTold)
ROTATE_TOKEN: Final = Operation("POST", "/api/tokens/{token_id}/rotate", access.TokenTold)
DELETE_TOKEN: Final = Operation("DELETE", "/api/tokens/{token_id}", credentials.Deleted)

WORKERS: Final = Operation("GET", "/api/worker/pools", list[workers.WorkerView])
POOLS: Final = Operation("GET", "/api/runtime/pools", list[workers.PoolView])
SERVERS: Final = Operation("GET", "/api/runtime/servers", list[system.ServerView])

OPERATIONS: Final[tuple[Operation[Any], ...]] = tuple(
    value for value in dict(globals()).values() if isinstance(value, Operation)
)
"""All operations; a test checks that the API has each."""
