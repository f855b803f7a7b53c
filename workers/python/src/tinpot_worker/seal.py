"""Sealed frames: keys, signed messages, and the sessions of a worker.

See "Sealed frames" in the specification of the protocol.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .messages import Epoch, Malformed, Message, decode, encode

CONTROL, LOGS = 0, 1
SEALED, INIT, ACCEPT, NOTICE, JOIN, JOINED = range(6)
NAMES = ("sealed", "init", "accept", "notice", "join", "joined")
HEADER = struct.Struct(">4sBBHQQ")
SIGNATURE_BYTES = 64
PAYLOAD_BYTES = 4096
WINDOW = 4096
RETRY = 1.0
HANDSHAKE = 10.0
FORMER = 10.0
SILENCE = 60.0
SESSION_AGE = 24 * 3600.0
FRAMES = 1 << 40
SIGNATURES = 20
"""The signatures of accepts, and of notices, that are verified in a second."""


def sha256(data: bytes) -> bytes:
    """Returns the SHA-256 of some bytes."""
    return hashlib.sha256(data).digest()


def key_id(public: bytes) -> str:
    """Returns the id of a public key."""
    return sha256(public)[:16].hex()


def public(key: Ed25519PrivateKey | X25519PrivateKey) -> bytes:
    """Returns the public part of a key."""
    return key.public_key().public_bytes_raw()


def signed_text(kind: int, payload: bytes) -> bytes:
    """Returns the text that is signed."""
    return b"tinpot/1 " + NAMES[kind].encode() + b"\0" + payload


def signed_frame(kind: int, payload: bytes, *keys: Ed25519PrivateKey) -> bytes:
    """Returns a frame that is signed by each of the keys."""
    signatures = [key.sign(signed_text(kind, payload)) for key in keys]
    return HEADER.pack(b"TPF1", kind, CONTROL, 0, 0, 0) + b"".join(signatures) + payload


def is_by(public: bytes, kind: int, frame: bytes) -> bool:
    """Returns true if a key has signed a frame."""
    signature = frame[HEADER.size : HEADER.size + SIGNATURE_BYTES]
    try:
        key = Ed25519PublicKey.from_public_bytes(public)
        key.verify(signature, signed_text(kind, payload_of(frame)))
    except (InvalidSignature, ValueError):
        return False
    return True


def payload_of(frame: bytes) -> bytes:
    """Returns the payload of a frame with one signature."""
    return frame[HEADER.size + SIGNATURE_BYTES :]


def read_signed(kind: int, frame: bytes, public: bytes, **expected: object) -> Message:
    """Returns the payload of a signed frame of version 1.

    Raises `Malformed` if the key has not signed it, or a field has not the value that is expected.
    """
    if frame[: HEADER.size] != HEADER.pack(b"TPF1", kind, CONTROL, 0, 0, 0):
        raise Malformed(f"the frame is not of kind {NAMES[kind]}")
    if len(payload_of(frame)) > PAYLOAD_BYTES:
        raise Malformed("the payload is too long")
    if not is_by(public, kind, frame):
        raise Malformed("the signature is wrong")
    payload = decode(payload_of(frame))
    for name, value in {"v": 1, **expected}.items():
        if payload.get(name) != value:
            raise Malformed(f"the {NAMES[kind]} is for another one: {name} must be {value!r}")
    return payload


def from_hex(text: object, length: int) -> bytes:
    """Reads lower-case hexadecimal digits."""
    if not isinstance(text, str) or not re.fullmatch(f"[0-9a-f]{{{2 * length}}}", text):
        raise Malformed(f"{2 * length} hexadecimal digits are expected")
    return bytes.fromhex(text)


def agree(own: X25519PrivateKey, theirs: bytes) -> bytes:
    """Returns the secret of both sides."""
    try:
        # Fails if the secret is all zero.
        return own.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError:
        raise Malformed("the other side's key agrees on nothing") from None


def derive(shared: bytes, salt: bytes) -> list[bytes]:
    """Returns four keys: up control, up logs, down control, down logs."""
    keys = HKDF(SHA256(), 128, salt, b"tinpot/1 TP1 keys").derive(shared)
    return [keys[at : at + 32] for at in range(0, 128, 32)]


class Window:
    """The counters that were seen: the highest one, and a bit for each of those below it."""

    def __init__(self) -> None:
        self.highest = 0
        self._seen = 0

    def is_fresh(self, counter: int) -> bool:
        """Returns true if a frame with this counter is new, as far as the window reaches."""
        back = self.highest - counter
        return counter > 0 and (back < 0 or (back <= WINDOW and not self._seen >> back & 1))

    def note(self, counter: int) -> None:
        """Notes the counter of a frame that was opened."""
        ahead = counter - self.highest
        if ahead > 0:
            self._seen = (self._seen << min(ahead, WINDOW + 1) | 1) & ((2 << WINDOW) - 1)
            self.highest = counter
        else:
            self._seen |= 1 << -ahead


class Session:
    """The worker's end of a session with a coordinator."""

    def __init__(self, now: float, epoch: Epoch, session: int, keys: Sequence[bytes]) -> None:
        self.epoch, self.id = epoch, session
        self.began = self.heard = now
        self.ends = math.inf
        """The end of a session that another one has replaced: until then, it is still read."""
        self._up = [ChaCha20Poly1305(key) for key in keys[:2]]
        self._down = [ChaCha20Poly1305(key) for key in keys[2:]]
        self._sent = [0, 0]
        self._received = [Window(), Window()]

    def is_worn(self, now: float) -> bool:
        """Returns true if the session needs new keys."""
        counters = self._sent + [window.highest for window in self._received]
        return now - self.began >= SESSION_AGE or max(counters) >= FRAMES

    def seal(self, lane: int, document: bytes) -> bytes:
        """Returns the frame of a document."""
        self._sent[lane] += 1
        header = HEADER.pack(b"TPF1", SEALED, lane, 0, self.id, self._sent[lane])
        return header + self._up[lane].encrypt(bytes(4) + header[16:], document, header)

    def open(self, lane: int, frame: bytes) -> bytes:
        """Returns the document of a frame that arrived on a lane."""
        header, sealed = frame[: HEADER.size], frame[HEADER.size :]
        counter = int.from_bytes(header[16:], "big")
        if not self._received[lane].is_fresh(counter):
            raise Malformed("a frame arrived twice, or too late")
        try:
            document = self._down[lane].decrypt(bytes(4) + header[16:], sealed, header)
        except InvalidTag:
            raise Malformed("a frame is forged") from None
        self._received[lane].note(counter)
        return document


@dataclass
class Handshake:
    """An init that waits for its answer."""

    ephemeral: X25519PrivateKey
    frame: bytes
    to: bytes
    began: float
    wanted: Epoch | None


class Sessions:
    """The sessions of a worker with the coordinators of its namespace. Times are in seconds."""

    def __init__(
        self, worker: str, key: Ed25519PrivateKey, namespace: str, pins: Sequence[bytes]
    ) -> None:
        self._key, self._pins = key, pins
        self._own = key_id(public(key))
        self._place = {"namespace": namespace, "shard": 0}
        self._worker = worker
        self.open: list[Session] = []
        self._handshake: Handshake | None = None
        self._turn = 0
        self.due = 0.0
        """The time at which to call `tick` at the latest."""
        self._asked_at = -RETRY
        self.unanswered = 0
        """The number of inits since the last answer."""
        self._wanted: Epoch | None = None
        self._verified = {kind: deque[float](maxlen=SIGNATURES) for kind in (ACCEPT, NOTICE)}

    def link_up(self, now: float) -> None:
        """Asks for a session at once if there is none."""
        if not self.open:
            self.due = now

    def tick(self, now: float) -> bytes | None:
        """Ends what is over. Returns an init to send on the control lane, if one is due."""
        self.open = [held for held in self.open if now < held.ends]
        if len(self._current()) > 1:
            self.open = [held for held in self.open if now - held.heard < SILENCE]
        worn = next((held.epoch for held in self._current() if held.is_worn(now)), None)
        if self._handshake is not None and now - self._handshake.began >= HANDSHAKE:
            # Another key of the namespace is asked next. A notice may have been of a coordinator
            # that is gone.
            self._handshake, self._wanted = None, None
            self._turn += 1
            if self.open and worn is None:
                self.due = math.inf
        if worn is not None and self.due == math.inf:
            self._wanted, self.due = worn, self._earliest(now)
        if self.due > now:
            return None
        self.unanswered += 1
        self.due = now + RETRY * min(self.unanswered, 4) + random.random() * RETRY
        self._asked_at = now
        if self._handshake is None:
            self._handshake = self._begin(now)
        return self._handshake.frame

    def _begin(self, now: float) -> Handshake:
        to = self._pins[self._turn % len(self._pins)]
        ephemeral = X25519PrivateKey.generate()
        init = {"v": 1, **self._place, "to": key_id(to), "worker": self._worker, "key": self._own}
        init.update(e=public(ephemeral).hex(), suites=["TP1"])
        frame = signed_frame(INIT, encode(init), self._key)
        return Handshake(ephemeral, frame, to, now, self._wanted)

    def _earliest(self, now: float) -> float:
        return max(now, self._asked_at + RETRY)

    def seal(self, lane: int, document: bytes) -> list[bytes]:
        """Returns the frames of a document: one for each coordinator with a session."""
        return [held.seal(lane, document) for held in self._current()]

    def _current(self) -> list[Session]:
        return [held for held in self.open if held.ends == math.inf]

    def read(self, now: float, lane: int, frame: bytes) -> bytes | Epoch | None:
        """Returns the document of a sealed frame, or the epoch of a session that it has opened.

        Raises `Malformed` with the reason for which it counts for nothing.
        """
        if len(frame) < HEADER.size:
            raise Malformed("the frame is too short, or plain")
        magic, kind, on, reserved, session, _ = HEADER.unpack_from(frame)
        if magic != b"TPF1" or reserved != 0 or on != lane:
            raise Malformed("the frame is plain, or of another lane")
        if kind == SEALED:
            for held in self.open:
                if held.id == session:
                    document = held.open(lane, frame)
                    held.heard = now
                    return document
            raise Malformed("the session of the frame is unknown")
        if kind not in (ACCEPT, NOTICE) or lane != CONTROL:
            raise Malformed("the frame is of a kind for coordinators")
        verified = self._verified[kind]
        if len(verified) == SIGNATURES and now - verified[0] < 1:
            raise Malformed("too many signed frames")
        verified.append(now)
        if kind == ACCEPT:
            return self._accepted(now, frame)
        self._noticed(now, frame)
        return None

    def _noticed(self, now: float, frame: bytes) -> None:
        signer = next((pin for pin in self._pins if is_by(pin, NOTICE, frame)), b"")
        notice = read_signed(NOTICE, frame, signer, **self._place)
        epoch = Epoch.parse(notice.get("epoch"))
        for held in self._current():
            is_of_another = held.epoch == epoch and notice.get("session") != f"{held.id:016x}"
            if is_of_another or held.epoch.is_after(epoch):
                return
        # A worker without a session takes any: the notice may be of a coordinator that is gone.
        wanted = epoch if self.open else None
        if self.due == math.inf or self._wanted != wanted:
            self._wanted = wanted
            if self._handshake is not None and self._handshake.wanted != wanted:
                self._handshake = None
            self.due = min(self.due, self._earliest(now) + random.random() * RETRY)

    def _accepted(self, now: float, frame: bytes) -> Epoch:
        handshake = self._handshake
        if handshake is None:
            raise Malformed("the accept answers nothing")
        init = sha256(payload_of(handshake.frame))
        signer = handshake.to
        ours: Message = {"worker": self._worker, "worker_key": self._own, "init": init.hex()}
        theirs: Message = {"key": key_id(signer), "chain": [], "suite": "TP1"}
        accept = read_signed(ACCEPT, frame, signer, **self._place, **ours, **theirs)
        epoch, wanted = Epoch.parse(accept.get("epoch")), handshake.wanted
        is_wanted = wanted in (None, epoch) or (wanted is not None and epoch.is_after(wanted))
        if not is_wanted or any(held.epoch.is_after(epoch) for held in self.open):
            raise Malformed("the accept is of an earlier epoch")
        number = int.from_bytes(from_hex(accept.get("session"), 8), "big")
        secret = agree(handshake.ephemeral, from_hex(accept.get("e"), 32))
        keys = derive(secret, sha256(init + sha256(payload_of(frame))))
        self._handshake, self.due, self._wanted, self.unanswered = None, math.inf, None, 0
        self._add(Session(now, epoch, number, keys))
        return epoch

    def _add(self, added: Session) -> None:
        current = self._current()
        others = [held for held in current if held.epoch.instance != added.epoch.instance]
        former = [held for held in current if held.epoch == added.epoch]
        for held in former:
            held.ends = added.began + FORMER
        # One that takes over, and the one before it.
        self.open = [*former, *sorted(others, key=lambda held: held.heard)[-1:], added]
