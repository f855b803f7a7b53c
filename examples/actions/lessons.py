"""Actions to try the platform with: one that takes its time, and one that fails."""

import json
import time

from tinpot import action, action_print


@action(group="Lessons", timeout=3600)
def countdown(seconds: int = 10, interval: float = 1.0):
    """Count down, one line at a time: for watching the live log, and for cancelling."""
    if interval <= 0:
        raise ValueError("interval must be more than 0")
    ends = time.monotonic() + seconds
    lines = 0
    while (left := ends - time.monotonic()) > 0:
        action_print(f"{left:.0f} seconds left ({100 - 100 * left / seconds:.0f} % done)")
        lines += 1
        time.sleep(min(interval, left))
    action_print("lift-off!")
    return lines


def read_settings(text):
    """Settings from JSON."""
    return json.loads(text)


def port_of(settings):
    """The port that the settings name."""
    return int(settings["server"]["port"])


def start_server(text):
    """Raises with a cause, so that the traceback has two parts."""
    try:
        return port_of(read_settings(text))
    except (KeyError, ValueError) as error:
        raise RuntimeError("the server cannot start: its settings are not complete") from error


@action(group="Lessons")
def failing(settings: str = '{"server": {}}'):
    """Fail some calls deep: for seeing where a traceback goes."""
    print("starting a server that has no port")
    return start_server(settings)
