"""The client of a Tinpot server for programs on asyncio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tinpot import _client_core as core
from tinpot._client_core import Core
from tinpot._client_io import WholeFile, tls
from tinpot._client_settings import Settings
from tinpot._client_steps import (
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
from tinpot._http_async import Connection

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from typing import overload

    from typing_extensions import ParamSpec, Self

    from tinpot._wrapper import Action, Json

    P = ParamSpec("P")

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class AsyncClient:
    """A client of one server for programs on asyncio. One event loop uses it.

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
        return f"AsyncClient({self._core.settings.url!r})"

    @property
    def url(self) -> str:
        """The URL of the server."""
        return self._core.settings.url

    async def close(self) -> None:
        """Closes the connections. Clients that `with_options` returned have the same ones."""
        await self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def with_options(self, **options: Any) -> AsyncClient:
        """Returns this client with options for its submissions.

        They are priority, timeout, delay, not_before, expires_in, retries, retry_delay, backoff,
        max_retry_delay, retry_jitter, max_lost_attempts, queue, idempotency_key and traceparent.
        Times are seconds or a timedelta.
        """
        client = object.__new__(AsyncClient)
        client._core = self._core.with_options(options)
        client._connections = self._connections
        return client

    if TYPE_CHECKING:

        @overload
        async def run(
            self, action: Action[P, Coroutine[Any, Any, Json]], /, *args: P.args, **kwargs: P.kwargs
        ) -> Json: ...
        @overload
        async def run(
            self, action: Action[P, Generator[Any, Any, Json]], /, *args: P.args, **kwargs: P.kwargs
        ) -> Json: ...
        @overload
        async def run(
            self, action: Action[P, Json], /, *args: P.args, **kwargs: P.kwargs
        ) -> Json: ...
        @overload
        async def run(
            self, action: Action[P, Any], /, *args: P.args, **kwargs: P.kwargs
        ) -> Any: ...
        @overload
        async def run(self, action: str, /, **kwargs: Any) -> Any: ...

    async def run(self, action: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Runs an action, waits for its end, and returns its result as JSON.

        action: a decorated function, or the name of an action, whose arguments have to be named.

        Raises `ActionError` if the execution does not succeed.
        """
        return await (await self.submit(action, *args, **kwargs)).result()

    if TYPE_CHECKING:

        @overload
        async def submit(
            self, action: Action[P, Coroutine[Any, Any, Json]], /, *args: P.args, **kwargs: P.kwargs
        ) -> AsyncExecution[Json]: ...
        @overload
        async def submit(
            self, action: Action[P, Generator[Any, Any, Json]], /, *args: P.args, **kwargs: P.kwargs
        ) -> AsyncExecution[Json]: ...
        @overload
        async def submit(
            self, action: Action[P, Json], /, *args: P.args, **kwargs: P.kwargs
        ) -> AsyncExecution[Json]: ...
        @overload
        async def submit(
            self, action: Action[P, Any], /, *args: P.args, **kwargs: P.kwargs
        ) -> AsyncExecution[Any]: ...
        @overload
        async def submit(self, action: str, /, **kwargs: Any) -> AsyncExecution[Any]: ...

    async def submit(self, action: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Submits an action like `run`, and returns at once."""
        return AsyncExecution(self, await self._do(self._core.submit(action, args, kwargs)))

    def execution(self, id: str) -> AsyncExecution[Any]:
        """Returns an execution by its id, without asking the server."""
        return AsyncExecution(self, id)

    def executions(self, limit: int | None = 100, **filters: Any) -> AsyncIterator[dict[str, Any]]:
        """Yields the records of executions, newest first; all of them without a limit.

        filters: status, action, queue, requested_by, q, since, until, parent.
        """
        return self._each(self._core.executions(limit, filters))

    async def actions(self) -> dict[str, dict[str, Any]]:
        """Returns the actions by name."""
        return core.object_of(await self._do(self._core.read("/api/actions")))

    async def workers(self) -> list[dict[str, Any]]:
        """Returns the live workers."""
        return core.list_of(await self._do(self._core.read("/api/workers")), "workers")

    async def version(self) -> str:
        """Returns the version of the server."""
        found = await self._do(self._core.read("/api/version"))
        return str(core.object_of(found).get("version"))

    async def upload(self, path: str | os.PathLike[str]) -> str:
        """Uploads a file as a blob, such as a bundle to deploy, and returns its SHA-256."""
        return await self._do(self._core.upload(path))

    # Drivers of plans.

    async def _do(self, plan: Plan[T]) -> T:
        """Drives a plan to its end, and returns its answer."""
        driver = _Driver(self._connections, plan)
        async for _ in driver.run():
            pass
        answer: T = driver.answer
        return answer

    async def _each(self, plan: Plan[None]) -> AsyncIterator[Any]:
        """Drives a plan, and yields the values that it gives."""
        values = _Driver(self._connections, plan).run()
        try:
            async for value in values:
                yield value
        finally:
            await values.aclose()


class AsyncExecution(Generic[R_co]):
    """A submitted execution.

    id: the id, by which `AsyncClient.execution` finds it again.
    """

    def __init__(self, client: AsyncClient, id: str) -> None:
        self.id = id
        self._client = client

    def __repr__(self) -> str:
        return f"AsyncExecution({self.id!r})"

    async def result(self, timeout: float | None = None) -> R_co:
        """Waits for the end of the execution, and returns its result as JSON.

        timeout: the longest wait, in seconds; `WaitTimeout` is raised after it.

        Raises `ActionError` if the execution does not succeed.
        """
        plan = self._client._core.completion(self.id, timeout)
        value: R_co = core.value_of(await self._client._do(plan), self.id)
        return value

    async def wait(self, timeout: float | None = None) -> str:
        """Waits for the end of the execution, and returns its status, such as "succeeded"."""
        return str(
            (await self._client._do(self._client._core.completion(self.id, timeout)))["status"]
        )

    async def status(self) -> str:
        """Returns the status now: "queued", "running", "cancelling", or how it has ended."""
        return str((await self.info())["status"])

    async def info(self) -> dict[str, Any]:
        """Returns the whole record."""
        found = await self._client._do(self._client._core.read(core.path_of(self.id)))
        return core.object_of(found)

    def events(self, after: int | str = 0, timeout: float | None = None) -> AsyncIterator[Event]:
        """Yields the log and the other events, from the first line to the end of the execution.

        If the connection breaks or the server restarts, it continues without a gap or a repeat.

        after: the id of an event, or the number of a line: only events after it.
        timeout: the longest time in all, in seconds; `WaitTimeout` is raised after it.
        """
        deadline = core.deadline_of(timeout)
        return self._client._each(self._client._core.events(self.id, after, deadline))

    def logs(self, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Yields the lines that the log has now. `events` follows it."""
        return self._client._each(self._client._core.logs(self.id, after))

    async def cancel(self, force: bool = False) -> bool:
        """Cancels the execution, and returns at once; False if it has ended already.

        force: end the attempt without a grace period.
        """
        return await self._client._do(self._client._core.cancel(self.id, force))

    async def rerun(self, **options: Any) -> AsyncExecution[R_co]:
        """Submits the same action again, with the recorded parameters and options.

        options: those that differ, as for `AsyncClient.with_options`.
        """
        id = await self._client._do(self._client._core.rerun(self.id, options))
        return AsyncExecution(self._client, id)

    async def artifacts(self) -> list[Artifact]:
        """Returns the files that the execution kept."""
        return await self._client._do(self._client._core.artifacts(self.id))

    async def download(self, artifact: Artifact | str, to: str | os.PathLike[str]) -> None:
        """Writes a file that the execution kept to the path `to`, which exists when it is whole.

        artifact: one of `artifacts()`, or its id.
        """
        with WholeFile(to) as file:
            async for piece in self._client._each(self._client._core.download(self.id, artifact)):
                file.write(piece)


class _Connections:
    """The connections of a client, of which it keeps some."""

    def __init__(self, settings: Settings, ca_file: str | os.PathLike[str] | None) -> None:
        self.parts = settings.parts
        self.proxy = settings.proxy
        self._tls = tls(settings, ca_file)
        self._idle: list[Connection] = []

    def take(self) -> Connection | None:
        """Returns a kept connection of this event loop, if there is one."""
        loop = asyncio.get_running_loop()
        while self._idle:
            connection = self._idle.pop()
            if connection.loop is loop:
                return connection
            connection.close()
        return None

    async def new(self, within: float) -> Connection:
        return await Connection.open(self.parts, self._tls, self.proxy, within)

    def give_back(self, connection: Connection) -> None:
        if connection.is_kept and len(self._idle) < MAX_IDLE_CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        while self._idle:
            connection = self._idle.pop()
            connection.close()
            if connection.loop is loop:
                await connection.closed()


class _Driver(Generic[T]):
    """Does what a plan asks for."""

    answer: Any = None

    def __init__(self, connections: _Connections, plan: Plan[T]) -> None:
        self._connections = connections
        self._plan = plan
        # The connection whose answer is read piece by piece.
        self._open: Connection | None = None

    async def run(self) -> AsyncGenerator[Any, None]:
        """Yields the values that the plan gives."""
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
                        answer = await self._send(step)
                    elif isinstance(step, Read):
                        answer = await self._read(step.within)
                    elif isinstance(step, Open):
                        answer = await self._begin(step)
                    elif isinstance(step, Give):
                        yield step.value
                    else:
                        self._end()
                        await asyncio.sleep(step.seconds)
                except Cut as what:
                    failure = what
        finally:
            self._end()
            self._plan.close()

    async def _send(self, step: Send) -> Answer:
        kept = self._connections.take()
        if kept is not None:
            try:
                return await self._exchange(kept, step)
            except Cut:
                # The server may have closed it meanwhile.
                pass
        return await self._exchange(await self._connections.new(step.silence), step)

    async def _exchange(self, connection: Connection, step: Send) -> Answer:
        is_whole = False
        try:
            status, headers = await connection.request(self._connections.parts, *step)
            answer = Answer(status, headers, await connection.read_all(step.silence))
            is_whole = True
            return answer
        finally:
            if is_whole:
                self._connections.give_back(connection)
            else:
                connection.close()

    async def _begin(self, step: Open) -> Answer:
        self._end()
        connection = self._open = await self._connections.new(step.silence)
        status, headers = await connection.request(
            self._connections.parts, "GET", step.path, step.headers, None, step.silence
        )
        body = b""
        if status >= 300 or status == 204:
            body = await connection.read_all(step.silence)
            self._end()
        return Answer(status, headers, body)

    async def _read(self, within: float) -> bytes:
        return b"" if self._open is None else await self._open.read(within)

    def _end(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
