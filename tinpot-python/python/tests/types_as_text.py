"""Annotations that are text, for the tests of signatures and records."""

from __future__ import annotations

import sys
from dataclasses import InitVar, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, ClassVar, List, NamedTuple, Optional, TypedDict

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass
class Part:
    """A part.

    Attributes:
        size: How large.
    """

    size: int
    made: Optional[date] = None
    shared: ClassVar[int] = 1
    seed: InitVar[int] = 3
    total: int = field(default=0, init=False)

    def __post_init__(self, seed):
        if self.size < 0:
            raise ValueError("a size is never negative")
        self.total = self.size + seed


class Point(NamedTuple):
    x: int
    y: float = 0.5


class Options(TypedDict, total=False):
    force: bool
    until: date


if sys.version_info >= (3, 11):
    from typing import NotRequired, Required

    class Partly(TypedDict, total=False):
        a: Required[int]
        b: NotRequired[str]
        c: date


def outer(parts: List[Part], point: Point, options: Options) -> Part:
    return parts[0]


def only_while_checking(price: Decimal):
    pass


def unknown(price: NoSuchType):  # noqa: F821
    pass


class Node:
    pass


@dataclass
class Tree:
    value: int
    children: List[Tree]


def recursive(tree: Tree):
    pass
