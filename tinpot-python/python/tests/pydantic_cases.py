"""Actions with pydantic's types: run by test_pydantic.py with an interpreter that has pydantic."""

import datetime
import decimal
import enum
import json
import sys
import unittest
from dataclasses import dataclass
from typing import Annotated, Callable, Dict, List, Literal, Optional, Union

import annotated_types
import pydantic
from pydantic import BaseModel, Field, SecretStr
from test_forms import keywords
from type_support import arrives, no_result, of, refused, returned, schema_of, unsupported

from tinpot import schema


class Kind(enum.Enum):
    A = "a"
    B = "b"


class Part(BaseModel):
    """A part."""

    size: int = Field(ge=1, description="How large.")
    kind: Optional[Kind] = None
    price: decimal.Decimal = decimal.Decimal("1.10")
    least: Optional[decimal.Decimal] = Field(None, ge=1)
    either: Union[float, str] = "a"


class Whole(BaseModel):
    model_config = {"extra": "forbid"}
    parts: List[Part]
    made: datetime.date
    password: SecretStr = SecretStr("hunter2")
    names: Dict[str, Part] = {}


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: List[str]


class Node(BaseModel):
    children: List["Node"] = []


class Odd(BaseModel):
    run: Callable[[], int]


@dataclass
class Holder:
    part: Part
    others: List[Part]


@pydantic.dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5


class PydanticTest(unittest.TestCase):
    def test_models_are_inlined_in_our_dialect(self):
        found = schema_of(Whole)
        self.assertEqual(
            (found["type"], found["title"], found["required"], found["additionalProperties"]),
            ("object", "Whole", ["parts", "made"], False),
        )
        part = found["properties"]["parts"]["items"]
        self.assertEqual(
            part["properties"]["size"],
            {"type": "integer", "minimum": 1, "description": "How large."},
        )
        kind = {"type": ["string", "null"], "enum": ["a", "b", None], "default": None}
        self.assertEqual(part["properties"]["kind"], kind)
        price = part["properties"]["price"]
        self.assertEqual(
            (price["type"], price["format"], price["default"]),
            (["string", "number"], "decimal", "1.10"),
        )
        self.assertEqual(
            part["properties"]["least"],
            {
                "type": ["string", "number", "null"],
                "format": "decimal",
                "minimum": 1.0,
                "default": None,
            },
        )
        self.assertEqual(
            part["properties"]["either"], {"type": ["number", "string"], "default": "a"}
        )
        self.assertEqual(part["description"], "A part.")
        self.assertEqual(found["properties"]["made"], {"type": "string", "format": "date"})
        self.assertEqual(
            found["properties"]["password"],
            {"type": "string", "format": "password", "writeOnly": True},
        )
        for name in ("$ref", "$defs", "allOf", "oneOf", "const", "discriminator"):
            self.assertNotIn(name, keywords(found))
        self.assertNotIn("hunter2", json.dumps(found))

    def test_values_are_validated_and_built(self):
        made = arrives(
            Whole, {"parts": [{"size": 1, "kind": "b"}], "made": "2026-01-31", "password": "x"}
        )
        self.assertEqual(
            (type(made), made.parts[0].kind, made.made, made.password.get_secret_value()),
            (Whole, Kind.B, datetime.date(2026, 1, 31), "x"),
        )
        self.assertEqual(arrives(List[Part], [{"size": 2}])[0].size, 2)
        self.assertEqual(arrives(Holder, {"part": {"size": 2}, "others": []}).part, Part(size=2))
        self.assertIsNone(arrives(Optional[Part], None))

    def test_what_is_wrong_is_named_with_its_path(self):
        message = refused(Holder, {"part": {"size": 0}, "others": [{"kind": "a"}]})
        self.assertEqual(
            message,
            "x.part.size: input should be greater than or equal to 1;"
            " x.others[0].size: is required and missing",
        )
        self.assertIn(
            "x.colour: is unknown", refused(Whole, {"parts": [], "made": "2026-01-31", "colour": 1})
        )

    def test_results(self):
        whole = Whole(parts=[Part(size=1)], made=datetime.date(2026, 1, 31))
        expected = {
            "parts": [{"size": 1, "kind": None, "price": "1.10", "least": None, "either": "a"}],
            "made": "2026-01-31",
            "password": "**********",
            "names": {},
        }
        self.assertEqual(returned(whole), expected)
        self.assertEqual(returned({"a": [Point(1)]}), {"a": [{"x": 1, "y": 0.5}]})
        self.assertEqual(returned(SecretStr("x")), "***")
        self.assertEqual(returned(Holder(Part(size=1), []))["part"]["size"], 1)
        self.assertIn("ModelMetaclass", no_result(Part))

        def function() -> Whole:
            pass

        result = schema.derive(function).result_schema
        self.assertEqual(
            (result["title"], result["properties"]["made"]["format"]), ("Whole", "date")
        )

    def test_fields_as_defaults_and_in_annotations(self):
        def function(
            a: int = Field(5, ge=1, description="How many."),
            b: Annotated[str, Field(min_length=2, pattern="^a")] = "ab",
            c: List[int] = Field(default_factory=list),
            *,
            d: float = Field(gt=0),
            e: Annotated[int, Field(default=3)] = 4,
        ):
            return a, b, c, d, e

        signature = schema.derive(function)
        found = signature.schema["properties"]
        self.assertEqual(
            found["a"], {"type": "integer", "minimum": 1, "description": "How many.", "default": 5}
        )
        self.assertEqual(
            found["b"], {"type": "string", "minLength": 2, "pattern": "^a", "default": "ab"}
        )
        self.assertNotIn("default", found["c"])
        self.assertEqual(signature.schema["required"], ["d"])
        args, kwargs = signature.convert({"d": 1})
        self.assertEqual(function(*args, **kwargs), (5, "ab", [], 1.0, 4))
        self.assertIsNot(signature.convert({"d": 1})[1]["c"], kwargs["c"])

    def test_annotated_types(self):
        self.assertEqual(
            schema_of(Annotated[int, annotated_types.Interval(ge=1, lt=9)]),
            {"type": "integer", "minimum": 1, "exclusiveMaximum": 9},
        )
        self.assertEqual(schema_of(Annotated[List[int], annotated_types.Len(1, 3)])["maxItems"], 3)
        self.assertEqual(
            schema_of(pydantic.PositiveInt), {"type": "integer", "exclusiveMinimum": 0}
        )
        self.assertEqual(
            refused(Annotated[str, annotated_types.MinLen(2)], "a"),
            "x: must have at least 2 characters, not 1",
        )
        self.assertEqual(
            schema_of(Annotated[str, pydantic.StringConstraints(max_length=3)]),
            {"type": "string", "maxLength": 3},
        )

    def test_its_own_types(self):
        self.assertEqual(
            schema_of(SecretStr), {"type": "string", "format": "password", "writeOnly": True}
        )
        self.assertEqual(arrives(SecretStr, "x").get_secret_value(), "x")
        self.assertEqual(schema_of(pydantic.HttpUrl)["format"], "uri")
        doubled = Annotated[int, pydantic.AfterValidator(lambda value: value * 2)]
        self.assertEqual(arrives(doubled, 2), 4)
        self.assertEqual(arrives(Point, {"x": 1}), Point(1))

    def test_unions_by_a_discriminator(self):
        pet = Annotated[Union[Cat, Dog], Field(discriminator="kind")]
        self.assertEqual(
            [member["properties"]["kind"]["enum"] for member in schema_of(pet)["anyOf"]],
            [["cat"], ["dog"]],
        )
        self.assertEqual(
            arrives(pet, {"kind": "dog", "tricks": ["sit"]}), Dog(kind="dog", tricks=["sit"])
        )
        self.assertEqual(
            arrives(Union[Cat, Dog], {"kind": "cat", "lives": 7}), Cat(kind="cat", lives=7)
        )

    def test_a_model_that_contains_itself_is_refused(self):
        self.assertIn("the type Node contains itself", unsupported(Node))
        self.assertIn("pydantic does not accept", unsupported(Odd))

    def test_nothing_is_plain(self):
        self.assertFalse(of(Part).plain)


if __name__ == "__main__":
    print("pydantic", pydantic.VERSION, file=sys.stderr)
    unittest.main()
