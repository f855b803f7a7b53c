"""Enrolment of dialect B: a CURVE key pair, which the daemon admits from then on."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from .schema import Dialect
from .values import SCHEMAS
from .wire import Malformed, decode, encode

ENROLMENT = "tcp://127.0.0.1:7900"
DATA_DIR = Path(".moor-worker-data")
TOKEN_VARIABLE = "MOOR_ENROLLMENT_TOKEN"
PATIENCE = 30.0

_SCHEMA = SCHEMAS[Dialect.B]


class EnrolmentRefused(Exception):
    """The daemon does not enrol the worker, or its answer cannot be used."""


@dataclass(frozen=True)
class Identity:
    """The CURVE keys of a worker and of its daemon, as Z85 texts of 40 characters."""

    public: str
    secret: str = field(repr=False)
    daemon: str
    service_uuid: str = ""

    def secure(self, opened: zmq.Socket[bytes]) -> None:
        """Encrypts a socket that is not connected yet."""
        opened.curve_publickey = self.public.encode()
        opened.curve_secretkey = self.secret.encode()
        opened.curve_serverkey = self.daemon.encode()

    @classmethod
    def load(cls, folder: Path, service_type: str) -> Identity | None:
        """Reads the files that a worker of mooR keeps, or returns None if there are none."""
        secret, public, facts = _files(folder, service_type)
        if not facts.exists():
            return None
        try:
            known = json.loads(facts.read_text())
            keys = [_key_of(public, "public"), _key_of(secret, "secret")]
            found = cls(keys[0], keys[1], known["daemon_curve_public_key"], known["service_uuid"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EnrolmentRefused(
                f"{facts} or the keys next to it cannot be used: {error}; "
                "remove the three files to enrol again"
            ) from None
        if not _is_key(found.daemon):
            raise EnrolmentRefused(f"{facts} has no key of the daemon; remove it to enrol again")
        return found

    def save(self, folder: Path, service_type: str, host: str) -> None:
        """Writes the files. Only their owner can read the secret key."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret, public, facts = _files(folder, service_type)
        descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"secret={self.secret}\n")
        public.write_text(f"public={self.public}\n")
        known = {
            "service_uuid": self.service_uuid,
            "service_type": service_type,
            "hostname": host,
            "daemon_curve_public_key": self.daemon,
            "enrolled_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        facts.write_text(json.dumps(known, indent=2) + "\n")


def enrolment_token(file: Path | None = None) -> str:
    """Returns the token of the environment, of the file, or of mooR's own place."""
    text = os.environ.get(TOKEN_VARIABLE, "").strip()
    if text:
        return text
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    path = file or Path(config) / "moor" / "enrollment-token"
    try:
        return path.read_text().strip()
    except OSError as error:
        raise EnrolmentRefused(
            f"no enrolment token: {TOKEN_VARIABLE} is not set, and {path}: {error.strerror}"
        ) from None


def enrol(
    service_type: str,
    token: str,
    address: str = ENROLMENT,
    folder: Path = DATA_DIR,
    patience: float = PATIENCE,
) -> Identity:
    """Has a new key pair enrolled, and saves it. Raises `EnrolmentRefused`, or TimeoutError."""
    public, secret = (key.decode() for key in zmq.curve_keypair())
    host = socket.gethostname()
    facts = {"enrollment_token": token, "curve_public_key": public}
    facts.update(service_type=service_type, hostname=host)
    answer = _ask(address, encode(_SCHEMA, "EnrollmentRequest", facts), patience)
    try:
        response = decode(_SCHEMA, "EnrollmentResponse", answer)
    except Malformed as error:
        raise EnrolmentRefused(f"the answer of {address} cannot be read: {error}") from None
    if not response["success"]:
        reason = response["error"] or "no reason given"
        raise EnrolmentRefused(f"the daemon does not enrol {service_type}: {reason}")
    daemon = response["daemon_curve_public_key"]
    if not _is_key(daemon):
        raise EnrolmentRefused("the daemon's CURVE key must be Z85 of 40 characters")
    identity = Identity(public, secret, daemon, response["service_uuid"] or "")
    identity.save(folder, service_type, host)
    return identity


def _ask(address: str, request: bytes, patience: float) -> bytes:
    with zmq.Context() as context, context.socket(zmq.REQ) as asking:
        asking.setsockopt(zmq.LINGER, 0)
        asking.setsockopt(zmq.MAXMSGSIZE, 65536)
        asking.connect(address)
        asking.send(request)
        if not asking.poll(round(patience * 1000)):
            raise TimeoutError(f"{address} does not answer the enrolment for {patience:g} s")
        return asking.recv_multipart()[0]


def _files(folder: Path, service_type: str) -> tuple[Path, Path, Path]:
    endings = ("curve.key", "curve.pub", "identity.json")
    secret, public, facts = (folder / f"{service_type}-{ending}" for ending in endings)
    return secret, public, facts


def _key_of(path: Path, name: str) -> str:
    for line in path.read_text().splitlines():
        key, _, value = line.partition("=")
        if key == name and _is_key(value):
            return value
    raise ValueError(f"{path.name} has no line {name}=, with 40 characters")


def _is_key(text: object) -> bool:
    # Z85 has no spaces, and no quotes.
    return isinstance(text, str) and len(text) == 40 and text.isascii() and text.isprintable()
