"""The identity of a worker: its key, and what it learned when it joined."""

from __future__ import annotations

import functools
import json
import os
import re
import string
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from .messages import Malformed, encode, typed
from .seal import (
    HEADER,
    JOIN,
    JOINED,
    agree,
    derive,
    from_hex,
    key_id,
    read_signed,
    sha256,
    signed_frame,
)

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase


class JoinRefused(Exception):
    """The coordinator refuses to enrol the key."""


@dataclass(frozen=True)
class JoinToken:
    """A join token: the seed of its key, and the public key of the namespace."""

    seed: bytes = field(repr=False)
    coordinator: bytes

    @classmethod
    def parse(cls, text: str) -> JoinToken:
        """Reads the text of a token. Raises ValueError if it was cut or mistyped."""
        found = re.fullmatch("tpj_([0-9A-Za-z]{86})([0-9A-Za-z]{6})", text)
        both, checksum = map(_base62, found.groups()) if found else (0, -1)
        if checksum != zlib.crc32(text[:-6].encode()) or both >> 512:
            raise ValueError("the join token is incomplete or has a typing error")
        return cls((both >> 256).to_bytes(32, "big"), (both % (1 << 256)).to_bytes(32, "big"))


def _base62(digits: str) -> int:
    return functools.reduce(lambda number, digit: number * 62 + DIGITS.index(digit), digits, 0)


@dataclass(frozen=True)
class Identity:
    """A worker that has joined."""

    key: Ed25519PrivateKey = field(repr=False)
    name: str
    namespace: str
    coordinator_keys: Sequence[bytes]
    broker: str = ""
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def load(cls, path: Path) -> Identity:
        """Reads `worker.key`, and `worker.toml` next to it, as `tinpot worker join` writes them."""
        key = load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{path} has no Ed25519 key")  # noqa: TRY004 the file is wrong
        lines = path.with_suffix(".toml").read_text().splitlines()
        pairs = [line.split(" = ", 1) for line in lines if " = " in line and line[0] != "#"]
        # The file has plain texts and lists of them only, whose forms are the same in JSON.
        facts = {name: json.loads(value) for name, value in pairs}
        pins = [from_hex(pin, 32) for pin in facts["coordinator_keys"]]
        names = (facts["name"], facts["namespace"])
        login = (facts.get("broker_user"), facts.get("broker_password"))
        return cls(key, *names, pins, facts.get("broker", ""), *login)

    def save(self, path: Path) -> None:
        """Writes both files, which only their owner can read."""
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        facts = {
            "key": key_id(self.key.public_key().public_bytes_raw()),
            "name": self.name,
            "namespace": self.namespace,
            "coordinator_keys": [pin.hex() for pin in self.coordinator_keys],
            "broker": self.broker,
            "broker_user": self.user,
            "broker_password": self.password,
        }
        lines = [f"{name} = {json.dumps(fact)}\n" for name, fact in facts.items() if fact]
        _write_private(path.with_suffix(".toml"), "".join(lines).encode())
        _write_private(path, pem)


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


class JoinRequest:
    """A request to enrol a key, and what is needed to read its answer."""

    def __init__(
        self, token: JoinToken, key: Ed25519PrivateKey, namespace: str, name: str, version: str
    ) -> None:
        signer = Ed25519PrivateKey.from_private_bytes(token.seed)
        public = key.public_key().public_bytes_raw()
        self._ephemeral = X25519PrivateKey.generate()
        self._key, self._pin = key, token.coordinator
        self._worker = {"namespace": namespace, "name": name}
        self.joiner = key_id(public)
        """The id of the key, at which the answer arrives."""
        e = self._ephemeral.public_key().public_bytes_raw().hex()
        token_id = key_id(signer.public_key().public_bytes_raw())
        request = {"v": 1, **self._worker, "token": token_id, "key": public.hex(), "e": e}
        payload = encode({**request, "version": version})
        self._digest = sha256(payload)
        self.frame = signed_frame(JOIN, payload, signer, key)
        """The frame to send, and to send again until it is answered."""

    def answer(self, frame: bytes, broker: str = "") -> Identity:
        """Reads an answer. Raises `Malformed` if it is none, and `JoinRefused`."""
        namespace, name = self._worker.values()
        expected = {"namespace": namespace, "key": self.joiner, "join": self._digest.hex()}
        answer = read_signed(JOINED, frame, self._pin, **expected)
        refused = answer.get("refused")
        if isinstance(refused, dict):
            detail = "".join(f", {name}: {refused[name]}" for name in refused if name != "why")
            raise JoinRefused(f"the coordinator refuses the join: {refused.get('why')}{detail}")
        enrolled = typed(dict, answer, "enrolled")
        pins = [from_hex(pin, 32) for pin in typed(list, enrolled, "coordinator_keys")]
        if enrolled.get("name") != name or len(pins) > 2 or self._pin not in pins:
            raise Malformed("the answer is of another worker, or of another coordinator")
        login: tuple[str | None, str | None] = (None, None)
        if enrolled.get("broker") is not None:
            theirs = from_hex(enrolled.get("e"), 32)
            shared = agree(self._ephemeral, theirs)
            login = open_login(shared, self._digest, theirs, str(enrolled["broker"]))
        return Identity(self._key, name, namespace, pins, broker, *login)


def open_login(shared: bytes, join: bytes, theirs: bytes, sealed: str) -> tuple[str, str]:
    """Returns the login at the broker, which an answer has sealed."""
    key = derive(shared, sha256(b"tinpot/1 join\0" + join + theirs))[2]
    header = HEADER.pack(b"TPF1", JOINED, 0, 0, 0, 0)
    try:
        body = bytes.fromhex(sealed)
        login = json.loads(ChaCha20Poly1305(key).decrypt(bytes(11) + b"\1", body, header))
        return str(login["user"]), str(login["password"])
    except (InvalidTag, ValueError, KeyError, TypeError):
        raise Malformed("the login at the broker cannot be read") from None
