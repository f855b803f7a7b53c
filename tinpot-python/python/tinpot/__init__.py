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

Programs run actions by `Client` or `AsyncClient`:

    with tinpot.Client() as client:
        size = client.run(backup, "db1", days=1)

The package needs the standard library only.
"""

# Not imported from `typing`, which takes longer to import than this package. Type checkers take a
# variable of this name as true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from tinpot._action import action
    from tinpot._client_async import AsyncClient
    from tinpot._client_errors import ClientError
    from tinpot._client_sync import Client
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
    from tinpot._version import __version__ as __version__
    from tinpot._wrapper import Action

__all__ = [
    "Action",
    "ActionError",
    "AsyncClient",
    "Cancelled",
    "Child",
    "Client",
    "ClientError",
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

# The module of each name. They are imported when a name is used for the first time: `inspect` and
# `subprocess` take much longer than a program that needs only one name wants to wait.
_MODULES = {
    "Action": "_wrapper",
    "ActionError": "_errors",
    "AsyncClient": "_client_async",
    "Cancelled": "_errors",
    "Child": "_context",
    "Client": "_client_sync",
    "ClientError": "_client_errors",
    "CommandError": "_errors",
    "CommandTimeout": "_errors",
    "Completed": "_command",
    "Context": "_context",
    "LimitError": "_errors",
    "Param": "_param",
    "ParameterError": "_errors",
    "Secret": "_secret",
    "__version__": "_version",
    "action": "_action",
    "action_print": "_command",
    "capture_subprocess_output": "_command",
    "current": "_context",
    "run_command": "_command",
}


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
