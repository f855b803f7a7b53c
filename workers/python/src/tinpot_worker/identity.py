"""The identity of a worker: its key, and what it learned when it joined."""

from __future__ import annotations

import json
import os
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

from .messages import Malformed, encode
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

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


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
        digits, checksum = text[4:-6], text[-6:]
        if len(text) != 96 or not text.startswith("tpj_") or any(c not in DIGITS for c in text[4:]):
            raise ValueError("the join token is incomplete or has a typing error")
        number = _base62(digits)
        if _base62(checksum) != zlib.crc32(text[:-6].encode()) or number >= 1 << 512:
            raise ValueError("the join token has a typing error")
        both = number.to_bytes(64, "big")
        return cls(both[:32], both[32:])


def _base62(digits: str) -> int:
    number = 0
    for digit in digits:
        number = number * 62 + DIGITS.index(digit)
    return number


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
        facts = {}
        for line in path.with_suffix(".toml").read_text().splitlines():
            name, equals, value = line.partition(" = ")
            if equals and not line.startswith("#"):
                # The file has plain texts and lists of them only, whose forms are the same in JSON.
                facts[name] = json.loads(value)
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
        self,
        token: JoinToken,
        key: Ed25519PrivateKey,
        namespace: str,
        name: str,
        version: str,
        ephemeral: X25519PrivateKey | None = None,
    ) -> None:
        signer = Ed25519PrivateKey.from_private_bytes(token.seed)
        public = key.public_key().public_bytes_raw()
        self._ephemeral = ephemeral or X25519PrivateKey.generate()
        self._key, self._token, self._name, self._namespace = key, token, name, namespace
        self.joiner = key_id(public)
        """The id of the key, at which the answer arrives."""
        payload = encode(
            {
                "v": 1,
                "namespace": namespace,
                "token": key_id(signer.public_key().public_bytes_raw()),
                "key": public.hex(),
                "e": self._ephemeral.public_key().public_bytes_raw().hex(),
                "name": name,
                "version": version,
            }
        )
        self._digest = sha256(payload)
        self.frame = signed_frame(JOIN, payload, signer, key)
        """The frame to send, and to send again until it is answered."""

    def answer(self, frame: bytes, broker: str = "") -> Identity:
        """Reads an answer. Raises `Malformed` if it is none, and `JoinRefused`."""
        answer = read_signed(JOINED, frame, self._token.coordinator)
        expected = {"v": 1, "namespace": self._namespace, "key": self.joiner}
        expected["join"] = self._digest.hex()
        if any(answer.get(name) != value for name, value in expected.items()):
            raise Malformed("the answer is for another join")
        refused, enrolled = answer.get("refused"), answer.get("enrolled")
        if isinstance(refused, dict):
            detail = "".join(f", {name}: {refused[name]}" for name in refused if name != "why")
            raise JoinRefused(f"the coordinator refuses the join: {refused.get('why')}{detail}")
        if not isinstance(enrolled, dict) or enrolled.get("name") != self._name:
            raise Malformed("the answer enrols no worker of this name")
        listed = enrolled.get("coordinator_keys")
        pins = [from_hex(pin, 32) for pin in listed] if isinstance(listed, list) else []
        if len(pins) > 2 or self._token.coordinator not in pins:
            raise Malformed("the answer does not name the coordinator of the token")
        user, password = self._login(enrolled)
        return Identity(self._key, self._name, self._namespace, pins, broker, user, password)

    def _login(self, enrolled: dict[str, object]) -> tuple[str | None, str | None]:
        sealed = enrolled.get("broker")
        if sealed is None:
            return None, None
        theirs = from_hex(enrolled.get("e"), 32)
        return open_login(agree(self._ephemeral, theirs), self._digest, theirs, str(sealed))


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
