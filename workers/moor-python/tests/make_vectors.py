"""Writes the test vectors, with the official library of FlatBuffers.

python tests/make_vectors.py
"""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from official import bomb, official, tagged
from vectors import FOLDER, message_of

from tinpot_moor.schema import Dialect
from tinpot_moor.values import SCHEMAS

WORKER = "00112233-4455-6677-8899-aabbccddeeff"
OTHER = "10112233-4455-6677-8899-aabbccddeeff"
REQUEST = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
TO_WORKER, TO_DAEMON, REPLY = (
    "DaemonToWorkerMessage",
    "WorkerToDaemonMessage",
    "DaemonToWorkerReply",
)

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 9007199254740991),
    *({"$int": "9223372036854775807"}, {"$int": "-9223372036854775808"}),
    *(0.0, 1.5, -1e300, 5e-324, {"$float": "nan"}, {"$float": "inf"}, {"$float": "-inf"}),
    *("", "Grüße 🦀", 'a\u0000b"\\'),
    *({"$sym": "Name"}, {"$binary": ""}, {"$binary": "AP8Q"}),
    *({"$obj": "#12"}, {"$obj": "#-1"}, {"$obj": "#-2147483648"}),
    *({"$obj": "#048D05-1234567890"}, {"$obj": "#anon_048D05-1234567890"}),
    *([], [1, [2.0, ["three", [None]]]]),
    *({}, {"city": "Graz", "days": 3}, {"b": 1, "a": {"c": []}}),
    {"$map": [[1, "int"], [1.0, "float"], [{"$obj": "#1"}, "obj"], [{"$sym": "s"}, "sym"]]},
    {"$map": [["$int", "7"]]},
    {"$err": {"code": "E_NONE"}},
    {"$err": {"code": "E_PERM", "msg": "Permission denied", "value": None}},
    {"$err": {"code": "e_mine", "value": [1, 2]}},
    {"$err": {"code": "E_PERM", "msg": "", "custom": True}},
    {"$flyweight": {"delegate": "#5", "slots": [["color", "red"]], "contents": [1, "two"]}},
    {"$flyweight": {"delegate": "#0", "slots": [], "contents": []}},
]


def pair(seed: bytes) -> dict[str, str]:
    """Returns a key in all its forms."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes_raw()
    v2 = bytes.fromhex("3051020101300506032b657004220420") + seed + b"\x81\x21\x00" + public
    v2_pem = base64.b64encode(v2).decode()
    lines = [v2_pem[at : at + 64] for at in range(0, len(v2_pem), 64)]
    v2_text = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""])
    v1 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    spki = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {
        "seed": seed.hex(),
        "public": public.hex(),
        "private_pem": v1.decode(),
        "private_pem_v2": v2_text,
        "public_pem": spki.decode(),
    }


def signed(seed: bytes, payload: bytes, footer: bytes, header: str = "v4.public.") -> str:
    """Returns a token, by the definition: each signed piece has its length before it."""
    pieces = [header.encode(), payload, footer, b""]
    text = (4).to_bytes(8, "little")
    text += b"".join(len(piece).to_bytes(8, "little") + piece for piece in pieces)
    body = payload + Ed25519PrivateKey.from_private_bytes(seed).sign(text)
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (body, footer)]
    return header + ".".join(parts)


SEED, OTHER_SEED = bytes(range(32)), bytes(range(32, 64))
FOOTER = b"key-id:moor_worker"
TOKEN = signed(SEED, WORKER.encode(), FOOTER)


def tokens() -> Any:
    """Returns the vectors of keys and tokens."""
    payload = WORKER.encode()
    without_footer = TOKEN.rpartition(".")[0]
    refused = [
        ("the footer of a host", signed(SEED, payload, b"key-id:moor_host")),
        ("no footer", without_footer),
        ("an empty footer", signed(SEED, payload, b"")),
        ("another key", signed(OTHER_SEED, payload, FOOTER)),
        ("the footer is not the signed one", f"{without_footer}.a2V5LWlkOm1vb3JfaG9zdA"),
        ("another version", signed(SEED, payload, FOOTER, "v3.public.")),
        ("another purpose", signed(SEED, payload, FOOTER, "v4.local.")),
        ("the id in capitals", signed(SEED, payload.upper(), FOOTER)),
        ("the id without hyphens", signed(SEED, payload.replace(b"-", b""), FOOTER)),
        ("the id in JSON", signed(SEED, b'{"sub":"' + payload + b'"}', FOOTER)),
        ("an empty payload", signed(SEED, b"", FOOTER)),
        ("padding", TOKEN + "=="),
        ("the form in mooR's README", f"{without_footer}?key-id:moor_worker"),
        ("the last character has bits that stand for nothing", without_footer + ".a2V5LWlkOm1vb3J"),
        ("a character is missing", TOKEN[:60] + TOKEN[61:]),
        ("a character is another", TOKEN[:60] + "AB"[TOKEN[60] == "A"] + TOKEN[61:]),
        ("an empty text", ""),
    ]
    return {
        "about": "Keys and tokens of dialect A. Tokens that are refused are for the first key.",
        "keys": [pair(SEED), pair(OTHER_SEED)],
        "valid": [
            {
                "seed": seed.hex(),
                "worker_id": worker,
                "token": signed(seed, worker.encode(), FOOTER),
            }
            for seed, worker in [(SEED, WORKER), (SEED, OTHER), (OTHER_SEED, WORKER)]
        ],
        "refused": [{"why": why, "token": token} for why, token in refused],
    }


def values() -> Any:
    """Returns the vectors of values."""
    both: list[tuple[str, Any]] = [("AB", value) for value in VALUES]
    both.append(("B", {"$anon": "#anon_048D05-1234567890"}))
    return {
        "about": "Values: the root is a Var.",
        "values": [
            {
                "dialects": dialects,
                "value": value,
                "bytes": encoded(Dialect(dialects[-1]), "Var", value),
            }
            for dialects, value in both
        ],
    }


def encoded(dialect: Dialect, root: str, plain: Any) -> str:
    """Returns a message in hexadecimal."""
    return official(SCHEMAS[dialect], root, message_of(dialect, root, plain)).hex()


def described() -> list[tuple[str, dict[str, Any]]]:
    """Returns every message, with the fields of both dialects."""
    ids = {"token": TOKEN, "worker_id": WORKER}
    request = {**ids, "token": "", "request_id": REQUEST, "perms": "#-1"}
    result = {"type": "RequestResult", **ids, "request_id": REQUEST}
    errors = [
        {"kind": kind, "message": f"{kind}: why"}
        for kind in ("PermissionDenied", "InvalidRequest", "InternalError", "RequestTimedOut")
    ]
    errors += [{"kind": "RequestError", "message": ""}, {"kind": "Detached", "message": "gone"}]
    errors += [{"kind": "NoWorkerAvailable", "worker_type": "echo"}]
    failed = {**result, "type": "RequestError"}
    return [
        (TO_DAEMON, {"type": "AttachWorker", **ids, "worker_type": "Echo"}),
        (TO_DAEMON, {"type": "WorkerPong", **ids, "worker_type": "Echo"}),
        (TO_DAEMON, {"type": "DetachWorker", **ids}),
        (TO_DAEMON, {**result, "result": ["echo_response", "Hello", 123]}),
        (TO_DAEMON, {**result, "result": None}),
        *((TO_DAEMON, {**failed, "error": error}) for error in errors),
        (TO_WORKER, {"type": "PingWorkers"}),
        (TO_WORKER, {"type": "WorkerRequest", **request, "request": [], "timeout_ms": 0}),
        (
            TO_WORKER,
            {
                "type": "WorkerRequest",
                **request,
                "perms": "#048D05-1234567890",
                "request": ["Hello", 123, None, [1.5, {"a": {"$sym": "b"}}]],
                "timeout_ms": 18446744073709551615,
            },
        ),
        (TO_WORKER, {"type": "PleaseDie", **ids}),
        (REPLY, {"type": "WorkerAck"}),
        (REPLY, {"type": "WorkerRejected", "reason": "Message rejected"}),
        (REPLY, {"type": "WorkerRejected"}),
        (REPLY, {"type": "WorkerAttached", **ids}),
        (REPLY, {"type": "WorkerAuthFailed", "reason": "Unable to verify worker token"}),
        (REPLY, {"type": "WorkerInvalidPayload", "reason": ""}),
        (REPLY, {"type": "WorkerUnknownRequest", "request_id": REQUEST}),
        (REPLY, {"type": "WorkerNotRegistered", "worker_id": WORKER}),
    ]


PLANUS_PING = "04000000f4ffffff10000000010000000800090008000400fcffffff04000400"
"""A ping as the daemon writes it: its library writes vtables after their tables."""
ATTACH = (
    "0c00000008000c000b00040008000000100000000000000108000c000800040008000000080000001c000000"
    "eeffffff040000000200000072730000000006000800040006000000040000000d00000076342e7075626c69"
    "632e782e79000000"
)
GIVEN: list[tuple[str, str, dict[str, Any], str]] = [
    ("AB", TO_WORKER, {"type": "PingWorkers"}, PLANUS_PING),
    (
        "A",
        TO_DAEMON,
        {"type": "AttachWorker", "token": "v4.public.x.y", "worker_type": "rs"},
        ATTACH,
    ),
]


def messages() -> Any:
    """Returns the vectors of messages."""
    entries = []
    for root, plain in described():
        # A message with the same fields in both is the same bytes.
        found: dict[str, tuple[str, Any]] = {}
        for dialect in Dialect:
            known = {field.name for field in SCHEMAS[dialect].tables[plain["type"]]} | {"type"}
            own = {name: plain[name] for name in plain if name in known}
            data = encoded(dialect, root, own)
            found[data] = (found.get(data, ("", own))[0] + dialect.value, own)
        entries += [(dialects, root, own, data) for data, (dialects, own) in found.items()]
    entries += GIVEN
    enrolment = {"enrollment_token": REQUEST, "curve_public_key": "a" * 40}
    enrolment.update(service_type="python-echo-worker", hostname="box")
    granted: dict[str, Any] = {
        "success": True,
        "service_uuid": WORKER,
        "daemon_curve_public_key": "b" * 40,
    }
    denied: dict[str, Any] = {"success": False, "error": "Invalid token"}
    for root, plain in [
        ("EnrollmentRequest", enrolment),
        ("EnrollmentResponse", granted),
        ("EnrollmentResponse", denied),
    ]:
        entries.append(("B", root, plain, encoded(Dialect.B, root, plain)))
    return {
        "about": "Messages, read and written in the dialects that `dialects` lists.",
        "messages": [
            {"dialects": dialects, "root": root, "message": plain, "bytes": data}
            for dialects, root, plain, data in entries
        ],
    }


def refused() -> Any:
    """Returns what must be refused with a reply, or answered with an error."""
    schema = SCHEMAS[Dialect.A]
    ids = {"token": {"token": TOKEN}, "request_id": UUID(REQUEST)}

    def result(value: Any) -> bytes:
        message = {"message": ("RequestResult", {**ids, "result": value})}
        return official(schema, TO_DAEMON, message)

    attach = message_of(
        Dialect.A, TO_DAEMON, {"type": "AttachWorker", "token": TOKEN, "worker_type": "echo"}
    )
    good = official(schema, TO_DAEMON, attach)
    text = good.index(b"echo") - 4
    tag = bytearray(good)
    tag[good.index(b"\x01\x08")] = 9
    tables = {**schema.tables, "Uuid": (schema.tables["Uuid"][0],)}
    short = official(
        type(schema)(Dialect.A, tables, schema.unions, schema.build, {**schema.take, "Uuid": dict}),
        TO_DAEMON,
        {"message": ("RequestResult", {**ids, "request_id": {"data": bytes(15)}, "result": (1,)})},
    )
    code = bytearray(result((message_of(Dialect.A, "Var", {"$err": {"code": "E_INTRPT"}})[0],)))
    code[code.rindex(b"\x12")] = 77
    nan = bytearray(result(("utf-8",)))
    nan[nan.index(b"utf-8")] = 0xFF
    cases: list[tuple[str, bytes]] = [
        ("an empty frame", b""),
        ("twelve bytes of 0xff", b"\xff" * 12),
        ("a text is cut", good[:text] + b"\xff\0\0\0" + good[text + 4 :]),
        ("the message is cut", good[:-24]),
        ("tag 9 of WorkerToDaemonMessageUnion", bytes(tag)),
        ("a result without a value", result(None)),
        ("lists, 100 deep", result(bomb(100, 1))),
        ("lists that share their elements, 10 ** 8 of them", result(bomb(8, 10))),
        ("a lambda", result(tagged(13))),
        ("a value of tag 15", result(tagged(15))),
        ("error code 77", bytes(code)),
        ("a UUID of 15 bytes", short),
        ("a text that is not UTF-8", bytes(nan)),
    ]
    tokens_of = {"WORKER": TOKEN, "host": signed(SEED, WORKER.encode(), b"key-id:moor_host")}
    worker = UUID(WORKER).bytes
    frames = [
        ("two frames", [worker, good]),
        ("four frames", [TOKEN.encode(), worker, good, b""]),
        ("the token of a host", [tokens_of["host"].encode(), worker, good]),
        ("the token of another worker", [TOKEN.encode(), UUID(OTHER).bytes, good]),
        ("a token that is not UTF-8", [b"\xff" + TOKEN.encode()[1:], worker, good]),
        ("an id of 15 bytes", [TOKEN.encode(), worker[:15], good]),
    ]
    return {
        "about": (
            "Messages of dialect A that a daemon must refuse, with a reply. `bytes` is the third "
            "frame of a message whose token and id are good; `frames` are all frames."
        ),
        "public": pair(SEED)["public"],
        "worker_id": WORKER,
        "messages": [{"why": why, "bytes": data.hex()} for why, data in cases],
        "frames": [{"why": why, "frames": [frame.hex() for frame in all_]} for why, all_ in frames],
    }


def texts() -> dict[str, str]:
    """Returns the content of each file."""
    made = {"tokens": tokens(), "values": values(), "messages": messages(), "refused": refused()}
    return {
        f"{name}-1.json": json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        for name, content in made.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text)
