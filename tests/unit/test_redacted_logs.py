"""Logs of a process that uses secrets."""

from __future__ import annotations

import logging

import pytest

from arcbook.cli.known import describe, describe_fault
from arcbook.secrets.logs import redact, redacted
from arcbook.secrets.taint import Secrets

SECRET = "s3cret/in the+logs"


@pytest.fixture
def secrets(monkeypatch):
    factory = logging.getLogRecordFactory()
    known = Secrets()
    redact(known)
    known.add({"api.token": SECRET})
    yield known
    logging.setLogRecordFactory(factory)


def test_messages_arguments_and_tracebacks_show_no_secret(secrets, caplog):
    log = logging.getLogger("somebody.elses")
    log.warning("it is %s", {"a": SECRET})
    log.warning("url %s", "http://h/s3cret%2Fin%20the%2Blogs")
    try:
        int(SECRET)
    except ValueError:
        log.exception("it failed")

    assert caplog.text.count("***") >= 3
    assert SECRET not in caplog.text
    assert "s3cret%2F" not in caplog.text


def test_what_has_no_secret_stays_as_it_is(secrets, caplog):
    logging.getLogger("somebody.elses").warning("%d of %s", 3, "four")

    assert caplog.records[0].args == (3, "four")


def test_a_message_that_does_not_fit_its_arguments_is_left_to_its_handler(secrets):
    record = logging.getLogRecordFactory()("n", logging.INFO, "p", 1, "%d %d", ("x",), None)

    assert record.args == ("x",)


def test_what_a_handler_says_of_a_message_that_does_not_fit_shows_no_secret(secrets, capsys):
    logger = logging.getLogger("somebody.elses.wrong")
    logger.propagate = False  # pytest raises what a handler would print
    logger.addHandler(logging.StreamHandler())
    text = f"%d of {SECRET}"
    logger.warning(text, SECRET)

    told = capsys.readouterr().err
    assert "***" in told
    assert SECRET not in told


def test_the_last_words_of_a_process_show_no_secret(secrets, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    error = ValueError("fails with " + SECRET)

    assert SECRET not in describe(error)
    assert SECRET not in describe_fault(error)
    assert SECRET not in next(tmp_path.iterdir()).read_text()


def test_secrets_that_are_no_longer_in_use_are_forgotten():
    known = Secrets()
    redact(known)
    known.add({"a": "gone-by-and-by"})
    del known

    assert redacted("gone-by-and-by") == "gone-by-and-by"
