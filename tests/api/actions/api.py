"""Actions for tests of the API's description: they end immediately, so that no client waits long."""

import tempfile

from tinpot import Context, action


@action(name="default")
def everything(ctx: Context, a: int = 1, b: int = 2) -> int:
    """Leaves something in each part of an execution. Its queue has its name, so that one name stands for both."""
    with ctx.step("add"):
        print(f"\x1b[32m{a}\x1b[0m + {b}")
        ctx.warning("nearly done")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        print(a + b, file=file, flush=True)
        ctx.artifact(file.name, "sum.txt")
    ctx.summary("**done**")
    return a + b


@action(group="Texts")
def repeat(text: str = "x", times: int = 3) -> str:
    """Writes some lines."""
    for number in range(max(0, min(times, 20))):
        print(number, text[:100])
    return text


@action
def explode() -> None:
    """Fails."""
    raise ValueError("as it should")
