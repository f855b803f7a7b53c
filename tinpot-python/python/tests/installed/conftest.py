"""Settings of the tests that need an installed wheel; `cargo xtask ci wheel` runs them."""

import pathlib
import sys

import pytest

pytest_plugins = ["pytester"]
ACTIONS = pathlib.Path(__file__).parent / "actions"
sys.path.insert(0, str(ACTIONS))


@pytest.fixture(scope="session")
def tinpot_actions():
    return ACTIONS
