"""Conversion of Python values to JSON: results, and the defaults of parameters."""

from __future__ import annotations

import binascii
import datetime
import enum
import json
import sys
from collections import abc, deque
from typing import Any

from tinpot._formats import iso_duration
from tinpot._secret import Secret


class ContainsSecret(Exception):
    """A default that contains a secret, and so must not be shown."""


# Bounds the memory for classes that actions create on every call.
_MAX_KNOWN_CLASSES = 10_000


def encodable(value: Any) -> Any:
    """Returns a replacement for a value that JSON has no form for.

    The encoder calls this for such values only.
    """
    cls = type(value)
    convert = _known.get(cls)
    if convert is None:
        convert = _find(cls)
        if convert is None:
            raise TypeError(f"type {cls.__name__} has no JSON form")
        if len(_known) < _MAX_KNOWN_CLASSES:
            _known[cls] = convert
    return convert(value)


def _find(cls: Any) -> abc.Callable[[Any], Any] | None:
    for base, convert in _CONVERTERS:
        if issubclass(cls, base):
            return convert
    if hasattr(cls, "__dataclass_fields__"):
        return _pydantic_model if "__pydantic_serializer__" in cls.__dict__ else _dataclass_fields
    # A class from a module can only exist if the module is imported: none is imported here.
    modules: dict[str, Any] = sys.modules
    if "decimal" in modules and issubclass(cls, modules["decimal"].Decimal):
        return _decimal
    if "uuid" in modules and issubclass(cls, modules["uuid"].UUID):
        return str
    if "pathlib" in modules and issubclass(cls, modules["pathlib"].PurePath):
        return str
    if hasattr(cls, "__pydantic_serializer__") and hasattr(cls, "model_dump"):
        return _pydantic_model
    if "pydantic" in modules and hasattr(cls, "get_secret_value"):
        return _mask
    return None


def _mask(_value: Any) -> str:
    return "***"


def _base64(value: bytes | bytearray | memoryview) -> str:
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def _sorted(value: abc.Iterable[Any]) -> list[Any]:
    try:
        return sorted(value)
    except TypeError:
        return list(value)


def _dataclass_fields(value: Any) -> dict[str, Any]:
    fields = type(value).__dataclass_fields__
    # Like `dataclasses.fields`, without ClassVar and InitVar, and without importing the module.
    return {
        name: getattr(value, name)
        for name, field in fields.items()
        if field._field_type.name == "_FIELD"
    }


def _decimal(value: Any) -> str:
    if not value.is_finite():
        raise ValueError(f"{value} is not JSON")
    return str(value)


def _pydantic_model(value: Any) -> Any:
    return type(value).__pydantic_serializer__.to_python(value, mode="json", by_alias=True)


_CONVERTERS: tuple[tuple[Any, abc.Callable[[Any], Any]], ...] = (
    (Secret, _mask),
    (enum.Enum, lambda value: value.value),
    (datetime.datetime, datetime.datetime.isoformat),
    (datetime.date, datetime.date.isoformat),
    (datetime.time, datetime.time.isoformat),
    (datetime.timedelta, iso_duration),
    ((bytes, bytearray, memoryview), _base64),
    ((set, frozenset), _sorted),
    (abc.Mapping, dict),
    ((deque, abc.KeysView, abc.ValuesView, abc.ItemsView), list),
)
_known: dict[type, abc.Callable[[Any], Any]] = {}

# Text stays as it is, so that its conversion to UTF-8 finds lone surrogates.
_to_text = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=encodable
).encode


def encode(value: Any) -> str:
    """Returns the JSON text of a value."""
    # The most frequent results, without the cost of the encoder.
    if value is None:
        return "null"
    if type(value) is int:
        return str(value)
    try:
        return _to_text(value)
    except TypeError:
        # The encoder converts values but not keys. Copy the value with text keys only if needed.
        return _to_text(_with_text_keys(value))


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        converted: dict[Any, Any] = {}
        for key, inner in value.items():
            text = key_text(key)
            if text in converted:
                raise TypeError(f"two keys are {text!r} as JSON")
            converted[text] = _with_text_keys(inner)
        return converted
    if isinstance(value, (list, tuple)):
        return [_with_text_keys(inner) for inner in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return _with_text_keys(encodable(value))


def key_text(key: Any) -> Any:
    """Returns the form of a key that the encoder accepts."""
    if key is None or isinstance(key, (str, int, float)):
        return key
    text = encodable(key)
    if not isinstance(text, (str, int, float)) or isinstance(key, (bytes, Secret)):
        raise TypeError(f"keys cannot be of type {type(key).__name__}")
    return text


def to_json(value: Any) -> Any:
    """Returns a default as JSON.

    Raises `ContainsSecret` if there is a secret in it, and `ValueError` if it has no JSON form.
    """
    try:
        return json.loads(_default_to_text(value))
    except (TypeError, ValueError, RecursionError, AttributeError) as error:
        raise ValueError(f"{repr(value)[:80]} has no JSON form: {error}") from None


def _encodable_default(value: Any) -> Any:
    if isinstance(value, Secret) or hasattr(value, "get_secret_value"):
        raise ContainsSecret
    if hasattr(type(value), "__dataclass_fields__"):
        return _dataclass_fields(value)
    return encodable(value)


_default_to_text = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, default=_encodable_default
).encode


def is_moment(value: object) -> bool:
    """Returns True for a date or time, which is stale as a default that was computed at import."""
    return isinstance(value, (datetime.date, datetime.time))
