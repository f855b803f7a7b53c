"""Bugs of other projects' forms that the schema or the conversion prevents.

Most of them begin with a wrong schema.
"""

import datetime
import enum
import json
import os
import time
import unittest
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Union

from type_support import arrives, of, refused, returned, schema_of

from tinpot import ParameterError, schema


class Kind(enum.Enum):
    A = "a"
    B = "b"


@dataclass
class Inner:
    kind: Kind
    ratio: float = 0.5
    days: List[Optional[int]] = field(default_factory=lambda: [1, None])


@dataclass
class Outer:
    inner: Inner
    inners: List[Inner] = field(default_factory=list)
    by_name: Dict[str, Optional[Inner]] = field(default_factory=dict)


def keywords(found):
    """Every keyword anywhere in a schema."""
    if isinstance(found, list):
        return {name for one in found for name in keywords(one)}
    if not isinstance(found, dict):
        return set()
    names = set(found)
    for name, inner in found.items():
        if name in ("properties",):
            names |= keywords(list(inner.values()))
        elif name not in ("default", "enum", "examples"):
            names |= keywords(inner)
    return names


class FormTest(unittest.TestCase):
    def test_null_missing_and_default_are_three_things(self):
        def function(a: Optional[int], b: Optional[int] = 5, c: int = 7, d: int = None):
            return a, b, c, d

        signature = schema.derive(function)
        found = signature.schema
        self.assertEqual(found["required"], ["a"], "nullable is not optional")
        self.assertNotIn("default", found["properties"]["a"])
        self.assertEqual([found["properties"][name]["default"] for name in "bcd"], [5, 7, None])
        self.assertEqual(
            [found["properties"][name]["type"] for name in "abcd"],
            [["integer", "null"], ["integer", "null"], "integer", ["integer", "null"]],
        )

        def call(**given):
            args, kwargs = signature.convert(given)
            return function(*args, **kwargs)

        self.assertEqual(call(a=None), (None, 5, 7, None))
        self.assertEqual(call(a=0, b=None), (0, None, 7, None))
        with self.assertRaises(ParameterError) as caught:
            call(c=None)
        self.assertEqual(
            str(caught.exception), "a: is required and missing; c: must be an integer, not null"
        )

    def test_a_blank_is_neither_0_nor_null_nor_false(self):
        for annotation in (
            int,
            float,
            bool,
            Optional[int],
            datetime.date,
            Optional[datetime.date],
            Kind,
            Optional[Kind],
            Inner,
            List[int],
        ):
            self.assertTrue(refused(annotation, "").startswith("x: "))
        self.assertEqual(arrives(str, ""), "")
        self.assertEqual(arrives(Optional[str], ""), "")

    def test_numbers_as_text_are_refused_and_not_guessed(self):
        for annotation, value in (
            (int, "3"),
            (float, "0.5"),
            (Union[int, None], "3"),
            (List[float], ["0.5"]),
            (bool, "true"),
        ):
            self.assertIn("not a string", refused(annotation, value))
        self.assertEqual(arrives(Union[int, str], "3"), "3")

    def test_enums_are_not_behind_a_reference(self):
        found = schema_of(Outer)
        self.assertEqual(
            found["properties"]["inners"]["items"]["properties"]["kind"]["enum"], ["a", "b"]
        )
        for name in ("$ref", "$defs", "allOf", "oneOf", "const", "definitions"):
            self.assertNotIn(name, keywords(found))

    def test_nested_models_and_lists_of_them(self):
        made = arrives(
            Outer,
            {
                "inner": {"kind": "b", "ratio": 1},
                "inners": [{"kind": "a"}],
                "by_name": {"x": None, "y": {"kind": "a", "days": []}},
            },
        )
        self.assertEqual(
            made,
            Outer(Inner(Kind.B, 1.0), [Inner(Kind.A)], {"x": None, "y": Inner(Kind.A, days=[])}),
        )
        self.assertEqual(
            refused(Outer, {"inner": {"kind": "c"}, "inners": {}}),
            'x.inner.kind: must be one of "a", "b", not "c";'
            " x.inners: must be a list, not an object",
        )
        self.assertEqual(
            returned(made)["by_name"], {"x": None, "y": {"kind": "a", "ratio": 0.5, "days": []}}
        )

    def test_defaults_are_not_lost(self):
        found = schema_of(Outer, Outer(Inner(Kind.A)))
        self.assertEqual(
            found["default"],
            {"inner": {"kind": "a", "ratio": 0.5, "days": [1, None]}, "inners": [], "by_name": {}},
        )
        self.assertEqual(found["properties"]["inner"]["properties"]["days"]["default"], [1, None])
        for default in (0, False, "", [], {}, None):
            self.assertEqual(
                schema_of(Union[int, bool, str, list, dict, None], default)["default"], default
            )
        self.assertEqual(
            arrives(Outer, schema_of(Outer, Outer(Inner(Kind.A)))["default"]),
            Outer(Inner(Kind.A)),
            "a default can be sent back",
        )

    def test_every_default_can_be_sent_back(self):
        import decimal
        import pathlib
        import uuid

        for value in (
            datetime.date(2026, 3, 29),
            datetime.datetime(2026, 3, 29, 2, 30),
            datetime.datetime(2026, 3, 29, 2, 30, tzinfo=datetime.timezone.utc),
            datetime.time(2, 30),
            datetime.timedelta(days=-1, microseconds=5),
            decimal.Decimal("1.10"),
            uuid.UUID(int=5),
            pathlib.Path("/a"),
            b"\xff",
            Kind.A,
        ):
            default = schema_of(type(value), value)["default"]
            self.assertEqual(json.loads(json.dumps(default)), default)
            self.assertEqual(arrives(type(value), default), value)

    def test_dates_do_not_go_through_a_time_zone(self):
        known = os.environ.get("TZ")
        try:
            for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin", "UTC"):
                os.environ["TZ"] = zone
                time.tzset()
                self.assertEqual(arrives(datetime.date, "2026-03-29"), datetime.date(2026, 3, 29))
                # An hour that Berlin does not have: without an offset it stays as it was written.
                self.assertEqual(
                    arrives(datetime.datetime, "2026-03-29T02:30"),
                    datetime.datetime(2026, 3, 29, 2, 30),
                )
                aware = arrives(datetime.datetime, "2026-03-29T02:30:00+02:00")
                self.assertEqual(aware.utcoffset(), datetime.timedelta(hours=2))
                self.assertEqual(returned(aware), "2026-03-29T02:30:00+02:00")
        finally:
            os.environ.pop("TZ") if known is None else os.environ.update(TZ=known)
            time.tzset()

    def test_unions_keep_their_members_apart(self):
        members = schema_of(Union[Inner, List[int], datetime.date, None])["anyOf"]
        self.assertEqual(
            [member.get("title") or member.get("format") or member["type"] for member in members],
            ["Inner", "array", "date", "null"],
        )

    def test_the_order_of_parameters_is_kept(self):
        def function(z, a, m=1, *, b=2, c: Inner = None):
            pass

        text = json.dumps(schema.derive(function).schema)
        self.assertEqual(list(json.loads(text)["properties"]), ["z", "a", "m", "b", "c"])

    def test_plain_signatures_cost_nothing(self):
        self.assertTrue(of(Union[int, str, None]).plain)
        self.assertFalse(of(float).plain, "3 has to become 3.0")


if __name__ == "__main__":
    unittest.main()
