"""Types that are text in JSON: dates, times, Decimal, UUID, Path, bytes, Secret.

This module does not import the modules of Decimal, UUID and Path: an annotation with such a type
can only exist if its module is imported already.
"""

from __future__ import annotations

import binascii
import datetime
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tinpot._secret import Secret
from tinpot._types import FORMAT, Mismatch, Parse, ValueType, expected, shorten

_DATE = r"(\d{4})-(\d\d)-(\d\d)"
_TIME = r"(\d\d):(\d\d)(?::(\d\d)(?:[.](\d{1,6})\d*)?)?(Z|z|[+-]\d\d:?\d\d)?"
_match_date = re.compile(_DATE, re.ASCII).fullmatch
_match_time = re.compile(_TIME, re.ASCII).fullmatch
_match_datetime = re.compile(_DATE + "[Tt ]" + _TIME, re.ASCII).fullmatch
_match_duration = re.compile(
    r"([+-]?)P(?=.)(?:(\d+(?:[.]\d+)?)W)?(?:(\d+(?:[.]\d+)?)D)?"
    r"(?:T(?=.)(?:(\d+(?:[.]\d+)?)H)?(?:(\d+(?:[.]\d+)?)M)?(?:(\d+(?:[.]\d+)?)S)?)?",
    re.ASCII,
).fullmatch
_match_decimal = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,9})?", re.ASCII).fullmatch
_match_uuid = re.compile(
    "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII
).fullmatch
_UPLOAD = "upload:"
_match_upload = re.compile(_UPLOAD + "[0-9a-f]{64}", re.ASCII).fullmatch
_match_base64 = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII).fullmatch


def _text(value: Any, name: str) -> str:
    if value.__class__ is not str:
        raise expected(f"a string ({name})", value)
    return value


def _is_not(name: str, like: str, value: Any) -> Mismatch:
    return Mismatch(f"is not {name}: must be like {like}, not {shorten(value)}")


def _parse_date(value: Any) -> datetime.date:
    match = _match_date(_text(value, "a date"))
    if match is None:
        raise _is_not("a date", "2026-01-31", value)
    try:
        return datetime.date(*map(int, match.groups()))
    except ValueError as error:
        raise Mismatch(f"is not a date: {error}") from None


def _parse_time(value: Any) -> datetime.time:
    match = _match_time(_text(value, "a time"))
    if match is None:
        raise _is_not("a time", "14:30 or 14:30:00+01:00", value)
    try:
        return datetime.time(*_clock(match.groups()))
    except ValueError as error:
        raise Mismatch(f"is not a time: {error}") from None


def _parse_datetime(value: Any) -> datetime.datetime:
    match = _match_datetime(_text(value, "a date and time"))
    if match is None:
        raise _is_not("a date and time", "2026-01-31T14:30 or 2026-01-31T14:30:00Z", value)
    parts = match.groups()
    try:
        return datetime.datetime(int(parts[0]), int(parts[1]), int(parts[2]), *_clock(parts[3:]))
    except ValueError as error:
        raise Mismatch(f"is not a date and time: {error}") from None


def _clock(parts: Sequence[Any]) -> tuple[int, int, int, int, datetime.timezone | None]:
    hour, minute, second, fraction, offset = parts
    microsecond = int(fraction.ljust(6, "0")) if fraction else 0
    return int(hour), int(minute), int(second or 0), microsecond, _zone(offset)


def _zone(offset: str | None) -> datetime.timezone | None:
    if offset is None:
        return None
    if offset in "Zz":
        return datetime.timezone.utc
    minutes = int(offset[-2:])
    if minutes > 59:
        raise ValueError("the minutes of an offset must be in 0..59")
    minutes += 60 * int(offset[1:3])
    return datetime.timezone(datetime.timedelta(minutes=-minutes if offset[0] == "-" else minutes))


def _parse_timedelta(value: Any) -> datetime.timedelta:
    try:
        if value.__class__ in (int, float):
            return datetime.timedelta(seconds=value)
        if value.__class__ is not str:
            raise expected("a string or a number (a duration, or seconds)", value)
        match = _match_duration(value)
        if match is None:
            raise _is_not("a duration", "P1DT2H30M or PT0.5S, or a number of seconds", value)
        numbers = [part or "0" for part in match.groups()[1:]]
        if any("." in number for number in numbers[: _last_part(match)]):
            raise Mismatch(
                f"is not a duration: only the last part may have a fraction, not in"
                f" {shorten(value)}"
            )
        weeks, days, hours, minutes, seconds = (
            float(number) if "." in number else int(number) for number in numbers
        )
        span = datetime.timedelta(
            weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds
        )
    except (OverflowError, ValueError):
        raise Mismatch(
            f"is not a duration: must be less than a thousand million days, not {shorten(value)}"
        ) from None
    return -span if match.group(1) == "-" else span


def _last_part(match: re.Match[str]) -> int:
    """Returns the index of the last part of a duration that is given."""
    return max(index for index, part in enumerate(match.groups()[1:]) if part)


def iso_duration(span: datetime.timedelta) -> str:
    """Returns the ISO 8601 text of a timedelta, from which the same timedelta is parsed."""
    sign = ""
    if span < datetime.timedelta(0):
        sign, span = "-", -span
    hours, seconds = divmod(span.seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    second = str(seconds)
    if span.microseconds:
        second += f".{span.microseconds:06d}".rstrip("0")
    units = ((str(hours), "H"), (str(minutes), "M"), (second, "S"))
    clock = "".join(number + unit for number, unit in units if number != "0")
    days = f"{span.days}D" if span.days else ""
    time = f"T{clock}" if clock else "" if days else "T0S"
    return f"{sign}P{days}{time}"


def _decimal_parser(decimal: Callable[[str | int], Any]) -> Parse:
    def parse(value: Any) -> Any:
        if value.__class__ is str:
            if _match_decimal(value) is None:
                raise _is_not("a decimal number", "0.10", value)
            return decimal(value)
        if value.__class__ is int:
            return decimal(value)
        if value.__class__ is float and value - value == 0.0:
            return decimal(repr(value))
        raise expected("a string or a number (a decimal number)", value)

    return parse


def _uuid_parser(uuid: Callable[[str], Any]) -> Parse:
    def parse(value: Any) -> Any:
        if _match_uuid(_text(value, "a UUID")) is None:
            raise _is_not("a UUID", "12345678-1234-5678-1234-567812345678", value)
        return uuid(value)

    return parse


def _path_parser(path: Callable[[str], Any]) -> Parse:
    def parse(value: Any) -> Any:
        if not _text(value, "a path"):
            raise Mismatch("is not a path: must not be empty")
        if "\0" in value:
            raise Mismatch("is not a path: must not contain a NUL")
        return path(value)

    return parse


def _upload(reference: str) -> bytes:
    """Returns the bytes of the upload to which a parameter of the running attempt refers."""
    # Imported here: the context imports what imports this.
    from tinpot import _context

    context = _context.find()
    directory = None if context is None else context._attempt.uploads
    try:
        if directory is None:
            raise FileNotFoundError
        with open(f"{directory}/{reference[len(_UPLOAD) :]}", "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise Mismatch(
            f"refers to an upload that this worker has not fetched: {shorten(reference)}"
        ) from None


def _bytes_parser(convert: Callable[[bytes], Any]) -> Parse:
    def parse(value: Any) -> Any:
        if value.__class__ is str and _match_upload(value):
            content = _upload(value)
            return content if convert is bytes else convert(content)
        try:
            # The decoder is lenient: it would skip characters that are not base64.
            if len(_text(value, "base64")) % 4 or not _match_base64(value):
                raise ValueError
            return convert(binascii.a2b_base64(value))
        except ValueError:
            raise Mismatch(
                "is not base64: must be like aGVsbG8=, with padding and without line ends"
            ) from None

    return parse


def _parse_secret(value: Any) -> Secret:
    if value.__class__ is not str:
        raise expected("a string", value)
    return Secret(value)


def _type(
    name: str, parse: Parse, python_class: Any, types: Any = "string", **extra: Any
) -> ValueType:
    schema = {"type": types, "format": name, **extra}
    return ValueType(schema, parse, rank=FORMAT, python_class=python_class)


_STRING_OR_NUMBER = ["string", "number"]
_KNOWN: dict[Any, ValueType] = {
    datetime.date: _type("date", _parse_date, datetime.date),
    datetime.time: _type("time", _parse_time, datetime.time),
    datetime.datetime: _type("date-time", _parse_datetime, datetime.datetime),
    datetime.timedelta: _type("duration", _parse_timedelta, datetime.timedelta, _STRING_OR_NUMBER),
    bytes: _type("binary", _bytes_parser(bytes), bytes, contentEncoding="base64"),
    bytearray: _type("binary", _bytes_parser(bytearray), bytearray, contentEncoding="base64"),
    Secret: _type("password", _parse_secret, Secret, writeOnly=True),
}


def value_type(annotation: Any) -> ValueType | None:
    """Returns the type of a class that is text in JSON; None for any other class."""
    found = _KNOWN.get(annotation)
    if found is None:
        found = _from_loaded_module(annotation)
        if found is not None:
            _KNOWN[annotation] = found
    return found


def _from_loaded_module(annotation: Any) -> ValueType | None:
    modules: dict[str, Any] = sys.modules
    if "decimal" in modules and annotation is modules["decimal"].Decimal:
        return _type("decimal", _decimal_parser(annotation), annotation, _STRING_OR_NUMBER)
    if "uuid" in modules and annotation is modules["uuid"].UUID:
        return _type("uuid", _uuid_parser(annotation), annotation)
    if "pathlib" in modules:
        pathlib = modules["pathlib"]
        if annotation is modules["os"].PathLike:
            annotation = pathlib.Path
        if isinstance(annotation, type) and issubclass(annotation, pathlib.PurePath):
            return _type("path", _path_parser(annotation), annotation, minLength=1)
    return None
