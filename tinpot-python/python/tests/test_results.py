"""Results as JSON."""

import collections
import dataclasses
import datetime
import decimal
import enum
import pathlib
import types
import unittest
import uuid

from type_support import no_result, returned

from tinpot import Secret


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
            (decimal.Decimal("NaN"), "NaN is not JSON"),
            ({datetime.date(2026, 1, 31): 1, "2026-01-31": 2}, "two keys are '2026-01-31'"),
            ([float("nan")], "result[0] is nan"),
            (print, "is of type builtin_function_or_method"),
            (Part, "is of type type"),
        ):
            self.assertIn(part, no_result(value))


if __name__ == "__main__":
    unittest.main()
