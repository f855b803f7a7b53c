"""Parameters and results of every type in docs/types.md."""

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import os
import pathlib
import typing
import uuid
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypedDict, Union

from tinpot import Context, Param, Secret, action


class Kind(enum.Enum):
    SHORT = "short"
    LONG = "long"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    x: int
    y: int = 0


@dataclasses.dataclass
class Limits:
    cpu: int
    since: datetime.date
    names: list[str] = dataclasses.field(default_factory=list)


class Host(TypedDict):
    name: str
    port: int


Port = NewType("Port", int)
Bound = typing.TypeVar("Bound", bound=int)


@action
def every_type(
    text: str,
    whole: int,
    real: float,
    flag: bool,
    nothing: None,
    anything: Any,
    bare,
    literal: Literal["a", 1],
    kind: Kind,
    level: Level,
    optional: Optional[int],
    union: Union[datetime.date, int, str],
    numbers: list[int],
    sequence: collections.abc.Sequence[str],
    unique: set[int],
    frozen: frozenset[int],
    many: tuple[int, ...],
    pair: tuple[int, str],
    point: Point,
    by_name: dict[str, int],
    by_number: dict[int, str],
    by_kind: dict[Kind, int],
    day: datetime.date,
    hour: datetime.time,
    moment: datetime.datetime,
    span: datetime.timedelta,
    price: decimal.Decimal,
    key: uuid.UUID,
    path: pathlib.Path,
    like: os.PathLike,
    data: bytes,
    buffer: bytearray,
    secret: Secret,
    limits: Limits,
    host: Host,
    port: Port,
    bound: Bound,
    small: Annotated[int, Param(min=1, max=9)],
    short: Annotated[str, Param(max_length=5)] = "none",
    *more: int,
    ctx: Context,
    when: Annotated[datetime.date, Param(min=datetime.date(2000, 1, 1))] = datetime.date(
        2020, 2, 29
    ),
    **others: float,
):
    """Return the type and value of every parameter."""
    given = dict(locals())
    assert isinstance(given.pop("ctx"), Context)
    return {name: f"{type(value).__name__} {value!r}" for name, value in given.items()}


@action
def every_result():
    """Return a value of every type."""
    zone = datetime.timezone.utc
    return {
        "text": "ä\0\U0001f600",
        "whole": 2**62,
        "real": 0.5,
        "flag": True,
        "nothing": None,
        "kind": Kind.LONG,
        "level": Level.HIGH,
        "numbers": [1, [2]],
        "unique": {3, 1, 2},
        "frozen": frozenset([2, 1]),
        "many": (1, 2),
        "point": Point(1),
        "by_name": {"a": 1},
        "by_number": {1: "one"},
        "by_kind": {Kind.SHORT: 1},
        "day": datetime.date(2026, 1, 31),
        "hour": datetime.time(14, 30),
        "moment": datetime.datetime(2026, 1, 31, 14, 30, tzinfo=zone),
        "span": datetime.timedelta(days=1, hours=2, minutes=30),
        "price": decimal.Decimal("0.10"),
        "key": uuid.UUID(int=1),
        "path": pathlib.Path("/tmp/x"),
        "data": b"\x00\xff",
        "secret": Secret("correct horse"),
        "limits": Limits(2, datetime.date(2026, 1, 31)),
        "host": Host(name="db1", port=1),
    }


@action
def not_a_number():
    return {"rate": float("nan")}


@action
def checked(
    mark: str,
    days: Annotated[int, Param(min=1, max=30)],
    when: Optional[datetime.date] = None,
    kind: Kind = Kind.SHORT,
    limits: Optional[Limits] = None,
    hosts: list[Host] = (),
    price: decimal.Decimal = decimal.Decimal(0),
    key: Optional[uuid.UUID] = None,
    data: bytes = b"",
    name: Annotated[str, Param(max_length=100, pattern="^[a-z]*$")] = "",
    unique: set[int] = frozenset(),
    rate: float = 0.0,
    anything: Any = None,
):
    """Write to a file, as proof that it ran."""
    with open(mark, "a") as file:
        file.write("ran\n")


@action
def login(user: str, password: Secret, keys: dict[str, Secret]):
    """Print and return secrets in every way.

    The reversed text and the length cannot be masked: they show that the secrets arrived.
    """
    text = password.reveal()
    print("password is", text, "or", password, "of", user)
    print("keys:", {name: key.reveal() for name, key in keys.items()})
    return {"password": text, "wrapped": password, "backwards": text[::-1], "length": len(text)}
