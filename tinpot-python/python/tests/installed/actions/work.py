"""Actions for the tests of an installed wheel."""

import os
import time

from tinpot import Context, action, run_command


@action
def backup(ctx: Context, host: str, days: int = 1) -> int:
    """Back up a host."""
    for day in range(days):
        print("saving", host, day)
        ctx.progress(day + 1, days)
    return days


@action
def copy(host: str) -> int:
    """Back up a host twice."""
    return backup.call(host) + backup.submit(host, days=2).result()


@action
def restore(host: str) -> None:
    """Fail."""
    raise OSError(f"{host} has no backup")


@action
def report(ctx: Context, path: str) -> str:
    """Write a report with everything that an attempt can write."""
    with ctx.step("collect"):
        ctx.warning("little space", free=3)
        with ctx.step("inner"):
            run_command(["echo", "from a command"])
    with open(path, "w") as file:
        file.write("the report")
    ctx.artifact(path, "report.txt")
    ctx.summary("**done**")
    print("token", ctx.secret("api").reveal())
    return "ok"


@action
def wait(seconds: float) -> str:
    """Wait."""
    try:
        time.sleep(seconds)
    finally:
        print("cleaned up")
    return "waited"


@action
async def wait_async(seconds: float) -> str:
    """Wait without blocking."""
    import asyncio

    await asyncio.sleep(seconds)
    return "waited"


@action
def count(to: int):
    """Count, as a generator."""
    for n in range(to):
        yield n, to
    return to


@action
def talk(lines: int, pause: float = 0.0) -> int:
    """Print lines."""
    for n in range(lines):
        print("line", n, "x" * (n % 50))
        if pause:
            time.sleep(pause)
    return lines


@action
def keep(ctx: Context, text: str) -> None:
    """Keep a file."""
    path = os.path.join(ctx.tmpdir, "kept.txt")
    with open(path, "w") as file:
        file.write(text)
    ctx.artifact(path)


_seen: list = []


@action
def remember(word: str) -> list:
    """Keep words in the module."""
    _seen.append(word)
    return _seen


@action
def crash(code: int) -> None:
    """End the interpreter, and leave a process behind that holds all files open."""
    if os.fork() == 0:
        time.sleep(600)
    os._exit(code)
