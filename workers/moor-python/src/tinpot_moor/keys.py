"""Keys and tokens of dialect A: Ed25519 in PEM files, and PASETO v4.public."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

HEADER = "v4.public."
FOOTER = b"key-id:moor_worker"

# PKCS#8 version 2 of an Ed25519 key: the seed, and then the public key as an attribute.
_V2_HEAD = bytes.fromhex("3051020101300506032b657004220420")
_V2_MIDDLE = bytes.fromhex("812100")
_V2_BYTES = len(_V2_HEAD) + 32 + len(_V2_MIDDLE) + 32

MAKE_ONE = "make one with: openssl genpkey -algorithm ED25519 -out key.pem"
V2_NOTE = (
    "the private key is PKCS#8 version 2, as `moor-daemon --generate-keypair` writes it: this "
    "worker reads it, OpenSSL and programs that use it do not"
)


class KeyFileError(ValueError):
    """A key file cannot be used."""


class TokenError(ValueError):
    """A token is not valid."""


class SigningKey:
    """The private key that the daemon, its hosts and its workers share."""

    def __init__(self, key: Ed25519PrivateKey, note: str | None = None) -> None:
        self._key = key
        self.note = note
        """A remark on the form of the file."""

    @classmethod
    def load(cls, private: Path | str, public: Path | str | None = None) -> SigningKey:
        """Reads a PEM file in PKCS#8. Raises `KeyFileError`, also if the public key is another."""
        key = cls.parse(_read(private), str(private))
        if public is not None and load_public(public) != key.public:
            raise KeyFileError(f"{public} is not the public key of {private}")
        return key

    @classmethod
    def parse(cls, pem: bytes, name: str = "the private key") -> SigningKey:
        """Reads the text of a PEM file in PKCS#8, version 1 or 2."""
        label, der = _unwrap(pem, name, "PRIVATE KEY")
        if der[: len(_V2_HEAD)] == _V2_HEAD and len(der) == _V2_BYTES:
            seed, rest = der[len(_V2_HEAD) : -32 - len(_V2_MIDDLE)], der[-32:]
            key = cls(Ed25519PrivateKey.from_private_bytes(seed), V2_NOTE)
            if key.public != rest:
                raise KeyFileError(f"the two keys in {name} do not belong together; {MAKE_ONE}")
            return key
        try:
            loaded = load_pem_private_key(pem, None)
        except (ValueError, UnsupportedAlgorithm):
            raise KeyFileError(f"{name} has a damaged {label}; {MAKE_ONE}") from None
        if not isinstance(loaded, Ed25519PrivateKey):
            raise KeyFileError(f"{name} must have an Ed25519 key, and has another; {MAKE_ONE}")
        return cls(loaded)

    @classmethod
    def generate(cls) -> SigningKey:
        """Returns a new key."""
        return cls(Ed25519PrivateKey.generate())

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def token(self, worker_id: UUID) -> str:
        """Returns the token of a worker. There is exactly one, and it does not expire."""
        payload = str(worker_id).encode()
        signature = self._key.sign(_signed(payload, FOOTER))
        return f"{HEADER}{_base64(payload + signature)}.{_base64(FOOTER)}"


def load_public(path: Path | str) -> bytes:
    """Reads a public key: PEM, SubjectPublicKeyInfo. Raises `KeyFileError`."""
    pem = _read(path)
    _unwrap(pem, str(path), "PUBLIC KEY")
    try:
        loaded = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError(f"{path} has a damaged PUBLIC KEY") from None
    if not isinstance(loaded, Ed25519PublicKey):
        raise KeyFileError(f"{path} must have an Ed25519 key, and has another")
    return loaded.public_bytes_raw()


def verify(token: str, public: bytes) -> UUID:
    """Returns the worker of a token. Raises `TokenError`, also for the token of a host."""
    parts = token.split(".")
    if len(parts) != 4 or not token.startswith(HEADER):
        raise TokenError("a token must be v4.public, a payload and a footer")
    body, footer = (_unbase64(part) for part in parts[2:])
    if footer != FOOTER:
        raise TokenError(f"the footer must be {FOOTER.decode()} (got {footer[:64]!r})")
    payload, signature = body[:-64], body[-64:]
    try:
        key = Ed25519PublicKey.from_public_bytes(public)
        key.verify(signature, _signed(payload, footer))
    except (InvalidSignature, ValueError):
        raise TokenError("the signature is not by this key") from None
    text = payload.decode("ascii", "replace")
    try:
        worker_id = UUID(text)
    except ValueError:
        worker_id = None
    if worker_id is None or str(worker_id) != text:
        raise TokenError("the payload must be the id of a worker")
    return worker_id


def _signed(payload: bytes, footer: bytes) -> bytes:
    """Returns what is signed: each piece with its length, so that none runs into the next."""
    pieces = [HEADER.encode(), payload, footer, b""]
    counted = [len(piece).to_bytes(8, "little") + piece for piece in pieces]
    return len(pieces).to_bytes(8, "little") + b"".join(counted)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unbase64(text: str) -> bytes:
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text) or len(text) % 4 == 1:
        raise TokenError("a token must be base64url without padding")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _base64(data) != text:
        raise TokenError("a token must be base64url without padding")
    return data


def _read(path: Path | str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None


def _unwrap(pem: bytes, name: str, wanted: str) -> tuple[str, bytes]:
    """Returns the label and the content of a PEM file, if the label is the wanted one."""
    found = re.search(rb"-----BEGIN ([A-Z0-9 ]+)-----\s(.*?)-----END \1-----", pem, re.DOTALL)
    if found is None:
        raise KeyFileError(f"{name} must be PEM with a {wanted}, and is not PEM; {MAKE_ONE}")
    label = found[1].decode()
    if label != wanted:
        hint = {
            "PUBLIC KEY": "it is the public key",
            "PRIVATE KEY": "it is the private key",
            "OPENSSH PRIVATE KEY": "keys of OpenSSH are not PKCS#8",
            "ENCRYPTED PRIVATE KEY": "decrypt it with: openssl pkey -in FILE -out key.pem",
        }.get(label, MAKE_ONE)
        raise KeyFileError(f"{name} must have a {wanted} (got {label}): {hint}")
    try:
        return label, base64.b64decode(b"".join(found[2].split()), validate=True)
    except binascii.Error:
        raise KeyFileError(f"the PEM of {name} is damaged") from None
