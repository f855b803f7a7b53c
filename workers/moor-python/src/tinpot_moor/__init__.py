"""Workers for mooR servers, in Python."""

from .enrol import EnrolmentRefused, Identity, enrol, enrolment_token
from .keys import KeyFileError, SigningKey
from .link import Daemon
from .session import Refused
from .values import ABSENT, Anonymous, Err, Flyweight, Map, Obj, ObjKind, Symbol, Value
from .wire import Malformed, NotEncodable
from .worker import (
    InternalError,
    InvalidRequest,
    PermissionDenied,
    Request,
    RequestError,
    TimedOut,
    Worker,
)

__all__ = [
    "ABSENT",
    "Anonymous",
    "Daemon",
    "EnrolmentRefused",
    "Err",
    "Flyweight",
    "Identity",
    "InternalError",
    "InvalidRequest",
    "KeyFileError",
    "Malformed",
    "Map",
    "NotEncodable",
    "Obj",
    "ObjKind",
    "PermissionDenied",
    "Refused",
    "Request",
    "RequestError",
    "SigningKey",
    "Symbol",
    "TimedOut",
    "Value",
    "Worker",
    "enrol",
    "enrolment_token",
]
