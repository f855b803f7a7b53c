"""The exceptions that actions raise or catch."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from typing import Any


class Cancelled(BaseException):
    """Raised inside an action that has to end: it was cancelled, or it exceeded its timeout.

    Not an `Exception`, so that `except Exception` does not swallow it. Do not catch it; clean up
    in `finally`.
    """


class LimitExceeded(BaseException):
    """Raised inside an action that exceeds a limit of its attempt.

    Not an `Exception`, for the same reason as `Cancelled`.
    """


class CommandError(subprocess.CalledProcessError):
    """A command exited with a code other than 0.

    command: the command as text, with secrets masked.
    """

    def __init__(
        self, command: str, returncode: int | None, stdout: Any = None, stderr: Any = None
    ) -> None:
        super().__init__(returncode, command, stdout, stderr)  # type: ignore[arg-type]
        self.command = command

    def __str__(self) -> str:
        if self.returncode is not None and self.returncode < 0:
            how = f"was killed by signal {-self.returncode}"
        else:
            how = f"exited with code {self.returncode}"
        said = self.stderr or ""
        if isinstance(said, bytes):
            said = said.decode("utf-8", "replace")
        last = said.strip().splitlines()[-1:]
        return f"{self.command} {how}" + (f": {last[0]}" if last else "")


class CommandTimeout(CommandError, subprocess.TimeoutExpired):
    """A command exceeded its `timeout` and was killed."""

    def __init__(self, command: str, timeout: Any, stdout: Any = None, stderr: Any = None) -> None:
        CommandError.__init__(self, command, None, stdout, stderr)
        self.timeout = timeout

    def __str__(self) -> str:
        return f"{self.command} exceeded its timeout of {self.timeout} s and was killed"


class ActionError(Exception):
    """A called action did not succeed.

    message: the message of the failure.
    kind: the name of the exception that the action raised, or the kind of the refusal.
    traceback: the traceback of the called action, if it has one.
    execution: the id of the execution; None if the call was refused.
    status: how the execution ended, or "refused".
    """

    def __init__(
        self,
        message: str,
        kind: str = "",
        traceback: str | None = None,
        execution: str | None = None,
        status: str = "failed",
    ) -> None:
        self.message = message
        self.kind = kind
        self.traceback = traceback
        self.execution = execution
        self.status = status
        text = f"{kind}: {message}" if kind else message
        if execution:
            text += f" (execution {execution})"
        if traceback:
            text += f"\n\nTraceback of the called action:\n{traceback}"
        super().__init__(text)


class LimitError(Exception):
    """A summary or an artifact that is larger than its limit."""


class ParameterError(Exception):
    """Parameters that do not fit the signature of the action.

    problems: every error, as pairs of a path (`days`, `hosts[3]`, `limits.cpu`) and a message.
    """

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self.problems = list(problems)
        super().__init__(
            "; ".join(f"{path}: {text}" if path else text for path, text in self.problems)
        )
