"""Dates, times, Decimal, UUID, Path, bytes and Secret, in both directions; bounds."""

import datetime
import decimal
import os
import pathlib
import pickle
import unittest
import uuid
from datetime import date, time, timedelta, timezone
from typing import Annotated, List, Optional

from type_support import arrives, refused, returned, schema_of, unsupported

from tinpot import Param, Secret

UTC = timezone.utc
ID = "12345678-1234-5678-1234-567812345678"


class FormatTest(unittest.TestCase):
    def test_there_and_back(self):
        """Annotation, format, JSON value, Python value, what it is in a result."""
        two = timezone(timedelta(hours=2))
        for annotation, form, value, expected, back in (
            (date, "date", "2026-01-31", date(2026, 1, 31), "2026-01-31"),
            (time, "time", "14:30", time(14, 30), "14:30:00"),
            (
                time,
                "time",
                "14:30:05.5+02:00",
                time(14, 30, 5, 500000, two),
                "14:30:05.500000+02:00",
            ),
            (
                datetime.datetime,
                "date-time",
                "2026-01-31T14:30",
                datetime.datetime(2026, 1, 31, 14, 30),
                "2026-01-31T14:30:00",
            ),
            (
                datetime.datetime,
                "date-time",
                "2026-01-31 14:30:01Z",
                datetime.datetime(2026, 1, 31, 14, 30, 1, 0, UTC),
                "2026-01-31T14:30:01+00:00",
            ),
            (
                datetime.datetime,
                "date-time",
                "2026-01-31T14:30:01.123456789-05:30",
                datetime.datetime(
                    2026, 1, 31, 14, 30, 1, 123456, timezone(-timedelta(hours=5, minutes=30))
                ),
                "2026-01-31T14:30:01.123456-05:30",
            ),
            (
                timedelta,
                "duration",
                "P1DT2H30M",
                timedelta(days=1, hours=2, minutes=30),
                "P1DT2H30M",
            ),
            (timedelta, "duration", "-PT0.5S", timedelta(seconds=-0.5), "-PT0.5S"),
            (timedelta, "duration", "P2W", timedelta(weeks=2), "P14D"),
            (timedelta, "duration", 90, timedelta(seconds=90), "PT1M30S"),
            (timedelta, "duration", 0.25, timedelta(seconds=0.25), "PT0.25S"),
            (timedelta, "duration", "PT0S", timedelta(0), "PT0S"),
            (decimal.Decimal, "decimal", "0.10", decimal.Decimal("0.10"), "0.10"),
            (decimal.Decimal, "decimal", 0.1, decimal.Decimal("0.1"), "0.1"),
            (decimal.Decimal, "decimal", 3, decimal.Decimal(3), "3"),
            (uuid.UUID, "uuid", ID, uuid.UUID(ID), ID),
            (pathlib.Path, "path", "/a/b", pathlib.Path("/a/b"), "/a/b"),
            (pathlib.PurePosixPath, "path", "a", pathlib.PurePosixPath("a"), "a"),
            (os.PathLike, "path", "a", pathlib.Path("a"), "a"),
            (bytes, "binary", "AP8=", b"\x00\xff", "AP8="),
            (bytes, "binary", "", b"", ""),
            (bytearray, "binary", "AP8=", bytearray(b"\x00\xff"), "AP8="),
            (Secret, "password", "hunter2", Secret("hunter2"), "***"),
        ):
            self.assertEqual(schema_of(annotation)["format"], form)
            made = arrives(annotation, value)
            self.assertEqual(made, expected)
            self.assertIs(type(made), type(expected))
            self.assertEqual(returned(made), back)
        self.assertEqual(schema_of(timedelta)["type"], ["string", "number"])
        self.assertEqual(schema_of(Optional[timedelta])["type"], ["string", "number", "null"])
        self.assertEqual(
            schema_of(bytes), {"type": "string", "format": "binary", "contentEncoding": "base64"}
        )
        self.assertEqual(
            schema_of(Secret), {"type": "string", "format": "password", "writeOnly": True}
        )
        self.assertEqual(
            schema_of(pathlib.Path), {"type": "string", "format": "path", "minLength": 1}
        )

    def test_what_does_not_exist_is_named(self):
        for annotation, value, expected in (
            (date, "2026-02-30", "x: is not a date: day is out of range for month"),
            (date, "31.1.2026", 'x: is not a date: must be like 2026-01-31, not "31.1.2026"'),
            (date, "2026-W01-1", "x: is not a date: must be like"),
            (date, "2026-01-31T00:00:00Z", "x: is not a date: must be like"),
            (date, "", 'x: is not a date: must be like 2026-01-31, not ""'),
            (date, 5, "x: must be a string (a date), not the integer 5"),
            (time, "24:00", "x: is not a time: hour must be in 0..23"),
            (datetime.datetime, "2026-01-31", "x: is not a date and time: must be like"),
            (
                datetime.datetime,
                "2026-01-31T14:30+25:00",
                "x: is not a date and time: offset must be",
            ),
            (timedelta, "P1Y", "x: is not a duration: must be like P1DT2H30M"),
            (timedelta, "P", "x: is not a duration"),
            (timedelta, "PT", "x: is not a duration"),
            (timedelta, "PT1.5H3S", "x: is not a duration: only the last part"),
            (timedelta, "P9999999999D", "x: is not a duration: must be less"),
            (
                timedelta,
                True,
                "x: must be a string or a number (a duration, or seconds), not a boolean",
            ),
            (decimal.Decimal, "NaN", 'x: is not a decimal number: must be like 0.10, not "NaN"'),
            (decimal.Decimal, "", "x: is not a decimal number"),
            (decimal.Decimal, float("inf"), "x: must be a string or a number"),
            (uuid.UUID, "{" + ID + "}", "x: is not a UUID"),
            (pathlib.Path, "", "x: is not a path: must not be empty"),
            (pathlib.Path, "a\0b", "x: is not a path: must not contain a NUL"),
            (bytes, "AP8", "x: is not base64"),
            (bytes, "AP8=\n", "x: is not base64"),
            (bytes, "ä===", "x: is not base64"),
            (Secret, 5, "x: must be a string, not the integer 5"),
        ):
            message = refused(annotation, value)
            self.assertTrue(message.startswith(expected), message)


class SecretTest(unittest.TestCase):
    def test_a_secret_is_not_seen_by_accident(self):
        secret = Secret("hunter2")
        for text in (
            str(secret),
            repr(secret),
            f"{secret} {secret!r}",
            f"{secret} {secret!r} {secret:>5}",
            repr([secret]),
        ):
            self.assertNotIn("hunter2", text)
            self.assertIn("***", text)
        self.assertEqual((secret.reveal(), secret.value, len(secret)), ("hunter2", "hunter2", 7))
        self.assertEqual(secret, Secret("hunter2"))
        self.assertNotEqual(secret, Secret("other"))
        self.assertNotEqual(secret, "hunter2")
        self.assertEqual(pickle.loads(pickle.dumps(secret)), secret)
        with self.assertRaises(TypeError):
            Secret(5)

    def test_nor_in_a_default_or_an_error(self):
        self.assertNotIn("default", schema_of(Secret, Secret("hunter2")))
        self.assertNotIn("default", schema_of(List[Secret], [Secret("hunter2")]))
        self.assertNotIn("hunter2", refused(Annotated[Secret, Param(min_length=20)], "hunter2"))
        self.assertNotIn("hunter2", refused(Annotated[Secret, Param(pattern="^[A-Z]")], "hunter2"))
        self.assertEqual(returned({"password": Secret("hunter2")}), {"password": "***"})


class BoundsTest(unittest.TestCase):
    def test_bounds_are_in_the_schema_and_checked(self):
        """Annotation, what the schema has of it, what fits, what does not, what is said then."""
        D = decimal.Decimal
        for annotation, said, right, wrong, message in (
            (
                Annotated[int, Param(min=1, max=9)],
                {"minimum": 1, "maximum": 9},
                9,
                0,
                "must be at least 1, not 0",
            ),
            (
                Annotated[float, Param(exclusive_min=0, exclusive_max=1)],
                {"exclusiveMinimum": 0, "exclusiveMaximum": 1},
                0.5,
                1,
                "must be less than 1, not 1.0",
            ),
            (
                Annotated[float, Param(multiple_of=0.1)],
                {"multipleOf": 0.1},
                0.3,
                0.35,
                "must be a multiple of 0.1, not 0.35",
            ),
            (
                Annotated[D, Param(min=0.1)],
                {"minimum": 0.1},
                "0.1",
                "0.09",
                "must be at least 0.1, not 0.09",
            ),
            (
                Annotated[str, Param(min_length=2, max_length=3)],
                {"minLength": 2, "maxLength": 3},
                "äb",
                "a",
                "must have at least 2 characters, not 1",
            ),
            (
                Annotated[str, Param(pattern="^a")],
                {"pattern": "^a"},
                "ab",
                "ba",
                "must match the pattern ^a",
            ),
            (
                Annotated[List[int], Param(max_length=1)],
                {"maxItems": 1},
                [1],
                [1, 2],
                "must have at most 1 item, not 2",
            ),
            (
                Annotated[dict, Param(min_length=1)],
                {"minProperties": 1},
                {"a": 1},
                {},
                "must have at least 1 field, not 0",
            ),
            (
                Annotated[bytes, Param(max_length=2)],
                {"maxLength": 4},
                "AP8=",
                "AP8A",
                "must have at most 2 bytes, not 3",
            ),
            (
                Annotated[date, Param(min=date(2026, 1, 1))],
                {"formatMinimum": "2026-01-01"},
                "2026-01-01",
                "2025-12-31",
                "must be at least 2026-01-01, not 2025-12-31",
            ),
            (
                Annotated[timedelta, Param(max=60)],
                {"formatMaximum": "PT1M"},
                "PT1M",
                61,
                "must be at most PT1M, not PT1M1S",
            ),
            (
                Annotated[Optional[int], Param(min=1)],
                {"type": ["integer", "null"], "minimum": 1},
                None,
                0,
                "must be at least 1, not 0",
            ),
            (
                Annotated[str, Param(choices=["a", "b"])],
                {"enum": ["a", "b"]},
                "a",
                "c",
                'must be one of "a", "b", not "c"',
            ),
            (
                Annotated[int, Param(choices={1: "one", 2: "two"})],
                {"enum": [1, 2], "x-enum-names": ["one", "two"]},
                1,
                3,
                "must be one of 1, 2, not 3",
            ),
            (
                Annotated[List[str], Param(choices=["a"])],
                {"items": {"type": "string", "enum": ["a"]}},
                ["a"],
                ["b"],
                'must be one of "a", not "b"',
            ),
        ):
            found = schema_of(annotation)
            self.assertEqual({name: found.get(name) for name in said}, said)
            arrives(annotation, right)
            self.assertEqual(refused(annotation, wrong), "x: " + message)

    def test_words(self):
        self.assertEqual(
            schema_of(Annotated[int, "How many."]), {"type": "integer", "description": "How many."}
        )
        words = Param(title="Days", description="How long.", examples=[1, 2])
        self.assertEqual(
            schema_of(Annotated[int, words, "other"]),
            {"type": "integer", "title": "Days", "description": "How long.", "examples": [1, 2]},
        )

    def test_markers_of_others_are_known_by_their_names(self):
        def marker(name, **attributes):
            return type(name, (), attributes)()

        found = schema_of(
            Annotated[
                int, marker("Ge", ge=1), marker("Lt", lt=9), marker("MultipleOf", multiple_of=2)
            ]
        )
        self.assertEqual(
            found, {"type": "integer", "minimum": 1, "exclusiveMaximum": 9, "multipleOf": 2}
        )
        self.assertEqual(
            schema_of(Annotated[str, marker("Len", min_length=1, max_length=3)]),
            {"type": "string", "minLength": 1, "maxLength": 3},
        )
        self.assertEqual(
            schema_of(Annotated[int, marker("Interval", gt=1, ge=None, lt=None, le=5)]),
            {"type": "integer", "exclusiveMinimum": 1, "maximum": 5},
        )
        self.assertEqual(
            schema_of(Annotated[int, marker("Odd", ge=1), object()]), {"type": "integer"}
        )

    def test_bounds_that_make_no_sense_are_named(self):
        for annotation, part in (
            (Annotated[str, Param(min=1)], "min does not apply to the type string"),
            (Annotated[int, Param(max_length=1)], "max_length does not apply to the type integer"),
            (Annotated[date, Param(pattern="x")], "pattern does not apply to the type date"),
            (Annotated[str, Param(pattern="(")], "cannot be read"),
            (Annotated[int, Param(min="1")], "min must be a number, not '1'"),
            (Annotated[date, Param(min="1.1.2026")], "is not a date"),
            (
                Annotated[int, Param(choices=["a"])],
                'the choice "a" must be an integer, not a string',
            ),
            (Annotated[int, Param(multiple_of=0)], "multiple_of must be a number above 0"),
        ):
            self.assertIn(part, unsupported(annotation))


if __name__ == "__main__":
    unittest.main()
