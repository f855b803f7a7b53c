"""The options of submissions and lists, as the server reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinpot._client_errors import SettingsError

_TIMES = ("delay", "expires_in", "timeout", "retry_delay", "max_retry_delay")
_OTHERS = (
    "priority",
    "retries",
    "queue",
    "idempotency_key",
    "max_lost_attempts",
    "backoff",
    "retry_jitter",
    "not_before",
    "traceparent",
)


def submission_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of a submission as the server reads them."""
    options: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        if name in _TIMES:
            options[name] = seconds(name, value, least=0.0)
        elif name == "not_before":
            options[name] = _moment(name, value)
        elif name in _OTHERS:
            options[name] = value
        else:
            known = ", ".join((*_TIMES, *_OTHERS))
            raise TypeError(f"there is no option {name!r}: the options are {known}")
    return options


_FILTERS = ("status", "action", "queue", "requested_by", "q", "since", "until", "parent")


def list_filter(name: str, value: Any) -> Any:
    """Returns the value of a filter of a list of executions."""
    if name not in _FILTERS:
        raise TypeError(f"there is no filter {name!r}: the filters are {', '.join(_FILTERS)}")
    if value is None or isinstance(value, str):
        return value
    if name == "status" and isinstance(value, (list, tuple, set, frozenset)):
        return ",".join(map(str, value))
    if name in ("since", "until"):
        return _moment(name, value)
    return str(value)


def _moment(name: str, value: Any) -> Any:
    """Returns a time in RFC 3339."""
    if not hasattr(value, "isoformat"):
        return value
    if getattr(value, "tzinfo", None) is None:
        raise SettingsError(f"{name} must have a time zone (got {value!r})")
    return value.isoformat()


def seconds(name: str, value: Any, least: float = 0.001) -> float:
    """Returns a time, which may be a timedelta, in seconds."""
    given = value.total_seconds() if hasattr(value, "total_seconds") else value
    is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
    # Both comparisons are false for NaN.
    if not is_number or not least <= given < 3.2e9:
        raise SettingsError(f"{name} must be seconds or a timedelta (got {value!r})")
    return float(given)
