"""Results as JSON."""

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import json
import pathlib
import sqlite3
import subprocess
import types
import unittest
import uuid

from type_support import no_result, returned

from tinpot import Secret, _encode, _run


class Kind(enum.Enum):
    LONG = "long"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    HIGH = 2


class Colour(str, enum.Enum):
    RED = "red"


class Share(float, enum.Enum):
    HALF = 0.5


@dataclasses.dataclass
class Part:
    when: datetime.date
    parts: list
    total: int = dataclasses.field(default=0, init=False)


class Quarter(datetime.datetime):
    def isoformat(self, *_args, **_options):
        return "2026-Q1"


class Month(datetime.date):
    def __str__(self):
        return "2026-01"


class Span(datetime.timedelta):
    def __str__(self):
        return "a while"


class Money(int):
    def __str__(self):
        return "12 EUR"


class Ratio(float):
    def __repr__(self):
        return "1/3"


class Id(int):
    def __repr__(self):
        return f"Id({int(self)})"


class Shown(str):
    def __str__(self):
        return "shown"


class Doubled(list):
    def __iter__(self):
        return (2 * item for item in super().__iter__())


class Lazy(dict):
    def __getitem__(self, key):
        return f"value of {key}"


class Indexed(list):
    def __getitem__(self, index):
        return f"item {index}"


class Keyed(dict):
    def keys(self):
        return ["a"]


class Number(int):
    def __int__(self):
        return 7


class Renamed(dict):
    def items(self):
        return [("renamed", value) for value in self.values()]


class Repeated(dict):
    def items(self):
        return [("a", 1), ("a", 2)]


@dataclasses.dataclass
class Mixed(dict):
    x: int = 1


Point = collections.namedtuple("Point", "x y")


class ResultTest(unittest.TestCase):
    def test_results_by_what_they_are(self):
        day = datetime.date(2026, 1, 31)
        for value, expected in (
            ({1, 3, 2}, [1, 2, 3]),
            (frozenset(["b", "a"]), ["a", "b"]),
            ((1, (2,)), [1, [2]]),
            (
                [Kind.LONG, Level.HIGH, Colour.RED, Share.HALF, Kind.PAIR],
                ["long", 2, "red", 0.5, [1, 2]],
            ),
            ({Colour.RED: Colour.RED}, {"red": "red"}),
            (
                {Kind.LONG: 1, day: 2, uuid.UUID(int=1): 3, 4: 5},
                {"long": 1, "2026-01-31": 2, str(uuid.UUID(int=1)): 3, "4": 5},
            ),
            (
                {"a": [{day: {day: Part(day, [])}}]},
                {
                    "a": [
                        {
                            "2026-01-31": {
                                "2026-01-31": {"when": "2026-01-31", "parts": [], "total": 0}
                            }
                        }
                    ]
                },
            ),
            (
                Part(day, [Part(day, [b"\x00"])]),
                {
                    "when": "2026-01-31",
                    "parts": [{"when": "2026-01-31", "parts": ["AA=="], "total": 0}],
                    "total": 0,
                },
            ),
            (decimal.Decimal("1.10"), "1.10"),
            (pathlib.PurePosixPath("/a"), "/a"),
            (memoryview(b"ab"), "YWI="),
            (types.MappingProxyType({"a": 1}), {"a": 1}),
            (collections.deque([1]), [1]),
            ({"a": 1}.keys(), ["a"]),
            (collections.OrderedDict(b=1), {"b": 1}),
            (datetime.timedelta(days=-1), "-P1D"),
            (datetime.timedelta(microseconds=1), "PT0.000001S"),
            (datetime.timedelta(hours=10, minutes=10, seconds=10), "PT10H10M10S"),
            ([Secret("x")], ["***"]),
        ):
            self.assertEqual(returned(value), expected)

    def test_subclasses_keep_their_own_form_or_are_refused(self):
        for value, expected in (
            (Quarter(2026, 1, 1), "2026-Q1"),
            (Id(12), 12),
            (Shown("x"), "shown"),
            (Doubled([1, 2]), [2, 4]),
            (Lazy(a=1), {"a": "value of a"}),
            (Renamed(a=1), {"renamed": 1}),
            (Indexed([1]), ["item 0"]),
            (Keyed(a=1, b=2), {"a": 1}),
            (Point(1, (2,)), [1, [2]]),
            (collections.Counter("aab"), {"a": 2, "b": 1}),
            (collections.UserString("x"), "x"),
            (collections.UserList([1]), [1]),
            (collections.ChainMap({"a": 1}), {"a": 1}),
            (array.array("i", [1]), [1]),
            (range(3), [0, 1, 2]),
            ({Shown("x"): 1}, {"shown": 1}),
        ):
            self.assertEqual(returned(value), expected, repr(value))
            self.assertEqual(returned({"a": [value]}), {"a": [expected]}, repr(value))
        for value, part in (
            (Month(2026, 1, 1), "the date '2026-01-01' that shows as '2026-01'"),
            (Span(1), "a timedelta that shows as 'a while'"),
            (Money(12), "the int 12 that shows as '12 EUR': return int(value) or str(value)"),
            (Number(3), "the int 3 that shows as '7'"),
            (Ratio(0.5), "the float 0.5 that shows as '1/3'"),
            (Repeated(), "a key occurs twice"),
            (Mixed(), "has fields and is a dict too"),
            (fractions.Fraction(1, 2), "is of type fractions.Fraction"),
        ):
            self.assertIn(part, no_result(value))
            self.assertIn("result['a'][0] ", no_result({"a": [value]}))

    def test_values_of_the_standard_library(self):
        rows = sqlite3.connect(":memory:")
        rows.row_factory = sqlite3.Row
        done = subprocess.run(["echo", "hi"], stdout=subprocess.PIPE, text=True)
        for value, expected in (
            (rows.execute("select 1 as a, 'x' as b").fetchall(), [{"a": 1, "b": "x"}]),
            (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
            (done, {"args": ["echo", "hi"], "returncode": 0, "stdout": "hi\n", "stderr": None}),
            (2**100, 2**100),
        ):
            self.assertEqual(returned(value), expected)
        rows.close()

    def test_keys_that_become_equal_are_an_error(self):
        for value, key in (
            ({1: "a", "1": "b"}, "1"),
            ({True: "a", "true": "b"}, "true"),
            ({None: "a", "null": "b"}, "null"),
            ({1.5: "a", "1.5": "b"}, "1.5"),
            ({Kind.LONG: 1, "long": 2}, "long"),
        ):
            message = f"result[0] has two keys that are {key!r} as JSON"
            self.assertIn(message, no_result([value]))

    def test_depth_cycles_and_size_are_bounded(self):
        circle = {"a": []}
        circle["a"].append(circle)
        self.assertIn("result['a'][0] is a circular reference", no_result(circle))
        shared = [1]
        self.assertEqual(returned([shared, shared]), [[1], [1]])
        deep = 1
        for _ in range(_encode.MAX_DEPTH):
            deep = [deep]
        self.assertEqual(json.dumps(returned(deep)), json.dumps(deep))
        self.assertIn("is nested too deep: at most 100 levels", no_result([deep]))
        bomb = ["x"]
        for _ in range(60):
            bomb = [bomb, bomb]
        for large in (range(10**15), bomb, "x" * 10**7):
            self.assertIn("too large", no_result({"a": large}))
        self.assertIn("result['a'] is an integer", no_result({"a": 10**5000}))

    def test_a_result_without_a_form_is_no_reason_to_run_again(self):
        for value in (object(), "x" * 10**7):
            self.assertIs(json.loads(_run.succeeded(value, 1000))["failed"]["permanent"], True)

    def test_parameters_of_calls_have_the_same_forms_and_reveal_secrets(self):
        given = {"when": Quarter(2026, 1, 1), "token": [Secret("hunter2")]}
        self.assertEqual(_encode.parameters(given), {"when": "2026-Q1", "token": ["hunter2"]})
        with self.assertRaisesRegex(TypeError, r"parameters\['a'\]\[0\] is of type object"):
            _encode.parameters({"a": [object()]})

    def test_what_has_no_form_is_named_with_its_place(self):
        for value, part in (
            ({"a": [1, 2j]}, "result['a'][1] is of type complex"),
            ({(1, 2): 3}, "a key of type tuple"),
            ({b"a": 1}, "a key of type bytes"),
            ({Kind.PAIR: 1}, "a key of type"),
            (
                [Part(datetime.date(2026, 1, 31), [object()])],
                "result[0]['parts'][0] is of type object",
            ),
            ({1, 2j}, "is of type complex"),
            (decimal.Decimal("NaN"), "result is NaN, which is not JSON"),
            (
                {datetime.date(2026, 1, 31): 1, "2026-01-31": 2},
                "two keys that are '2026-01-31' as JSON",
            ),
            ([float("nan")], "result[0] is nan"),
            (print, "is of type builtin_function_or_method"),
            (Part, "is of type type"),
        ):
            self.assertIn(part, no_result(value))


if __name__ == "__main__":
    unittest.main()
