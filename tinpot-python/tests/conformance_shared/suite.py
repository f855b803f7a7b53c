"""The actions of the executor conformance suite (tinpot_core::testing::executor), as coroutines that share an interpreter."""

import asyncio
import os
import pathlib

from tinpot import action


class Worst(BaseException):
    pass


@action(concurrency=8)
async def echo(value):
    return value


@action(concurrency=8)
async def add(a: int, b: int = 2) -> int:
    return a + b


@action(concurrency=8)
async def fail(message: str):
    raise RuntimeError(message)


@action(concurrency=8)
async def crash():
    raise Worst


@action(concurrency=8)
async def print_lines(count: int, prefix: str = "line") -> int:
    for i in range(count):
        print(prefix, i)
    return count


@action(concurrency=8)
async def wait(dir: str):
    place = pathlib.Path(dir)
    try:
        (place / "started").touch()
        await asyncio.Event().wait()
    finally:
        (place / "cleaned").touch()


@action(concurrency=8)
async def stubborn(dir: str) -> str:
    place = pathlib.Path(dir)
    while True:
        try:
            (place / "started").touch()
            while not os.path.exists(place / "release"):
                await asyncio.sleep(0.005)
            return "released"
        except asyncio.CancelledError:
            pass
