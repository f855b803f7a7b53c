"""Write actions for Tinpot: functions that people and programs run on workers and watch live.

    from tinpot import action, action_print, run_command

    @action(group="Backups", timeout=3600, retries=3, retry_delay=60)
    def backup(host: str, days: int = 7) -> int:
        '''Back up a host.'''
        action_print("saving", host)
        return len(run_command(["backup", host]).stdout)

A decorated function stays a plain function. What the decorator can be told is in `help(action)`: what comes first, how long an execution waits
and how long it may run, and what happens after an attempt that failed. Without `retries` a function is started at most once.

Parameters are what their annotations say: dates, enums, dataclasses, a `Secret`, `Annotated[int, Param(min=1)]` and more; docs/types.md has all.

Nothing here needs anything beyond the standard library.
"""

from tinpot._action import action
from tinpot._param import Param
from tinpot._command import Completed, action_print, run_command
from tinpot._context import Context, current
from tinpot._errors import ActionError, Cancelled, CommandError, CommandTimeout, LimitError, ParameterError
from tinpot._secret import Secret

__all__ = [
    "ActionError",
    "Cancelled",
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
    "current",
    "run_command",
]
