"""Reads the test vectors: JSON to the values of the library."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from uuid import UUID

from tinpot_moor import ABSENT, Anonymous, Err, Flyweight, Map, Obj, Symbol, Value
from tinpot_moor.schema import ERROR_CODES, Dialect, Field
from tinpot_moor.values import SCHEMAS

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "protocol" / "vectors" / "moor"
RUST = ROOT / "tinpot-moor" / "vectors" / "moor-1.json"
"""The vectors of the crate, which reads those of the folder as well."""


def load(name: str) -> Any:
    """Returns the content of a file of vectors."""
    return json.loads((FOLDER / name).read_text())


def value_of(plain: Any) -> Value:
    """Returns the value that a JSON form stands for."""
    if isinstance(plain, list):
        return [value_of(element) for element in plain]
    if not isinstance(plain, dict):
        return plain  # type: ignore[no-any-return]
    if len(plain) == 1:
        ((tag, content),) = plain.items()
        if tag.startswith("$"):
            return _tagged(tag, content)
    return {key: value_of(element) for key, element in plain.items()}


def _tagged(tag: str, content: Any) -> Value:
    if tag == "$err":
        value = value_of(content["value"]) if "value" in content else ABSENT
        custom = content.get("custom", content["code"] not in ERROR_CODES)
        return Err(content["code"], content.get("msg"), value, custom)
    if tag == "$map":
        pairs = [(value_of(key), value_of(value)) for key, value in content]
        try:
            found = dict(pairs)
        except TypeError:
            return Map(tuple(pairs))
        return found if len(found) == len(pairs) else Map(tuple(pairs))
    if tag == "$flyweight":
        slots = tuple((Symbol(name), value_of(value)) for name, value in content["slots"])
        contents = tuple(value_of(value) for value in content["contents"])
        return Flyweight(Obj.parse(content["delegate"]), slots, contents)
    if tag == "$binary":
        return base64.b64decode(content, validate=True)
    if tag == "$int":
        return int(content)
    if tag == "$float":
        return float(content)
    if tag == "$obj":
        return Obj.parse(content)
    if tag == "$anon":
        return Anonymous(Obj.parse(content))
    assert tag == "$sym", tag
    return Symbol(content)


def message_of(dialect: Dialect, root: str, plain: Any) -> Any:
    """Returns what a message is decoded to, and encoded from."""
    if root == "Var":
        return (value_of(plain),)
    (envelope,) = SCHEMAS[dialect].tables[root][:1]
    if envelope.kind != "union":
        return _fields_of(dialect, root, plain)
    name = plain["type"]
    return {envelope.name: (name, _fields_of(dialect, name, plain))}


def _fields_of(dialect: Dialect, name: str, plain: dict[str, Any]) -> dict[str, Any]:
    fields = SCHEMAS[dialect].tables[name]
    return {field.name: _field_of(field, plain.get(field.name)) for field in fields}


def _field_of(field: Field, plain: Any) -> Any:
    if plain is None and field.type != "Var":
        return None
    if field.kind == "tables":
        return [(value_of(element),) for element in plain]
    if field.type == "WorkerError":
        kind = plain["kind"]
        table = kind if kind == "NoWorkerAvailable" else f"Worker{kind}"
        if "worker_type" in plain:
            return {"error": (table, {"worker_type": Symbol(plain["worker_type"])})}
        return {"error": (table, {"message": plain["message"]})}
    forms: dict[str, Any] = {"Uuid": UUID, "Symbol": Symbol, "Obj": Obj.parse}
    forms["Var"] = lambda plain: (value_of(plain),)
    forms["WorkerToken"] = lambda token: {"token": token}
    return forms[field.type](plain) if field.type in forms else plain
