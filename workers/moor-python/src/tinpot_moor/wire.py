"""A reader and a writer of FlatBuffers messages, driven by a `Schema`.

A message from a peer is a claim. The reader checks every offset, and it has a budget: offsets may
be shared, so that a message of 540 bytes can stand for a hundred million values.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from .schema import Field, Schema

MESSAGE_BYTES = 4 * 1024 * 1024
"""The size of the largest message that is read or written."""
DEPTH = 64
"""The depth to which values may be nested."""
SHARING = 8
"""The number of times that a message may refer to each of its bytes of text, on average."""

E = TypeVar("E", bound="WireError")


class WireError(ValueError):
    """A message that cannot be read or written, with the place of the fault."""

    def __init__(self, why: str, path: str = "") -> None:
        super().__init__(f"{path.lstrip('.')}: {why}" if path else why)
        self.why, self.path = why, path

    def inside(self: E, step: str) -> E:
        """Returns the same error, seen from one step further outside."""
        return type(self)(self.why, step + self.path)


class Malformed(WireError):
    """Bytes that a peer sent are not the message that belongs there."""


class NotEncodable(WireError):
    """A value has no form in the protocol."""


def decode(schema: Schema, root: str, data: bytes, skip: frozenset[str] = frozenset()) -> Any:
    """Reads a message, without the fields whose names are in `skip`. Raises `Malformed`."""
    if len(data) > MESSAGE_BYTES:
        raise Malformed(f"a message must have at most {MESSAGE_BYTES} bytes (got {len(data)})")
    reader = _Reader(schema, data, skip)
    return reader.table(root, reader.target(0), 0)


def encode(schema: Schema, root: str, value: Any) -> bytes:
    """Writes a message. Raises `NotEncodable`."""
    writer = _Writer(schema)
    writer.refer(0, writer.table(root, value, 0))
    writer.check_size()
    return bytes(writer.out)


_U16, _U32, _I32 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<i")
_SCALARS = {kind: struct.Struct("<" + kind) for kind in "?BiqQd"}


class _Reader:
    def __init__(self, schema: Schema, data: bytes, skip: frozenset[str]) -> None:
        self.schema, self.data, self.skip = schema, data, skip
        # A table takes four bytes, and the reference to it four more.
        self.tables_left = len(data) // 8 + 1
        self.bytes_left = len(data) * SHARING

    def number(self, form: struct.Struct, position: int) -> Any:
        # `unpack_from` counts negative positions from the end.
        if position < 0 or position + form.size > len(self.data):
            raise Malformed(f"the message ends before byte {position + form.size}")
        return form.unpack_from(self.data, position)[0]

    def target(self, position: int) -> int:
        return position + int(self.number(_U32, position))

    def text(self, position: int) -> bytes:
        start = self.target(position)
        size = self.number(_U32, start)
        end = start + 4 + size
        if end > len(self.data):
            raise Malformed(f"a text of {size} bytes exceeds the message")
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise Malformed("the message refers to the same bytes too often")
        return self.data[start + 4 : end]

    def table(self, name: str, position: int, depth: int) -> Any:
        self.tables_left -= 1
        if self.tables_left < 0:
            raise Malformed("the message refers to the same tables too often")
        if name == "Var":
            depth += 1
            if depth > DEPTH:
                raise Malformed(f"values must be nested at most {DEPTH} deep")
        vtable = position - self.number(_I32, position)
        size = self.number(_U16, vtable)
        if size < 4 or size % 2 or vtable + size > len(self.data):
            raise Malformed(f"{name} has no valid vtable")
        fields: dict[str, Any] = {}
        for field in self.schema.tables[name]:
            if field.name in self.skip:
                continue
            try:
                fields[field.name] = self.field(field, position, vtable, size, depth)
                if field.required and fields[field.name] is None:
                    raise Malformed(f"{name} must have this field")
            except Malformed as error:
                # The one field of an envelope says nothing about the place.
                raise (error if field.kind == "union" else error.inside(f".{field.name}")) from None
        build = self.schema.build.get(name)
        return fields if build is None else build(fields)

    def place(self, slot: int, position: int, vtable: int, size: int) -> int:
        """Returns the place of a field, or 0 if it is absent."""
        entry = 4 + 2 * slot
        offset = self.number(_U16, vtable + entry) if entry < size else 0
        return position + offset if offset else 0

    def field(self, field: Field, position: int, vtable: int, size: int, depth: int) -> Any:
        place = self.place(field.slot, position, vtable, size)
        scalar = _SCALARS.get(field.kind)
        if scalar is not None:
            return self.number(scalar, place) if place else scalar.unpack(bytes(scalar.size))[0]
        if not place:
            return None
        if field.kind == "union":
            members = self.schema.unions[field.type]
            tag = self.number(_SCALARS["B"], place)
            if tag == 0:
                return None
            if tag > len(members):
                known = f"must be from 1 to {len(members)} (got {tag})"
                raise Malformed(f"the tag of {field.type} {known}")
            place = self.place(field.slot + 1, position, vtable, size)
            if not place:
                raise Malformed(f"{field.type} has a tag and no value")
            return members[tag - 1], self.table(members[tag - 1], self.target(place), depth)
        if field.kind == "table":
            return self.table(field.type, self.target(place), depth)
        if field.kind == "tables":
            return self.tables(field.type, self.target(place), depth)
        text = self.text(place)
        try:
            return text.decode() if field.kind == "string" else text
        except UnicodeDecodeError:
            raise Malformed("a text must be UTF-8") from None

    def tables(self, name: str, start: int, depth: int) -> list[Any]:
        count = self.number(_U32, start)
        if start + 4 + 4 * count > len(self.data):
            raise Malformed(f"a vector of {count} elements exceeds the message")
        elements = []
        for index in range(count):
            try:
                place = self.target(start + 4 + 4 * index)
                elements.append(self.table(name, place, depth))
            except Malformed as error:
                raise error.inside(f"[{index}]") from None
        return elements


class _Writer:
    """Writes from the front: a table first, and then everything that it refers to."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.out = bytearray(4)
        self.vtables: dict[bytes, int] = {}

    def check_size(self) -> None:
        if len(self.out) > MESSAGE_BYTES:
            raise NotEncodable(f"a message must have at most {MESSAGE_BYTES} bytes")

    def refer(self, place: int, target: int) -> None:
        _U32.pack_into(self.out, place, target - place)

    def align(self, size: int, ahead: int = 0) -> None:
        """Pads, so that what comes `ahead` bytes later is aligned."""
        self.out.extend(bytes(-(len(self.out) + ahead) % size))

    def table(self, name: str, value: Any, depth: int) -> int:
        self.check_size()
        if name == "Var":
            depth += 1
            if depth > DEPTH:
                raise NotEncodable(f"values must be nested at most {DEPTH} deep")
        take = self.schema.take.get(name)
        values: Mapping[str, Any] = value if take is None else take(value)
        inline: list[tuple[int, bytes]] = []
        children: list[tuple[int, Field, Any]] = []
        for field in self.schema.tables[name]:
            given = values.get(field.name)
            scalar = _SCALARS.get(field.kind)
            if scalar is not None:
                packed = b"" if given is None else scalar.pack(given)
                # Zeros are the default. A negative zero is not one.
                if any(packed):
                    inline.append((field.slot, packed))
            elif given is None:
                if field.required:
                    raise NotEncodable(f"{name} must have {field.name}")
            elif field.kind == "union":
                member, given = given
                if member not in self.schema.unions[field.type]:
                    dialect = self.schema.dialect.value
                    raise NotEncodable(f"dialect {dialect} has no {member}")
                tag = self.schema.unions[field.type].index(member) + 1
                inline.append((field.slot, bytes([tag])))
                inline.append((field.slot + 1, bytes(4)))
                children.append((field.slot + 1, field, (member, given)))
            else:
                inline.append((field.slot, bytes(4)))
                children.append((field.slot, field, given))
        start, places = self.head(inline)
        for slot, field, given in children:
            try:
                self.refer(places[slot], self.child(field, given, depth))
            except NotEncodable as error:
                raise (error if field.kind == "union" else error.inside(f".{field.name}")) from None
        return start

    def head(self, inline: list[tuple[int, bytes]]) -> tuple[int, dict[int, int]]:
        """Writes vtable and table. Returns the place of the table, and those of its fields."""
        inline.sort(key=lambda entry: -len(entry[1]))
        offsets: dict[int, int] = {}
        size = 4
        for slot, packed in inline:
            offsets[slot] = size
            size += len(packed)
        slots = range(max(offsets, default=-1) + 1)
        vtable = struct.pack("<HH", 4 + 2 * len(slots), size)
        vtable += b"".join(_U16.pack(offsets.get(slot, 0)) for slot in slots)
        if vtable not in self.vtables:
            self.align(2)
            self.vtables[vtable] = len(self.out)
            self.out.extend(vtable)
        largest = max((len(packed) for _, packed in inline), default=4)
        self.align(4)
        self.align(max(largest, 4), 4)
        start = len(self.out)
        self.out.extend(_I32.pack(start - self.vtables[vtable]))
        for _, packed in inline:
            self.out.extend(packed)
        return start, {slot: start + offset for slot, offset in offsets.items()}

    def child(self, field: Field, value: Any, depth: int) -> int:
        if field.kind == "union":
            return self.table(value[0], value[1], depth)
        if field.kind == "table":
            return self.table(field.type, value, depth)
        if field.kind == "tables":
            return self.tables(field.type, value, depth)
        try:
            text = value.encode() if field.kind == "string" else value
        except UnicodeEncodeError:
            raise NotEncodable("a text must not have lone surrogates") from None
        self.align(4)
        start = len(self.out)
        self.out.extend(_U32.pack(len(text)))
        self.out.extend(text)
        if field.kind == "string":
            self.out.append(0)
        return start

    def tables(self, name: str, values: Sequence[Any], depth: int) -> int:
        self.align(4)
        start = len(self.out)
        self.out.extend(_U32.pack(len(values)) + bytes(4 * len(values)))
        for index, value in enumerate(values):
            try:
                self.refer(start + 4 + 4 * index, self.table(name, value, depth))
            except NotEncodable as error:
                raise error.inside(f"[{index}]") from None
        return start
