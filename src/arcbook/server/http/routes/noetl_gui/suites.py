"""NoETL's web page: tests of playbooks. They are stored, but not run."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from arcbook.blobs.api import BlobMissingError
from arcbook.dsl.paths import catalog_path
from arcbook.server.http.errors import invalid, not_found
from arcbook.server.http.route import Call, Route
from arcbook.wire.http.common import Done, moment
from arcbook.wire.http.noetl_gui.playbooks import PutSuite, Suite

FOLDER: Final = "playbook-tests"
"""Prefix of suites among the blobs; those of executions begin with a number."""


async def get_suite(call: Call) -> Suite:
    """Return the stored tests of a playbook."""
    try:
        blob = await call.context.server.blobs.get(_key(call))
    except BlobMissingError:
        raise not_found(f"suite of tests for {_path(call)[:200]!r}") from None
    return msgspec.json.decode(blob, type=Suite)


async def put_suite(call: Call) -> Suite:
    """Store tests for a playbook; replace existing ones."""
    request: PutSuite = call.body
    path, key = _path(call), _key(call)
    suite = Suite(
        suite_id=key.rpartition("/")[2],
        file_path=f"{FOLDER}/{path}",
        playbook_path=request.playbook_path or path,
        tests=request.tests,
        metadata=request.metadata or {},
        updated_at=moment(call.context.server.clock.now_us()),
    )
    try:
        packed = msgspec.json.encode(suite)
    except (OverflowError, ValueError):
        raise invalid("a number of the tests has more than 64 bits") from None
    await call.context.server.blobs.put(key, packed)
    return suite


async def delete_suite(call: Call) -> Done:
    """Delete the stored tests of a playbook."""
    if not await call.context.server.blobs.delete(_key(call)):
        raise not_found(f"suite of tests for {_path(call)[:200]!r}")
    return Done(message=f"the tests of {_path(call)[:200]!r} are deleted")


def _path(call: Call) -> str:
    return catalog_path(call.param("path"))


def _key(call: Call) -> str:
    digest = hashlib.sha256(_path(call).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{FOLDER}/{digest}"


SUITE: Final = {
    "suite_id": "0d1f3a",
    "file_path": f"{FOLDER}/examples/hello",
    "playbook_path": "examples/hello",
    "tests": [{"name": "greets", "payload": {"name": "you"}}],
    "metadata": {},
    "updated_at": "2026-01-05T10:00:00Z",
}

PATH: Final = "/api/playbook-tests/suites/{path:path}"

ROUTES: Final = [
    Route(
        method="GET",
        path=PATH,
        handler=get_suite,
        tag="gui",
        summary="The stored tests of a playbook",
        answer=Suite,
        answer_example=SUITE,
        refusals=(404,),
    ),
    Route(
        method="PUT",
        path=PATH,
        handler=put_suite,
        change="playbook_tests.put",
        tag="gui",
        summary="Store tests for a playbook",
        description="Replaces existing ones. They are stored unchanged, and not run.",
        body=PutSuite,
        body_example={
            "playbook_path": "examples/hello",
            "tests": [{"name": "greets", "payload": {"name": "you"}}],
            "metadata": {},
        },
        answer=Suite,
        answer_example=SUITE,
        scope="editor",
        refusals=(400, 413, 422),
    ),
    Route(
        method="DELETE",
        path=PATH,
        handler=delete_suite,
        change="playbook_tests.delete",
        tag="gui",
        summary="Delete the stored tests of a playbook",
        answer=Done,
        answer_example={"status": "ok", "message": "the tests of 'examples/hello' are deleted"},
        scope="editor",
        refusals=(404,),
    ),
]
