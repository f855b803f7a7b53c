"""Functions that the tests of types share."""

import inspect
import json

from tinpot import ParameterError, _run, schema


def of(annotation, default=inspect.Parameter.empty):
    """Returns the signature of a function with one parameter `x`."""

    def function(x):
        return x

    function.__annotations__["x"] = annotation
    if default is not inspect.Parameter.empty:
        function.__defaults__ = (default,)
    return schema.derive(function)


def schema_of(annotation, *default):
    return of(annotation, *default).schema["properties"]["x"]


def arrives(annotation, value):
    """Returns the Python value of a JSON value, the same for a checked and a trusted one."""
    signature = of(annotation)
    _, checked = signature.convert({"x": json.loads(json.dumps(value))})
    _, trusted = signature.convert({"x": json.loads(json.dumps(value))}, trusted=True)
    assert repr(checked["x"]) == repr(trusted["x"]), (checked, trusted)
    return checked["x"]


def refused(annotation, value):
    """Returns the error for a value of `x` that does not fit."""
    try:
        made = of(annotation).convert({"x": value})
    except ParameterError as error:
        return str(error)
    raise AssertionError(f"{value!r} was taken as {made!r}")


def unsupported(annotation, *default):
    """Returns the error for an annotation that is not supported."""
    try:
        made = of(annotation, *default)
    except schema.SchemaError as error:
        return str(error)
    raise AssertionError(f"{annotation!r} was taken: {made.schema!r}")


def returned(value):
    """Returns a result as JSON."""
    reply = json.loads(_run.succeeded(value, 10**6))
    assert "ok" in reply, reply
    return reply["ok"]


def no_result(value):
    """Returns the error for a result that has no JSON form."""
    return json.loads(_run.succeeded(value, 10**6))["failed"]["message"]
