"""The fixtures `run_action` and `tinpot_server` of pytest, which finds them by itself.

docs/how-to/test-actions.md shows them. Nothing of the package is imported until one is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tinpot.testing import Runner, Server


@pytest.fixture
def run_action() -> Runner:
    """Runs an action in this process, as a worker would: `run_action(backup, "db1").value`."""
    from tinpot.testing import Runner

    return Runner()


@pytest.fixture(scope="session")
def tinpot_actions(request: pytest.FixtureRequest) -> Path:
    """The folder of the actions of `tinpot_server`; `actions` in the root folder of the tests.

    Define a fixture of this name in conftest.py for another one.
    """
    return request.config.rootpath / "actions"


@pytest.fixture(scope="session")
def tinpot_server(tinpot_actions: Path) -> Generator[Server, None, None]:
    """A server of the session's own, with `url`, `client` and `async_client`."""
    from tinpot.testing import Server

    with Server(tinpot_actions) as server:
        yield server


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Shows the end of the server's log with a test that failed."""
    outcome = yield
    report = outcome.get_result()
    server = getattr(item, "funcargs", {}).get("tinpot_server")
    if report.failed and server is not None:
        report.sections.append(("log of tinpot_server", server.log()))
