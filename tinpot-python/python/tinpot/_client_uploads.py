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
    """Uploads what is too large, and returns the parameters with references in its place."""
    if _size(parameters) <= INLINE_BYTES:
        return parameters
    replaced: dict[str, Any] = yield from _replaced(core, action, parameters)
    return replaced


def _size(value: Any) -> int:
    """Returns the number of bytes in a value."""
    cls = type(value)
    if cls in (bytes, bytearray):
        return len(value)
    if cls is memoryview:
        size: int = value.nbytes
        return size
    if cls is dict:
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if cls in (list, tuple) else 0


def _replaced(core: Core, action: str, value: Any) -> Plan[Any]:
    cls = type(value)
    if cls in (bytes, bytearray, memoryview):
        # Many small ones may be too large together.
        if _size(value) < INLINE_BYTES // 32:
            return value
        return (yield from _upload(core, action, value))
    if cls is dict:
        fields = {}
        for name, inner in value.items():
            fields[name] = yield from _replaced(core, action, inner)
        return fields
    if cls in (list, tuple):
        items = []
        for inner in value:
            items.append((yield from _replaced(core, action, inner)))
        return items if cls is list else tuple(items)
    return value


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
