"""Turns Python values into JSON: results, and the defaults of parameters."""

import binascii
import datetime
import enum
import json
import sys
from collections import abc, deque

from tinpot._formats import iso_duration
from tinpot._secret import Secret


class Hidden(Exception):
    """A value that has a secret in it is not shown."""


def form(value):
    """What stands for a value that JSON has no form for; called by the encoder for those only."""
    kind = type(value)
    make = _known.get(kind)
    if make is None:
        make = _find(kind)
        if make is None:
            raise TypeError("type %s has no JSON form" % kind.__name__)
        if len(_known) < 10_000:  # classes that actions make anew each time
            _known[kind] = make
    return make(value)


def _find(kind):
    for base, make in _FORMS:
        if issubclass(kind, base):
            return make
    if hasattr(kind, "__dataclass_fields__"):
        return _model if "__pydantic_serializer__" in kind.__dict__ else _fields
    modules = sys.modules
    if "decimal" in modules and issubclass(kind, modules["decimal"].Decimal):
        return _decimal
    if "uuid" in modules and issubclass(kind, modules["uuid"].UUID):
        return str
    if "pathlib" in modules and issubclass(kind, modules["pathlib"].PurePath):
        return str
    if hasattr(kind, "__pydantic_serializer__") and hasattr(kind, "model_dump"):
        return _model
    if "pydantic" in modules and hasattr(kind, "get_secret_value"):
        return lambda _value: "***"
    return None


def _base64(value):
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def _sorted(value):
    try:
        return sorted(value)
    except TypeError:
        return list(value)


def _fields(value):
    return {name: getattr(value, name) for name in type(value).__dataclass_fields__ if _is_field(type(value), name)}


def _is_field(kind, name):
    return kind.__dataclass_fields__[name]._field_type.name == "_FIELD"


def _decimal(value):
    if not value.is_finite():
        raise ValueError("%s is not JSON" % value)
    return str(value)


def _model(value):
    return type(value).__pydantic_serializer__.to_python(value, mode="json", by_alias=True)


_FORMS = (
    (Secret, lambda _value: "***"),
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
_known = {}

# As `json.dumps` would make it, once. Text stays as it is, so that encoding it finds lone surrogates.
_to_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=form).encode


def encode(value):
    """The JSON text of a value."""
    # What most actions return, without an encoder being made for it.
    if value is None:
        return "null"
    if type(value) is int:
        return str(value)
    try:
        return _to_text(value)
    except TypeError:
        # Keys are not given to the hook: only where that can be the reason is a copy made, with text as keys.
        return _to_text(_with_text_keys(value))


def _with_text_keys(value):
    if isinstance(value, dict):
        made = {}
        for key, inner in value.items():
            text = key_text(key)
            if text in made:
                raise TypeError("two keys are %r as JSON" % (text,))
            made[text] = _with_text_keys(inner)
        return made
    if isinstance(value, (list, tuple)):
        return [_with_text_keys(inner) for inner in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return _with_text_keys(form(value))


def key_text(key):
    """What a key is in JSON."""
    if key is None or isinstance(key, (str, int, float)):
        return key
    text = form(key)
    if not isinstance(text, (str, int, float)) or isinstance(key, (bytes, Secret)):
        raise TypeError("keys cannot be of type %s" % type(key).__name__)
    return text


def to_json(value):
    """The JSON form of a default. Raises `Hidden` when a secret is in it, and `ValueError` when there is no form."""
    try:
        return json.loads(_encode_shown(value))
    except (TypeError, ValueError, RecursionError, AttributeError) as error:
        raise ValueError("%.80r has no JSON form: %s" % (value, error)) from None


def _shown_form(value):
    if isinstance(value, Secret) or hasattr(value, "get_secret_value"):
        raise Hidden
    return _fields(value) if hasattr(type(value), "__dataclass_fields__") else form(value)


_encode_shown = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_shown_form).encode


def is_moment(value):
    """Whether a value says when it is: as a default it would be stale."""
    return isinstance(value, (datetime.date, datetime.time))
