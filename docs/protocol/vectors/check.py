"""Checks the test vectors of sealed frames with the package `cryptography`."""

import hashlib
import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_pem_private_key

NAMES = ["up_control", "up_logs", "down_control", "down_logs"]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def text(kind: str, payload: bytes) -> bytes:
    return b"tinpot/1 " + kind.encode() + b"\0" + payload


def open_frame(key: bytes, lane: int, frame: bytes) -> bytes:
    """Returns the document of a sealed frame that arrived on a lane."""
    head = frame[:24]
    if len(frame) < 40 or head[:8] != b"TPF1\0" + bytes([lane, 0, 0]):
        raise InvalidTag
    return ChaCha20Poly1305(key).decrypt(bytes(4) + head[16:], frame[24:], head)


def is_taken(session: dict[str, str], entry: dict[str, str]) -> bool:
    """Returns true if a frame is taken that must be refused."""
    frame = bytes.fromhex(entry["frame"])
    try:
        if "public" in entry:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(entry["public"]))
            key.verify(frame[24:88], text(entry["kind"], frame[88:]))
        else:
            open_frame(bytes.fromhex(session[entry["key"]]), int(entry["lane"]), frame)
    except (InvalidTag, InvalidSignature):
        return False
    return True


def main() -> None:
    vectors = json.loads(Path(sys.argv[1]).read_text())
    for entry in vectors["keys"]:
        key = load_pem_private_key(entry["pem"].encode(), None)
        assert isinstance(key, Ed25519PrivateKey)
        assert key.private_bytes_raw().hex() == entry["seed"]
        public = key.public_key().public_bytes_raw()
        assert (public.hex(), sha256(public)[:16].hex()) == (entry["public"], entry["id"])
    for entry in vectors["signed"]:
        signer = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(entry["seed"]))
        signature = signer.sign(text(entry["kind"], entry["payload"].encode()))
        assert signature.hex() == entry["signature"], entry
        assert bytes.fromhex(entry["frame"])[24:] == signature + entry["payload"].encode()
    for entry in vectors["joins"]:
        frame = bytes.fromhex(entry["frame"])
        assert frame[:24].hex() == "5450463104" + "00" * 19
        for name, place in (("token", 24), ("key", 88)):
            signer = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(entry[f"{name}_seed"]))
            signature = signer.sign(text("join", entry["payload"].encode()))
            assert signature.hex() == entry[f"by_{name}"]
            assert frame[place : place + 64] == signature
        assert frame[152:] == entry["payload"].encode()
    login = vectors["login"]
    digest = sha256(vectors["joins"][0]["payload"].encode())
    salt = sha256(b"tinpot/1 join\0" + digest + bytes.fromhex(login["e"]))
    secret = bytes.fromhex(login["shared"])
    keys = HKDF(SHA256(), 128, salt, b"tinpot/1 TP1 keys").derive(secret)
    assert keys[64:96].hex() == login["key"]
    head = bytes.fromhex("5450463105" + "00" * 19)
    opened = ChaCha20Poly1305(keys[64:96]).decrypt(
        bytes(11) + b"\1", bytes.fromhex(login["broker"]), head
    )
    assert opened.decode() == login["login"]
    session = vectors["session"]
    salt = sha256(sha256(session["init"].encode()) + sha256(session["accept"].encode()))
    keys = HKDF(SHA256(), 128, salt, b"tinpot/1 TP1 keys").derive(bytes.fromhex(session["shared"]))
    assert [session[name] for name in NAMES] == [keys[i : i + 32].hex() for i in range(0, 128, 32)]
    for entry in vectors["sealed"]:
        key = bytes.fromhex(session[entry["key"]])
        document = open_frame(key, entry["lane"], bytes.fromhex(entry["frame"]))
        assert document.decode() == entry["document"], entry
    for entry in vectors["refused"]:
        assert not is_taken(session, entry), entry["why"]


main()
