"""The test vectors of the specification."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from make_vectors import texts
from vectors import FOLDER, RUST, load, message_of, value_of

from tinpot_moor import KeyFileError, Malformed, SigningKey, keys
from tinpot_moor.schema import Dialect
from tinpot_moor.values import SCHEMAS, decode_value, encode_value
from tinpot_moor.wire import decode, encode

REASONS = {
    "an empty frame": "the message ends before byte 4",
    "twelve bytes of 0xff": "the message ends before byte",
    "a text is cut": "worker_type.value: a text of 255 bytes exceeds the message",
    "the message is cut": "token.token: a text of 169 bytes exceeds the message",
    "tag 9 of WorkerToDaemonMessageUnion": "must be from 1 to 5 (got 9)",
    "a result without a value": "result: RequestResult must have this field",
    "lists, 100 deep": "values must be nested at most 64 deep",
    "lists that share their elements, 10 ** 8 of them": "refers to the same tables too often",
    "a lambda": "result: a lambda cannot be sent to a worker",
    "a value of tag 15": "result: the tag of VarUnion must be from 1 to 13 (got 15)",
    "error code 77": "an error code must be from 0 to 18, or 255 (got 77)",
    "a UUID of 15 bytes": "request_id: a UUID must have 16 bytes (got 15)",
    "a text that is not UTF-8": "result.value: a text must be UTF-8",
}


def test_the_vectors_are_those_that_the_official_library_writes() -> None:
    for name, text in texts().items():
        assert (FOLDER / name).read_text() == text, f"run tests/make_vectors.py for {name}"


@pytest.mark.parametrize("entry", load("values-1.json")["values"])
def test_a_value_is_read_and_written(entry: Any) -> None:
    value = value_of(entry["value"])
    for dialect in entry["dialects"]:
        read = decode_value(bytes.fromhex(entry["bytes"]), Dialect(dialect))
        assert repr(read) == repr(value)
        again = decode_value(encode_value(value, Dialect(dialect)), Dialect(dialect))
        assert repr(again) == repr(value)


@pytest.mark.parametrize("entry", load("messages-1.json")["messages"])
def test_a_message_is_read_and_written(entry: Any) -> None:
    for name in entry["dialects"]:
        dialect = Dialect(name)
        schema, message = SCHEMAS[dialect], message_of(dialect, entry["root"], entry["message"])
        read = decode(schema, entry["root"], bytes.fromhex(entry["bytes"]))
        assert without_absent(read) == without_absent(message)
        again = decode(schema, entry["root"], encode(schema, entry["root"], message))
        assert again == read


def without_absent(fields: Any) -> Any:
    """Returns a message without the fields that it does not have."""
    if isinstance(fields, dict):
        return {k: without_absent(v) for k, v in fields.items() if v is not None and v is not False}
    if isinstance(fields, tuple) and len(fields) == 2 and isinstance(fields[1], dict):
        return fields[0], without_absent(fields[1])
    return fields


@pytest.mark.parametrize("entry", load("refused-1.json")["messages"], ids=lambda it: str(it["why"]))
def test_a_message_is_refused_fast_and_in_little_memory(entry: Any) -> None:
    data = bytes.fromhex(entry["bytes"])
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(Malformed) as refusal:
        decode(SCHEMAS[Dialect.A], "WorkerToDaemonMessage", data)
    # The bounds are far from what it takes, and hold on slow machines.
    assert time.process_time() - started < 0.5
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert REASONS[entry["why"]] in str(refusal.value)


def test_keys_are_read_in_every_form(tmp_path: Path) -> None:
    for entry in load("tokens-1.json")["keys"]:
        for form in ("private_pem", "private_pem_v2"):
            key = SigningKey.parse(entry[form].encode())
            assert key.public.hex() == entry["public"]
            assert (key.note is None) == (form == "private_pem")
        path = tmp_path / "public.pem"
        path.write_text(entry["public_pem"])
        assert keys.load_public(path).hex() == entry["public"]


def test_tokens_are_made_and_read() -> None:
    vectors = load("tokens-1.json")
    known = {entry["seed"]: entry for entry in vectors["keys"]}
    for entry in vectors["valid"]:
        key = SigningKey.parse(known[entry["seed"]]["private_pem"].encode())
        worker = keys.verify(entry["token"], key.public)
        assert (str(worker), key.token(worker)) == (entry["worker_id"], entry["token"])
        assert len(entry["token"]) == 169


@pytest.mark.parametrize("entry", load("tokens-1.json")["refused"], ids=lambda it: str(it["why"]))
def test_a_token_is_refused(entry: Any) -> None:
    public = bytes.fromhex(load("tokens-1.json")["keys"][0]["public"])
    with pytest.raises(keys.TokenError):
        keys.verify(entry["token"], public)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not PEM"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAA==\n-----END OPENSSH PRIVATE KEY-----", "OpenSSH"),
        ("-----BEGIN PRIVATE KEY-----\n*\n-----END PRIVATE KEY-----", "is damaged"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "damaged PRIVATE KEY"),
        (load("tokens-1.json")["keys"][0]["public_pem"], "it is the public key"),
    ],
)
def test_another_file_is_explained(text: str, said: str) -> None:
    with pytest.raises(KeyFileError, match=said):
        SigningKey.parse(text.encode())


def test_keys_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    first, second = load("tokens-1.json")["keys"]
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_text(first["private_pem"])
    public.write_text(second["public_pem"])
    with pytest.raises(KeyFileError, match="is not the public key of"):
        SigningKey.load(private, public)
    with pytest.raises(KeyFileError, match="No such file"):
        SigningKey.load(tmp_path / "none.pem")


# The vectors of the Rust crate.

CRATE: Any = json.loads(RUST.read_text())


@pytest.mark.parametrize("entry", CRATE["messages"], ids=lambda it: f"{it['name']} {it['dialect']}")
def test_a_message_of_the_crate_is_read(entry: Any) -> None:
    dialect = Dialect.A if entry["dialect"] == "token" else Dialect.B
    root = "DaemonToWorkerMessage" if entry["from"] == "coordinator" else "WorkerToDaemonMessage"
    name, fields = decode(SCHEMAS[dialect], root, bytes.fromhex(entry["bytes"]))["message"]
    kind, _, rest = entry["is"].partition(" ")
    if kind == "ping":
        assert name == "PingWorkers"
    elif kind == "attach":
        assert name == "AttachWorker"
        found = f"{fields['worker_type'].name} {fields['token']['token']}"
        assert found == rest
    elif kind == "request":
        assert name == "WorkerRequest"
        limit, _, arguments = rest.partition(" ")
        assert fields["timeout_ms"] == int(limit)
        assert [value for (value,) in fields["request"]] == value_of(json.loads(arguments))
    else:
        assert (kind, name) == ("result", "RequestResult")
        assert fields["result"] == (value_of(json.loads(rest)),)


@pytest.mark.parametrize("text", CRATE["json"])
def test_a_value_of_the_crate_survives(text: str) -> None:
    value = value_of(json.loads(text))
    assert repr(decode_value(encode_value(value, Dialect.B), Dialect.B)) == repr(value)


@pytest.mark.parametrize("entry", CRATE["refused"], ids=lambda it: str(it["name"]))
def test_a_message_that_the_crate_refuses_is_refused(entry: Any) -> None:
    with pytest.raises(Malformed):
        decode(SCHEMAS[Dialect.A], "WorkerToDaemonMessage", bytes.fromhex(entry["bytes"]))


def test_the_token_of_the_crate_is_made_and_read() -> None:
    known = CRATE["tokens"]
    key = SigningKey.parse(known["private_pem"].encode())
    assert key.public.hex() == known["public_key"]
    assert key.token(UUID(known["worker"])) == known["token"]
    assert keys.verify(known["token"], key.public) == UUID(known["worker"])
