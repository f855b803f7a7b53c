"""What the tests of types share."""

import inspect
import json

from tinpot import ParameterError, _run, schema


def of(annotation, default=inspect.Parameter.empty):
    """The signature of a function with one parameter `x`."""

    def function(x):
        return x

    function.__annotations__["x"] = annotation
    if default is not inspect.Parameter.empty:
        function.__defaults__ = (default,)
    return schema.derive(function)


def schema_of(annotation, *default):
    return of(annotation, *default).schema["properties"]["x"]


def arrives(annotation, value):
    """What a JSON value of `x` arrives as, having travelled as text; checked or trusted, it is the same."""
    signature = of(annotation)
    _, checked = signature.convert({"x": json.loads(json.dumps(value))})
    _, trusted = signature.convert({"x": json.loads(json.dumps(value))}, trusted=True)
    assert repr(checked["x"]) == repr(trusted["x"]), (checked, trusted)
    return checked["x"]


def refused(annotation, value):
    """What is said of a value of `x` that does not fit."""
    try:
        made = of(annotation).convert({"x": value})
    except ParameterError as error:
        return str(error)
    raise AssertionError("%r was taken as %r" % (value, made))


def unsupported(annotation, *default):
    """Why an annotation is refused when it is loaded."""
    try:
        made = of(annotation, *default)
    except schema.SchemaError as error:
        return str(error)
    raise AssertionError("%r was taken: %r" % (annotation, made.schema))


def returned(value):
    """What a result is in JSON."""
    reply = json.loads(_run.succeeded(value, 10**6))
    assert "ok" in reply, reply
    return reply["ok"]


def no_result(value):
    """Why a result has no JSON form."""
    return json.loads(_run.succeeded(value, 10**6))["failed"]["message"]
