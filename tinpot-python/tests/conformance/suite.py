"""The actions of the executor conformance suite (tinpot_core::testing::executor), in Python."""

import os
import pathlib
import subprocess
import time

from tinpot import Cancelled, action

CHILD = """
touch "$1/child_started"
while [ -d "$1" ] && ! [ -e "$1/release" ]; do sleep 0.01; done
[ -d "$1" ] && touch "$1/child_ended"
"""


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
def print_lines(count: int, prefix: str = "line", scratch: str = "") -> int:
    for i in range(count):
        print(prefix, i)
    if scratch:
        (pathlib.Path(scratch) / "ended").touch()
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
            (place / "ended").touch()
            return "released"
        except Cancelled:
            pass


@action
def leave_child(dir: str, wait: bool):
    # A session of its own, so that it is in no process group of the worker's.
    subprocess.Popen(["sh", "-c", CHILD, "sh", dir], start_new_session=True)
    place = pathlib.Path(dir)
    while not os.path.exists(place / "child_started"):
        time.sleep(0.005)
    if wait:
        stubborn(dir)
    else:
        (place / "started").touch()
