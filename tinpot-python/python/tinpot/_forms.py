"""The JSON forms of classes: for each class, the function that returns a simpler value."""

from __future__ import annotations

import binascii
import datetime
import enum
import operator
import sys
from collections import UserString, abc
from typing import Any

from tinpot import _frames
from tinpot._formats import iso_duration
from tinpot._frames import NoForm
from tinpot._secret import Secret

# Returns a value that is closer to JSON. The second argument returns what is written for a secret.
Convert = abc.Callable[[Any, abc.Callable[[Any], str]], Any]


def type_name(cls: type) -> str:
    """Returns the name of a class for messages."""
    return (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )


def is_secret(cls: type) -> bool:
    """Returns True for `Secret` and the secrets of pydantic."""
    return issubclass(cls, Secret) or hasattr(cls, "get_secret_value")


def mask(_secret: Any) -> str:
    """Returns the text that is shown in place of a secret."""
    return "***"


def reveal(secret: Any) -> Any:
    """Returns the content of a secret."""
    return secret.reveal() if isinstance(secret, Secret) else secret.get_secret_value()


def find(cls: Any) -> Convert | None:
    """Returns the conversion for a class that JSON has no form for, or is a subclass of one."""
    if is_secret(cls):
        return lambda value, on_secret: on_secret(value)
    if issubclass(cls, enum.Enum):
        return lambda value, _: value.value
    if hasattr(cls, "__tinpot_json__"):
        return lambda value, _: value.__tinpot_json__()
    found = _find_record(cls) or _frames.find(cls) or _find_by_module(cls)
    if found is not None:
        return found
    for base, convert in _BASES:
        if issubclass(cls, base):
            return convert
    return _find_number(cls)


def _find_record(cls: Any) -> Convert | None:
    """Returns the conversion of a class with named fields."""
    if hasattr(cls, "__pydantic_serializer__") and (
        hasattr(cls, "model_dump") or "__pydantic_serializer__" in cls.__dict__
    ):
        return _pydantic_model
    if hasattr(cls, "__dataclass_fields__"):
        convert: Convert = _dataclass_fields
    elif hasattr(cls, "__attrs_attrs__"):
        convert = _attrs_fields
    elif hasattr(cls, "__struct_fields__"):
        convert = _struct_fields
    else:
        return None
    for base in (str, int, float, bytes, list, tuple, dict, set, frozenset):
        if issubclass(cls, base):
            return _refuse(f"has fields and is a {base.__name__} too: return one of them")
    return convert


def _refuse(why: str) -> Convert:
    def refuse(value: Any, _on_secret: Any) -> Any:
        raise NoForm(f"is of type {type_name(type(value))}, which {why}")

    return refuse


def _dataclass_fields(value: Any, _on_secret: Any) -> dict[str, Any]:
    fields = type(value).__dataclass_fields__
    # Like `dataclasses.fields`, without ClassVar and InitVar, and without importing the module.
    return {
        name: getattr(value, name)
        for name, field in fields.items()
        if field._field_type.name == "_FIELD"
    }


def _attrs_fields(value: Any, _on_secret: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in type(value).__attrs_attrs__}


def _struct_fields(value: Any, _on_secret: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in type(value).__struct_fields__}


def _pydantic_model(value: Any, on_secret: abc.Callable[[Any], str]) -> Any:
    to_python = type(value).__pydantic_serializer__.to_python
    if on_secret is not mask:
        raw = to_python(value, mode="python", by_alias=True)
        # The mode of JSON would pass the mask of a secret on.
        if _has_secret(raw):
            return raw
    return to_python(value, mode="json", by_alias=True)


def _has_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_secret, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(_has_secret, value))
    return is_secret(type(value))


def _text(value: Any, _on_secret: Any) -> str:
    # The result of `str` may be of a subclass again.
    return str.__str__(str(value))


def _integer(value: Any, _on_secret: Any) -> int:
    found: int = _number(value, int.__index__(value), int(value))
    return found


def _float(value: Any, _on_secret: Any) -> float:
    found: float = _number(value, float.__float__(value), float(value))
    return found


def _number(value: Any, plain: Any, own: Any) -> Any:
    """Returns the plain number of a subclass, unless that stands for something else."""
    text, cls = str(value), type(value)
    # The text of a constructor is for programmers.
    is_other = text != repr(plain) and cls.__name__ not in text
    if repr(own) != repr(plain):
        is_other, text = True, repr(own)
    if is_other:
        base = type(plain).__name__
        raise NoForm(
            f"is of type {type_name(cls)}, the {base} {plain!r} that shows as {text[:80]!r}:"
            f" return {base}(value) or str(value)"
        )
    return plain


def _moment(value: Any, _on_secret: Any) -> Any:
    text, cls = value.isoformat(), type(value)
    for base in (datetime.datetime, datetime.date, datetime.time):
        if isinstance(value, base):
            plain: Any = base
            # An own `isoformat` is the form; an own `__str__` alone makes it unclear.
            has_own_text = cls.__str__ is not plain.__str__
            is_unclear = has_own_text and cls.isoformat is plain.isoformat
            if is_unclear and str(value).replace(" ", "T", 1) != text:
                raise NoForm(
                    f"is of type {type_name(cls)}, the {base.__name__} {text!r} that shows as"
                    f" {str(value)[:80]!r}: return value.isoformat() or str(value)"
                )
            break
    return text


def _duration(value: Any, _on_secret: Any) -> Any:
    cls = type(value)
    if hasattr(cls, "isoformat"):
        return value.isoformat()
    base: Any = datetime.timedelta
    has_own = cls.__str__ is not base.__str__ or cls.total_seconds is not base.total_seconds
    if has_own:
        raise NoForm(
            f"is of type {type_name(cls)}, a timedelta that shows as {str(value)[:80]!r}:"
            " return a timedelta or str(value)"
        )
    return iso_duration(base(value.days, value.seconds, value.microseconds))


def _base64(value: Any, _on_secret: Any) -> str:
    return binascii.b2a_base64(bytes(value), newline=False).decode("ascii")


def _mapping(value: Any, _on_secret: Any) -> dict[Any, Any]:
    cls = type(value)
    if not issubclass(cls, dict) or cls.items is not dict.items:
        pairs = list(value.items())
        found = dict(pairs)
        if len(found) < len(pairs):
            raise NoForm(f"is of type {type_name(cls)}, in which a key occurs twice")
        return found
    has_own_keys = cls.__iter__ is not dict.__iter__ or cls.keys is not dict.keys
    if cls.__getitem__ is dict.__getitem__ and not has_own_keys:
        return dict(dict.items(value))
    keys = value if cls.keys is dict.keys else value.keys()
    return {key: value[key] for key in keys}


def _set(value: Any, _on_secret: Any) -> list[Any]:
    try:
        return sorted(value)
    except TypeError:
        return list(value)


# A longer range or another sequence that is computed would fill the memory first.
_MAX_ITEMS = 10_000_000


def _sequence(value: Any, _on_secret: Any) -> list[Any]:
    if len(value) > _MAX_ITEMS:
        raise NoForm(f"is too large: it has {len(value)} items", is_too_large=True)
    cls: Any = type(value)
    for base in (list, tuple):
        has_own_items = issubclass(cls, base) and cls.__getitem__ is not base.__getitem__
        if has_own_items and cls.__iter__ is base.__iter__:
            return [value[index] for index in range(len(value))]
    return list(iter(value))


_BASES: tuple[tuple[Any, Convert], ...] = (
    ((datetime.date, datetime.time), _moment),
    (datetime.timedelta, _duration),
    ((bytes, bytearray, memoryview), _base64),
    ((str, UserString), _text),
    (int, _integer),
    (float, _float),
    (abc.Mapping, _mapping),
    ((abc.KeysView, abc.ValuesView, abc.ItemsView), _sequence),
    (abc.Set, _set),
    (abc.Sequence, _sequence),
)


def _decimal(value: Any, _on_secret: Any) -> str:
    if not value.is_finite():
        raise NoForm(f"is {value}, which is not JSON")
    return str(value)


def _find_by_module(cls: Any) -> Convert | None:
    # A class from a module can only exist if the module is imported: none is imported here.
    modules: dict[str, Any] = sys.modules
    if "decimal" in modules and issubclass(cls, modules["decimal"].Decimal):
        return _decimal
    if "uuid" in modules and issubclass(cls, modules["uuid"].UUID):
        return _text
    if "pathlib" in modules and issubclass(cls, modules["pathlib"].PurePath):
        return _text
    if cls.__module__ == "ipaddress":
        return _text
    if cls.__module__ == "sqlite3" and cls.__name__ == "Row":
        return _row
    if "subprocess" in modules and issubclass(cls, modules["subprocess"].CompletedProcess):
        names = ("args", "returncode", "stdout", "stderr")
        return lambda value, _: {name: getattr(value, name) for name in names}
    return None


def _row(value: Any, _on_secret: Any) -> dict[Any, Any]:
    names = value.keys()
    if len(set(names)) < len(names):
        raise NoForm(f"is a row with two columns of the same name: {', '.join(names)[:80]}")
    return dict(zip(names, tuple(value)))


def _find_number(cls: Any) -> Convert | None:
    """Returns the conversion of a class of another library whose values are numbers."""
    if hasattr(cls, "__index__"):
        return lambda value, _: int(operator.index(value))
    if hasattr(cls, "item") and hasattr(cls, "__float__"):
        return lambda value, _: value.item()
    # A fraction or a complex number is no JSON number, even if one of them happens to be.
    if hasattr(cls, "__float__") and not hasattr(cls, "numerator") and not hasattr(cls, "__iter__"):
        return _exact_float
    return None


def _exact_float(value: Any, _on_secret: Any) -> float:
    number = float(value)
    if number != value:
        raise NoForm(f"is of type {type_name(type(value))}, which no float equals exactly")
    return number
