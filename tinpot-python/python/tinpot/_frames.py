"""The JSON forms of arrays, tables and times of other libraries, none of which is imported here."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable
from typing import Any

from tinpot._formats import iso_duration

_Convert = Callable[[Any, Callable[[Any], str]], Any]


class NoForm(ValueError):
    """A value that has no JSON form.

    path: the part of the whole value that has none.
    """

    def __init__(self, message: str, is_too_large: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.path = ""
        self.is_too_large = is_too_large

    def __str__(self) -> str:
        return f"{self.path} {self.message}".strip()


def find(cls: Any) -> _Convert | None:
    """Returns the conversion for a class of a library; None for any other class."""
    return _find_numpy(cls) or _find_pandas(cls) or _find_other(cls)


def _is(cls: Any, module: Any, *names: str) -> bool:
    """Returns True for a class of the module, which may be half imported."""
    bases = tuple(base for name in names if isinstance(base := getattr(module, name, None), type))
    return issubclass(cls, bases)


def _find_numpy(cls: Any) -> _Convert | None:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return None
    if _is(cls, numpy, "ndarray"):
        # A subclass may have a unit or a coordinate system, which an array of numbers loses.
        return _array if cls.__module__.partition(".")[0] == "numpy" else _refused_array
    if _is(cls, numpy, "generic") and cls.__module__ == "numpy":
        return _scalar
    return None


def _refused_array(value: Any, _on_secret: Any) -> Any:
    cls = type(value)
    name = f"{cls.__module__}.{cls.__qualname__}"
    raise NoForm(f"is of type {name}, an array of its own kind: return value.tolist()")


def _array(value: Any, _on_secret: Any) -> Any:
    kind = value.dtype.kind
    if value is getattr(sys.modules["numpy"].ma, "masked", None):
        return None
    if value.ndim == 0:
        return value[()]
    # The other kinds item by item: `tolist` makes integers of times, and tuples of records.
    return value.tolist() if kind in "biufUO" and value.dtype.itemsize <= 8 else list(value)


def _scalar(value: Any, _on_secret: Any) -> Any:
    kind = value.dtype.kind
    if kind in "biuUS":
        return value.item()
    if kind == "f":
        number = float(value)
        if number == value or value != value:
            return number
    if kind == "M":
        return None if value != value else str(value)
    if kind == "m":
        return _timedelta64(value)
    if kind == "V" and value.dtype.names:
        return {name: value[name] for name in value.dtype.names}
    raise NoForm(f"is of type numpy.{type(value).__name__}, which has no JSON form")


def _timedelta64(value: Any) -> str | None:
    if value != value:
        return None
    unit, step = sys.modules["numpy"].datetime_data(value.dtype)
    nanoseconds = {
        "W": 604_800_000_000_000,
        "D": 86_400_000_000_000,
        "h": 3_600_000_000_000,
        "m": 60_000_000_000,
        "s": 1_000_000_000,
        "ms": 1_000_000,
        "us": 1_000,
        "ns": 1,
    }.get(unit)
    if nanoseconds is None:
        raise NoForm(f"is a timedelta64 in the unit {unit!r}, which has no fixed length")
    total = int(value.astype("int64")) * step * nanoseconds
    microseconds, rest = divmod(abs(total), 1000)
    text = iso_duration(datetime.timedelta(microseconds=microseconds))
    if rest:
        text = _with_nanoseconds(text, rest)
    return "-" + text if total < 0 else text


def _with_nanoseconds(text: str, rest: int) -> str:
    head, _, last = text.partition("T")
    clock, seconds = last, "0"
    if last.endswith("S"):
        at = max(last.rfind("H"), last.rfind("M")) + 1
        clock, seconds = last[:at], last[at:-1]
    whole, _, fraction = seconds.partition(".")
    return f"{head}T{clock}{whole}.{fraction:0<6}{rest:03d}S"


def _find_pandas(cls: Any) -> _Convert | None:
    pandas: Any = sys.modules.get("pandas")
    if pandas is None:
        return None
    missing = (type(getattr(pandas, "NaT", None)), type(getattr(pandas, "NA", None)))
    if cls in missing:
        return lambda _value, _: None
    if _is(cls, pandas, "DataFrame"):
        return _frame
    if _is(cls, pandas, "Series"):
        return _series
    if _is(cls, pandas, "Timestamp", "Timedelta"):
        return lambda value, _: value.isoformat()
    if _is(cls, pandas, "Period", "Interval"):
        return lambda value, _: str(value)
    extensions = getattr(getattr(pandas, "api", None), "extensions", None)
    if _is(cls, pandas, "Index") or _is(cls, extensions, "ExtensionArray"):
        return lambda value, _: [_cell(item) for item in value]
    return None


def _cell(value: Any) -> Any:
    """Returns a cell, where NaN means that the value is missing."""
    return None if isinstance(value, float) and value != value else value


def _is_labelled(index: Any) -> bool:
    """Returns False for row numbers: integers without a name."""
    is_named = any(name is not None for name in index.names)
    return is_named or (len(index) > 0 and getattr(index.dtype, "kind", "O") not in "iu")


def _frame(frame: Any, _on_secret: Any) -> list[dict[Any, Any]]:
    if _is_labelled(frame.index):
        frame = frame.reset_index()
    if not frame.columns.is_unique:
        twice = list(frame.columns[frame.columns.duplicated()])
        raise NoForm(f"is a frame with two columns {str(twice[0])[:80]!r}")
    columns = list(frame.columns)
    rows = frame.itertuples(index=False, name=None)
    return [dict(zip(columns, map(_cell, row))) for row in rows]


def _series(series: Any, _on_secret: Any) -> Any:
    if not _is_labelled(series.index):
        return [_cell(item) for item in series]
    if not series.index.is_unique:
        raise NoForm("is a series with a label that occurs twice: return value.tolist()")
    return {label: _cell(item) for label, item in zip(series.index, series)}


def _find_other(cls: Any) -> _Convert | None:
    library = cls.__module__.partition(".")[0]
    name = cls.__name__
    if library == "polars":
        if name == "DataFrame":
            return lambda value, _: value.to_dicts()
        if name == "Series":
            return lambda value, _: value.to_list()
    if library == "pyarrow" and hasattr(cls, "to_pylist"):
        return lambda value, _: value.to_pylist()
    if library == "arrow" and name == "Arrow":
        return lambda value, _: value.isoformat()
    if library == "pendulum" and hasattr(cls, "as_timedelta"):
        return _pendulum_duration
    return None


def _pendulum_duration(value: Any, _on_secret: Any) -> str:
    span = value.as_timedelta()
    # An interval has two ends, and so an exact length. A duration counts months as 30 days.
    years, months = (0, 0) if hasattr(value, "start") else (value.years, value.months)
    rest = span - datetime.timedelta(days=365 * years + 30 * months)
    if not years and not months:
        return iso_duration(span)
    if min(years, months) < 0 or rest < datetime.timedelta(0):
        raise NoForm("is a negative duration in years or months, which has no JSON form")
    dates = (f"{years}Y" if years else "") + (f"{months}M" if months else "")
    return f"P{dates}" + (iso_duration(rest)[1:] if rest else "")
