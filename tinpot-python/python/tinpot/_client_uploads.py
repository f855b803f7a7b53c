"""Large bytes among the parameters of a submission: a client uploads them first."""

from __future__ import annotations

import binascii
import hashlib
from typing import TYPE_CHECKING, Any, Union
from urllib.parse import quote

if TYPE_CHECKING:
    from tinpot._client_core import Core
    from tinpot._client_steps import Plan

# The bytes that a submission has inline, all together: in base64 they fit into the body that a
# server admits by default.
INLINE_BYTES = 512 * 1024
_Bytes = Union[bytes, bytearray, memoryview]


def uploaded(core: Core, action: str, parameters: dict[str, Any]) -> Plan[dict[str, Any]]:
    """Uploads what is too large, and returns the parameters with references in its place.

    Only parameters of the type bytes can refer to uploads: for another one, a reference is a text.
    """
    large = {name: _size(value) for name, value in parameters.items()}
    if sum(large.values()) <= INLINE_BYTES:
        return parameters
    shown = yield from core.read(f"/api/actions/{quote(action, safe='')}")
    schema = shown.get("schema") if isinstance(shown, dict) else None
    properties = schema.get("properties") if isinstance(schema, dict) else None
    replaced = dict(parameters)
    for name, value in parameters.items():
        # Many small ones may be too large together.
        if large[name] < INLINE_BYTES // 32 or not isinstance(properties, dict):
            continue
        if _takes_bytes(properties.get(name)):
            replaced[name] = yield from _upload(core, action, value)
    return replaced


def _size(value: Any) -> int:
    """Returns the size of bytes; 0 for other values."""
    cls = type(value)
    if cls in (bytes, bytearray):
        return len(value)
    if cls is memoryview:
        size: int = value.nbytes
        return size
    return 0


def _takes_bytes(schema: Any) -> bool:
    """Returns True if a parameter takes bytes and no other text."""
    if not isinstance(schema, dict):
        return False
    if schema.get("contentEncoding") == "base64" or schema.get("format") == "binary":
        return True
    options = schema.get("anyOf")
    if not isinstance(options, list):
        return False
    # That of a parameter that may be left out, as in bytes | None.
    others = [one for one in options if one != {"type": "null"}]
    return bool(others) and all(map(_takes_bytes, others))


def _upload(core: Core, action: str, value: _Bytes) -> Plan[str]:
    content = bytes(value)
    digest = binascii.b2a_base64(hashlib.sha256(content).digest(), newline=False).decode()
    headers = {
        "content-type": "application/octet-stream",
        "content-digest": f"sha-256=:{digest}:",
    }
    path = f"/api/actions/{quote(action, safe='')}/uploads"
    # The same content is the same upload: to send it twice is to send it once.
    answer = yield from core._json("POST", path, content, headers)
    reference = answer.get("upload") if isinstance(answer, dict) else None
    if not isinstance(reference, str):
        raise core._not_tinpot("an upload was answered without a reference")
    return reference
