"""Types of clients and runs that a type checker has to infer, as in typing_cases.py."""

from __future__ import annotations

import datetime
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from tinpot import AsyncClient, Client, Context, action
from tinpot.client import AsyncExecution, Execution
from tinpot.testing import Run, Runner

if TYPE_CHECKING:
    from typing_extensions import assert_type


@action
def add(a: int, b: int = 1) -> int:
    return a + b


@action(timeout=3)
async def wait(seconds: float) -> str:
    return str(seconds)


@action
def count(to: int) -> Generator[int, None, list[str]]:
    yield to
    return []


@action
def today() -> datetime.date:
    return datetime.date.today()


@action(retries=2)
def with_context(ctx: Context, name: str) -> bool:
    return bool(ctx.execution_id) and bool(name)


def check(client: Client, run_action: Runner) -> None:
    assert_type(client.run(add, 1, b=2), int)
    assert_type(client.run(wait, 1.5), str)
    assert_type(client.run(count, to=3), list[str])
    assert_type(client.run(with_context, "x"), bool)
    # JSON has no dates: the result is text.
    assert_type(client.run(today), Any)
    assert_type(client.run("add", a=1), Any)
    assert_type(client.submit(add, 1), Execution[int])
    assert_type(client.with_options(retries=1).submit(add, 1).result(timeout=3), int)
    assert_type(run_action(add, 1), Run[int])
    assert_type(run_action.with_options(cancel_after=1)(wait, 1.0).value, str)

    client.run(add, "x")  # type: ignore[call-overload]
    client.run(add, 1, c=2)  # type: ignore[arg-type, call-arg]
    client.submit(add)  # type: ignore[call-overload]
    client.run("add", 1)  # type: ignore[call-overload]
    run_action(add, "x")  # type: ignore[call-overload]


async def check_async(client: AsyncClient) -> None:
    assert_type(await client.run(add, 1), int)
    assert_type(await client.run(wait, 1.5), str)
    assert_type(await client.submit(add, 1), AsyncExecution[int])
    assert_type(await (await client.submit(add, 1)).result(), int)
    await client.run(add, "x")  # type: ignore[call-overload]
