"""Checks of other machines."""

import socket
import time
import urllib.error
import urllib.request
from typing import Any

from tinpot import action, action_print


def check(target: str, timeout: float) -> str:
    """Returns the state of a target; raises OSError if it is down."""
    if target.startswith(("http://", "https://")):
        with urllib.request.urlopen(target, timeout=timeout) as response:
            return f"HTTP {response.status}"
    host, _, port = target.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"a target must be host:port or an http(s) address (got {target!r})")
    with socket.create_connection((host.strip("[]"), int(port)), timeout):
        return "port open"


@action(group="Monitoring", timeout=300, retries=1)
def check_hosts(
    targets: list[str], timeout_seconds: float = 3.0, fail: bool = True
) -> dict[str, Any]:
    """Check hosts: `name:port` by a TCP connection, `http://…` by a GET request.

    The action fails if a host is down. With `fail` off, only the result tells.
    """
    results = {}
    down = []
    for target in targets:
        started = time.perf_counter()
        try:
            found = check(target, timeout_seconds)
        except OSError as error:
            found = f"{type(error).__name__}: {error}"
            down.append(target)
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        mark = "✗" if target in down else "✓"
        action_print(f"{mark} {target}: {found} ({milliseconds} ms)")
        results[target] = {"up": target not in down, "found": found, "milliseconds": milliseconds}
    if down and fail:
        raise RuntimeError(f"{len(down)} of {len(targets)} are down: {', '.join(down)}")
    return results
