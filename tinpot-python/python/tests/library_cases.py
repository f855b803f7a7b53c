"""Results of NumPy, pandas, pendulum, arrow and attrs as JSON."""

import datetime
import unittest

import arrow
import attr
import numpy as np
import pandas as pd
import pendulum
from type_support import no_result, returned


@attr.s
class Host:
    name = attr.ib()


class LibrariesTest(unittest.TestCase):
    def check(self, *cases):
        for value, expected in cases:
            self.assertEqual(returned(value), expected, repr(value))

    def refuse(self, *cases):
        for value, part in cases:
            self.assertIn(part, no_result(value), repr(value))

    def test_numpy(self):
        self.check(
            (np.int64(3), 3),
            (np.uint64(2**64 - 1), 2**64 - 1),
            (np.float64(1.5), 1.5),
            (np.float32(0.5), 0.5),
            (np.bool_(True), True),
            (np.str_("x"), "x"),
            (np.bytes_(b"ab"), "YWI="),
            (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
            (np.array(5), 5),
            (np.array(["a", "bcdefghijk"]), ["a", "bcdefghijk"]),
            (np.array([datetime.date(2026, 1, 1), None]), ["2026-01-01", None]),
            (np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), [{"a": 1, "b": 2.0}]),
            (np.ma.array([1, 2], mask=[False, True]), [1, None]),
            ({np.int64(1): np.int64(2)}, {"1": 2}),
            (np.datetime64("2026-01-01T00:00:00.000000001"), "2026-01-01T00:00:00.000000001"),
            (np.datetime64("NaT"), None),
            (np.timedelta64(90, "s"), "PT1M30S"),
            (np.timedelta64(-1_500_000_001, "ns"), "-PT1.500000001S"),
            (np.timedelta64(86_400_000_000_001, "ns"), "P1DT0.000000001S"),
        )
        self.refuse(
            ([np.float64("nan")], "result[0] is nan"),
            (np.array([1.5, np.inf]), "result[1] is inf"),
            ({"x": np.array([1j])}, "result['x'][0] is of type numpy.complex128"),
            (np.timedelta64(3, "M"), "no fixed length"),
            ({np.int64(1): 1, "1": 2}, "two keys"),
            (type("Quantity", (np.ndarray,), {})(1), "an array of its own kind"),
        )

    def test_pandas(self):
        frame = pd.DataFrame({"a": [1, None], "t": [pd.Timestamp("2026-01-01"), pd.NaT]})
        other = pd.DataFrame({"g": ["a", "b", "a"], "v": [1, 2, 3]})
        self.check(
            (pd.Series([1, 2]).sum(), 3),
            (pd.NaT, None),
            (pd.NA, None),
            (pd.Timestamp("2026-01-01T00:00:00.000000001"), "2026-01-01T00:00:00.000000001"),
            (pd.Timedelta("1ns"), "P0DT0H0M0.000000001S"),
            (pd.Period("2026Q1"), "2026Q1"),
            (pd.Interval(0, 1), "(0, 1]"),
            (frame, [{"a": 1.0, "t": "2026-01-01T00:00:00"}, {"a": None, "t": None}]),
            (other[other.v > 1], [{"g": "b", "v": 2}, {"g": "a", "v": 3}]),
            (other.groupby("g").sum(), [{"g": "a", "v": 4}, {"g": "b", "v": 2}]),
            (pd.DataFrame([[1, 2]]), [{"0": 1, "1": 2}]),
            (pd.DataFrame(), []),
            (pd.Series([1.5, None]), [1.5, None]),
            (pd.Series({"a": 1}), {"a": 1}),
            (other.g.value_counts(), {"a": 2, "b": 1}),
            (pd.array([1, None], dtype="Int64"), [1, None]),
            (pd.Categorical(["a"]), ["a"]),
            (pd.Index([1, 2]), [1, 2]),
        )
        self.refuse(
            (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns 'a'"),
            (pd.Series([1, 2], index=["a", "a"]), "a label that occurs twice"),
            ([pd.DataFrame({"x": [np.inf]})], "result[0][0]['x'] is inf"),
            (pd.offsets.Day(1), "is of type pandas"),
        )

    def test_times_and_records(self):
        self.check(
            (pendulum.datetime(2026, 1, 1), "2026-01-01T00:00:00+00:00"),
            (pendulum.date(2026, 1, 1), "2026-01-01"),
            (pendulum.duration(days=1, hours=2), "P1DT2H"),
            (pendulum.duration(years=1, months=2, seconds=3), "P1Y2MT3S"),
            (pendulum.datetime(2026, 3, 1) - pendulum.datetime(2026, 1, 1), "P59D"),
            (arrow.get("2026-01-01"), "2026-01-01T00:00:00+00:00"),
            ([Host("db1")], [{"name": "db1"}]),
        )


if __name__ == "__main__":
    unittest.main()
