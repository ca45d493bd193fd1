"""What processes log: as lines and as JSON, with names, facts and no secrets."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import warnings
from pathlib import Path

import pytest

import arcbook
from arcbook.logs import events
from arcbook.logs.context import LogContext, current_context
from arcbook.logs.events import Event
from arcbook.logs.setup import configure_logs
from arcbook.performer.runner import CommandRunner, Job
from arcbook.settings import load_settings

DSN = "postgresql://me:p%40ss-word%2F1@db.example:5432/arcbook"
SOURCE = Path(arcbook.__file__).parent
LOUD = {"debug", "info", "warning", "error", "exception", "critical", "log"}


@pytest.fixture
def logging_as(capsys):
    """Configure the logs of this process for a test."""
    root = logging.getLogger()
    own = [logging.getLogger(name) for name in ("arcbook", "uvicorn")]
    kept = root.handlers[:], root.level, [one.level for one in own]
    factory = logging.getLogRecordFactory()

    def configured(**given):
        configure_logs(load_settings({}, home="/tmp", **given))

        def told():
            return capsys.readouterr().err.splitlines()

        return told

    yield configured
    logging.captureWarnings(capture=False)
    logging.setLogRecordFactory(factory)
    root.handlers[:], root.level = kept[0], kept[1]
    for one, level in zip(own, kept[2], strict=True):
        one.setLevel(level)


def test_a_json_line_has_its_event_its_facts_and_what_it_is_about(logging_as):
    lines = logging_as(log_format="json")
    with LogContext(worker="w1", execution=7, step="load"):
        logging.getLogger("arcbook.x").warning(events.STORE_FAILED, {"reason": OSError("gone")})

    (line,) = [json.loads(text) for text in lines()]
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "arcbook.x",
        "event": "store.failed",
        "message": "the store failed; all executions are reloaded: gone",
        "reason": "gone",
        "worker": "w1",
        "execution": 7,
        "step": "load",
    }


def test_a_line_for_people_is_one_line_with_the_same(logging_as):
    lines = logging_as()
    with LogContext(worker="w1"):
        logging.getLogger("arcbook.x").info(events.TABLES_MADE, {"count": 2})

    (line,) = lines()
    assert "INFO     tables.made  created the event tables of 2 months  worker=w1" in line


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_log_shows_a_secret_of_the_settings(logging_as, form):
    lines = logging_as(
        log_format=form, dsn=DSN, nats_url="nats://u:bus-secret-9@n", internal_token="tok-en-12345"
    )
    log = logging.getLogger("asyncpg")
    log.warning("cannot reach %s", DSN)
    log.warning("password p@ss-word/1, then p%%40ss-word%%2F1")
    log.error(events.BUS_AWAY, {"reason": "bus-secret-9 and tok-en-12345"})
    try:
        int(DSN)
    except ValueError:
        log.exception(events.REQUEST_FAILED)

    told = "\n".join(lines())
    assert told.count("***") >= 5
    for secret in ("p@ss-word", "p%40ss", "bus-secret-9", "tok-en-12345"):
        assert secret not in told
    assert "bus.away" in told
    assert "request.failed" in told


def test_what_is_less_than_the_level_is_not_logged_and_libraries_tell_warnings_only(logging_as):
    lines = logging_as(log_level="warning")
    logging.getLogger("arcbook.x").info(events.TABLES_MADE, {"count": 2})
    logging.getLogger("nats").info("chatter")
    logging.getLogger("nats").warning("trouble")

    (line,) = lines()
    assert "trouble" in line


def test_warnings_of_python_and_messages_of_uvicorn_are_lines_like_others(logging_as):
    lines = logging_as(log_format="json")
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.warn("old", UserWarning, stacklevel=1)

    found = {line["logger"]: line["message"] for line in map(json.loads, lines())}
    assert found["uvicorn.error"] == "Started server process [1]"
    assert "UserWarning: old" in found["py.warnings"]


def test_facts_never_take_the_place_of_a_lines_own_fields(logging_as):
    lines = logging_as(log_format="json")
    with LogContext(level="none", message="forged"):
        logging.getLogger("arcbook.x").warning(events.BUS_OPEN, {"reason": "a\nb"})

    (line,) = lines()
    assert (json.loads(line)["level"], json.loads(line)["message"]) == ("warning", "a\nb")


async def test_tools_log_with_the_execution_and_the_step_of_their_command():
    seen = []

    def performing():
        seen.append(current_context())
        yield asyncio.sleep(0)
        seen.append(current_context())

    ended = asyncio.Event()
    runner = CommandRunner(1, lambda *_: ended.set(), lambda *_: None)
    runner.begin(Job(5, "load:1:0", 1, 1, performing, "load"))
    await ended.wait()

    assert seen == [{"execution": 5, "step": "load", "command": "load:1:0"}] * 2
    assert current_context() == {}


def _said(tree: ast.AST):
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LOUD
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in ("log", "_log")
        ):
            yield node


def test_everything_that_is_logged_is_an_event_of_the_vocabulary_with_its_facts():
    known = {name: value for name, value in vars(events).items() if isinstance(value, Event)}
    names = [event.name for event in known.values()]
    assert len(names) == len(set(names))
    used = set()
    for file in SOURCE.rglob("*.py"):
        for call in _said(ast.parse(file.read_text("utf-8"))):
            what = call.args[0]
            assert isinstance(what, ast.Attribute), f"{file}:{call.lineno} logs a bare text"
            event = known[what.attr]
            used.add(what.attr)
            facts = call.args[1] if len(call.args) > 1 else ast.Dict(keys=[], values=[])
            given = {ast.literal_eval(key) for key in facts.keys}
            assert event % dict.fromkeys(given, 1), f"{file}:{call.lineno}"
            assert all(f"%({name})" in event for name in given), f"{file}:{call.lineno}"
    assert used == set(known)
