"""Plain types, choices, unions and containers: their schema, and what JSON values arrive as."""

import collections
import collections.abc
import datetime
import enum
import pathlib
import sys
import typing
import unittest
import uuid
from typing import (
    Any,
    Dict,
    FrozenSet,
    List,
    Literal,
    Mapping,
    NewType,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

from type_support import arrives, of, refused, schema_of, unsupported

from tinpot import schema


class Kind(enum.Enum):
    SHORT = "short"
    LONG = "long"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Colour(str, enum.Enum):
    RED = "red"


class PlainTest(unittest.TestCase):
    def test_plain_types(self):
        for annotation, expected, value in (
            (str, {"type": "string"}, "a"),
            (int, {"type": "integer"}, 3),
            (bool, {"type": "boolean"}, True),
            (None, {"type": "null"}, None),
            (Any, {}, {"a": [1, None, 2.5]}),
            (object, {}, [1]),
            (list, {"type": "array"}, [1, "a"]),
            (dict, {"type": "object"}, {"a": 1}),
            (List[str], {"type": "array", "items": {"type": "string"}}, ["a"]),
            (
                Dict[str, List[int]],
                {
                    "type": "object",
                    "additionalProperties": {"type": "array", "items": {"type": "integer"}},
                },
                {"a": [1]},
            ),
        ):
            signature = of(annotation)
            self.assertEqual(signature.schema["properties"]["x"], expected)
            self.assertTrue(signature.plain, f"nothing to convert for {annotation}")
            self.assertEqual(arrives(annotation, value), value)

    def test_an_integer_for_a_float_arrives_as_a_float(self):
        self.assertEqual(schema_of(float), {"type": "number"})
        for annotation, value, expected in (
            (float, 3, 3.0),
            (float, 2.5, 2.5),
            (List[float], [1, 2.5], [1.0, 2.5]),
            (Optional[float], 1, 1.0),
        ):
            made = arrives(annotation, value)
            self.assertEqual(repr(made), repr(expected))

    def test_nothing_is_coerced(self):
        for annotation, value, expected in (
            (int, "3", "x: must be an integer, not a string"),
            (int, True, "x: must be an integer, not a boolean"),
            (int, 3.0, "x: must be an integer, not the number 3.0"),
            (int, None, "x: must be an integer, not null"),
            (float, "1.5", "x: must be a number, not a string"),
            (float, False, "x: must be a number, not a boolean"),
            (float, float("nan"), "x: must be a number, not nan"),
            (float, float("inf"), "x: must be a number, not inf"),
            (float, 10**400, "x: is too large for a number: "),
            (bool, 1, "x: must be true or false, not the integer 1"),
            (str, 1, "x: must be a string, not the integer 1"),
            (None, 0, "x: must be null, not the integer 0"),
            (list, {}, "x: must be a list, not an object"),
            (Dict[str, int], [], "x: must be an object, not a list"),
            (Any, [float("nan")], "x: must be a number, not nan"),
        ):
            message = refused(annotation, value)
            self.assertTrue(message.startswith(expected), message)
            self.assertLess(len(message), 200)

    def test_depth_is_bounded(self):
        deep = []
        for _ in range(200):
            deep = [deep]
        self.assertEqual(refused(Any, deep), "x: is more than 128 deep")
        annotation = int
        for _ in range(40):
            annotation = List[annotation]
        self.assertIn("nested more than 32 deep", unsupported(annotation))


class ChoiceTest(unittest.TestCase):
    def test_literal(self):
        self.assertEqual(schema_of(Literal["a", "b"]), {"type": "string", "enum": ["a", "b"]})
        self.assertEqual(
            schema_of(Literal[1, "a"]), {"type": ["integer", "string"], "enum": [1, "a"]}
        )
        self.assertEqual(arrives(Literal["a", 1, None], None), None)
        self.assertEqual(refused(Literal["a", 1], "b"), 'x: must be one of "a", 1, not "b"')
        self.assertEqual(refused(Literal[1], True), "x: must be one of 1, not true")
        self.assertIs(arrives(Literal[Kind.LONG], "long"), Kind.LONG)

    def test_enums_go_by_value(self):
        self.assertEqual(
            schema_of(Kind),
            {
                "type": "string",
                "enum": ["short", "long"],
                "x-enum-names": ["SHORT", "LONG"],
                "title": "Kind",
            },
        )
        self.assertEqual(schema_of(Level)["enum"], [1, 2])
        self.assertIs(type(schema_of(Colour)["enum"][0]), str)
        for annotation, value, expected in (
            (Kind, "long", Kind.LONG),
            (Level, 2, Level.HIGH),
            (Colour, "red", Colour.RED),
        ):
            self.assertIs(arrives(annotation, value), expected)
        self.assertEqual(refused(Kind, "medium"), 'x: must be one of "short", "long", not "medium"')
        self.assertEqual(refused(Kind, []), 'x: must be one of "short", "long", not a list')
        self.assertEqual(refused(Level, True), "x: must be one of 1, 2, not true")

    @unittest.skipUnless(hasattr(enum, "StrEnum"), "StrEnum came with Python 3.11")
    def test_str_enum(self):
        kind = enum.StrEnum("Size", ["SMALL", "LARGE"])
        self.assertEqual(schema_of(kind)["enum"], ["small", "large"])
        self.assertIs(arrives(kind, "large"), kind.LARGE)

    def test_enums_without_a_json_form_are_named(self):
        self.assertIn(
            "the value of A is of type tuple", unsupported(enum.Enum("Odd", {"A": (1, 2)}))
        )
        self.assertIn("Flag", unsupported(enum.Flag("Rights", ["READ"])))
        self.assertIn("has no members", unsupported(enum.Enum("Empty", {})))
        self.assertIn("has no JSON form", unsupported(Literal[b"x"]))


class UnionTest(unittest.TestCase):
    def test_null_is_folded_into_the_type(self):
        self.assertEqual(schema_of(Optional[str]), {"type": ["string", "null"]})
        expected = {
            "type": ["string", "null"],
            "enum": ["short", "long", None],
            "x-enum-names": ["SHORT", "LONG", None],
            "title": "Kind",
        }
        self.assertEqual(schema_of(Optional[Kind]), expected)
        self.assertEqual(
            schema_of(Optional[List[int]]),
            {"type": ["array", "null"], "items": {"type": "integer"}},
        )
        self.assertEqual(schema_of(Optional[Any]), {})
        self.assertIsNone(arrives(Optional[Kind], None))
        self.assertIs(arrives(Optional[Kind], "long"), Kind.LONG)
        self.assertEqual(refused(Optional[int], "x"), "x: must be an integer or null, not a string")
        self.assertEqual(
            refused(Optional[datetime.date], "2026-02-30"),
            "x: is not a date: day is out of range for month",
        )

    def test_unions(self):
        self.assertEqual(schema_of(Union[int, str]), {"type": ["integer", "string"]})
        self.assertEqual(schema_of(Union[int, str, None]), {"type": ["integer", "string", "null"]})
        expected = {
            "anyOf": [{"type": "string"}, {"type": "string", "format": "date"}, {"type": "null"}]
        }
        self.assertEqual(schema_of(Union[str, datetime.date, None]), expected)
        self.assertTrue(of(Union[int, str]).plain)
        self.assertEqual(
            refused(Union[int, str], None), "x: must be an integer or a string, not null"
        )

    def test_the_value_decides_and_not_the_order(self):
        when = Union[str, datetime.date]
        self.assertEqual(arrives(when, "2026-01-31"), datetime.date(2026, 1, 31))
        self.assertEqual(arrives(when, "tomorrow"), "tomorrow")
        self.assertEqual(repr(arrives(Union[float, int], 3)), "3")
        self.assertEqual(repr(arrives(Union[float, int], 3.0)), "3.0")
        self.assertIs(arrives(Union[str, Kind], "long"), Kind.LONG)
        self.assertEqual(arrives(Union[str, Kind], "other"), "other")
        self.assertEqual(arrives(Union[List[int], Dict[str, int]], {"a": 1}), {"a": 1})
        self.assertEqual(
            refused(Union[List[int], Dict[str, int]], {"a": "b"}),
            "x.a: must be an integer, not a string",
        )

    @unittest.skipIf(sys.version_info < (3, 10), "X | Y came with Python 3.10")
    def test_bars(self):
        self.assertEqual(schema_of(int | None), {"type": ["integer", "null"]})
        self.assertEqual(schema_of(eval("list[int] | str")), schema_of(Union[List[int], str]))


class ContainerTest(unittest.TestCase):
    def test_lists_and_what_stands_for_them(self):
        for annotation in (
            List[Kind],
            Sequence[Kind],
            list[Kind],
            collections.abc.Iterable[Kind],
            typing.Collection[Kind],
        ):
            self.assertEqual(schema_of(annotation)["type"], "array")
            self.assertEqual(arrives(annotation, ["long"]), [Kind.LONG])
        self.assertEqual(
            refused(List[int], [1, "a", None]),
            "x[1]: must be an integer, not a string; x[2]: must be an integer, not null",
        )

    def test_sets(self):
        self.assertEqual(
            schema_of(Set[int]),
            {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
        )
        self.assertEqual(arrives(Set[int], [1, 2]), {1, 2})
        self.assertEqual(arrives(FrozenSet[str], ["a"]), frozenset("a"))
        self.assertEqual(arrives(typing.AbstractSet[str], ["a"]), {"a"})
        self.assertEqual(refused(Set[int], [1, 1]), "x: must not have the same item twice")
        self.assertIn("they have no hash", unsupported(Set[List[int]]))
        self.assertIn("unhashable", refused(set, [[]]))

    def test_tuples(self):
        expected = {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "items": False,
            "minItems": 2,
            "maxItems": 2,
        }
        self.assertEqual(schema_of(Tuple[int, str]), expected)
        self.assertEqual(arrives(Tuple[int, Kind], [1, "long"]), (1, Kind.LONG))
        self.assertEqual(arrives(Tuple[int, ...], [1, 2, 3]), (1, 2, 3))
        self.assertEqual(arrives(tuple, [1, "a"]), (1, "a"))
        self.assertEqual(arrives(Tuple[()], []), ())
        self.assertEqual(refused(Tuple[int, str], [1]), "x: must have 2 items, not 1")
        self.assertEqual(
            refused(Tuple[int, str], ["a", 1]),
            "x[0]: must be an integer, not a string; x[1]: must be a string, not the integer 1",
        )

    def test_dicts_and_their_keys(self):
        one = uuid.UUID(int=1)
        for annotation, value, expected in (
            (Mapping[str, Kind], {"a": "long"}, {"a": Kind.LONG}),
            (Dict[int, str], {"-1": "a"}, {-1: "a"}),
            (Dict[Kind, int], {"long": 1}, {Kind.LONG: 1}),
            (Dict[datetime.date, int], {"2026-01-31": 1}, {datetime.date(2026, 1, 31): 1}),
            (Dict[uuid.UUID, int], {str(one): 1}, {one: 1}),
            (Dict[pathlib.Path, int], {"/a": 1}, {pathlib.Path("/a"): 1}),
            (
                typing.OrderedDict[str, int],
                {"b": 1, "a": 2},
                collections.OrderedDict([("b", 1), ("a", 2)]),
            ),
        ):
            self.assertEqual(arrives(annotation, value), expected)
        self.assertEqual(schema_of(Dict[datetime.date, int])["propertyNames"], {"format": "date"})
        self.assertEqual(schema_of(Dict[Kind, int])["propertyNames"]["enum"], ["short", "long"])
        self.assertEqual(
            refused(Dict[int, str], {"a": "b"}), 'x.a: as a key, must be an integer, not "a"'
        )
        self.assertEqual(
            refused(Dict[int, str], {"1": "a", "01": "b"}), "x: must not have the same key twice"
        )
        self.assertIn("keys of a dict", unsupported(Dict[float, str]))


class OtherNamesTest(unittest.TestCase):
    def test_new_types_variables_and_aliases(self):
        self.assertEqual(schema_of(NewType("UserId", int)), {"type": "integer"})
        self.assertEqual(schema_of(typing.TypeVar("T", bound=str)), {"type": "string"})
        self.assertEqual(schema_of(typing.TypeVar("T", int, str)), {"type": ["integer", "string"]})
        self.assertEqual(schema_of(typing.TypeVar("T")), {})
        T = typing.TypeVar("T")
        Pair = Tuple[T, T]
        self.assertEqual(schema_of(Pair[int]), schema_of(Tuple[int, int]))

    @unittest.skipIf(sys.version_info < (3, 12), "type X = ... came with Python 3.12")
    def test_type_statements(self):
        names = {}
        exec(
            "type Ids = list[int]\ntype Pair[T] = tuple[T, T]\ntype Tree = list[Tree]\n"
            "def f[T: int](x: T): pass",
            names,
        )
        self.assertEqual(schema_of(names["Ids"]), {"type": "array", "items": {"type": "integer"}})
        self.assertEqual(schema_of(names["Pair"][str]), schema_of(Tuple[str, str]))
        self.assertIn("contains itself", unsupported(names["Tree"]))
        self.assertEqual(schema.derive(names["f"]).schema["properties"]["x"], {"type": "integer"})


if __name__ == "__main__":
    unittest.main()
