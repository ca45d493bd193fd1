"""``arcbook db`` makes the tables of a cluster, and tells what it finds."""

from __future__ import annotations

import pytest

from arcbook.cli.commands.db import db
from arcbook.cli.guard import guarded

pytestmark = pytest.mark.services


@pytest.fixture
def run(capsys):
    """Run a verb as the command line does; return its exit code and what it said."""

    def call(*arguments):
        code = guarded(lambda: db.main(list(arguments), standalone_mode=False))
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


def test_tables_are_made_once(run, postgres_server, database, monkeypatch):
    monkeypatch.setenv("ARCBOOK_DSN", postgres_server.dsn(database))

    code, said = run("check")
    assert (code, "run: arcbook db upgrade" in said) == (1, True)
    code, said = run("upgrade")
    assert (code, "created the tables" in said) == (0, True)
    code, said = run("upgrade")
    assert (code, "up to date" in said) == (0, True)
    assert run("check")[0] == 0


def test_a_newer_database_is_told(run, postgres_server, database):
    dsn = postgres_server.dsn(database)
    run("upgrade", "--dsn", dsn)
    postgres_server.execute("insert into arcbook.schema_version values (999)", database)

    code, said = run("check", "--dsn", dsn)
    assert (code, "newer Arcbook" in said) == (1, True)
    code, said = run("upgrade", "--dsn", dsn)
    assert (code, "newer Arcbook" in said) == (1, True)


def test_a_database_out_of_reach_is_told_without_the_password(run):
    code, said = run("check", "--dsn", "postgresql://me:s3cret@127.0.0.1:1/db")

    assert (code, "s3cret" in said) == (1, False)
    assert "Error: PostgreSQL at 127.0.0.1:1/db: the server cannot be reached" in said


def test_a_database_must_be_named(run):
    code, said = run("upgrade")

    assert (code, "ARCBOOK_DSN" in said) == (2, True)
