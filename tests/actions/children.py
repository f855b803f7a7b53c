"""Actions that have others run, and say what they do in steps."""

import os
import time

from probes import chatty, mark

from tinpot import ActionError, Context, action


@action
def add(a: int, b: int = 1):
    print("adding")
    return a + b


@action
def broken(why: str):
    """Fail some calls deep."""
    print("about to break")

    def deep():
        raise LookupError(why)

    deep()


@action(queue="special")
def elsewhere(text: str):
    """Return the process id. Only workers of queue `special` run this."""
    return [text, os.getppid()]


@action(queue="special")
def hold_elsewhere(file: str, seconds: float = 600):
    mark(file, str(os.getpid()), seconds)


@action
def calls(ctx: Context):
    """Every way to have another action run."""
    plain = add(1, b=2)
    called = ctx.call("add", a=3, b=4)
    by_function = ctx.call(add, a=5)
    as_method = add.call(a=7, b=8)
    submitted = [add.submit(a=number, b=0) for number in range(3)]
    return [plain, called, by_function, as_method, [child.result() for child in submitted]]


@action
def catches(ctx: Context, action: str, parameters: dict):
    """Return the error of another action, as its caller sees it."""
    try:
        ctx.call(action, **parameters)
    except ActionError as error:
        return {
            "kind": error.kind,
            "message": error.message,
            "status": error.status,
            "traceback": error.traceback,
            "execution": error.execution,
        }


@action
def passes_on(ctx: Context):
    """Does not catch what another one raises."""
    ctx.call("broken", why="the disk is gone")


@action
def asks_elsewhere(ctx: Context):
    return [ctx.call("elsewhere", text="there"), os.getppid()]


@action
def waits_elsewhere(ctx: Context, file: str):
    return ctx.call("hold_elsewhere", file=file)


@action
def nest(ctx: Context, depth: int):
    """Calls itself that often."""
    return 1 if depth <= 1 else 1 + ctx.call("nest", depth=depth - 1)


@action
def asks_once(ctx: Context, file: str, number: int):
    return ctx.call("mark", file=file, text=str(number))


@action(retries=3, retry_delay=0.1)
def asks_for_long(ctx: Context, file: str, number: int, seconds: float):
    return ctx.call("mark", file=file, text=str(number), seconds=seconds)


@action
def pipeline(ctx: Context, file: str):
    """Steps in steps, a plain call, a child, an artifact, a summary, and a step that fails."""
    print("before")
    with ctx.step("build"):
        print("building")
        with ctx.step("compile") as step:
            step.warning("slow", host="db1")
            time.sleep(0.05)
        chatty(file, "pipeline", 2, 0.02)
        ctx.call("add", a=1)
    try:
        with ctx.step("deploy"):
            raise RuntimeError("no room")
    except RuntimeError:
        pass
    ctx.artifact(file)
    ctx.summary("# Draft")
    ctx.summary("# Done\n\n- built")
    print("after")
    return "done"


@action
def keeps(ctx: Context, path: str, name: str):
    ctx.artifact(path, name)


@action
def publish(ctx: Context, file: str):
    """Stays between two steps until that file is there."""
    with ctx.step("first"):
        print("one")
    with ctx.step("second"):
        while not os.path.exists(file):
            time.sleep(0.01)


@action
def asks_later(ctx: Context, file: str, number: int):
    """Submits, and waits then."""
    return ctx.submit("mark", file=file, text=str(number)).result()
