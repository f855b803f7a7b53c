"""The identity of a worker: its key, and what it learned when it joined."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import re
import string
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from . import seal
from .messages import VERSION, Malformed, Message, encode, typed
from .mqtt import Connection

JOIN_PATIENCE = 30.0
ANSWERS = 16
"""The number of frames that wait to be read: one of them is the answer."""
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
    login: tuple[str, str] | None = field(default=None, repr=False)
    """The name and the password at the broker."""

    @classmethod
    def load(cls, path: Path) -> Identity:
        """Reads `worker.key`, and `worker.toml` next to it, as `tinpot worker join` writes them."""
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{path} has no Ed25519 key")  # noqa: TRY004 the file is wrong
        lines = path.with_suffix(".toml").read_text().splitlines()
        pairs = [line.split(" = ", 1) for line in lines if " = " in line and line[0] != "#"]
        # The file has plain texts and lists of them only, whose forms are the same in JSON.
        facts = {name: json.loads(value) for name, value in pairs}
        pins = [seal.from_hex(pin, 32) for pin in facts["coordinator_keys"]]
        user, password = facts.get("broker_user"), facts.get("broker_password")
        login = None if user is None else (user, password or "")
        return cls(key, facts["name"], facts["namespace"], pins, facts.get("broker", ""), login)

    def save(self, path: Path) -> None:
        """Writes both files, which only their owner can read."""
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        pem = self.key.private_bytes(encoding, form, serialization.NoEncryption())
        facts: Message = {"key": seal.key_id(seal.public(self.key)), "broker": self.broker}
        facts.update(name=self.name, namespace=self.namespace)
        facts["coordinator_keys"] = [pin.hex() for pin in self.coordinator_keys]
        if self.login is not None:
            facts["broker_user"], facts["broker_password"] = self.login
        lines = [f"{name} = {json.dumps(fact)}\n" for name, fact in facts.items() if fact]
        for file, data in ((path.with_suffix(".toml"), "".join(lines).encode()), (path, pem)):
            with open(file, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
                out.write(data)


@dataclass
class JoinRequest:
    """A request to enrol a new key, and what is needed to read its answer."""

    token: JoinToken
    name: str
    namespace: str
    broker: str

    def __post_init__(self) -> None:
        self._key, self._ephemeral = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
        signer = Ed25519PrivateKey.from_private_bytes(self.token.seed)
        self.joiner = seal.key_id(seal.public(self._key))
        """The id of the key, at which the answer arrives."""
        request: Message = {"v": 1, "namespace": self.namespace, "name": self.name}
        request.update(version=VERSION, token=seal.key_id(seal.public(signer)))
        request.update(key=seal.public(self._key).hex(), e=seal.public(self._ephemeral).hex())
        payload = encode(request)
        self._digest = seal.sha256(payload)
        self.frame = seal.signed_frame(seal.JOIN, payload, signer, self._key)
        """The frame to send, and to send again until it is answered."""

    def answer(self, frame: bytes) -> Identity:
        """Reads an answer. Raises `Malformed` if it is none, and `JoinRefused`."""
        ours = {"namespace": self.namespace, "key": self.joiner, "join": self._digest.hex()}
        answer = seal.read_signed(seal.JOINED, frame, self.token.coordinator, **ours)
        refused = answer.get("refused")
        if isinstance(refused, dict):
            detail = "".join(f", {name}: {refused[name]}" for name in refused if name != "why")
            raise JoinRefused(f"the coordinator refuses the join: {refused.get('why')}{detail}")
        enrolled = typed(dict, answer, "enrolled")
        pins = [seal.from_hex(pin, 32) for pin in typed(list, enrolled, "coordinator_keys")]
        is_known = self.token.coordinator in pins and len(pins) <= 2
        if enrolled.get("name") != self.name or not is_known:
            raise Malformed("the answer is of another worker, or of another coordinator")
        login = None
        if enrolled.get("broker") is not None:
            theirs = seal.from_hex(enrolled.get("e"), 32)
            shared = seal.agree(self._ephemeral, theirs)
            login = open_login(shared, self._digest, theirs, typed(str, enrolled, "broker"))
        return Identity(self._key, self.name, self.namespace, pins, self.broker, login)


def open_login(shared: bytes, join: bytes, theirs: bytes, sealed: str) -> tuple[str, str]:
    """Returns the login at the broker, which an answer has sealed."""
    key = seal.derive(shared, seal.sha256(b"tinpot/1 join\0" + join + theirs))[2]
    header = seal.HEADER.pack(b"TPF1", seal.JOINED, 0, 0, 0, 0)
    try:
        opened = ChaCha20Poly1305(key).decrypt(bytes(11) + b"\1", bytes.fromhex(sealed), header)
        login = json.loads(opened)
        return str(login["user"]), str(login["password"])
    except (InvalidTag, ValueError, KeyError, TypeError):
        raise Malformed("the login at the broker cannot be read") from None


async def join(
    broker: str,
    token: str,
    name: str,
    *,
    namespace: str = "tinpot",
    save: Path | None = None,
    patience: float = JOIN_PATIENCE,
) -> Identity:
    """Has a new key enrolled with a join token. Raises `JoinRefused`, or TimeoutError."""
    request = JoinRequest(JoinToken.parse(token.strip()), name, namespace, broker)
    answers: asyncio.Queue[bytes] = asyncio.Queue(ANSWERS)

    def take(frame: bytes) -> None:
        if not answers.full():
            answers.put_nowait(frame)

    topic = f"{namespace}/join/{request.joiner}"
    login = None if "@" in broker else ("join", "")
    client = f"{request.joiner}-control"
    link = Connection(broker, client, [f"{topic}/down"], lambda: None, take, login)
    until = time.monotonic() + patience
    try:
        while time.monotonic() < until:
            link.publish(f"{topic}/up", request.frame)
            with contextlib.suppress(asyncio.TimeoutError, Malformed):
                frame = await asyncio.wait_for(answers.get(), 1.0 if link.is_up else 0.1)
                identity = request.answer(frame)
                if save is not None:
                    identity.save(save)
                return identity
    finally:
        await link.close()
    raise TimeoutError(link.refusal or "no coordinator answered the join")
