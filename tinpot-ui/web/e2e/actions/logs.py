"""Actions of the browser tests."""

import logging
import sys
import time
from dataclasses import dataclass
from datetime import date, datetime, time as clock, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Literal, Optional, Union

from tinpot import Context, Secret, action

ESC = "\x1b"


@action(group="Logs")
def many(lines: int = 300_000, needle: int = 271_828):
    """Writes many lines, one of them different."""
    write = sys.stdout.write
    for start in range(1, lines + 1, 1000):
        stop = min(start + 1000, lines + 1)
        write("".join(f"line {n}: the needle\n" if n == needle else f"line {n}: hay\n" for n in range(start, stop)))
    return lines


@action(group="Logs")
def ticking(seconds: float = 60, every: float = 0.1, gate: str = ""):
    """Writes lines until a file appears or the time has passed."""
    ends = time.monotonic() + seconds
    number = 0
    while time.monotonic() < ends and not (gate and Path(gate).exists()):
        number += 1
        print(f"tick {number}", flush=True)
        time.sleep(every)
    print("the last line", flush=True)
    return number


@action(group="Logs")
def one_line(size: int = 5_000_000):
    """Writes a line of five megabytes between two short ones."""
    print("before it")
    print("y" * size)
    print("after it")


@action(group="Logs")
def colourful(ctx: Context):
    """Writes a line of every kind."""
    print(f"{ESC}[1;32mok{ESC}[0m {ESC}[38;5;208mdeploy{ESC}[0m {ESC}[38;2;20;20;20mnear black{ESC}[0m {ESC}[48;5;25mblue ground{ESC}[0m")
    print(f"{ESC}[3mitalic{ESC}[0m {ESC}[4munderlined{ESC}[0m {ESC}[7minverse{ESC}[0m")
    print("10%\r55%\r100% done")
    print("to stderr", file=sys.stderr)
    ctx.debug("a detail", size=3)
    ctx.info("for information")
    ctx.warning("look at this", host="db-1")
    ctx.error("this is bad")
    logging.getLogger("app").warning("from logging")
    with ctx.step("prepare"):
        print("inside prepare")
        with ctx.step("inner"):
            print("inside inner")
    print("after the steps")
    print("x" * 200_000)
    print("the end")


@action(name="<img src=x onerror='window.hacked=1'>", group="<img src=x onerror='window.hacked = 1'>", queue="<b>queue")
def scripted(ctx: Context, text: str = "<script>window.hacked = 1</script>", kind: Literal["<i>one</i>", "two"] = "<i>one</i>"):
    """<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">

    Args:
        text: <script>window.hacked = 1</script><b>bold</b>
    """
    print(text)
    print("<img src=x onerror='window.hacked = 1'>")
    ctx.info("<b>bold</b>", field="<script>window.hacked = 1</script>")
    with ctx.step("<script>window.hacked = 1</script>"):
        print("within")
    file = Path(ctx.tmpdir) / "<img src=x onerror=window.hacked=1>.txt"
    file.write_text("a file")
    ctx.artifact(str(file))
    ctx.summary("# <script>window.hacked = 1</script>\n\n[click](javascript:window.hacked=1) <img src=x onerror='window.hacked = 1'>")
    return {"<script>window.hacked = 1</script>": [text, "<img src=x onerror='window.hacked = 1'>"]}


@action(group="Runs")
def scripted_failure():
    """Fails with markup."""
    raise ValueError("<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>")


@action(group="Runs")
def failing():
    """Fails in a nested call."""
    def inner():
        raise ValueError("the disk is full")
    print("about to fail")
    inner()


@action(group="Runs")
def failing_deeply(depth: int = 4):
    """Fails below many different functions, after many lines."""
    for number in range(1, 401):
        print(f"line {number}")
    calls = [lambda rest: rest[0](rest[1:]) for _ in range(depth)]

    def first(rest):
        second(rest)

    def second(rest):
        third(rest)

    def third(rest):
        rest[0](rest[1:])

    def bottom(rest):
        raise ValueError("at the bottom")

    first([*calls, bottom])


@action(group="Runs", retries=1, retry_delay=0)
def failing_twice():
    """Fails in each of two attempts."""
    print("trying")
    raise ValueError("again")


@action(group="Runs", timeout=0.5)
def too_slow():
    """Exceeds its limit."""
    time.sleep(60)


@action(group="Logs")
def stepped(ctx: Context):
    """Has a long step between others."""
    print("before")
    for name, lines in (("first", 2_000), ("last", 40)):
        with ctx.step(name):
            for number in range(1, lines + 1):
                print(f"{name} {number}")
    print("after")


@action(group="Logs")
def with_links():
    """Writes web addresses."""
    print("see https://example.org/a_(b), (or https://example.org/c).")
    print("javascript:alert(1)")


@action(group="Runs")
def stubborn(seconds: float = 60):
    """Ignores cancellation."""
    ends = time.monotonic() + seconds
    print("begun", flush=True)
    while time.monotonic() < ends:
        try:
            while time.monotonic() < ends:
                time.sleep(0.05)
        except BaseException:
            print("asked to end", flush=True)


@action(group="Runs")
def leaf(name: str = "leaf"):
    """Returns its parameter; other actions call it."""
    time.sleep(0.2)
    return name


@action(group="Runs")
def nested(ctx: Context, lines: int = 3):
    """Has steps, a child, an artifact and a summary."""
    with ctx.step("collect"):
        for number in range(lines):
            print(f"collecting {number}")
            time.sleep(0.05)
        with ctx.step("inner"):
            time.sleep(0.1)
    with ctx.step("call others"):
        first = ctx.call("leaf", name="one")
    file = Path(ctx.tmpdir) / "report.txt"
    file.write_text("a report")
    ctx.artifact(str(file))
    ctx.summary("# Report\n\n| table | rows |\n|---|--:|\n| users | 1,204 |\n\n- [x] done\n")
    return {"first": first, "big": 12345678901234567890, "nothing": None}


@action(group="Runs")
def bulky(entries: int = 60_000):
    """Returns six megabytes."""
    rows = [{"index": n, "name": "n" * 60} for n in range(entries)]
    return {"rows": rows, "text": "t" * 1_000_000, "id": 123456789012345678901234567890}


@action(group="Logs", max_result="1M")
def bounded():
    """Returns more than the limit of its action."""
    return "b" * 2_000_000


class Colour(Enum):
    RED = "red"
    GREEN = "green"


@action(group="Forms")
def form(
    text: str = "as it was",
    note: Optional[str] = None,
    count: Optional[int] = None,
    ratio: float = 0.5,
    colour: Colour = Colour.GREEN,
    size: Literal["s", "m", "l"] = "m",
    day: Optional[date] = None,
    moment: Optional[datetime] = None,
    at: Optional[clock] = None,
    wait: Optional[timedelta] = None,
    price: Decimal = Decimal("9.90"),
    words: list[str] = ("one", "two"),
    numbers: dict[str, int] = {},
    either: Union[int, str] = 1,
    loud: bool = False,
):
    """Has a field of every type; returns what it received."""
    return {name: [type(value).__name__, str(value)] for name, value in sorted(locals().items())}


@dataclass
class Limits:
    cpu: float
    memory: int = 256
    note: Optional[str] = None


@action(group="Forms")
def structured(
    limits: Limits,
    moment: datetime,
    hosts: list[str],
    labels: dict[str, int],
    either: Union[int, str, Limits] = 1,
    backup: Optional[Limits] = None,
    flag: Optional[bool] = None,
):
    """Has nested fields; returns what it received."""
    return {name: [type(value).__name__, str(value)] for name, value in sorted(locals().items())}


@action(group="Forms")
def with_secret(token: Secret, target: str = "here"):
    """Takes a secret."""
    return len(token.reveal())
