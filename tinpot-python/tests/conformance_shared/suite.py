"""The actions of the executor conformance suite as coroutines that share an interpreter."""

import asyncio
import os
import pathlib
import subprocess

from tinpot import action

CHILD = """
touch "$1/child_started"
while [ -d "$1" ] && ! [ -e "$1/release" ]; do sleep 0.01; done
[ -d "$1" ] && touch "$1/child_ended"
"""


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
async def print_lines(count: int, prefix: str = "line", scratch: str = "") -> int:
    for i in range(count):
        print(prefix, i)
    if scratch:
        (pathlib.Path(scratch) / "ended").touch()
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
            (place / "ended").touch()
            return "released"
        except asyncio.CancelledError:
            pass


@action(concurrency=8)
async def leave_child(dir: str, wait: bool):
    # A session of its own, so that it is in no process group of the worker's.
    subprocess.Popen(["sh", "-c", CHILD, "sh", dir], start_new_session=True)
    place = pathlib.Path(dir)
    while not os.path.exists(place / "child_started"):
        await asyncio.sleep(0.005)
    if wait:
        await stubborn(dir)
    else:
        (place / "started").touch()
