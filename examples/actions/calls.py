"""An action that runs other actions, each as an execution of its own."""

from typing import Any

from hello import hello
from lessons import countdown

from tinpot import Context, action


@action(group="Basics", timeout=3600)
def greet_all(ctx: Context, names: list[str], seconds: int = 1) -> dict[str, Any]:
    """Greet everyone on the list in parallel, and count down meanwhile.

    The executions may run on other workers. This action takes no slot while it waits.
    """
    # `submit` returns at once, so that all of them run at the same time.
    greetings = [hello.submit(name) for name in names]
    with ctx.step("countdown"):
        lines = countdown.call(seconds, interval=0.5)
    return {"greetings": [greeting.result() for greeting in greetings], "lines": lines}
