"""Types that are text of a certain form in JSON: dates, times, Decimal, UUID, Path, bytes, Secret.

The modules of the standard library that have those types are not imported for it: who annotates with a type has imported it.
"""

import binascii
import datetime
import re
import sys

from tinpot._types import FORMAT, Kind, Wrong, must_be, shown
from tinpot._secret import Secret

_DATE = r"(\d{4})-(\d\d)-(\d\d)"
_TIME = r"(\d\d):(\d\d)(?::(\d\d)(?:[.](\d{1,6})\d*)?)?(Z|z|[+-]\d\d:?\d\d)?"
_date = re.compile(_DATE, re.ASCII).fullmatch
_time = re.compile(_TIME, re.ASCII).fullmatch
_moment = re.compile(_DATE + "[Tt ]" + _TIME, re.ASCII).fullmatch
_duration = re.compile(
    r"([+-]?)P(?=.)(?:(\d+(?:[.]\d+)?)W)?(?:(\d+(?:[.]\d+)?)D)?"
    r"(?:T(?=.)(?:(\d+(?:[.]\d+)?)H)?(?:(\d+(?:[.]\d+)?)M)?(?:(\d+(?:[.]\d+)?)S)?)?",
    re.ASCII,
).fullmatch
_decimal = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,9})?", re.ASCII).fullmatch
_uuid = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII).fullmatch
_UTC = datetime.timezone.utc


def _text(value, name):
    if value.__class__ is not str:
        raise must_be("a string (%s)" % name, value)
    return value


def _is_not(name, like, value):
    return Wrong("is not %s: must be like %s, not %s" % (name, like, shown(value)))


def _take_date(value):
    match = _date(_text(value, "a date"))
    if match is None:
        raise _is_not("a date", "2026-01-31", value)
    try:
        return datetime.date(*map(int, match.groups()))
    except ValueError as error:
        raise Wrong("is not a date: %s" % error) from None


def _take_time(value):
    match = _time(_text(value, "a time"))
    if match is None:
        raise _is_not("a time", "14:30 or 14:30:00+01:00", value)
    try:
        return datetime.time(*_clock(match.groups()))
    except ValueError as error:
        raise Wrong("is not a time: %s" % error) from None


def _take_datetime(value):
    match = _moment(_text(value, "a date and time"))
    if match is None:
        raise _is_not("a date and time", "2026-01-31T14:30 or 2026-01-31T14:30:00Z", value)
    parts = match.groups()
    try:
        return datetime.datetime(int(parts[0]), int(parts[1]), int(parts[2]), *_clock(parts[3:]))
    except ValueError as error:
        raise Wrong("is not a date and time: %s" % error) from None


def _clock(parts):
    hour, minute, second, fraction, offset = parts
    return int(hour), int(minute), int(second or 0), int(fraction.ljust(6, "0")) if fraction else 0, _zone(offset)


def _zone(offset):
    if offset is None:
        return None
    if offset in "Zz":
        return _UTC
    minutes = int(offset[-2:])
    if minutes > 59:
        raise ValueError("the minutes of an offset must be in 0..59")
    minutes += 60 * int(offset[1:3])
    return datetime.timezone(datetime.timedelta(minutes=-minutes if offset[0] == "-" else minutes))


def _take_timedelta(value):
    try:
        if value.__class__ in (int, float):
            return datetime.timedelta(seconds=value)
        if value.__class__ is not str:
            raise must_be("a string or a number (a duration, or seconds)", value)
        match = _duration(value)
        if match is None:
            raise _is_not("a duration", "P1DT2H30M or PT0.5S, or a number of seconds", value)
        numbers = [part or "0" for part in match.groups()[1:]]
        if any("." in number for number in numbers[: _last(match)]):
            raise Wrong("is not a duration: only the last part may have a fraction, not in %s" % shown(value))
        weeks, days, hours, minutes, seconds = (float(number) if "." in number else int(number) for number in numbers)
        span = datetime.timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    except (OverflowError, ValueError):
        raise Wrong("is not a duration: must be less than a thousand million days, not %s" % shown(value)) from None
    return -span if match.group(1) == "-" else span


def _last(match):
    """Which part is the last one there is."""
    return max(index for index, part in enumerate(match.groups()[1:]) if part)


def iso_duration(span):
    """ISO 8601 text of a timedelta; the inverse of what is read."""
    sign = ""
    if span < datetime.timedelta(0):
        sign, span = "-", -span
    hours, seconds = divmod(span.seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    second = "%d" % seconds
    if span.microseconds:
        second += (".%06d" % span.microseconds).rstrip("0")
    clock = "".join(number + unit for number, unit in ((str(hours), "H"), (str(minutes), "M"), (second, "S")) if number != "0")
    days = "%dD" % span.days if span.days else ""
    return "%sP%s%s" % (sign, days, "T" + clock if clock else "" if days else "T0S")


def _decimals(Decimal):
    def take(value):
        if value.__class__ is str:
            if _decimal(value) is None:
                raise _is_not("a decimal number", "0.10", value)
            return Decimal(value)
        if value.__class__ is int:
            return Decimal(value)
        if value.__class__ is float and value - value == 0.0:
            return Decimal(repr(value))
        raise must_be("a string or a number (a decimal number)", value)

    return take


def _uuids(UUID):
    def take(value):
        if _uuid(_text(value, "a UUID")) is None:
            raise _is_not("a UUID", "12345678-1234-5678-1234-567812345678", value)
        return UUID(value)

    return take


def _paths(Path):
    def take(value):
        if not _text(value, "a path"):
            raise Wrong("is not a path: must not be empty")
        if "\0" in value:
            raise Wrong("is not a path: must not have a NUL in it")
        return Path(value)

    return take


def _binary(make):
    def take(value):
        try:
            # Strict: what is no base64 would be left out otherwise.
            if len(_text(value, "base64")) % 4 or not _base64(value):
                raise ValueError
            return make(binascii.a2b_base64(value))
        except ValueError:
            raise Wrong("is not base64: must be like aGVsbG8=, with padding and without line ends") from None

    return take


_base64 = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII).fullmatch


def _take_secret(value):
    if value.__class__ is not str:
        raise must_be("a string", value)
    return Secret(value)


def _kind(name, take, arrives, types="string", **more):
    return Kind({"type": types, "format": name, **more}, take, rank=FORMAT, arrives=arrives)


_NUMBER_TOO = ["string", "number"]
_KINDS = {
    datetime.date: _kind("date", _take_date, datetime.date),
    datetime.time: _kind("time", _take_time, datetime.time),
    datetime.datetime: _kind("date-time", _take_datetime, datetime.datetime),
    datetime.timedelta: _kind("duration", _take_timedelta, datetime.timedelta, _NUMBER_TOO),
    bytes: _kind("binary", _binary(bytes), bytes, contentEncoding="base64"),
    bytearray: _kind("binary", _binary(bytearray), bytearray, contentEncoding="base64"),
    Secret: _kind("password", _take_secret, Secret, writeOnly=True),
}


def kind(annotation):
    """The kind of a class that is text of a certain form in JSON; None when it is not one."""
    found = _KINDS.get(annotation)
    if found is None:
        found = _foreign(annotation)
        if found is not None:
            _KINDS[annotation] = found
    return found


def _foreign(annotation):
    modules = sys.modules
    if "decimal" in modules and annotation is modules["decimal"].Decimal:
        return _kind("decimal", _decimals(annotation), annotation, _NUMBER_TOO)
    if "uuid" in modules and annotation is modules["uuid"].UUID:
        return _kind("uuid", _uuids(annotation), annotation)
    if "pathlib" in modules:
        pathlib = modules["pathlib"]
        if annotation is modules["os"].PathLike:
            annotation = pathlib.Path
        if isinstance(annotation, type) and issubclass(annotation, pathlib.PurePath):
            return _kind("path", _paths(annotation), annotation, minLength=1)
    return None
