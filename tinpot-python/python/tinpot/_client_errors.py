"""The errors of clients."""

from __future__ import annotations

from typing import Any


class ClientError(Exception):
    """A request that the server refused, or that did not reach it.

    An execution that does not succeed is an `ActionError` instead.

    message: the reason.
    status: the HTTP status of the answer; None if there was none.
    execution: the id of the execution that continues although the request failed, if there is one.
    """

    def __init__(
        self, message: str, status: int | None = None, execution: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.execution = execution

    def __reduce__(self) -> Any:
        # The same error in another process: `Exception` would leave out all but the message.
        return _same, (type(self), self.message, dict(self.__dict__))


class SettingsError(ClientError, ValueError):
    """An address, a token, a profile or an option that cannot work; nothing was sent."""


class NotReached(ClientError, ConnectionError):
    """A server that did not answer, or that is no Tinpot server."""


class NotAuthenticated(ClientError):
    """A request without a token, or with one that the server refuses."""


class NotAllowed(ClientError):
    """A request for which the caller has no right."""


class NotFound(ClientError, LookupError):
    """An action, an execution or an artifact that the server does not know or does not show."""


class Conflict(ClientError):
    """A request against the state of the server, such as a key that was used for something else."""


class InvalidRequest(ClientError, ValueError):
    """Parameters or options that the server refuses.

    errors: every invalid value, as pairs of a path (`days`, `hosts[3]`) and a message.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        execution: str | None = None,
        errors: list[tuple[str, str]] | None = None,
    ) -> None:
        super().__init__(message, status, execution)
        self.errors = errors or []


class Unavailable(ClientError):
    """A server that is overloaded, full, or about to stop."""


class WaitTimeout(ClientError, TimeoutError):
    """An execution that has not ended within the timeout of the caller. It continues."""


def _same(kind: type[ClientError], message: str, fields: dict[str, Any]) -> ClientError:
    error = kind(message)
    error.__dict__.update(fields)
    return error
