"""Whole signatures: how parameters are passed, the context, and what cannot be offered."""

import functools
import inspect
import typing
import unittest
from datetime import date
from typing import Annotated, Optional

import types_as_text

from tinpot import Param, ParameterError, schema
from tinpot._context import Context


def call(function, **given):
    args, kwargs = schema.derive(function).convert(given)
    return function(*args, **kwargs)


def refused(function, **given):
    try:
        made = schema.derive(function).convert(given)
    except ParameterError as error:
        return str(error)
    raise AssertionError(repr(made))


def unsupported(function):
    try:
        made = schema.derive(function)
    except schema.SchemaError as error:
        return str(error)
    raise AssertionError(repr(made.schema))


class UnannotatedTest(unittest.TestCase):
    def test_a_default_of_text_makes_a_text_field(self):
        def greet(name="World", times=1, flag=False, *, other, nothing=None):
            pass

        properties = schema.derive(greet).schema["properties"]
        self.assertEqual(properties["name"], {"type": "string", "default": "World"})
        self.assertEqual(properties["times"], {"default": 1})
        self.assertEqual(properties["flag"], {"default": False})
        self.assertEqual((properties["other"], properties["nothing"]), ({}, {"default": None}))


class Options(typing.TypedDict):
    force: bool


class PassingTest(unittest.TestCase):
    def test_only_by_name_and_only_by_position(self):
        def function(a, b=2, /, c=3, *, d: date):
            return a, b, c, d

        self.assertEqual(call(function, a=1, d="2026-01-31"), (1, 2, 3, date(2026, 1, 31)))
        self.assertEqual(
            call(function, a=1, b=5, c=6, d="2026-01-31"), (1, 5, 6, date(2026, 1, 31))
        )
        self.assertEqual(schema.derive(function).schema["required"], ["a", "d"])
        self.assertEqual(list(schema.derive(function).schema["properties"]), ["a", "b", "c", "d"])

    def test_a_gap_between_positions_is_filled_with_the_default(self):
        def function(a=1, b=2, /, *rest: date):
            return a, b, rest

        self.assertEqual(call(function, b=5), (1, 5, ()))
        self.assertEqual(call(function), (1, 2, ()))
        self.assertEqual(call(function, rest=["2026-01-31"]), (1, 2, (date(2026, 1, 31),)))
        self.assertEqual(schema.derive(function).schema["properties"]["rest"]["type"], "array")
        self.assertEqual(schema.derive(function).schema["required"], [])

    def test_stars(self):
        def function(a, *more: int, b=1, **others: date):
            return a, more, b, others

        self.assertEqual(
            call(function, a=1, more=[2, 3], c="2026-01-31"),
            (1, (2, 3), 1, {"c": date(2026, 1, 31)}),
        )
        self.assertEqual(
            schema.derive(function).schema["additionalProperties"],
            {"type": "string", "format": "date"},
        )
        self.assertEqual(
            refused(function, a=1, more=["a"], c=5),
            "more[0]: must be an integer, not a string;"
            " c: must be a string (a date), not the integer 5",
        )

        def untyped(**others):
            return others

        self.assertIs(schema.derive(untyped).schema["additionalProperties"], True)
        self.assertTrue(schema.derive(untyped).plain)
        self.assertEqual(call(untyped, a=[1]), {"a": [1]})

    @unittest.skipUnless(hasattr(typing, "Unpack"), "Unpack came with Python 3.11")
    def test_unpacked(self):
        def function(a, **options):
            return a, options

        function.__annotations__["options"] = typing.Unpack[Options]
        signature = schema.derive(function)
        self.assertEqual(
            (signature.schema["required"], signature.schema["additionalProperties"]),
            (["a", "force"], False),
        )
        self.assertEqual(call(function, a=1, force=True), (1, {"force": True}))

    def test_missing_and_unknown_ones_are_named(self):
        def function(a, when: date):
            pass

        self.assertEqual(
            refused(function, b=1),
            "a: is required and missing; when: is required and missing;"
            " b: is unknown: the parameters are a, when",
        )

    def test_parameters_that_are_no_object_are_refused(self):
        for wrong in ([], None, "a"):
            with self.assertRaises(ParameterError) as caught:
                schema.derive(lambda a: a).convert(wrong)
            self.assertIn("the parameters must be an object, not ", str(caught.exception))

    def test_a_marker_within_optional(self):
        def function(a: Optional[Annotated[int, Param(min=1)]] = None):
            pass

        self.assertEqual(
            schema.derive(function).schema["properties"]["a"],
            {"type": ["integer", "null"], "minimum": 1, "default": None},
        )

    def test_plain_parameters_are_left_alone(self):
        def function(a: int, b: "list[str]", c: "Optional[dict]" = None, d=None):
            pass

        signature = schema.derive(function)
        self.assertTrue(signature.plain)
        items = ["x"]
        self.assertIs(signature.convert({"a": 1, "b": items}, trusted=True)[1]["b"], items)
        self.assertFalse(schema.derive(lambda a, /: a).plain)
        self.assertFalse(schema.derive(lambda *a: a).plain)

    def test_wrappers_classes_and_methods(self):
        def decorated(function):
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                return function(*args, **kwargs)

            return wrapper

        self.assertEqual(
            schema.derive(decorated(types_as_text.outer)).schema["required"],
            ["parts", "point", "options"],
        )
        self.assertEqual(
            call(decorated(types_as_text.outer), parts=[{"size": 1}], point=[1, 2], options={}),
            types_as_text.Part(1),
        )
        self.assertEqual(schema.derive(types_as_text.Part).schema["required"], ["size"])

        class Worker:
            def run(self, when: "date"):
                return when

        self.assertEqual(call(Worker().run, when="2026-01-31"), date(2026, 1, 31))

    def test_names_around_the_function_are_known(self):
        class Here(types_as_text.Node):
            pass

        def function(when: "Day", also: "Optional[Day]" = None):
            return when, Day

        Day = date
        self.assertEqual(call(function, when="2026-01-31")[0], date(2026, 1, 31))


class ContextTest(unittest.TestCase):
    def test_the_context_is_no_parameter(self):
        def function(context: Context, a: int, **more):
            pass

        def perhaps(a: int, context: Optional[Context] = None):
            pass

        def text(a: int, context: "Context" = None):
            pass

        for one in (function, perhaps, text):
            signature = schema.derive(one)
            self.assertEqual(signature.context, "context")
            self.assertEqual(list(signature.schema["properties"]), ["a"])
            self.assertEqual(signature.convert({"a": 1}), ((), {"a": 1}))
        for one in (function, perhaps, text):
            for trusted in (False, True):
                with self.assertRaises(ParameterError) as caught:
                    schema.derive(one).convert({"a": 1, "context": 5}, trusted)
                self.assertIn("context: is unknown", str(caught.exception))
        self.assertFalse(
            schema.derive(function).plain, "other names could hold that of the context"
        )
        self.assertTrue(schema.derive(perhaps).plain)
        self.assertIsNone(schema.derive(lambda a: a).context)

    def test_where_it_cannot_stand(self):
        def position(context: Context, /):
            pass

        def two(a: Context, b: Context):
            pass

        def star(*a: Context):
            pass

        self.assertIn("passed by name", unsupported(position))
        self.assertIn("the context 'a' is there already", unsupported(two))
        self.assertIn("passed by name", unsupported(star))

        def before(context: Context, a, *more):
            pass

        def behind(a, /, *more, context: Context):
            return context, a, more

        self.assertIn("the context 'context' must stand after it", unsupported(before))
        args, kwargs = schema.derive(behind).convert({"a": 1, "more": [3]})
        self.assertEqual(behind(*args, context=2, **kwargs), (2, 1, (3,)))


class UnsupportedTest(unittest.TestCase):
    def test_every_parameter_is_named_at_once(self):
        def function(
            a: complex,
            b: int,
            c: "Nothing",  # noqa: F821
            d=object(),
            e=float("nan"),
            f=lambda: 0,
        ):
            pass

        lines = unsupported(function).splitlines()
        self.assertEqual(
            [line.split(":")[0] for line in lines],
            ["parameter 'a'", "parameter 'c'", "parameter 'd'", "parameter 'e'", "parameter 'f'"],
        )
        self.assertIn("the type complex is not supported: use str, int", lines[0])
        self.assertIn("the annotation 'Nothing' cannot be read: NameError", lines[1])
        self.assertIn("has no JSON form", lines[2])

    def test_names_that_only_the_type_checker_has(self):
        self.assertIn("TYPE_CHECKING", unsupported(types_as_text.only_while_checking))
        self.assertIn("'NoSuchType' cannot be read", unsupported(types_as_text.unknown))

    def test_a_type_of_types_that_contains_itself(self):
        names = {}
        exec("from typing import *\nJson = Union[int, List['Json']]\ndef f(x: Json): pass", names)
        self.assertIn("contains itself", unsupported(names["f"]))

    def test_param_in_the_wrong_place(self):
        def function(a: int = Param(min=1)):
            pass

        self.assertIn("Param must be in the annotation: Annotated[", unsupported(function))

    def test_a_result_that_is_not_supported_has_no_schema(self):
        def odd(a) -> complex:
            pass

        def none(a) -> None:
            pass

        def days(a) -> "list[date]":
            pass

        def silent(a):
            pass

        def anything(a) -> typing.Any:
            pass

        for function, expected in (
            (odd, None),
            (none, {"type": "null"}),
            (days, {"type": "array", "items": {"type": "string", "format": "date"}}),
            (silent, None),
            (anything, None),
        ):
            self.assertEqual(schema.derive(function).result_schema, expected)

    def test_what_cannot_be_inspected(self):
        self.assertIn("signature cannot be read", unsupported(dict))

    def test_a_marker_next_to_a_default(self):
        def function(a: Annotated[int, Param(min=1)] = 3):
            return a

        self.assertEqual(
            schema.derive(function).schema["properties"]["a"],
            {"type": "integer", "minimum": 1, "default": 3},
        )
        self.assertIs(inspect.signature(function).parameters["a"].default, 3)


if __name__ == "__main__":
    unittest.main()
