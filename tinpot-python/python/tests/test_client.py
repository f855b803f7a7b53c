"""The clients, against servers that answer as no good server does."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import pickle
import random
import shutil
import subprocess
import tempfile
import time
import unittest
from unittest import mock

from fake_server import FakeServer, answer, complete, log, refusal, stream

import tinpot
from tinpot import _client_settings, client
from tinpot._client_steps import EventParser

SUBMITTED = {"execution_id": "e1", "action_name": "a", "status": "submitted", "stream_url": ""}
STARTED = (0, "connected", {"execution_id": "e1", "state": "STARTED", "after": 0})
END = b"0\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\n"


class Sync:
    """The calls of the tests on `Client`."""

    def __init__(self, url, **options):
        self.client = tinpot.Client(url, **{"token": "tpt_x", "timeout": 5, **options})

    def __call__(self, method, *arguments, of=None, **options):
        whole = self.client if of is None else self.client.execution(of)
        found = getattr(whole, method)(*arguments, **options)
        return list(found) if hasattr(found, "__next__") else found

    def close(self):
        self.client.close()


class Async(Sync):
    """The same calls on `AsyncClient`."""

    def __init__(self, url, **options):
        self.loop = asyncio.new_event_loop()
        self.client = tinpot.AsyncClient(url, **{"token": "tpt_x", "timeout": 5, **options})

    def __call__(self, method, *arguments, of=None, **options):
        async def call():
            whole = self.client if of is None else self.client.execution(of)
            found = getattr(whole, method)(*arguments, **options)
            return [one async for one in found] if hasattr(found, "__anext__") else await found

        return self.loop.run_until_complete(call())

    def close(self):
        self.loop.run_until_complete(self.client.close())
        # Ends what asyncio does of a connection that is closed.
        for _ in range(5):
            self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


def both(function):
    """Runs a test with both clients."""

    def test(self):
        for kind in (Sync, Async):
            with self.subTest(kind.__name__):
                self.kind = kind
                function(self)

    test.__name__, test.__doc__ = function.__name__, function.__doc__
    return test


class ClientTest(unittest.TestCase):
    kind = Sync

    @contextlib.contextmanager
    def serve(self, *scripts, **options):
        with FakeServer(*scripts) as server:
            do = self.kind(server.url, **options)
            try:
                yield server, do
            finally:
                do.close()

    @both
    def test_run_submits_with_a_key_and_waits_on_the_stream(self):
        end = stream(STARTED, complete(result={"n": 3}))
        with self.serve(SUBMITTED, end, team="blue") as (server, do):
            self.assertEqual(do("run", "an action", host="db", days=2), {"n": 3})
        submit, follow = server.requests
        self.assertEqual((submit.method, submit.path), ("POST", "/api/actions/an%20action/execute"))
        body = submit.json()
        self.assertEqual(body["parameters"], {"host": "db", "days": 2})
        self.assertRegex(body["options"]["idempotency_key"], "^client ")
        self.assertEqual(submit.headers["authorization"], "Bearer tpt_x")
        self.assertEqual(submit.headers["tinpot-team"], "blue")
        self.assertIn("@", submit.headers["x-requested-by"])
        self.assertEqual(follow.path, "/api/executions/e1/stream")

    @both
    def test_arguments_by_position_are_named_and_converted(self):
        @tinpot.action
        def backup(ctx: tinpot.Context, host: str, days: int = 1) -> int:
            return days

        with self.serve(SUBMITTED, stream(complete(result=1))) as (server, do):
            self.assertEqual(do("run", backup, "db", 3), 1)
            self.assertEqual(server.requests[0].json()["parameters"], {"host": "db", "days": 3})
            with self.assertRaisesRegex(TypeError, "name of an action"):
                do("run", "backup", "db")
            with self.assertRaisesRegex(TypeError, "not int"):
                do("run", 3)

    @both
    def test_a_stream_that_breaks_goes_on_without_a_gap_or_a_repeat(self):
        running = (0, "status", {"status": "running", "state": "STARTED"})
        progress = (2, "progress", {"done": 1, "total": 2, "message": ""})
        # Cut within an event, within a chunk, at its start, and by a proxy that is in the way.
        scripts = [
            stream(STARTED, running, log(1), log(2), progress) + b"ff\r\nid: 3\ndata: {",
            stream(STARTED)[:20],
            b"",
            answer(b"<html>", 502),
            refusal(503, "about to stop"),
            stream(STARTED, (2, *running[1:]), progress, log(3)) + END,
            stream(STARTED, complete(result=None)),
        ]
        with self.serve({"version": "1", "api": 1}, *scripts) as (server, do):
            do("version")
            events = do("events", of="e1")
        found = [(event.type, event.id) for event in events]
        lines = [("log", str(n)) for n in (1, 2)]
        expected = [("status", "0"), *lines, ("progress", "2"), ("log", "3"), ("complete", "end")]
        self.assertEqual(found, expected)
        ids = [request.headers["last-event-id"] for request in server.requests[1:]]
        self.assertEqual(ids, ["0", "2", "2", "2", "2", "2", "3"])

    @both
    def test_a_submission_whose_answer_is_lost_is_sent_again_with_its_key(self):
        scripts = [{"version": "1"}, b"", refusal(503, "busy"), SUBMITTED]
        with self.serve(*scripts) as (server, do):
            do("version")
            execution = do("submit", "a")
        self.assertEqual(execution.id, "e1")
        keys = {request.json()["options"]["idempotency_key"] for request in server.requests[1:]}
        self.assertEqual((len(server.requests), len(keys)), (4, 1))

    @both
    def test_a_kept_connection_that_the_server_has_closed_is_replaced(self):
        def once(connection, _request):
            connection.sendall(answer({"version": "1"}))

        with self.serve(once, patience=0) as (server, do):
            for _ in range(3):
                self.assertEqual(do("version"), "1")
        self.assertEqual(len(server.requests), 3)

    @both
    def test_an_address_without_a_server_is_an_error_at_once(self):
        with FakeServer(b"") as server:
            pass
        do = self.kind(server.url)
        started = time.monotonic()
        with self.assertRaisesRegex(client.NotReached, "cannot reach the server http://localhost"):
            do("version")
        self.assertLess(time.monotonic() - started, 15)
        do.close()

    @both
    def test_a_server_that_went_away_is_waited_for_as_long_as_was_said(self):
        with self.serve({"version": "1"}, b"", patience=0.3) as (server, do):
            do("version")
            started = time.monotonic()
            with self.assertRaises(client.NotReached):
                do("result", of="e1")
            self.assertLess(time.monotonic() - started, 15)
        self.assertGreater(len(server.requests), 2)

    @both
    def test_errors_have_the_kind_of_their_status(self):
        for status, kind in (
            (401, client.NotAuthenticated),
            (403, client.NotAllowed),
            (404, client.NotFound),
            (409, client.Conflict),
            (422, client.InvalidRequest),
            (413, client.InvalidRequest),
            (500, client.Unavailable),
            (507, client.Unavailable),
        ):
            refused = refusal(
                status, "why", errors=[{"path": "days", "message": "is required"}], execution_id="e"
            )
            with self.serve(refused) as (_server, do), self.assertRaises(kind) as caught:
                do("submit", "a")
            error = caught.exception
            self.assertIn("why", str(error))
            self.assertEqual(error.status, status)
            if kind is client.InvalidRequest:
                self.assertEqual(error.errors, [("days", "is required")])
            again = pickle.loads(pickle.dumps(error))
            self.assertEqual((type(again), str(again)), (kind, str(error)))
            self.assertEqual(again.__dict__, error.__dict__)
        refused = self.assertRaisesRegex(client.NotAuthenticated, "token of the argument `token`")
        with self.serve(refusal(401, "expired")) as (_server, do), refused:
            do("version")

    @both
    def test_answers_that_no_server_of_ours_sends_are_errors(self):
        for script, words in (
            (answer(b"<html>", 404), "is not a Tinpot server: got 404"),
            (answer(b"{nope"), "is not a Tinpot server"),
            (answer(b"", 302, location="http://other/\x1b[0m"), "redirects to http://other/"),
            (b"SSH-2.0-x\r\n\r\n", "cannot reach"),
            (HEAD + b"content-length: -5\r\n\r\n", "cannot reach|Tinpot"),
            (HEAD + b"content-length: 500\r\n\r\n{}", "cannot reach"),
            (HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n", "cannot reach"),
            (HEAD + b"a: " + b"x" * 100_000 + b"\r\n\r\n", "cannot reach"),
            (HEAD + b"a: b\r\n" * 200 + b"\r\n", "cannot reach"),
        ):
            with self.serve(script, patience=0) as (server, do):
                with self.assertRaisesRegex(client.NotReached, words):
                    do("actions")
                self.assertEqual(len(server.requests), 1)

    @both
    def test_a_silent_server_is_left_after_the_timeout(self):
        def silent(connection, _request):
            connection.recv(1)

        with self.serve(silent, timeout=0.2, patience=0) as (_server, do):
            started = time.monotonic()
            with self.assertRaisesRegex(client.NotReached, "no answer in time"):
                do("version")
            self.assertLess(time.monotonic() - started, 4)

    @both
    def test_a_wait_ends_in_time_and_says_what_continues(self):
        def quiet(connection, _request):
            connection.sendall(stream(STARTED))
            while True:
                # Heartbeats are no reason to wait longer.
                time.sleep(0.02)
                connection.sendall(b"4\r\n: h\n\r\n")

        with self.serve(quiet) as (_server, do):
            with self.assertRaisesRegex(client.WaitTimeout, "e1 has not ended") as caught:
                do("result", 0.2, of="e1")
            self.assertEqual(caught.exception.execution, "e1")
            self.assertIsInstance(caught.exception, TimeoutError)

    @both
    def test_a_failure_is_the_error_that_actions_catch(self):
        end = complete(
            successful=False,
            status="failed",
            error="OSError: no disk",
            kind="OSError",
            traceback="T",
        )
        with self.serve(stream(end)) as (_server, do):
            with self.assertRaises(tinpot.ActionError) as caught:
                do("result", of="e1")
            error = caught.exception
            found = (error.message, error.kind, error.traceback, error.execution, error.status)
            self.assertEqual(found, ("no disk", "OSError", "T", "e1", "failed"))
            self.assertEqual(do("wait", of="e1"), "failed")

    @both
    def test_a_reader_who_may_not_read_any_more_gets_an_error(self):
        denied = b'event: denied\ndata: {"type":"denied"}\n\n'
        script = stream(STARTED, log(1)) + b"%x\r\n%b\r\n" % (len(denied), denied)
        with self.serve(script) as (_server, do), self.assertRaises(client.NotAllowed):
            do("events", of="e1")

    @both
    def test_a_position_that_is_none_is_refused_before_it_is_sent(self):
        with self.serve(stream(complete())) as (server, do):
            for after in ("", "1\r\nx: y", "-1", "ä", 1.5):
                with self.assertRaisesRegex(client.SettingsError, "after must be"):
                    do("events", after=after, of="e1")
            self.assertEqual(server.requests, [])

    @both
    def test_cancelling_what_has_ended_is_no_error(self):
        with self.serve({}, refusal(409)) as (server, do):
            self.assertIs(do("cancel", of="e1", force=True), True)
            self.assertEqual(server.requests[0].json(), {"force": True})
            self.assertIs(do("cancel", of="e1"), False)

    @both
    def test_lists_are_read_page_by_page(self):
        pages = [
            {"executions": [{"n": 1}, {"n": 2}], "next": "x"},
            {"executions": [{"n": 3}, {"n": 4}], "next": None},
        ]
        with self.serve(*pages) as (server, do):
            found = do("executions", 3, status=["failed", "lost"], q="a b")
        self.assertEqual([one["n"] for one in found], [1, 2, 3])
        paths = [request.path for request in server.requests]
        first = "/api/executions?status=failed%2Clost&q=a+b&limit="
        self.assertEqual(paths, [first + "3", first + "1&before=x"])
        lines = [
            {"lines": [{"seq": 1}], "next": 1},
            {"lines": [{"seq": 2}], "next": None},
        ]
        with self.serve(*lines) as (_server, do):
            self.assertEqual([line["seq"] for line in do("logs", of="e1")], [1, 2])
        with self.serve({}) as (_server, do), self.assertRaises(TypeError):
            do("executions", nonsense=1)

    @both
    def test_options_are_checked_before_anything_is_sent(self):
        with self.serve(SUBMITTED) as (server, do):
            for wrong in ({"timeout": "1"}, {"delay": -1}, {"nonsense": 1}):
                with self.assertRaises((client.SettingsError, TypeError)):
                    do.client.with_options(**wrong)
            self.assertEqual(server.requests, [])
            do.client = do.client.with_options(retries=2).with_options(timeout=1.5, queue="slow")
            do("submit", "a")
            options = server.requests[0].json()["options"]
            options.pop("idempotency_key")
            self.assertEqual(options, {"retries": 2, "timeout": 1.5, "queue": "slow"})

    @both
    def test_downloads_are_whole_or_are_not_there(self):
        listed = {
            "artifacts": [{"id": "1.1", "name": "r", "size_bytes": 4, "media_type": "text/plain"}]
        }
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "r")
            whole, cut = answer(b"data"), HEAD + b"content-length: 9\r\n\r\ndata"
            with self.serve(listed, whole, cut, patience=0) as (_server, do):
                (artifact,) = do("artifacts", of="e1")
                do("download", artifact, path, of="e1")
                with open(path, "rb") as file:
                    self.assertEqual(file.read(), b"data")
                os.unlink(path)
                with self.assertRaises(client.NotReached):
                    do("download", artifact, path, of="e1")
                self.assertEqual(os.listdir(folder), [])

    @both
    def test_large_bytes_are_uploaded_before_the_submission(self):
        large, small = bytes(range(256)) * 4096, b"small"
        digest = hashlib.sha256(large).digest()
        reference = f"upload:{digest.hex()}"
        uploaded = answer({"upload": reference}, 201)
        binary = {"type": "string", "format": "binary", "contentEncoding": "base64"}
        properties = {"blob": {"anyOf": [binary, {"type": "null"}]}, "text": {"type": "string"}}
        shown = answer({"name": "an action", "schema": {"properties": properties}})
        answers = [shown, uploaded, SUBMITTED, SUBMITTED, shown, SUBMITTED]
        with self.serve(*answers) as (server, do):
            do("submit", "an action", blob=large, also=[{"x": bytearray(small)}])
            # Small ones are sent as they always were.
            do("submit", "an action", blob=small)
            # What is no parameter of the type bytes would get the reference as a text.
            do("submit", "an action", text=large, blob=small)
        show, upload, submit, again, _, other = server.requests
        self.assertEqual((show.method, show.path), ("GET", "/api/actions/an%20action"))
        self.assertEqual((upload.method, upload.path), ("POST", "/api/actions/an%20action/uploads"))
        self.assertEqual(upload.body, large)
        stated = f"sha-256=:{base64.b64encode(digest).decode()}:"
        self.assertEqual(upload.headers["content-digest"], stated)
        parameters = {"blob": reference, "also": [{"x": "c21hbGw="}]}
        self.assertEqual(submit.json()["parameters"], parameters)
        self.assertEqual(again.json()["parameters"], {"blob": "c21hbGw="})
        inline = base64.b64encode(large).decode()
        self.assertEqual(other.json()["parameters"], {"text": inline, "blob": "c21hbGw="})
        refused = self.assertRaisesRegex(client.InvalidRequest, "at most 7 bytes")
        told = refusal(413, "upload must have at most 7 bytes")
        with self.serve(shown, told) as (_, do), refused:
            do("submit", "a", blob=large)

    @both
    def test_uploads_go_by_their_digest_and_a_refusal_is_read(self):
        def refuse(connection, _request):
            connection.sendall(refusal(413, "at most 5 bytes"))
            # Closing with unread bytes would discard the answer.
            while connection.recv(65536):
                pass

        refuse.reads_nothing = True
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "file")
            with open(path, "wb") as file:
                file.write(b"abc")
            with self.serve({"digest": "x", "bytes": 3}) as (server, do):
                digest = do("upload", path)
            (request,) = server.requests
            self.assertEqual((request.method, request.body), ("PUT", b"abc"))
            self.assertEqual(request.path, f"/api/blobs/{digest}")
            self.assertTrue(digest.startswith("ba7816bf"))
            refused = self.assertRaisesRegex(client.InvalidRequest, "at most 5 bytes")
            with self.serve(refuse, patience=0) as (_server, do), refused:
                do("upload", path)

    @unittest.skipUnless(shutil.which("openssl"), "NOT TESTED: TLS, without openssl")
    def test_tls_trusts_the_authority_that_is_named_and_no_other(self):
        with tempfile.TemporaryDirectory() as folder:
            key, certificate = (os.path.join(folder, name) for name in ("key.pem", "cert.pem"))
            words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
            words += ["-nodes", "-keyout", key, "-out", certificate, "-days", "2"]
            words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
            subprocess.run(["openssl", *words], check=True, capture_output=True)
            for kind in (Sync, Async):
                end = stream(complete(result=5))
                with FakeServer(SUBMITTED, end, tls=(certificate, key)) as server:
                    do = kind(server.url, ca_file=certificate)
                    self.assertEqual(do("run", "a"), 5)
                    do.close()
                    do = kind(server.url)
                    with self.assertRaisesRegex(client.NotReached, "(?i)certificate"):
                        do("version")
                    do.close()
            with self.assertRaisesRegex(client.SettingsError, "cannot read certificates"):
                tinpot.Client("https://localhost", ca_file=key)

    def test_events_are_the_same_however_the_bytes_are_cut(self):
        text = (
            ": heartbeat\n\nid: 1\ndata: ä\ndata: b\r\n\r\n"
            "event: denied\ndata:x\n\nid: a b\ndata: y\n\n"
        ).encode()
        expected = [("", "1", "ä\nb"), ("denied", "1", "x"), ("", "1", "y")]
        chance = random.Random(1)
        for _ in range(200):
            parser, found, at = EventParser(), [], 0
            while at < len(text):
                size = chance.randint(1, 12)
                found += parser.feed(text[at : at + size])
                at += size
            self.assertEqual(found, expected)


class SettingsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        variables = {"HOME": self.folder, "PATH": os.environ["PATH"]}
        patch = mock.patch.dict(os.environ, variables, clear=True)
        patch.start()
        self.addCleanup(patch.stop)

    def write(self, name, text, mode=0o600):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def found(self, *arguments, **options):
        settings = _client_settings.Settings(*arguments, **options)
        return settings.url, settings.authorization(), settings.team

    def test_the_server_comes_from_the_nearest_setting(self):
        self.assertEqual(self.found()[0], "http://127.0.0.1:8000")
        profile = '# mine\n[profile.prod]\nserver = "https://t.example.org/x/"\nteam = "blue"\n'
        self.write(".config/tinpot/config.toml", profile)
        os.environ["TINPOT_PROFILE"] = "prod"
        self.assertEqual(self.found(), ("https://t.example.org/x", None, "blue"))
        os.environ["TINPOT_SERVER"] = "http://localhost:1/"
        self.assertEqual(self.found()[0], "http://localhost:1")
        self.assertEqual(self.found(profile="prod")[0], "https://t.example.org/x")
        self.assertEqual(self.found("http://localhost:2", profile="prod")[0], "http://localhost:2")
        with self.assertRaisesRegex(client.SettingsError, "no profile 'other'"):
            self.found(profile="other")

    def test_the_token_comes_from_the_nearest_setting(self):
        here = "http://127.0.0.1:8000"
        self.write(".local/state/tinpot/dev-8000.json", json.dumps({"url": here, "token": "dev"}))
        self.assertEqual(self.found()[1], "Bearer dev")
        self.assertEqual(self.found("http://127.0.0.1:8001")[1], None)
        kept = '[server."{}"]\nid = "i"\nuser = "u"\ntoken = "{}"\n'
        text = kept.format(here, "kept") + kept.format(here + "#blue", "of-team")
        self.write(".config/tinpot/credentials.toml", text)
        self.assertEqual(self.found()[1], "Bearer kept")
        self.assertEqual(self.found(team="Blue")[1:], ("Bearer of-team", "Blue"))
        self.assertEqual(self.found(team="red")[1], "Bearer kept")
        os.environ["TINPOT_TOKEN"] = "variable"
        self.assertEqual(self.found()[1], "Bearer variable")
        os.environ["TINPOT_TOKEN_FILE"] = self.write("token", "file\n")
        self.assertEqual(self.found()[1], "Bearer file")
        self.assertEqual(self.found(token_file=self.write("t2", "t2"))[1], "Bearer t2")
        self.assertEqual(self.found(token="argument")[1], "Bearer argument")

    def test_the_token_of_dev_is_read_again_after_a_restart(self):
        path = ".local/state/tinpot/dev-8000.json"
        self.write(path, json.dumps({"token": "one"}))
        settings = _client_settings.Settings()
        self.write(path, json.dumps({"token": "two"}))
        self.assertEqual(settings.authorization(), "Bearer two")

    def test_a_request_that_was_sent_with_the_token_before_is_sent_again(self):
        def restarted(connection, _request):
            self.write(path, json.dumps({"token": "two"}))
            connection.sendall(refusal(401))

        for kind in (Sync, Async):
            with FakeServer(restarted, {"version": "1"}, refusal(401)) as server:
                path = f".local/state/tinpot/dev-{server.port}.json"
                self.write(path, json.dumps({"token": "one"}))
                do = kind(server.url, token=None)
                self.assertEqual(do("version"), "1")
                with self.assertRaises(client.NotAuthenticated):
                    do("version")
                do.close()
            sent = [request.headers["authorization"] for request in server.requests]
            self.assertEqual(sent, ["Bearer one", "Bearer two", "Bearer two"])

    def test_files_that_others_may_use_are_refused_or_ignored(self):
        path = self.write("token", "x", 0o644)
        with self.assertRaisesRegex(client.SettingsError, "chmod 600"):
            self.found(token_file=path)
        kept = self.write(".config/tinpot/credentials.toml", "", 0o640)
        with self.assertRaisesRegex(client.SettingsError, "chmod 600"):
            self.found()
        os.unlink(kept)
        os.symlink(self.write("elsewhere", ""), kept)
        with self.assertRaises(client.SettingsError):
            self.found()
        os.unlink(kept)
        self.write(".local/state/tinpot/dev-8000.json", '{"token":"x"}', 0o644)
        self.assertEqual(self.found()[1], None)

    def test_a_token_is_not_sent_where_others_can_read_it(self):
        for url in ("http://example.org", "http://10.0.0.1:8000", "http://localhost.example.org"):
            with self.assertRaisesRegex(client.SettingsError, "over plain HTTP"):
                self.found(url, token="x")
        for url in ("https://example.org", "http://[::1]:80", "http://127.9.9.9"):
            self.assertEqual(self.found(url, token="x")[1], "Bearer x")
        for text in ("", "a b", "a\r\nhost: x", "ä"):
            with self.assertRaisesRegex(client.SettingsError, "must have one API token"):
                self.found(token=text)

    def test_addresses_that_cannot_work_are_refused(self):
        for url in (
            "localhost:8000",
            "ftp://x",
            "http://",
            "http://u:p@host",
            "http://host/?q",
            "http://host:x",
            "http://host/a b",
            "http://ho\nst",
        ):
            with self.assertRaises(client.SettingsError):
                self.found(url)

    def test_files_are_read_the_same_by_every_version_of_python(self):
        text = """
            # a comment
            [profile.a]  # another
            server = "https://a" # of it
            team = 'x\\y'
            [ profile . "b.c" ]
            server = "q\\"\\u00e4"
            [server]
        """
        expected = {
            "profile": {
                "a": {"server": "https://a", "team": "x\\y"},
                "b.c": {"server": 'q"ä'},
            },
            "server": {},
        }
        self.assertEqual(_client_settings._tables(text, "x"), expected)
        self.assertEqual(_client_settings._toml(text, "x"), expected)
        for wrong in ("[a", "a = 1", "a = [\n]", 'a = "b"\n[a]'):
            with self.assertRaises(client.SettingsError):
                _client_settings._tables(wrong, "x")
