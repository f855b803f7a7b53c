"""The proxy between a client and its server, named by variables such as HTTPS_PROXY."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tinpot._client_errors import NotReached, SettingsError
from tinpot._client_steps import Cut

if TYPE_CHECKING:
    from urllib.parse import SplitResult

# The largest head of an answer to CONNECT.
MAX_HEAD_BYTES = 64 * 1024
# The statuses of answers to CONNECT after which another try may succeed.
_PASSING = (429, 500, 502, 503, 504)


class Proxy:
    """An HTTP proxy.

    url: the URL without the name and the password.
    target: the server as it is written in a request: `http://host:port` before the path of a
        request to an HTTP server, `host:port` for a tunnel to an HTTPS server.
    authorization: the value of the header Proxy-Authorization; None without a password.
    """

    def __init__(self, url: str, server: SplitResult) -> None:
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port
        except ValueError:
            # The reason may have the password in it.
            raise _wrong(server) from None
        is_text = bool(parts.hostname) and all("!" <= c <= "~" for c in parts.hostname or "")
        if not is_text or parts.path.strip("/") or parts.query or parts.fragment:
            raise _wrong(server)
        if parts.scheme != "http":
            raise _wrong(server, f" (got one with {parts.scheme}://)")
        self.host = parts.hostname or ""
        self.port = port or 80
        self.url = f"http://{_bracketed(self.host)}:{self.port}"
        self.is_tunnel = server.scheme == "https"
        self.target = f"http://{server.netloc}"
        if self.is_tunnel:
            self.target = f"{_bracketed(server.hostname or '')}:{server.port or 443}"
        self.authorization: str | None = None
        if parts.username is not None:
            import base64

            words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.authorization = "Basic " + base64.b64encode(words.encode()).decode()

    def __repr__(self) -> str:
        return f"Proxy({self.url!r})"

    def headers(self) -> dict[str, str]:
        """Returns the headers for the proxy in a request that it forwards."""
        if self.is_tunnel or self.authorization is None:
            return {}
        return {"proxy-authorization": self.authorization}

    def connect(self) -> bytes:
        """Returns the request for a tunnel to the server."""
        lines = [f"CONNECT {self.target} HTTP/1.1", f"host: {self.target}"]
        if self.authorization is not None:
            lines.append(f"proxy-authorization: {self.authorization}")
        return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n"

    def check(self, head: bytes) -> None:
        """Checks the head of the answer to `connect`."""
        first = head.split(b"\n", 1)[0].decode("latin-1")
        words = first.split(None, 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise Cut(f"the proxy {self.url} does not answer as an HTTP proxy", was_sent=False)
        status = int(words[1])
        if 200 <= status < 300:
            return
        if status == 407:
            raise self.refused()
        reason = "".join(filter(str.isprintable, " ".join(words[1:])))[:200]
        message = f"the proxy {self.url} refuses a connection to {self.target}: {reason}"
        if status in _PASSING:
            raise Cut(message, was_sent=False)
        raise NotReached(message, status)

    def refused(self) -> NotReached:
        """Returns the error for a proxy that answers 407."""
        if self.authorization is None:
            how = "requires a name and a password: set them in its URL, http://NAME:PASSWORD@…"
        else:
            how = "refuses the name or the password in its URL"
        return NotReached(f"the proxy {self.url} {how}", 407)

    def unreachable(self, cut: Cut) -> Cut:
        """Returns what a plan receives if there is no connection to the proxy."""
        return Cut(f"cannot reach the proxy {self.url}: {cut}", was_sent=False)


def proxy_for(server: SplitResult) -> Proxy | None:
    """Returns the proxy for a server, as `urllib` finds it; None without one."""
    from tinpot._client_settings import is_here

    # To a proxy, the name of this machine means the proxy's own.
    if is_here(server.hostname or "") or not _may_have_one():
        return None
    # Late, because few need it.
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    url = proxies.get(server.scheme)
    is_for_all = not url
    url = url or proxies.get("all")
    # The name may have `:` in it only before a port.
    host = server.netloc if ":" not in (server.hostname or "") else server.hostname or ""
    if not url or proxy_bypass(host):
        return None
    scheme, mark, _ = url.partition("://")
    if is_for_all and mark and scheme.lower() != "http":
        # It may be meant for other programs, as that of a SOCKS proxy is.
        import warnings

        text = "ALL_PROXY is not used: it is no URL like http://proxy.example:3128"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
        return None
    return Proxy(url, server)


def _may_have_one() -> bool:
    # Elsewhere, the system has settings besides the variables.
    if sys.platform == "darwin":
        return True
    return any(name.lower().endswith("_proxy") for name in os.environ)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _wrong(server: SplitResult, got: str = "") -> SettingsError:
    names = f"{server.scheme.upper()}_PROXY or ALL_PROXY"
    return SettingsError(f"{names} must be a URL like http://proxy.example:3128{got}")
