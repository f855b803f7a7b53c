"""Actions to try the platform with: a slow one, and one that fails."""

import json
import time
from typing import Any

from tinpot import action, action_print


@action(group="Lessons", timeout=3600)
def countdown(seconds: int = 10, interval: float = 1.0) -> int:
    """Count down, one line at a time, to watch the live log or to cancel."""
    if interval <= 0:
        raise ValueError(f"interval must be more than 0 (got {interval})")
    ends = time.monotonic() + seconds
    lines = 0
    while (left := ends - time.monotonic()) > 0:
        action_print(f"{left:.0f} seconds left ({100 - 100 * left / seconds:.0f} % done)")
        lines += 1
        time.sleep(min(interval, left))
    action_print("lift-off!")
    return lines


def read_settings(text: str) -> Any:
    """Parses settings in JSON."""
    return json.loads(text)


def port_of(settings: dict[str, Any]) -> int:
    """Returns the port in the settings."""
    return int(settings["server"]["port"])


def start_server(text: str) -> int:
    """Raises an exception with a cause, so that the traceback has two parts."""
    try:
        return port_of(read_settings(text))
    except (KeyError, ValueError) as error:
        raise RuntimeError("the server cannot start: its settings are incomplete") from error


@action(group="Lessons")
def failing(settings: str = '{"server": {}}') -> int:
    """Fail a few calls deep, to see the traceback."""
    print("starting a server without a port")
    return start_server(settings)
