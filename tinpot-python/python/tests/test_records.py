"""Dataclasses, TypedDicts and NamedTuples."""

import dataclasses
import datetime
import sys
import typing
import unittest
import uuid
from typing import Dict, List, Literal, Optional, TypedDict, Union

import types_as_text
from type_support import arrives, refused, returned, schema_of, unsupported

from tinpot import ParameterError, Secret, schema


@dataclasses.dataclass(frozen=True)
class Limits:
    cpu: int
    memory: float = 1.5
    tags: List[str] = dataclasses.field(default_factory=list)
    until: Optional[datetime.date] = None
    id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    day: datetime.date = datetime.date(2026, 1, 31)
    made: datetime.date = dataclasses.field(default_factory=datetime.date.today)
    key: Secret = Secret("default")
    note: str = dataclasses.field(default="", metadata={"description": "What for."})


@dataclasses.dataclass
class Job:
    limits: Limits
    more: Dict[str, Limits] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Circle:
    kind: Literal["circle"]
    radius: float


@dataclasses.dataclass
class Square:
    kind: Literal["square"]
    side: float


T = typing.TypeVar("T")


@dataclasses.dataclass
class Box(typing.Generic[T]):
    content: T


class DataclassTest(unittest.TestCase):
    def test_the_schema_has_fields_in_order_and_defaults_in_json(self):
        found = schema_of(Limits)
        self.assertEqual(
            (found["type"], found["title"], found["required"], found["additionalProperties"]),
            ("object", "Limits", ["cpu"], False),
        )
        self.assertEqual(
            list(found["properties"]),
            ["cpu", "memory", "tags", "until", "id", "day", "made", "key", "note"],
        )
        defaults = {
            name: inner["default"]
            for name, inner in found["properties"].items()
            if "default" in inner
        }
        self.assertEqual(
            defaults, {"memory": 1.5, "tags": [], "until": None, "day": "2026-01-31", "note": ""}
        )
        self.assertEqual(found["properties"]["note"]["description"], "What for.")
        self.assertNotIn("description", found, "what `dataclass` makes up is no description")

    def test_nested_and_in_lists_and_dicts(self):
        value = {
            "limits": {"cpu": 1, "memory": 2, "until": "2026-02-01"},
            "more": {"a": {"cpu": 2}},
        }
        made = arrives_job(value)
        self.assertIs(type(made.limits), Limits)
        self.assertEqual(
            (repr(made.limits.memory), made.limits.until, made.more["a"].cpu),
            ("2.0", datetime.date(2026, 2, 1), 2),
        )
        self.assertEqual(made.limits.day, datetime.date(2026, 1, 31))

    def test_everything_wrong_is_named_with_its_path(self):
        value = {
            "limits": {"memory": "1", "colour": 1},
            "more": {"a": {"cpu": None, "tags": ["x", 2]}},
        }
        self.assertEqual(
            refused(List[Job], [value]).split("; "),
            [
                "x[0].limits.cpu: is required and missing",
                "x[0].limits.memory: must be a number, not a string",
                (
                    "x[0].limits.colour: is unknown: the fields are"
                    " cpu, day, id, key, made, memory, note, tags, until"
                ),
                "x[0].more.a.cpu: must be an integer, not null",
                "x[0].more.a.tags[1]: must be a string, not the integer 2",
            ],
        )
        self.assertEqual(refused(Limits, []), "x: must be an object, not a list")

    def test_as_many_problems_as_can_be_read(self):
        message = refused(List[Limits], [{}] * 1000)
        self.assertLess(len(message), 4000)

    def test_what_post_init_refuses_is_said_of_the_field(self):
        signature = schema.derive(types_as_text.outer)
        with self.assertRaises(ParameterError) as caught:
            signature.convert({"parts": [{"size": 1}, {"size": -1}], "point": [1], "options": {}})
        self.assertEqual(caught.exception.problems, [("parts[1]", "a size is never negative")])

    def test_annotations_as_text_init_vars_and_class_vars(self):
        signature = schema.derive(types_as_text.outer)
        part = signature.schema["properties"]["parts"]["items"]
        self.assertEqual(list(part["properties"]), ["size", "made", "seed"])
        self.assertEqual(part["properties"]["size"]["description"], "How large.")
        self.assertEqual(part["description"], "A part.")
        _, given = signature.convert(
            {
                "parts": [{"size": 1, "made": "2026-01-31", "seed": 4}],
                "point": [1],
                "options": {"until": "2026-01-31"},
            }
        )
        self.assertEqual(given["parts"], [types_as_text.Part(1, datetime.date(2026, 1, 31), 4)])
        self.assertEqual(given["parts"][0].total, 5)
        self.assertEqual(given["options"], {"until": datetime.date(2026, 1, 31)})
        self.assertEqual(signature.result_schema["title"], "Part")

    def test_unions_are_told_apart_by_a_literal(self):
        shape = Union[Circle, Square]
        self.assertEqual(arrives(shape, {"kind": "square", "side": 1}), Square("square", 1.0))
        self.assertEqual(
            refused(shape, {"kind": "square", "side": "a"}),
            "x.side: must be a number, not a string",
        )
        self.assertEqual(refused(shape, 5), "x: must be an object, not the integer 5")
        self.assertEqual(
            [member["title"] for member in schema_of(shape)["anyOf"]], ["Circle", "Square"]
        )

    def test_generic_ones(self):
        self.assertEqual(schema_of(Box[int])["properties"]["content"], {"type": "integer"})
        self.assertEqual(
            arrives(Box[datetime.date], {"content": "2026-01-31"}).content,
            datetime.date(2026, 1, 31),
        )

    def test_one_that_contains_itself_is_refused(self):
        with self.assertRaises(schema.SchemaError) as caught:
            schema.derive(types_as_text.recursive)
        self.assertIn("the type Tree contains itself", str(caught.exception))

    def test_a_field_that_is_not_supported_is_named(self):
        odd = dataclasses.make_dataclass("Odd", [("n", complex)])
        self.assertIn("field 'n' of Odd: the type complex is not supported", unsupported(odd))
        wrong = dataclasses.make_dataclass("Wrong", [("n", int, dataclasses.field(default=3j))])
        self.assertIn("field 'n' of Wrong: the default 3j has no JSON form", unsupported(wrong))

    def test_a_default_that_is_one_is_shown(self):
        self.assertEqual(
            schema_of(Square, Square("square", 2.0))["default"], {"kind": "square", "side": 2.0}
        )
        self.assertNotIn("default", schema_of(Limits, Limits(1)), "a secret is in it")


def arrives_job(value):
    # The ids differ on each call, so the two conversions are not compared.
    _, given = schema.derive(_job).convert({"job": value})
    return given["job"]


def _job(job: Job):
    pass


class Base(TypedDict):
    name: str


class Person(Base, total=False):
    born: datetime.date


class TypedDictTest(unittest.TestCase):
    def test_required_and_optional_keys(self):
        found = schema_of(Person)
        self.assertEqual(
            (found["required"], list(found["properties"])), (["name"], ["name", "born"])
        )
        self.assertEqual(
            arrives(Person, {"name": "a", "born": "2000-01-01"}),
            {"name": "a", "born": datetime.date(2000, 1, 1)},
        )
        self.assertEqual(arrives(Person, {"name": "a"}), {"name": "a"})
        self.assertEqual(
            refused(Person, {"nam": 1}),
            "x.name: is required and missing; x.nam: is unknown: the fields are born, name",
        )

    @unittest.skipIf(sys.version_info < (3, 11), "NotRequired came with Python 3.11")
    def test_not_required(self):
        found = schema_of(types_as_text.Partly)
        self.assertEqual(found["required"], ["a"])
        self.assertEqual(found["properties"]["b"], {"type": "string"})


class NamedTupleTest(unittest.TestCase):
    def test_it_is_an_array_with_titles(self):
        found = schema_of(types_as_text.Point)
        items = [
            {"type": "integer", "title": "x"},
            {"type": "number", "default": 0.5, "title": "y"},
        ]
        self.assertEqual(
            found,
            {
                "type": "array",
                "title": "Point",
                "prefixItems": items,
                "items": False,
                "minItems": 1,
                "maxItems": 2,
            },
        )
        self.assertEqual(arrives(types_as_text.Point, [1]), types_as_text.Point(1, 0.5))
        self.assertEqual(
            refused(types_as_text.Point, [1, 2, 3]), "x: must have 1 to 2 items, not 3"
        )
        self.assertEqual(returned(types_as_text.Point(1, 2.0)), [1, 2.0])


if __name__ == "__main__":
    unittest.main()
