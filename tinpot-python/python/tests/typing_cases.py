"""Types that a type checker has to infer; `cargo xtask ci python-lint` checks this file.

`type: ignore` marks errors that mypy must report: an unused one is an error itself.
"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any

from tinpot import Action, Child, Context, action, current

if TYPE_CHECKING:
    from typing_extensions import assert_type


@action
def add(a: int, b: int = 1) -> int:
    return a + b


@action(timeout=3, memory="1M")
async def wait(seconds: float) -> str:
    return str(seconds)


@action
def count(to: int) -> Generator[int, None, list[str]]:
    yield to
    return []


@action
async def stream() -> AsyncIterator[int]:
    yield 1


@action
def today() -> datetime.date:
    return datetime.date.today()


@action(retries=2)
def with_context(ctx: Context, name: str) -> bool:
    return bool(ctx.execution_id) and bool(name)


class Backup:
    @action
    def run(self, days: int) -> int:
        return days


def takes_action(_function: Action[[int, int], int]) -> None: ...


def check(ctx: Context) -> None:
    # A decorated function is called like the function.
    assert_type(add(1), int)
    assert_type(Backup().run(3), int)
    assert_type(with_context(ctx, "x"), bool)
    assert_type(with_context("x"), bool)
    assert_type(today(), datetime.date)

    # `call` has the function's parameters without the context, and its result.
    assert_type(add.call(1, b=2), int)
    assert_type(wait.call(1.5), str)
    assert_type(count.call(3), list[str])
    assert_type(with_context.call("x"), bool)
    assert_type(add.submit(1), Child[int])
    assert_type(with_context.submit(name="x").result(), bool)
    # JSON has no dates: the result is text.
    assert_type(today.call(), Any)
    assert_type(current().call(add, a=1), Any)

    add("x")  # type: ignore[arg-type]
    add.call("x")  # type: ignore[call-overload]
    add.call(1, c=2)  # type: ignore[call-overload]
    add.submit()  # type: ignore[call-overload]
    with_context.call(ctx, "x")  # type: ignore[call-overload]
    Backup().run("x")  # type: ignore[arg-type]
    action(retries="3")  # type: ignore[call-overload]
    takes_action(today)  # type: ignore[arg-type]
