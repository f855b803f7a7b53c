"""The values of MOO as Python values, in both directions.

| MOO | Python |
| --- | --- |
| none, bool, int, float, str, binary | `None`, `bool`, `int`, `float`, `str`, `bytes` |
| list | `list`; a tuple is written as one, too |
| map | `dict`; `Map` if Python cannot have the keys in one: `1` and `1.0`, or a list |
| object, error, symbol, flyweight | `Obj`, `Err`, `Symbol`, `Flyweight` |
| anonymous object (dialect B) | `Anonymous` |
| lambda | refused: it never belongs on this wire |
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Union
from uuid import UUID

from .schema import CUSTOM_ERROR, ERROR_CODES, Dialect, Schema, schema
from .wire import Malformed, NotEncodable, decode, encode

_INT = range(-(2**63), 2**63)
_OBJ_ID = range(-(2**31), 2**31)
_PACKED = range(2**64)


class Absent(enum.Enum):
    """The type of `ABSENT`."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT
"""The value of an error that has none. `None` is a value of MOO."""


class ObjKind(enum.Enum):
    """The three kinds of object references."""

    ID = "ObjId"
    UUID = "UuObjId"
    ANONYMOUS = "AnonymousObjId"


@dataclass(frozen=True)
class Obj:
    """A reference to an object: `Obj(12)` is `#12`."""

    value: int
    """The number, or the packed value of the other kinds."""
    kind: ObjKind = ObjKind.ID

    @classmethod
    def parse(cls, text: str) -> Obj:
        """Reads `#12`, `#048D05-1234567890` or `#anon_048D05-1234567890`."""
        if re.fullmatch(r"#-?[0-9]{1,10}", text) and int(text[1:]) in _OBJ_ID:
            return cls(int(text[1:]))
        packed = re.fullmatch(r"#(anon_)?([0-9A-Fa-f]{6})-([0-9A-Fa-f]{10})", text)
        if packed is None:
            raise ValueError(f"an object must be like #12 or #048D05-1234567890 (got {text!r})")
        kind = ObjKind.ANONYMOUS if packed[1] else ObjKind.UUID
        return cls(int(packed[2], 16) << 40 | int(packed[3], 16), kind)

    def __str__(self) -> str:
        if self.kind is ObjKind.ID:
            return f"#{self.value}"
        prefix = "anon_" if self.kind is ObjKind.ANONYMOUS else ""
        return f"#{prefix}{self.value >> 40:06X}-{self.value & (1 << 40) - 1:010X}"


@dataclass(frozen=True)
class Anonymous:
    """An anonymous object, as dialect B writes it."""

    obj: Obj


@dataclass(frozen=True)
class Symbol:
    """A symbol. Symbols are equal without regard to case, and keep their spelling."""

    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Symbol) and self.name.lower() == other.name.lower()

    def __hash__(self) -> int:
        return hash((Symbol, self.name.lower()))


@dataclass(frozen=True)
class Err:
    """An error as a value: `Err("E_DIV")`, or `Err("e_mine", custom=True)`."""

    code: str
    message: str | None = None
    value: Value | Absent = ABSENT
    custom: bool = False


@dataclass(frozen=True)
class Map:
    """A map whose keys cannot all be in one `dict`."""

    pairs: tuple[tuple[Value, Value], ...]


@dataclass(frozen=True)
class Flyweight:
    """A flyweight: a delegate, named slots and contents."""

    delegate: Obj
    slots: tuple[tuple[Symbol, Value], ...]
    contents: tuple[Value, ...]


Scalar = Union[None, bool, int, float, str, bytes, Obj, Anonymous, Symbol, Err, Map, Flyweight]
Value = Union[Scalar, "list[Value]", "dict[Value, Value]"]
"""A value that was read. To write one, any mapping is a map, and a tuple is a list."""


def _uuid(fields: dict[str, Any]) -> UUID:
    if len(fields["data"]) != 16:
        raise Malformed(f"a UUID must have 16 bytes (got {len(fields['data'])})")
    return UUID(bytes=fields["data"])


def _obj(fields: dict[str, Any]) -> Obj:
    name, value = fields["obj"]
    return Obj(value["id" if name == "ObjId" else "packed_value"], ObjKind(name))


def _take_obj(obj: Obj) -> Mapping[str, Any]:
    is_id = obj.kind is ObjKind.ID
    allowed = _OBJ_ID if is_id else _PACKED
    if obj.value not in allowed:
        bounds = f"from {allowed[0]} to {allowed[-1]}"
        raise NotEncodable(f"the number of an object must be {bounds} (got {obj.value})")
    return {"obj": (obj.kind.value, {"id" if is_id else "packed_value": obj.value})}


def _error(fields: dict[str, Any]) -> Err:
    code, symbol = fields["err_type"], fields["custom_symbol"]
    value = ABSENT if fields["value"] is None else fields["value"][0]
    if code == CUSTOM_ERROR:
        if symbol is None:
            raise Malformed("a custom error must have a symbol")
        return Err(symbol.name, fields["msg"], value, custom=True)
    if code >= len(ERROR_CODES):
        known = f"from 0 to {len(ERROR_CODES) - 1}, or {CUSTOM_ERROR}"
        raise Malformed(f"an error code must be {known} (got {code})")
    return Err(ERROR_CODES[code], fields["msg"], value)


def _take_error(error: Err) -> Mapping[str, Any]:
    fields: dict[str, Any] = {"msg": error.message}
    if error.value is not ABSENT:
        fields["value"] = (error.value,)
    if error.custom:
        return {**fields, "err_type": CUSTOM_ERROR, "custom_symbol": Symbol(error.code)}
    if error.code not in ERROR_CODES:
        what = "is no error of MOO; a code of your own needs custom=True"
        raise NotEncodable(f"{error.code!r} {what}")
    return {**fields, "err_type": ERROR_CODES.index(error.code)}


def _map(pairs: list[tuple[Value, Value]]) -> dict[Value, Value] | Map:
    try:
        found = dict(pairs)
    except TypeError:
        # A list, or something with a list inside, has no hash.
        return Map(tuple(pairs))
    # `1`, `1.0` and `True` are one key in Python.
    return found if len(found) == len(pairs) else Map(tuple(pairs))


def _pairs_of(mapping: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    seen: dict[str, Any] = {}
    for key in mapping:
        if isinstance(key, str):
            folded = key.lower()
            if folded in seen:
                both = f"{seen[folded]!r} and {key!r}"
                raise NotEncodable(f"keys must differ without regard to case (got {both})")
            seen[folded] = key
    return list(mapping.items())


def _refuse_lambda(_fields: dict[str, Any]) -> None:
    raise Malformed("a lambda cannot be sent to a worker")


def _variant(value: object) -> tuple[str, Any]:
    """Returns the table of a value, and what is in it."""
    if value is None or value is ABSENT:
        return "VarNone", {}
    if isinstance(value, bool):
        return "VarBool", {"value": value}
    if isinstance(value, int):
        if value not in _INT:
            bits = value.bit_length()
            raise NotEncodable(f"an integer must be from -2^63 to 2^63-1 (got one of {bits} bits)")
        return "VarInt", {"value": int(value)}
    if isinstance(value, float):
        return "VarFloat", {"value": value}
    if isinstance(value, str):
        return "VarStr", {"value": value}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "VarBinary", {"data": bytes(value)}
    if isinstance(value, (list, tuple)):
        return "VarList", {"elements": [(element,) for element in value]}
    if isinstance(value, Map):
        return "VarMap", {"pairs": value.pairs}
    if isinstance(value, Mapping):
        return "VarMap", {"pairs": _pairs_of(value)}
    if isinstance(value, Obj):
        return "VarObj", {"obj": value}
    if isinstance(value, Err):
        return "VarErr", {"error": value}
    if isinstance(value, Symbol):
        return "VarSym", {"symbol": value}
    if isinstance(value, Flyweight):
        return "VarFlyweight", value
    if isinstance(value, Anonymous):
        return "VarAnonymous", value
    raise NotEncodable(f"a value of type {type(value).__name__} has no form in MOO")


# A `Var` is a tuple of one value: a field that is absent is `None`, which is a value as well.
_BUILD: dict[str, Callable[[dict[str, Any]], Any]] = {
    "Uuid": _uuid,
    "Symbol": lambda fields: Symbol(fields["value"]),
    "Obj": _obj,
    "Error": _error,
    "Var": lambda fields: (fields["variant"][1],),
    "VarNone": lambda _: None,
    "VarBool": lambda fields: fields["value"],
    "VarInt": lambda fields: fields["value"],
    "VarFloat": lambda fields: fields["value"],
    "VarStr": lambda fields: fields["value"],
    "VarObj": lambda fields: fields["obj"],
    "VarErr": lambda fields: fields["error"],
    "VarList": lambda fields: [value for (value,) in fields["elements"]],
    "VarMap": lambda fields: _map(fields["pairs"]),
    "VarMapPair": lambda fields: (fields["key"][0], fields["value"][0]),
    "VarSym": lambda fields: fields["symbol"],
    "VarBinary": lambda fields: fields["data"],
    "VarFlyweight": lambda fields: Flyweight(
        fields["delegate"], tuple(fields["slots"]), tuple(fields["contents"])
    ),
    "FlyweightSlot": lambda fields: (fields["name"], fields["value"][0]),
    "VarLambda": _refuse_lambda,
    "VarAnonymous": lambda fields: Anonymous(fields["obj"]),
}

_TAKE: dict[str, Callable[[Any], Mapping[str, Any]]] = {
    "Uuid": lambda uuid: {"data": uuid.bytes},
    "Symbol": lambda symbol: {"value": symbol.name},
    "Obj": _take_obj,
    "Error": _take_error,
    "Var": lambda value: {"variant": _variant(value[0])},
    "VarMapPair": lambda pair: {"key": (pair[0],), "value": (pair[1],)},
    "VarFlyweight": lambda value: {
        "delegate": value.delegate,
        "slots": value.slots,
        "contents": {"elements": [(element,) for element in value.contents]},
    },
    "FlyweightSlot": lambda slot: {"name": slot[0], "value": (slot[1],)},
    "VarAnonymous": lambda value: {"obj": value.obj},
}

SCHEMAS: dict[Dialect, Schema] = {dialect: schema(dialect, _BUILD, _TAKE) for dialect in Dialect}


def decode_value(data: bytes, dialect: Dialect = Dialect.B) -> Value:
    """Reads a value that is a message of its own. Raises `Malformed`."""
    value: Value = decode(SCHEMAS[dialect], "Var", data)[0]
    return value


def encode_value(value: object, dialect: Dialect = Dialect.B) -> bytes:
    """Writes a value as a message of its own. Raises `NotEncodable`."""
    return encode(SCHEMAS[dialect], "Var", (value,))
