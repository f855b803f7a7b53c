"""The client of a Tinpot server for programs without an event loop."""

from __future__ import annotations

import http.client
import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tinpot import _client_core as core
from tinpot._client_core import Core
from tinpot._client_errors import ClientError
from tinpot._client_io import PIECE_BYTES, WholeFile, cut, tls
from tinpot._client_proxy import MAX_HEAD_BYTES, Proxy
from tinpot._client_settings import Settings
from tinpot._client_steps import (
    MAX_ANSWER_BYTES,
    MAX_CONNECT_SECONDS,
    MAX_IDLE_CONNECTIONS,
    Answer,
    Artifact,
    Cut,
    Event,
    Give,
    Open,
    Plan,
    Read,
    Send,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine, Generator
    from typing import overload

    from typing_extensions import ParamSpec, Self

    from tinpot._wrapper import Action, Json

    P = ParamSpec("P")

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)

_FAILURES = (OSError, http.client.HTTPException, ValueError)


class Client:
    """A client of one server. Threads can share it.

    server: the URL; TINPOT_SERVER, the profile, or http://127.0.0.1:8000 if not given.
    token: the API token. Without one: the file `token_file` or TINPOT_TOKEN_FILE, TINPOT_TOKEN, the
        token that `tinpot login` has kept, or that of `tinpot dev`.
    profile: the profile of tinpot/config.toml that names the server; TINPOT_PROFILE if not given.
    team: the team to act in; TINPOT_TEAM, or that of the profile, if not given.
    ca_file: the certificates, in PEM, that sign that of the server, instead of those of the system.
    timeout: the longest silence of the server within a request, in seconds.
    patience: the time to keep trying, in seconds, while a server that has answered before is away.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        profile: str | None = None,
        team: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        timeout: float = 30.0,
        patience: float = 60.0,
    ) -> None:
        settings = Settings(server, profile, team, token, token_file)
        self._core = Core(settings, timeout, patience)
        self._connections = _Connections(settings, ca_file)

    def __repr__(self) -> str:
        return f"Client({self._core.settings.url!r})"

    @property
    def url(self) -> str:
        """The URL of the server."""
        return self._core.settings.url

    def close(self) -> None:
        """Closes the connections. Clients that `with_options` returned have the same ones."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def with_options(self, **options: Any) -> Client:
        """Returns this client with options for its submissions.

        They are priority, timeout, delay, not_before, expires_in, retries, retry_delay, backoff,
        max_retry_delay, retry_jitter, max_lost_attempts, queue, idempotency_key and traceparent.
        Times are seconds or a timedelta.
        """
        client = object.__new__(Client)
        client._core = self._core.with_options(options)
        client._connections = self._connections
        return client

    if TYPE_CHECKING:

        @overload
        def run(
            self, action: Action[P, Coroutine[Any, Any, Json]], /, *args: P.args, **kwargs: P.kwargs
        ) -> Json: ...
        @overload
        def run(
            self, action: Action[P, Generator[Any, Any, Json]], /, *args: P.args, **kwargs: P.kwargs
        ) -> Json: ...
        @overload
        def run(self, action: Action[P, Json], /, *args: P.args, **kwargs: P.kwargs) -> Json: ...
        @overload
        def run(self, action: Action[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Any: ...
        @overload
        def run(self, action: str, /, **kwargs: Any) -> Any: ...

    def run(self, action: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Runs an action, waits for its end, and returns its result as JSON.

        action: a decorated function, or the name of an action, whose arguments have to be named.

        Raises `ActionError` if the execution does not succeed.
        """
        return self.submit(action, *args, **kwargs).result()

    if TYPE_CHECKING:

        @overload
        def submit(
            self, action: Action[P, Coroutine[Any, Any, Json]], /, *args: P.args, **kwargs: P.kwargs
        ) -> Execution[Json]: ...
        @overload
        def submit(
            self, action: Action[P, Generator[Any, Any, Json]], /, *args: P.args, **kwargs: P.kwargs
        ) -> Execution[Json]: ...
        @overload
        def submit(
            self, action: Action[P, Json], /, *args: P.args, **kwargs: P.kwargs
        ) -> Execution[Json]: ...
        @overload
        def submit(
            self, action: Action[P, Any], /, *args: P.args, **kwargs: P.kwargs
        ) -> Execution[Any]: ...
        @overload
        def submit(self, action: str, /, **kwargs: Any) -> Execution[Any]: ...

    def submit(self, action: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Submits an action like `run`, and returns at once."""
        return Execution(self, self._do(self._core.submit(action, args, kwargs)))

    def execution(self, id: str) -> Execution[Any]:
        """Returns an execution by its id, without asking the server."""
        return Execution(self, id)

    def executions(self, limit: int | None = 100, **filters: Any) -> Iterator[dict[str, Any]]:
        """Yields the records of executions, newest first; all of them without a limit.

        filters: status, action, queue, requested_by, q, since, until, parent.
        """
        return self._each(self._core.executions(limit, filters))

    def actions(self) -> dict[str, dict[str, Any]]:
        """Returns the actions by name."""
        return core.object_of(self._do(self._core.read("/api/actions")))

    def workers(self) -> list[dict[str, Any]]:
        """Returns the live workers."""
        return core.list_of(self._do(self._core.read("/api/workers")), "workers")

    def version(self) -> str:
        """Returns the version of the server."""
        return str(core.object_of(self._do(self._core.read("/api/version"))).get("version"))

    def upload(self, path: str | os.PathLike[str]) -> str:
        """Uploads a file as a blob, such as a bundle to deploy, and returns its SHA-256."""
        return self._do(self._core.upload(path))

    # Drivers of plans.

    def _do(self, plan: Plan[T]) -> T:
        """Drives a plan to its end, and returns its answer."""
        for _ in (driver := _Driver(self._connections, plan)):
            pass
        answer: T = driver.answer
        return answer

    def _each(self, plan: Plan[None]) -> Iterator[Any]:
        """Drives a plan, and yields the values that it gives."""
        yield from _Driver(self._connections, plan)


class Execution(Generic[R_co]):
    """A submitted execution.

    id: the id, by which `Client.execution` finds it again.
    """

    def __init__(self, client: Client, id: str) -> None:
        self.id = id
        self._client = client

    def __repr__(self) -> str:
        return f"Execution({self.id!r})"

    def result(self, timeout: float | None = None) -> R_co:
        """Waits for the end of the execution, and returns its result as JSON.

        timeout: the longest wait, in seconds; `WaitTimeout` is raised after it.

        Raises `ActionError` if the execution does not succeed.
        """
        plan = self._client._core.completion(self.id, timeout)
        value: R_co = core.value_of(self._client._do(plan), self.id)
        return value

    def wait(self, timeout: float | None = None) -> str:
        """Waits for the end of the execution, and returns its status, such as "succeeded"."""
        return str(self._client._do(self._client._core.completion(self.id, timeout))["status"])

    def status(self) -> str:
        """Returns the status now: "queued", "running", "cancelling", or how it has ended."""
        return str(self.info()["status"])

    def info(self) -> dict[str, Any]:
        """Returns the whole record."""
        return core.object_of(self._client._do(self._client._core.read(core.path_of(self.id))))

    def events(self, after: int | str = 0, timeout: float | None = None) -> Iterator[Event]:
        """Yields the log and the other events, from the first line to the end of the execution.

        If the connection breaks or the server restarts, it continues without a gap or a repeat.

        after: the id of an event, or the number of a line: only events after it.
        timeout: the longest time in all, in seconds; `WaitTimeout` is raised after it.
        """
        deadline = core.deadline_of(timeout)
        return self._client._each(self._client._core.events(self.id, after, deadline))

    def logs(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """Yields the lines that the log has now. `events` follows it."""
        return self._client._each(self._client._core.logs(self.id, after))

    def cancel(self, force: bool = False) -> bool:
        """Cancels the execution, and returns at once; False if it has ended already.

        force: end the attempt without a grace period.
        """
        return self._client._do(self._client._core.cancel(self.id, force))

    def rerun(self, **options: Any) -> Execution[R_co]:
        """Submits the same action again, with the recorded parameters and options.

        options: those that differ, as for `Client.with_options`.
        """
        id = self._client._do(self._client._core.rerun(self.id, options))
        return Execution(self._client, id)

    def artifacts(self) -> list[Artifact]:
        """Returns the files that the execution kept."""
        return self._client._do(self._client._core.artifacts(self.id))

    def download(self, artifact: Artifact | str, to: str | os.PathLike[str]) -> None:
        """Writes a file that the execution kept to the path `to`, which exists when it is whole.

        artifact: one of `artifacts()`, or its id.
        """
        with WholeFile(to) as file:
            for piece in self._client._each(self._client._core.download(self.id, artifact)):
                file.write(piece)


class _Connections:
    """The connections of a client, of which it keeps some."""

    def __init__(self, settings: Settings, ca_file: str | os.PathLike[str] | None) -> None:
        self._parts = settings.parts
        self.proxy = settings.proxy
        self._tls = tls(settings, ca_file)
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._process = os.getpid()

    def take(self) -> tuple[http.client.HTTPConnection, bool]:
        """Returns a connection, and True if it is a kept one."""
        with self._lock:
            if self._process != os.getpid():
                # After a fork, the connections are those of the other process.
                self._process, self._idle = os.getpid(), []
            if self._idle:
                return self._idle.pop(), True
        return self.new(), False

    def new(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self.proxy is not None and self._tls is not None:
            return _Tunnel(self.proxy, host, self._tls)
        if self.proxy is not None:
            return http.client.HTTPConnection(self.proxy.host, self.proxy.port)
        if self._tls is None:
            return http.client.HTTPConnection(host, port)
        return http.client.HTTPSConnection(host, port, context=self._tls)

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if self._process == os.getpid() and len(self._idle) < MAX_IDLE_CONNECTIONS:
                return self._idle.append(connection)
        connection.close()
        return None

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def path(self, path: str) -> str:
        """Returns a path of the server, which may be mounted below another one."""
        path = self._parts.path + path
        if self.proxy is None or self.proxy.is_tunnel:
            return path
        return self.proxy.target + path


class _Tunnel(http.client.HTTPConnection):
    """A connection to an HTTPS server through a proxy."""

    def __init__(self, proxy: Proxy, host: str, context: ssl.SSLContext) -> None:
        super().__init__(host)
        self._proxy, self._server, self._tls = proxy, host, context

    def connect(self) -> None:
        proxy = self._proxy
        try:
            plain = socket.create_connection((proxy.host, proxy.port), self.timeout)
        except OSError as error:
            raise proxy.unreachable(cut(error)) from None
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                plain.sendall(proxy.connect())
                head = _head(plain, time.monotonic() + (self.timeout or MAX_CONNECT_SECONDS))
            except (OSError, ValueError) as error:
                raise proxy.unreachable(cut(error)) from None
            proxy.check(head)
            self.sock = self._tls.wrap_socket(plain, server_hostname=self._server)
        except BaseException:
            plain.close()
            raise


def _head(connection: socket.socket, deadline: float) -> bytes:
    """Reads the head of the answer of a proxy, after which the server is silent."""
    head = bytearray()
    while b"\r\n\r\n" not in head:
        piece = connection.recv(4096) if time.monotonic() < deadline else b""
        head += piece
        if not piece or len(head) > MAX_HEAD_BYTES:
            raise ValueError("it does not answer a request to connect")
    return bytes(head)


class _Driver(Generic[T]):
    """Does what a plan asks for; iterates over the values that it gives."""

    answer: Any = None

    def __init__(self, connections: _Connections, plan: Plan[T]) -> None:
        self._connections = connections
        self._plan = plan
        # The answer that is read piece by piece.
        self._open: http.client.HTTPConnection | None = None
        self._response: http.client.HTTPResponse | None = None
        self._socket: Any = None

    def __iter__(self) -> Iterator[Any]:
        answer: Any = None
        failure: Cut | None = None
        try:
            while True:
                try:
                    if failure is not None:
                        step = self._plan.throw(failure)
                    else:
                        step = self._plan.send(answer)
                except StopIteration as end:
                    self.answer = end.value
                    return
                answer = failure = None
                try:
                    if isinstance(step, Send):
                        answer = self._send(step)
                    elif isinstance(step, Read):
                        answer = self._read(step.within)
                    elif isinstance(step, Open):
                        answer = self._begin(step)
                    elif isinstance(step, Give):
                        yield step.value
                    else:
                        self._end()
                        time.sleep(step.seconds)
                except Cut as what:
                    failure = what
        finally:
            self._end()
            self._plan.close()

    def _send(self, step: Send) -> Answer:
        connection, is_kept = self._connections.take()
        try:
            return self._exchange(connection, step)
        except Cut:
            # The server may have closed a kept one meanwhile.
            if not is_kept:
                raise
        return self._exchange(self._connections.new(), step)

    def _exchange(self, connection: http.client.HTTPConnection, step: Send) -> Answer:
        is_whole = False
        try:
            response = self._request(connection, *step)
            answer = _answer(response, _body(response))
            is_whole = not response.will_close
            return answer
        finally:
            if is_whole:
                self._connections.give_back(connection)
            else:
                connection.close()

    def _begin(self, step: Open) -> Answer:
        self._end()
        connection = self._open = self._connections.new()
        response = self._request(connection, "GET", step.path, step.headers, None, step.silence)
        if response.status >= 300 or response.status == 204:
            answer = _answer(response, _body(response))
            self._end()
            return answer
        self._response = response
        return _answer(response, b"")

    def _read(self, within: float) -> bytes:
        if self._response is None:
            return b""
        try:
            self._socket.settimeout(max(within, 0.001))
            piece = self._response.read1(PIECE_BYTES)
        except _FAILURES as error:
            raise cut(error) from None
        if not piece and self._response.length:
            raise Cut("the answer was cut off")
        return piece

    def _end(self) -> None:
        if self._response is not None:
            self._response.close()
        if self._open is not None:
            self._open.close()
        self._open = self._response = self._socket = None

    def _request(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | str | None,
        silence: float,
    ) -> http.client.HTTPResponse:
        path = self._connections.path(path)
        proxy = self._connections.proxy
        if proxy is not None:
            headers = {**headers, **proxy.headers()}
        was_sent = False
        try:
            if connection.sock is None:
                connection.timeout = min(silence, MAX_CONNECT_SECONDS)
                try:
                    connection.connect()
                except _FAILURES as error:
                    if proxy is None or proxy.is_tunnel:
                        raise
                    raise proxy.unreachable(cut(error)) from None
            self._socket = connection.sock
            self._socket.settimeout(silence)
            was_sent = True
            try:
                if isinstance(body, str):
                    with open(body, "rb") as file:
                        size = str(os.fstat(file.fileno()).st_size)
                        headers = {**headers, "content-length": size}
                        connection.request(method, path, file, headers)
                elif body is not None and len(body) > PIECE_BYTES:
                    # In pieces: the longest silence is that of each, not of all.
                    headers = {**headers, "content-length": str(len(body))}
                    connection.request(method, path, io.BytesIO(body), headers)
                else:
                    connection.request(method, path, body, headers)
            except (BrokenPipeError, ConnectionResetError):
                # A server that refuses a body answers before it has read all of it.
                if not body:
                    raise
            return connection.getresponse()
        except ClientError:
            raise
        except _FAILURES as error:
            raise cut(error, was_sent) from None


def _answer(response: http.client.HTTPResponse, body: bytes) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, body)


def _body(response: http.client.HTTPResponse) -> bytes:
    """Reads the body of an answer, as far as it has a size that the API sends."""
    try:
        body = response.read(MAX_ANSWER_BYTES + 1)
    except _FAILURES as error:
        raise cut(error) from None
    if len(body) > MAX_ANSWER_BYTES:
        raise ClientError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
    if response.length:
        raise Cut("the answer was cut off")
    return body
