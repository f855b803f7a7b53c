"""Actions of the worker `general`, which need no packages."""

import time

from tinpot import action


@action(group="General", queue="default", description="Simple task")
def simple_task(seconds: float = 0):
    print("Running simple task", flush=True)
    time.sleep(seconds)
