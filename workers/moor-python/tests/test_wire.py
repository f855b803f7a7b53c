"""The reader and the writer, with random and with broken messages."""

from __future__ import annotations

import math
import os
import random
import struct
from typing import Any

import pytest
from official import bomb, official
from vectors import load

from tinpot_moor import (
    ABSENT,
    Anonymous,
    Err,
    Flyweight,
    Malformed,
    Map,
    NotEncodable,
    Obj,
    ObjKind,
    Symbol,
)
from tinpot_moor.schema import ERROR_CODES, Dialect
from tinpot_moor.values import SCHEMAS, decode_value, encode_value
from tinpot_moor.wire import DEPTH, MESSAGE_BYTES, decode

SEED = int(os.environ.get("MOOR_SEED") or random.randrange(2**32))
TEXTS = ("", "a", "Grüße", "🦀 crab", "x" * 300, "key", "E_PERM", "$int")


def random_value(dice: random.Random, depth: int = 4) -> Any:
    kinds = 13 if depth else 8
    kind = dice.randrange(kinds)
    bits = dice.choice((1, 8, 31, 53, 63))
    if kind == 0:
        return None
    if kind == 1:
        return dice.random() < 0.5
    if kind == 2:
        return dice.choice((-1, 1)) * dice.getrandbits(bits) - dice.randrange(2)
    if kind == 3:
        number = float(struct.unpack("<d", dice.randbytes(8))[0])
        return dice.choice((number, math.inf, -math.inf, 0.0, -0.0, 1.0, dice.random()))
    if kind == 4:
        return dice.choice(TEXTS)
    if kind == 5:
        return dice.randbytes(dice.randrange(20))
    if kind == 6:
        if dice.random() < 0.5:
            return Obj(dice.randrange(-(2**31), 2**31))
        obj = Obj(dice.getrandbits(62), dice.choice((ObjKind.UUID, ObjKind.ANONYMOUS)))
        return Anonymous(obj) if dice.random() < 0.3 else obj
    if kind == 7:
        return Symbol(dice.choice(TEXTS))
    inner = [random_value(dice, depth - 1) for _ in range(dice.randrange(5))]
    if kind in (8, 9):
        return inner
    if kind == 10:
        return Map(tuple((key, random_value(dice, depth - 1)) for key in inner))
    if kind == 11:
        value = inner[0] if inner else ABSENT
        message = dice.choice((None, "", "why"))
        if dice.random() < 0.3:
            return Err(dice.choice(TEXTS), message, value, custom=True)
        return Err(dice.choice(ERROR_CODES), message, value)
    slots = tuple((Symbol(dice.choice(TEXTS)), value) for value in inner[:2])
    return Flyweight(Obj(dice.getrandbits(20)), slots, tuple(inner))


def form(value: Any) -> str:
    """Returns a text that tells all values apart, `1` from `1.0` and `nan` from `nan`."""
    if isinstance(value, dict):
        return form(Map(tuple(value.items())))
    if isinstance(value, Map):
        return f"Map{[(form(key), form(content)) for key, content in value.pairs]}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(form(element) for element in value)}]"
    if isinstance(value, Flyweight):
        slots = [(slot.name, form(content)) for slot, content in value.slots]
        return f"Flyweight({value.delegate}, {slots}, {form(value.contents)})"
    if isinstance(value, Err):
        return f"Err({value.code!r}, {value.message!r}, {form(value.value)}, {value.custom})"
    return repr(value)


def test_random_values_come_back() -> None:
    dice = random.Random(SEED)
    for number in range(2000):
        value = random_value(dice)
        read = decode_value(encode_value(value))
        assert form(read) == form(value), f"MOOR_SEED={SEED}, value {number}"


def test_random_values_are_read_as_the_official_library_writes_them() -> None:
    dice = random.Random(SEED)
    for number in range(300):
        value = random_value(dice)
        read = decode_value(official(SCHEMAS[Dialect.B], "Var", (value,)))
        # The library does not write a negative zero.
        same = form(read).replace("-0.0", "0.0") == form(value).replace("-0.0", "0.0")
        assert same, f"MOOR_SEED={SEED}, value {number}"


def test_every_byte_may_be_wrong() -> None:
    """A broken message is read as another one, or is refused. Nothing else happens."""
    dice = random.Random(SEED)
    for entry in load("messages-1.json")["messages"]:
        good = bytes.fromhex(entry["bytes"])
        schema = SCHEMAS[Dialect(entry["dialects"][0])]
        for at in range(len(good)):
            for byte in {0, 0xFF, 0x7F, good[at] ^ 1 << dice.randrange(8)}:
                broken = bytearray(good)
                broken[at] = byte
                try:
                    decode(schema, entry["root"], bytes(broken))
                except Malformed as error:
                    assert str(error), f"MOOR_SEED={SEED}"


def test_a_message_may_end_anywhere() -> None:
    for entry in load("messages-1.json")["messages"]:
        good = bytes.fromhex(entry["bytes"])
        schema = SCHEMAS[Dialect(entry["dialects"][0])]
        whole = decode(schema, entry["root"], good)
        refused = 0
        for end in range(len(good)):
            try:
                # Padding at the end is not part of the message.
                assert decode(schema, entry["root"], good[:end]) == whole
            except Malformed:
                refused += 1
        assert refused >= len(good) - 8
        assert decode(schema, entry["root"], good + b"more") == whole


def test_random_bytes_are_refused_or_read() -> None:
    dice = random.Random(SEED)
    for _ in range(3000):
        data = dice.randbytes(dice.randrange(80))
        # Small numbers point to places inside more often.
        data = bytes(byte if dice.random() < 0.3 else byte % 9 for byte in data)
        for root in ("WorkerToDaemonMessage", "DaemonToWorkerMessage", "Var"):
            try:
                decode(SCHEMAS[Dialect.B], root, data)
            except Malformed as error:
                assert str(error), f"MOOR_SEED={SEED}"


def test_lists_are_nested_up_to_a_bound() -> None:
    value: Any = []
    for _ in range(DEPTH - 1):
        value = [value]
    assert decode_value(encode_value(value)) == value
    with pytest.raises(NotEncodable, match="nested at most 64 deep"):
        encode_value([value])
    with pytest.raises(Malformed, match="nested at most 64 deep"):
        decode_value(official(SCHEMAS[Dialect.B], "Var", bomb(20_000, 1)))


def test_a_list_inside_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(NotEncodable, match="nested at most 64 deep"):
        encode_value(value)


def test_a_list_that_repeats_itself_is_refused_by_its_size() -> None:
    value: list[Any] = ["x" * 1000]
    for _ in range(30):
        value = [value, value]
    with pytest.raises(NotEncodable, match="at most 4194304 bytes"):
        encode_value(value)


def test_a_message_has_a_largest_size() -> None:
    with pytest.raises(NotEncodable, match="at most 4194304 bytes"):
        encode_value("x" * MESSAGE_BYTES)
    with pytest.raises(Malformed, match="at most 4194304 bytes"):
        decode_value(bytes(MESSAGE_BYTES + 1))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2**63, r"from -2\^63 to 2\^63-1"),
        pytest.param(10**5000, "got one of 16610 bits", id="huge"),
        ([1, object()], r"elements\[1\]: a value of type object has no form in MOO"),
        ({"a": {1, 2}}, r"pairs\[0\].value: a value of type set"),
        ("\ud800", "lone surrogates"),
        ({"Key": 1, "key": 2}, "differ without regard to case"),
        (Obj(2**31), "the number of an object must be from"),
        (Err("E_MINE"), "needs custom=True"),
    ],
)
def test_what_has_no_form_is_refused(value: Any, said: str) -> None:
    with pytest.raises(NotEncodable, match=said):
        encode_value(value)


def test_an_anonymous_object_has_no_form_in_dialect_a() -> None:
    with pytest.raises(NotEncodable, match="dialect A has no VarAnonymous"):
        encode_value(Anonymous(Obj(1, ObjKind.ANONYMOUS)), Dialect.A)


def test_a_map_is_a_dict_unless_python_cannot_have_its_keys_in_one() -> None:
    for pairs in (((1, 2), (1.0, 3)), (([1], 2),), ((Symbol("a"), 1), (Symbol("A"), 2))):
        assert decode_value(encode_value(Map(pairs))) == Map(pairs)  # type: ignore[arg-type]
    assert decode_value(encode_value(Map(((1, 2), ("a", 3))))) == {1: 2, "a": 3}


def test_objects_have_literals() -> None:
    for text in ("#12", "#-1", "#048D05-1234567890", "#anon_048D05-1234567890"):
        assert str(Obj.parse(text)) == text
    for text in ("12", "#", "#1.5", "#99999999999", "#048D05-123456789", "#x48D05-1234567890"):
        with pytest.raises(ValueError, match="must be like #12"):
            Obj.parse(text)
