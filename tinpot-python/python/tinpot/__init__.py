"""Actions for Tinpot: functions that run on workers.

    from tinpot import action, action_print, run_command

    @action(group="Backups", timeout=3600, retries=3, retry_delay=60)
    def backup(host: str, days: int = 7) -> int:
        '''Back up a host.'''
        action_print("saving", host)
        return len(run_command(["backup", host]).stdout)

A decorated function stays a plain function. `help(action)` describes the options of the decorator:
priority, times, and what happens after a failed attempt. Without `retries` an action is started at
most once.

Annotations describe the parameters: dates, enums, dataclasses, a `Secret`,
`Annotated[int, Param(min=1)]` and more. docs/types.md has the table.

The package needs the standard library only.
"""

from tinpot._action import action
from tinpot._command import (
    Completed,
    action_print,
    capture_subprocess_output,
    run_command,
)
from tinpot._context import Child, Context, current
from tinpot._errors import (
    ActionError,
    Cancelled,
    CommandError,
    CommandTimeout,
    LimitError,
    ParameterError,
)
from tinpot._param import Param
from tinpot._secret import Secret
from tinpot._wrapper import Action

__all__ = [
    "Action",
    "ActionError",
    "Cancelled",
    "Child",
    "CommandError",
    "CommandTimeout",
    "Completed",
    "Context",
    "LimitError",
    "Param",
    "ParameterError",
    "Secret",
    "action",
    "action_print",
    "capture_subprocess_output",
    "current",
    "run_command",
]
