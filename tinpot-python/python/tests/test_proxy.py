"""The clients, through proxies."""

import os
import shutil
import socket
import subprocess
import tempfile
import unittest
from unittest import mock

from fake_proxy import FakeProxy
from fake_server import FakeServer, answer, complete, stream
from test_client import SUBMITTED, Async, Sync, both

import tinpot
from tinpot import client

# A name that nothing but a proxy finds.
NAME = "tinpot.invalid"
VERSION = {"version": "1"}


class ProxyTest(unittest.TestCase):
    kind = Sync

    def variables(self, **variables):
        """Sets these variables of proxies, and no others."""
        kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        patch = mock.patch.dict(os.environ, {**kept, **variables}, clear=True)
        patch.start()
        self.addCleanup(patch.stop)

    def client(self, url=f"http://{NAME}", **options):
        # A token is not sent over plain HTTP.
        options.setdefault("token", None)
        do = self.kind(url, **options)
        self.addCleanup(do.close)
        return do

    @both
    def test_plain_http_is_forwarded_with_the_whole_url(self):
        with FakeServer(SUBMITTED, stream(complete(result=3))) as server:
            with FakeProxy(server.port, password="me:p@ss:ä") as proxy:
                self.variables(HTTP_PROXY=proxy.url("me:p%40ss%3A%C3%A4@"))
                self.assertEqual(self.client(f"http://{NAME}:81/below")("run", "a", x=1), 3)
            submit, follow = server.requests
        self.assertEqual(submit.json()["parameters"], {"x": 1})
        self.assertEqual(submit.headers["host"], f"{NAME}:81")
        self.assertEqual(follow.path, "/below/api/executions/e1/stream")
        first, headers = proxy.requests[1]
        self.assertEqual(first, f"GET http://{NAME}:81{follow.path} HTTP/1.1")
        self.assertEqual(headers["host"], f"{NAME}:81")

    @unittest.skipUnless(shutil.which("openssl"), "NOT TESTED: TLS, without openssl")
    def test_https_goes_through_a_tunnel_and_the_server_is_the_one_that_is_checked(self):
        with tempfile.TemporaryDirectory() as folder:
            key, certificate = (os.path.join(folder, name) for name in ("key.pem", "cert.pem"))
            words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
            words += ["-nodes", "-keyout", key, "-out", certificate, "-days", "2"]
            words += ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
            subprocess.run(["openssl", *words], check=True, capture_output=True)
            for self.kind in (Sync, Async):
                with self.subTest(self.kind.__name__):
                    self.tunnels(key, certificate)

    def tunnels(self, key, certificate):
        scripts = (VERSION, SUBMITTED, stream(complete(result=5)))
        with FakeServer(*scripts, tls=(certificate, key)) as server:
            with FakeProxy(server.port, password="me:secret") as proxy:
                self.variables(HTTPS_PROXY=proxy.url("me:secret@"))
                do = self.client(f"https://{NAME}", token="tpt_x", ca_file=certificate)
                self.assertEqual(do("version"), "1")
                self.assertEqual(do("run", "a"), 5)
                other = self.client("https://other.invalid", ca_file=certificate)
                with self.assertRaisesRegex(client.NotReached, "(?i)certificate"):
                    other("version")
            submit = server.requests[1]
        self.assertEqual(submit.headers["authorization"], "Bearer tpt_x")
        self.assertEqual(submit.headers["host"], NAME)
        self.assertNotIn("proxy-authorization", submit.headers)
        # One connection is kept; the stream has its own. The proxy sees no token.
        self.assertEqual(
            [first for first, _ in proxy.requests],
            [f"CONNECT {NAME}:443 HTTP/1.1"] * 2 + ["CONNECT other.invalid:443 HTTP/1.1"],
        )
        for _, headers in proxy.requests:
            self.assertNotIn("authorization", headers)

    @both
    def test_hosts_of_no_proxy_and_this_machine_are_reached_directly(self):
        with FakeServer(VERSION) as server, FakeProxy(answer=answer({}, 500)) as proxy:
            self.variables(HTTP_PROXY=proxy.url(), NO_PROXY=f"example.com,.{NAME}")
            self.assertEqual(self.client(server.url, token="tpt_x")("version"), "1")
            for host in (NAME, f"sub.{NAME}:81"):
                with self.assertRaisesRegex(client.NotReached, "unknown host"):
                    self.client(f"http://{host}")("version")
            self.variables(all_proxy=proxy.url(), no_proxy="*")
            with self.assertRaisesRegex(client.NotReached, "unknown host"):
                self.client()("version")
            self.assertEqual(proxy.requests, [])

    @both
    def test_a_proxy_that_refuses_is_named_without_the_password(self):
        for scheme in ("http", "https"):
            url = f"{scheme}://{NAME}"
            with FakeProxy(password="me:right") as proxy:
                self.variables(ALL_PROXY=proxy.url())
                with self.assertRaisesRegex(client.NotReached, "requires a name") as without:
                    self.client(url)("version")
                self.variables(ALL_PROXY=proxy.url("me:wrong@"))
                with self.assertRaisesRegex(client.NotReached, "refuses the name") as wrong:
                    self.client(url)("version")
            for error in (without.exception, wrong.exception):
                self.assertEqual(error.status, 407)
                self.assertIn(proxy.url(), str(error))
                self.assertNotIn("wrong", str(error))

    @both
    def test_a_proxy_that_is_away_or_is_none_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        away = f"cannot reach the proxy http://127.0.0.1:{port}: .*(refused|failed)"
        for scheme in ("http", "https"):
            self.variables(ALL_PROXY=f"me:secret@127.0.0.1:{port}")
            with self.assertRaisesRegex(client.NotReached, away) as found:
                self.client(f"{scheme}://{NAME}")("version")
            self.assertNotIn("secret", str(found.exception))
        cases = [
            (b"SSH-2.0-x\r\n\r\n", "does not answer as an HTTP proxy"),
            (b"HTTP/1.1 403 No \x1b way\r\n\r\n", f"connection to {NAME}:443: 403 No  way"),
            (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502 Bad Gateway"),
            (b"", "cannot reach the proxy"),
            (b"x" * 200_000, "cannot reach the proxy"),
        ]
        for sent, message in cases:
            with self.subTest(message), FakeProxy(answer=sent) as proxy:
                self.variables(HTTPS_PROXY=proxy.url())
                with self.assertRaisesRegex(client.NotReached, message) as found:
                    self.client(f"https://{NAME}")("version")
                self.assertIn(proxy.url(), str(found.exception))
        page = answer(b"<html>no such host</html>", 502)
        with FakeProxy(answer=page) as proxy:
            self.variables(HTTP_PROXY=proxy.url())
            with self.assertRaisesRegex(client.NotReached, f"through the proxy {proxy.url()}"):
                self.client(patience=0)("version")

    def test_a_url_that_names_no_proxy_is_refused_without_its_password(self):
        for url in ("socks5://me:secret@h", "https://me:secret@h:1", "http://me:secret@h:x", "h/p"):
            self.variables(HTTP_PROXY=url)
            for kind in (tinpot.Client, tinpot.AsyncClient):
                with self.assertRaisesRegex(client.SettingsError, "HTTP_PROXY") as found:
                    kind(f"http://{NAME}")
                self.assertNotIn("secret", str(found.exception))

    @both
    def test_a_proxy_of_another_kind_for_all_is_left_out_with_a_warning(self):
        not_here = mock.patch("tinpot._client_settings.is_here", return_value=False)
        with FakeServer(answer(VERSION)) as server, not_here:
            self.variables(ALL_PROXY="socks5h://me:secret@h:1080")
            with self.assertWarnsRegex(RuntimeWarning, "ALL_PROXY is not used") as found:
                do = self.client(server.url)
            self.assertNotIn("secret", str(found.warning))
            self.assertEqual(do("version"), "1")


if __name__ == "__main__":
    unittest.main()
