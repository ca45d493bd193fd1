"""Fixtures of real servers: each started once, when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arcbook.testing.services import NatsServer, PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """PostgreSQL, for all tests of the session."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def _used_database(postgres_server: PostgresServer) -> str:
    postgres_server.create_database("test")
    return "test"


@pytest.fixture
def database(postgres_server: PostgresServer, _used_database: str) -> str:
    """The name of an empty database."""
    postgres_server.empty_database(_used_database)
    return _used_database


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """NATS with JetStream, for all tests of the session."""
    with NatsServer() as server:
        yield server
