"""A daemon in each dialect and over each transport."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import test_wire
from daemon import PATIENCE, FakeDaemon
from vectors import load

from tinpot_moor import SigningKey, worker
from tinpot_moor.schema import Dialect


def pytest_report_header() -> str:
    return f"MOOR_SEED={test_wire.SEED}"


@pytest.fixture(autouse=True)
def last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives a slow machine the time to play the daemon at the end of a worker."""
    monkeypatch.setattr(worker, "LAST_WORDS", PATIENCE)


def key() -> SigningKey:
    return SigningKey.parse(load("tokens-1.json")["keys"][0]["private_pem"].encode())


def _daemon(dialect: Dialect, scheme: str) -> Iterator[FakeDaemon]:
    daemon = FakeDaemon(dialect, scheme, key() if dialect is Dialect.A else None)
    yield daemon
    daemon.close()


@pytest.fixture(params=["A-ipc", "A-tcp", "B-ipc", "B-tcp"])
def any_daemon(request: pytest.FixtureRequest) -> Iterator[FakeDaemon]:
    dialect, _, scheme = str(request.param).partition("-")
    yield from _daemon(Dialect(dialect), scheme)


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    yield from _daemon(Dialect.A, "ipc")


@pytest.fixture
def daemon_b() -> Iterator[FakeDaemon]:
    yield from _daemon(Dialect.B, "ipc")
