"""Writes messages with the official library of FlatBuffers, to check the writer of the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flatbuffers import Builder

from tinpot_moor.schema import Schema

_SLOTS = {"?": "Bool", "B": "Uint8", "i": "Int32", "q": "Int64", "Q": "Uint64", "d": "Float64"}


class Raw(NamedTuple):
    """A value that is written by hand, where a `Var` belongs."""

    write: Callable[[Any], int]


def official(schema: Schema, root: str, value: Any) -> bytes:
    """Returns a message as the library writes it: children first, and each vtable once."""
    builder: Any = Builder()
    builder.Finish(_table(builder, schema, root, value))
    return bytes(builder.Output())


def _table(builder: Any, schema: Schema, name: str, value: Any) -> int:
    if isinstance(value, Raw):
        return value.write(builder)
    take = schema.take.get(name)
    values = value if take is None else take(value)
    slots: list[tuple[str, int, Any]] = []
    fields = schema.tables[name]
    for field in fields:
        given = values.get(field.name)
        if given is None:
            continue
        if field.kind in _SLOTS:
            slots.append((_SLOTS[field.kind], field.slot, given))
        elif field.kind == "union":
            tag = schema.unions[field.type].index(given[0]) + 1
            slots.append(("Uint8", field.slot, tag))
            child = _table(builder, schema, given[0], given[1])
            slots.append(("UOffsetTRelative", field.slot + 1, child))
        else:
            child = _child(builder, schema, field.kind, field.type, given)
            slots.append(("UOffsetTRelative", field.slot, child))
    builder.StartObject(fields[-1].slot + 2 if fields else 0)
    for kind, slot, content in slots:
        getattr(builder, f"Prepend{kind}Slot")(slot, content, 0)
    return int(builder.EndObject())


def _child(builder: Any, schema: Schema, kind: str, name: str, value: Any) -> int:
    if kind == "string":
        return int(builder.CreateString(value))
    if kind == "bytes":
        return int(builder.CreateByteVector(value))
    if kind == "table":
        return _table(builder, schema, name, value)
    offsets = [_table(builder, schema, name, element) for element in value]
    return vector(builder, offsets)


def vector(builder: Any, offsets: list[int]) -> int:
    """Writes a vector of references."""
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def bomb(levels: int, width: int) -> Raw:
    """Returns a value of `width ** levels` values: each list refers to the one below many times."""

    def write(builder: Any) -> int:
        below = _variant(builder, 1, _nothing(builder))
        for _ in range(levels):
            elements = vector(builder, [below] * width)
            builder.StartObject(1)
            builder.PrependUOffsetTRelativeSlot(0, elements, 0)
            below = _variant(builder, 8, int(builder.EndObject()))
        return below

    return Raw(write)


def tagged(tag: int) -> Raw:
    """Returns a value with an empty table under this tag."""
    return Raw(lambda builder: _variant(builder, tag, _nothing(builder)))


def _nothing(builder: Any) -> int:
    builder.StartObject(0)
    return int(builder.EndObject())


def _variant(builder: Any, tag: int, value: int) -> int:
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(1, value, 0)
    builder.PrependUint8Slot(0, tag, 0)
    return int(builder.EndObject())
