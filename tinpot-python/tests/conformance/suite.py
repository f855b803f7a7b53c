"""The actions of the executor conformance suite (tinpot_core::testing::executor), in Python."""

import os
import pathlib
import time

from tinpot import Cancelled, action


class Worst(BaseException):
    pass


@action
def echo(value):
    return value


@action
def add(a: int, b: int = 2) -> int:
    return a + b


@action
def fail(message: str):
    raise RuntimeError(message)


@action
def crash():
    raise Worst


@action
def print_lines(count: int, prefix: str = "line") -> int:
    for i in range(count):
        print(prefix, i)
    return count


@action
def wait(dir: str):
    place = pathlib.Path(dir)
    try:
        (place / "started").touch()
        while True:
            time.sleep(0.005)
    finally:
        (place / "cleaned").touch()


@action
def stubborn(dir: str) -> str:
    place = pathlib.Path(dir)
    while True:
        try:
            (place / "started").touch()
            while not os.path.exists(place / "release"):
                time.sleep(0.005)
            return "released"
        except Cancelled:
            pass
