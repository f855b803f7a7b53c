"""The tables and unions of mooR's worker protocol, as data.

FlatBuffers carries no names: slots and tags are all that both sides have to agree on. A field is
written as `name: type`, in the order of its slots; `!` marks a required one. Types are scalars
(`bool`, `u8`, `i32`, `i64`, `u64`, `f64`), `string`, `bytes`, a table, a vector of tables
(`[Name]`), or a union, which takes two slots.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable

SCALARS = {"bool": "?", "u8": "B", "i32": "i", "i64": "q", "u64": "Q", "f64": "d"}
"""The format of each scalar, as in the module `struct`."""

ERROR_CODES = (
    *("E_NONE", "E_TYPE", "E_DIV", "E_PERM", "E_PROPNF", "E_VERBNF", "E_VARNF", "E_INVIND"),
    *("E_RECMOVE", "E_MAXREC", "E_RANGE", "E_ARGS", "E_NACC", "E_INVARG", "E_QUOTA", "E_FLOAT"),
    *("E_FILE", "E_EXEC", "E_INTRPT"),
)
"""The built-in errors of MOO, by number."""
CUSTOM_ERROR = 255


class Dialect(enum.Enum):
    """The two forms of the protocol. One daemon speaks one of them."""

    A = "A"
    """October 2025: three frames, with a PASETO token."""
    B = "B"
    """Since December 2025: two frames, without a token; CURVE over TCP."""


@dataclass(frozen=True)
class Field:
    """A field of a table."""

    name: str
    slot: int
    kind: str
    """The format of a scalar, or `string`, `bytes`, `table`, `tables` or `union`."""
    type: str
    """The table or union of the last three kinds."""
    required: bool


@dataclass(frozen=True)
class Schema:
    """The tables of one dialect, and the Python values that some tables stand for."""

    dialect: Dialect
    tables: Mapping[str, tuple[Field, ...]]
    unions: Mapping[str, tuple[str, ...]]
    """The tables of each union. The first one has tag 1."""
    build: Mapping[str, Callable[[dict[str, Any]], Any]]
    """The functions that make a value of the fields of a table. Other tables stay dictionaries."""
    take: Mapping[str, Callable[[Any], Mapping[str, Any]]]
    """The inverse of `build`."""


_ONE_MESSAGE = ("message: string!",)
_ONE_REASON = ("reason: string!",)

_TABLES: dict[str, tuple[str, ...]] = {
    # Envelopes: the roots.
    "DaemonToWorkerMessage": ("message: DaemonToWorkerMessageUnion!",),
    "WorkerToDaemonMessage": ("message: WorkerToDaemonMessageUnion!",),
    "DaemonToWorkerReply": ("reply: DaemonToWorkerReplyUnion!",),
    # From the daemon.
    "PingWorkers": (),
    "WorkerAck": (),
    "WorkerRejected": ("reason: string",),
    "WorkerAuthFailed": _ONE_REASON,
    "WorkerInvalidPayload": _ONE_REASON,
    "WorkerUnknownRequest": ("request_id: Uuid!",),
    "WorkerNotRegistered": ("worker_id: Uuid!",),
    # Common.
    "Uuid": ("data: bytes!",),
    "Symbol": ("value: string!",),
    "Obj": ("obj: ObjUnion!",),
    "ObjId": ("id: i32",),
    "UuObjId": ("packed_value: u64",),
    "AnonymousObjId": ("packed_value: u64",),
    "Error": ("err_type: u8", "msg: string", "value: Var", "custom_symbol: Symbol"),
    # Errors of requests.
    "WorkerError": ("error: WorkerErrorUnion!",),
    "WorkerPermissionDenied": _ONE_MESSAGE,
    "WorkerInvalidRequest": _ONE_MESSAGE,
    "WorkerInternalError": _ONE_MESSAGE,
    "WorkerRequestTimedOut": _ONE_MESSAGE,
    "WorkerRequestError": _ONE_MESSAGE,
    "WorkerDetached": _ONE_MESSAGE,
    "NoWorkerAvailable": ("worker_type: Symbol!",),
    # Values.
    "Var": ("variant: VarUnion!",),
    "VarNone": (),
    "VarBool": ("value: bool",),
    "VarInt": ("value: i64",),
    "VarFloat": ("value: f64",),
    "VarStr": ("value: string!",),
    "VarObj": ("obj: Obj!",),
    "VarErr": ("error: Error!",),
    "VarList": ("elements: [Var]!",),
    "VarMap": ("pairs: [VarMapPair]!",),
    "VarMapPair": ("key: Var!", "value: Var!"),
    "VarSym": ("symbol: Symbol!",),
    "VarBinary": ("data: bytes!",),
    "VarFlyweight": ("delegate: Obj!", "slots: [FlyweightSlot]!", "contents: VarList!"),
    "FlyweightSlot": ("name: Symbol!", "value: Var!"),
    # Its content belongs into databases, and differs between dialects. It is not looked into.
    "VarLambda": (),
    "VarAnonymous": ("obj: Obj!",),
}

_OF_DIALECT: dict[Dialect, dict[str, tuple[str, ...]]] = {
    Dialect.A: {
        "WorkerToken": ("token: string!",),
        "AttachWorker": ("token: WorkerToken!", "worker_type: Symbol!"),
        "WorkerPong": ("token: WorkerToken!", "worker_type: Symbol!"),
        "DetachWorker": ("token: WorkerToken!",),
        "RequestResult": ("token: WorkerToken!", "request_id: Uuid!", "result: Var!"),
        "RequestError": ("token: WorkerToken!", "request_id: Uuid!", "error: WorkerError!"),
        "WorkerRequest": (
            *("worker_id: Uuid!", "token: WorkerToken!", "request_id: Uuid!", "perms: Obj!"),
            *("request: [Var]!", "timeout_ms: u64"),
        ),
        "PleaseDie": ("token: WorkerToken!", "worker_id: Uuid!"),
        "WorkerAttached": ("token: WorkerToken!", "worker_id: Uuid!"),
    },
    Dialect.B: {
        "AttachWorker": ("worker_id: Uuid!", "worker_type: Symbol!"),
        "WorkerPong": ("worker_id: Uuid!", "worker_type: Symbol!"),
        "DetachWorker": ("worker_id: Uuid!",),
        "RequestResult": ("worker_id: Uuid!", "request_id: Uuid!", "result: Var!"),
        "RequestError": ("worker_id: Uuid!", "request_id: Uuid!", "error: WorkerError!"),
        "WorkerRequest": (
            *("worker_id: Uuid!", "request_id: Uuid!", "perms: Obj!"),
            *("request: [Var]!", "timeout_ms: u64"),
        ),
        "PleaseDie": ("worker_id: Uuid!",),
        "WorkerAttached": ("worker_id: Uuid!",),
        "EnrollmentRequest": (
            *("enrollment_token: string!", "curve_public_key: string!"),
            *("service_type: string!", "hostname: string!"),
        ),
        "EnrollmentResponse": (
            *("success: bool", "service_uuid: string"),
            *("daemon_curve_public_key: string", "error: string"),
        ),
    },
}

_UNIONS: dict[str, tuple[str, ...]] = {
    "DaemonToWorkerMessageUnion": ("PingWorkers", "WorkerRequest", "PleaseDie"),
    "WorkerToDaemonMessageUnion": (
        *("AttachWorker", "WorkerPong", "DetachWorker", "RequestResult", "RequestError"),
    ),
    "DaemonToWorkerReplyUnion": (
        *("WorkerAck", "WorkerRejected", "WorkerAttached", "WorkerAuthFailed"),
        *("WorkerInvalidPayload", "WorkerUnknownRequest", "WorkerNotRegistered"),
    ),
    "WorkerErrorUnion": (
        *("WorkerPermissionDenied", "WorkerInvalidRequest", "WorkerInternalError"),
        *("WorkerRequestTimedOut", "WorkerRequestError", "WorkerDetached", "NoWorkerAvailable"),
    ),
    "ObjUnion": ("ObjId", "UuObjId", "AnonymousObjId"),
    "VarUnion": (
        *("VarNone", "VarBool", "VarInt", "VarFloat", "VarStr", "VarObj", "VarErr", "VarList"),
        *("VarMap", "VarSym", "VarBinary", "VarFlyweight", "VarLambda", "VarAnonymous"),
    ),
}


def schema(
    dialect: Dialect,
    build: Mapping[str, Callable[[dict[str, Any]], Any]],
    take: Mapping[str, Callable[[Any], Mapping[str, Any]]],
) -> Schema:
    """Returns the schema of a dialect."""
    unions = dict(_UNIONS)
    if dialect is Dialect.A:
        unions["VarUnion"] = unions["VarUnion"][:-1]
    tables = {**_TABLES, **_OF_DIALECT[dialect]}
    return Schema(dialect, {name: _fields(tables[name]) for name in tables}, unions, build, take)


def _fields(texts: tuple[str, ...]) -> tuple[Field, ...]:
    fields = []
    slot = 0
    for text in texts:
        name, _, type_name = text.rstrip("!").partition(": ")
        if type_name in SCALARS:
            kind, type_name = SCALARS[type_name], ""
        elif type_name in ("string", "bytes"):
            kind = type_name
        elif type_name.startswith("["):
            kind, type_name = "tables", type_name[1:-1]
        else:
            kind = "union" if type_name in _UNIONS else "table"
        fields.append(Field(name, slot, kind, type_name, text.endswith("!")))
        slot += 2 if kind == "union" else 1
    return tuple(fields)
