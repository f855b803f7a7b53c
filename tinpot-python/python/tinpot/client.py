"""Clients of a Tinpot server, with their errors: docs/how-to/python-client.md."""

from tinpot._client_async import AsyncClient, AsyncExecution
from tinpot._client_errors import (
    ClientError,
    Conflict,
    InvalidRequest,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    NotReached,
    SettingsError,
    Unavailable,
    WaitTimeout,
)
from tinpot._client_steps import Artifact, Event
from tinpot._client_sync import Client, Execution
from tinpot._errors import ActionError

__all__ = [
    "ActionError",
    "Artifact",
    "AsyncClient",
    "AsyncExecution",
    "Client",
    "ClientError",
    "Conflict",
    "Event",
    "Execution",
    "InvalidRequest",
    "NotAllowed",
    "NotAuthenticated",
    "NotFound",
    "NotReached",
    "SettingsError",
    "Unavailable",
    "WaitTimeout",
]
