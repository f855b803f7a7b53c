"""HTTP/1.1 on asyncio: as much of it as a client of the API needs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TypeVar

from tinpot._client_errors import ClientError
from tinpot._client_io import PIECE_BYTES, cut
from tinpot._client_proxy import MAX_HEAD_BYTES
from tinpot._client_steps import MAX_ANSWER_BYTES, MAX_CONNECT_SECONDS, Cut

if TYPE_CHECKING:
    import ssl
    from urllib.parse import SplitResult

    from tinpot._client_proxy import Proxy

T = TypeVar("T")

# The longest line of the head of an answer, and the number of its headers.
_LINE_BYTES = 64 * 1024
_MAX_HEADERS = 100

_FAILURES = (OSError, ValueError, EOFError, asyncio.TimeoutError, asyncio.LimitOverrunError)


class Connection:
    """A connection to a server, with one exchange at a time."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        proxy: Proxy | None = None,
    ) -> None:
        self._reader, self._writer, self._proxy = reader, writer, proxy
        self.loop = asyncio.get_running_loop()
        # True while the server is to answer further requests on it.
        self.is_kept = False
        # The bytes that are left of the body or of its chunk; None until the connection closes.
        self._left: int | None = 0
        self._is_chunked = False
        self._is_done = True

    @classmethod
    async def open(
        cls,
        parts: SplitResult,
        context: ssl.SSLContext | None,
        proxy: Proxy | None,
        within: float,
    ) -> Connection:
        """Connects to a server, or to the proxy in front of it."""
        host = parts.hostname or ""
        port = parts.port or (443 if context else 80)
        within = min(within, MAX_CONNECT_SECONDS)
        try:
            if proxy is not None and context is not None:
                reader, writer = await _through(proxy, host, context, within)
            else:
                if proxy is not None:
                    host, port = proxy.host, proxy.port
                opening = asyncio.open_connection(host, port, ssl=context, limit=_LINE_BYTES)
                reader, writer = await asyncio.wait_for(opening, within)
            return cls(reader, writer, proxy)
        except ClientError:
            raise
        except _FAILURES as error:
            failure = _cut(error, was_sent=False)
            if proxy is None or proxy.is_tunnel:
                raise failure from None
            raise proxy.unreachable(failure) from None

    def close(self) -> None:
        """Closes it without waiting for the other side."""
        # Not of a loop that has ended.
        if not self.loop.is_closed():
            self._writer.close()

    async def closed(self) -> None:
        """Waits until it is closed, at most a second."""
        try:
            await asyncio.wait_for(self._writer.wait_closed(), 1.0)
        except _FAILURES:
            pass

    async def request(
        self,
        parts: SplitResult,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | str | None,
        silence: float,
    ) -> tuple[int, dict[str, str]]:
        """Sends a request, and returns the status and the headers of the answer.

        body: bytes, or the path of a file.
        """
        size = os.path.getsize(body) if isinstance(body, str) else len(body or b"")
        path, proxy = parts.path + path, self._proxy
        if proxy is not None:
            headers = {**headers, **proxy.headers()}
            path = path if proxy.is_tunnel else proxy.target + path
        lines = [f"{method} {path} HTTP/1.1", f"host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None or method != "GET":
            lines.append(f"content-length: {size}")
        head = "\r\n".join(lines).encode("ascii") + b"\r\n\r\n"
        try:
            try:
                self._writer.write(head)
                async for piece in _pieces(body):
                    self._writer.write(piece)
                    await asyncio.wait_for(self._writer.drain(), silence)
            except (BrokenPipeError, ConnectionResetError):
                # A server that refuses a body answers before it has read all of it.
                if not body:
                    raise
            while True:
                status, found = await self._head(silence)
                if status >= 200:
                    return status, found
        except _FAILURES as error:
            raise _cut(error) from None

    async def read(self, silence: float) -> bytes:
        """Returns the next bytes of the body; none at its end."""
        if self._is_done:
            return b""
        try:
            if self._is_chunked and self._left == 0:
                await self._next_chunk(silence)
                if self._is_done:
                    return b""
            size = PIECE_BYTES if self._left is None else min(PIECE_BYTES, self._left)
            piece = await asyncio.wait_for(self._reader.read(size), silence)
            if self._left is None:
                self._is_done = not piece
                return piece
            if not piece:
                raise EOFError("the answer was cut off")
            self._left -= len(piece)
            if self._left == 0:
                if self._is_chunked:
                    await self._line(silence)
                else:
                    self._is_done = True
            return piece
        except _FAILURES as error:
            raise _cut(error) from None

    async def read_all(self, silence: float) -> bytes:
        """Returns the whole body."""
        body = bytearray()
        while piece := await self.read(silence):
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                raise ClientError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
        return bytes(body)

    async def _head(self, silence: float) -> tuple[int, dict[str, str]]:
        words = (await self._line(silence)).split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise ValueError("the answer is no HTTP/1.1")
        status = int(words[1])
        headers: dict[str, str] = {}
        count = 0
        while line := await self._line(silence):
            name, colon, value = line.partition(":")
            count += 1
            if not colon or count > _MAX_HEADERS:
                raise ValueError("the answer has a wrong header, or too many")
            headers[name.strip().lower()] = value.strip()
        self._is_chunked = headers.get("transfer-encoding", "").lower().endswith("chunked")
        length = headers.get("content-length")
        if status < 200 or status in (204, 304):
            self._left, self._is_chunked = 0, False
        elif self._is_chunked:
            self._left = 0
        else:
            self._left = None if length is None else _number(length, 10)
        self._is_done = self._left == 0 and not self._is_chunked
        closes = headers.get("connection", "").lower() == "close" or words[0] == "HTTP/1.0"
        self.is_kept = not closes and self._left is not None
        return status, headers

    async def _next_chunk(self, silence: float) -> None:
        self._left = _number((await self._line(silence)).partition(";")[0].strip(), 16)
        if self._left == 0:
            for _ in range(_MAX_HEADERS):
                if not await self._line(silence):
                    self._is_done = True
                    return
            raise ValueError("the answer has too many trailers")

    async def _line(self, silence: float) -> str:
        line = await asyncio.wait_for(self._reader.readuntil(b"\n"), silence)
        return line.decode("latin-1").rstrip("\r\n")


async def _through(
    proxy: Proxy, host: str, context: ssl.SSLContext, within: float
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connects to an HTTPS server through a proxy."""
    loop = asyncio.get_running_loop()
    plain: asyncio.BaseTransport | None = None

    async def answered() -> bytes:
        nonlocal plain
        reader = asyncio.StreamReader(MAX_HEAD_BYTES, loop)
        # Without a writer, which would close the connection when it is collected.
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        plain, _ = await loop.create_connection(lambda: protocol, proxy.host, proxy.port)
        plain.write(proxy.connect())
        return await reader.readuntil(b"\r\n\r\n")

    try:
        try:
            head = await asyncio.wait_for(answered(), within)
        except _FAILURES as error:
            raise proxy.unreachable(_cut(error)) from None
        proxy.check(head)
        assert plain is not None
        # `StreamWriter.start_tls` came with Python 3.11.
        reader = asyncio.StreamReader(_LINE_BYTES, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        opening = loop.start_tls(plain, protocol, context, server_hostname=host)
        transport = await asyncio.wait_for(opening, within)
        if transport is None:
            raise EOFError("the connection ended while it began")
        protocol.connection_made(transport)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
    except BaseException:
        if plain is not None:
            plain.close()
        raise


async def _pieces(body: bytes | str | None) -> AsyncIterator[bytes]:
    if isinstance(body, str):
        with open(body, "rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece
    elif body is None or len(body) <= PIECE_BYTES:
        yield body or b""
    else:
        # The longest silence is that of each piece, not of all.
        for start in range(0, len(body), PIECE_BYTES):
            yield body[start : start + PIECE_BYTES]


def _number(text: str, base: int) -> int:
    digits = "0123456789abcdef"[:base]
    if not text or len(text) > 16 or set(text.lower()) - set(digits):
        raise ValueError(f"the answer has a wrong size {text[:20]!r}")
    return int(text, base)


def _cut(error: BaseException, was_sent: bool = True) -> Cut:
    # Before Python 3.11, this is no `TimeoutError`.
    if isinstance(error, asyncio.TimeoutError):
        return Cut("no answer in time", was_sent)
    if isinstance(error, asyncio.IncompleteReadError):
        return Cut("the server ended the connection", was_sent)
    return cut(error, was_sent)
