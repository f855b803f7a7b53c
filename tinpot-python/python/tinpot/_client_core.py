"""The part of clients that does no input or output: `Client` and `AsyncClient` drive it.

A plan is a generator. It yields what has to be done next, receives what came of it, and returns the
answer to the caller.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from tinpot import _client_errors as errors
from tinpot._client_options import list_filter, seconds, submission_options
from tinpot._client_steps import (
    STREAM_SILENCE_SECONDS,
    Answer,
    Artifact,
    Cut,
    Event,
    EventParser,
    Give,
    Open,
    Plan,
    Read,
    Send,
    Sleep,
)
from tinpot._errors import ActionError

if TYPE_CHECKING:
    from tinpot._client_settings import Settings

_FIRST_PAUSE, _MAX_PAUSE = 0.1, 2.0
# The longest pause that a server can ask for.
_MAX_RETRY_AFTER = 60.0
_PAGE = 200
# Beyond the last line of every log: a stream from there has the end of the execution.
_NO_LINES = 2**62

_KINDS: dict[int, type[errors.ClientError]] = {
    403: errors.NotAllowed,
    404: errors.NotFound,
    409: errors.Conflict,
    410: errors.NotFound,
}


class Core:
    """The requests of a client, as plans.

    timeout: the longest silence of the server within a request, in seconds.
    patience: the time to keep trying while a server that has answered before is away.
    """

    def __init__(
        self,
        settings: Settings,
        timeout: float,
        patience: float,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = settings
        self.timeout = seconds("timeout", timeout)
        self.patience = seconds("patience", patience, least=0.0)
        self.options = dict(options or {})
        # A list, so that clients with other options share it.
        self._reached: list[bool] = []

    def with_options(self, options: Mapping[str, Any]) -> Core:
        """Returns the same client with options for its submissions."""
        core = Core(self.settings, self.timeout, self.patience, {**self.options, **options})
        core._reached = self._reached
        submission_options(core.options)
        return core

    # Requests.

    def read(self, path: str, query: Mapping[str, Any] | None = None) -> Plan[Any]:
        """Reads a resource."""
        return self._json("GET", path + _query(query))

    def submit(self, action: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Plan[str]:
        """Submits an execution, and returns its id."""
        from tinpot._client_uploads import uploaded
        from tinpot._context import _by_name
        from tinpot._encode import parameters as as_json

        name = action if isinstance(action, str) else getattr(action, "__tinpot_name__", None)
        if not isinstance(name, str) or not name:
            raise TypeError(
                f"the action must be a decorated function or a name, not {type(action).__name__}"
            )
        given = yield from uploaded(self, name, _by_name(action, args, named))
        body = {"parameters": as_json(given)}
        path = f"/api/actions/{quote(name, safe='')}/execute"
        return (yield from self._submission(path, body, self.options))

    def rerun(self, execution: str, options: Mapping[str, Any]) -> Plan[str]:
        """Submits a recorded execution again, and returns the id of the new one."""
        return self._submission(path_of(execution, "/rerun"), {}, options)

    def cancel(self, execution: str, force: bool) -> Plan[bool]:
        """Cancels an execution; False if it has ended already."""
        body = b'{"force":true}' if force else b"{}"
        try:
            yield from self._json("POST", path_of(execution, "/cancel"), body)
        except errors.Conflict:
            return False
        return True

    def artifacts(self, execution: str) -> Plan[list[Artifact]]:
        """Lists the files that an execution kept."""
        found = yield from self.read(path_of(execution, "/artifacts"))
        return [
            Artifact(
                str(one["id"]), str(one["name"]), int(one["size_bytes"]), str(one["media_type"])
            )
            for one in list_of(found, "artifacts")
        ]

    def download(self, execution: str, artifact: Artifact | str) -> Plan[None]:
        """Gives the bytes of a file, from its start again after a failure before the first byte."""
        name = artifact.id if isinstance(artifact, Artifact) else artifact
        path = path_of(execution, f"/artifacts/{quote(name, safe='')}")
        yield from self._open(path, {}, self.timeout)
        while True:
            try:
                piece = yield Read(self.timeout)
            except Cut as cut:
                raise errors.NotReached(self._unreachable(cut)) from None
            if not piece:
                return
            yield Give(piece)

    def upload(self, path: str | os.PathLike[str]) -> Plan[str]:
        """Uploads a file as a blob, and returns its digest."""
        import hashlib

        digest = hashlib.sha256()
        with open(path, "rb") as file:
            for piece in iter(lambda: file.read(1024 * 1024), b""):
                digest.update(piece)
        name = digest.hexdigest()
        headers = {"content-type": "application/octet-stream"}
        # The digest is its name: to send it twice is to send it once.
        yield from self._json("PUT", f"/api/blobs/{name}", os.fspath(path), headers)
        return name

    def executions(self, limit: int | None, filters: Mapping[str, Any]) -> Plan[None]:
        """Gives the records of executions, newest first, as the pages of the server have them."""
        query = {name: list_filter(name, value) for name, value in filters.items()}
        left = limit
        while left is None or left > 0:
            query["limit"] = _PAGE if left is None else min(left, _PAGE)
            page = yield from self.read("/api/executions", query)
            for one in list_of(page, "executions")[:left]:
                yield Give(one)
                left = None if left is None else left - 1
            if not page.get("next"):
                return
            query["before"] = page["next"]

    def logs(self, execution: str, after: int) -> Plan[None]:
        """Gives the lines that the log has now."""
        while True:
            query = {"after": after, "limit": 1000}
            page = yield from self.read(path_of(execution, "/logs"), query)
            for line in list_of(page, "lines"):
                yield Give(line)
            if page.get("next") is None:
                return
            after = int(page["next"])

    def events(self, execution: str, after: int | str, deadline: float | None) -> Plan[None]:
        """Gives the events of an execution to its end, across connections and restarts.

        deadline: the time of `time.monotonic` at which it raises `WaitTimeout`.
        """
        last_id, pause = str(after), _FIRST_PAUSE
        if not (last_id.isascii() and last_id.isalnum()):
            raise errors.SettingsError(
                f"after must be the id of an event or the number of a line (got {after!r})"
            )
        lost_at: float | None = None
        last: dict[str, dict[str, Any]] = {}
        silence = max(STREAM_SILENCE_SECONDS, self.timeout)
        while True:
            why: errors.ClientError
            try:
                headers = {"accept": "text/event-stream", "last-event-id": last_id}
                answer = yield from self._open(
                    path_of(execution, "/stream"), headers, silence, execution, deadline, lost_at
                )
                if answer.status == 204:
                    return
                parser = EventParser()
                while True:
                    piece = yield Read(_until(deadline, silence))
                    if not piece:
                        raise Cut("the stream was cut off")
                    for name, position, text in parser.feed(piece):
                        if name == "denied":
                            raise errors.NotAllowed(
                                "the caller may not read the execution any more", 403, execution
                            )
                        event = self._event(text, position)
                        if event.type == "connected":
                            continue
                        lost_at, pause, last_id = None, _FIRST_PAUSE, position or last_id
                        # The latest ones, which each connection begins with.
                        if event.type in ("status", "progress"):
                            if last.get(event.type) == event.data:
                                continue
                            last[event.type] = event.data
                        yield Give(event)
                        if event.type == "complete":
                            return
            except Cut as cut:
                why = errors.NotReached(self._unreachable(cut), execution=execution)
            if deadline is not None and time.monotonic() >= deadline:
                raise _waited(execution)
            now = time.monotonic()
            lost_at = now if lost_at is None else lost_at
            if now - lost_at > self.patience:
                raise why
            yield Sleep(_until(deadline, pause))
            pause = min(pause * 2, _MAX_PAUSE)

    def completion(self, execution: str, timeout: float | None) -> Plan[dict[str, Any]]:
        """Waits for the end of an execution, and returns the data of the event `complete`."""
        deadline = deadline_of(timeout)
        events = self.events(execution, _NO_LINES, deadline)
        step, answer = next(events), None
        try:
            while True:
                if isinstance(step, Give):
                    if step.value.type == "complete":
                        found: dict[str, Any] = step.value.data
                        return found
                    step = events.send(None)
                    continue
                try:
                    answer = yield step
                except Cut as cut:
                    step = events.throw(cut)
                else:
                    step = events.send(answer)
        except StopIteration:
            pass
        finally:
            events.close()
        raise errors.NotReached(f"the stream of {execution} has no end", execution=execution)

    # Parts of requests.

    def _headers(self) -> dict[str, str]:
        headers = {"accept": "application/json"}
        authorization = self.settings.authorization()
        if authorization is not None:
            headers["authorization"] = authorization
        if self.settings.team is not None:
            headers["tinpot-team"] = self.settings.team
        return headers

    def _submission(self, path: str, body: dict[str, Any], given: Mapping[str, Any]) -> Plan[str]:
        options = submission_options(given)
        # The key makes it safe to send the same submission again after a cut connection.
        options.setdefault("idempotency_key", f"client {uuid.uuid4()}")
        text = json.dumps({**body, "options": options}, ensure_ascii=False, allow_nan=False)
        headers = {"x-requested-by": _requester()}
        submitted = yield from self._json("POST", path, text.encode(), headers)
        execution = object_of(submitted).get("execution_id")
        if not isinstance(execution, str):
            raise self._not_tinpot("a submission was answered without an id")
        return execution

    def _json(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Plan[Any]:
        headers = self._headers()
        if body is not None:
            headers["content-type"] = "application/json"
        headers.update(more or {})
        answer = yield from self._exchange(Send(method, path, headers, body, self.timeout))
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise self._not_tinpot(str(error)) from None

    def _open(
        self,
        path: str,
        headers: dict[str, str],
        silence: float,
        execution: str | None = None,
        deadline: float | None = None,
        lost_at: float | None = None,
    ) -> Plan[Answer]:
        step = Open(path, {**self._headers(), **headers}, min(silence, self.timeout))
        return self._exchange(step, execution, deadline, lost_at)

    def _exchange(
        self,
        step: Send | Open,
        execution: str | None = None,
        deadline: float | None = None,
        lost_at: float | None = None,
    ) -> Plan[Answer]:
        """Sends a request until the server answers it. All requests can be repeated."""
        pause = _FIRST_PAUSE
        while True:
            wait = pause
            try:
                answer: Answer = yield step
                self._reached[:] = [True]
            except Cut as cut:
                failure: errors.ClientError = errors.NotReached(
                    self._unreachable(cut), execution=execution
                )
                # Of a server that never answered, the address is more likely wrong.
                if not self._reached:
                    raise failure from None
            else:
                if answer.status < 300:
                    return answer
                if answer.status == 401 and self._has_new_token(step.headers):
                    continue
                failure = self._refusal(answer)
                if answer.status not in (429, 502, 503, 504):
                    raise failure
                wait = _retry_after(answer, pause)
            now = time.monotonic()
            lost_at = now if lost_at is None else lost_at
            if deadline is not None and now >= deadline:
                raise _waited(execution)
            if now + wait - lost_at > self.patience:
                raise failure
            yield Sleep(_until(deadline, wait))
            pause = min(pause * 2, _MAX_PAUSE)
            self._has_new_token(step.headers)

    def _has_new_token(self, headers: dict[str, str]) -> bool:
        """Puts a token that has changed into the headers of a request.

        A `tinpot dev` that is started again listens before it has written its new token.
        """
        before, now = headers.get("authorization"), self.settings.authorization()
        if now is None or now == before:
            return False
        headers["authorization"] = now
        return True

    def _refusal(self, answer: Answer) -> errors.ClientError:
        """Returns the error for an answer that is no success."""
        url, status = self.settings.url, answer.status
        proxy = self.settings.proxy
        if status == 407 and proxy is not None:
            return proxy.refused()
        if 300 <= status < 400:
            to = "".join(filter(str.isprintable, answer.headers.get("location", "")))[:200]
            return errors.NotReached(
                f"the server {url} redirects to {to or 'another place'}, which is not followed:"
                " name the server that answers",
                status,
            )
        if status == 421:
            host = self.settings.parts.netloc
            message = f"the server {url} refuses requests to {host!r}: start it with --allow-host"
            return errors.NotAllowed(f"{message} {host}", status)
        try:
            body = json.loads(answer.body)
            detail, execution = body["detail"], body.get("execution_id")
            found = [(str(e["path"]), str(e["message"])) for e in body.get("errors", ())]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return self._not_tinpot(f"got {status}", status)
        detail = str(detail)
        if status == 401:
            source = self.settings.token_source
            if source is None:
                detail = f"the server {url} requires an API token ({detail})"
            else:
                detail = f"the server {url} refuses the token of {source}: {detail}"
            return errors.NotAuthenticated(
                f"{detail}\nrun `tinpot login {url}`, or set TINPOT_TOKEN_FILE", status
            )
        if status in (400, 405, 406, 408, 411, 413, 414, 415, 422, 431):
            return errors.InvalidRequest(detail, status, execution, found)
        return _KINDS.get(status, errors.Unavailable)(detail, status, execution)

    def _event(self, text: str, position: str) -> Event:
        try:
            found = json.loads(text)
            return Event(str(found["type"]), dict(found["data"]), position)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._not_tinpot(f"the stream has an event that is none: {error}") from None

    def _unreachable(self, cut: Cut) -> str:
        return f"cannot reach the server {self.settings.url}: {cut}"

    def _not_tinpot(self, what: str, status: int | None = None) -> errors.NotReached:
        proxy = self.settings.proxy
        through = "" if proxy is None else f", reached through the proxy {proxy.url},"
        message = f"{self.settings.url}{through} is not a Tinpot server: {what}"
        return errors.NotReached(message, status)


def value_of(data: Mapping[str, Any], execution: str) -> Any:
    """Returns the result of an execution that has ended; raises `ActionError` for other ends."""
    if data.get("successful") is True:
        return data.get("result")
    status = str(data.get("status", "failed"))
    traceback, kind = data.get("traceback"), str(data.get("kind") or "")
    message = str(data.get("error") or f"the execution ended as {status}")
    # The API shows both in one text.
    if kind and message.startswith(f"{kind}: "):
        message = message[len(kind) + 2 :]
    raise ActionError(
        message,
        kind,
        None if traceback is None else str(traceback),
        execution,
        status,
    )


def deadline_of(timeout: float | None) -> float | None:
    """Returns the time of `time.monotonic` after a timeout."""
    return None if timeout is None else time.monotonic() + seconds("timeout", timeout, 0.0)


def _until(deadline: float | None, seconds: float) -> float:
    if deadline is None:
        return seconds
    return max(0.0, min(seconds, deadline - time.monotonic()))


def _waited(execution: str | None) -> errors.WaitTimeout:
    return errors.WaitTimeout(
        f"execution {execution} has not ended in time; it continues", execution=execution
    )


def _retry_after(answer: Answer, pause: float) -> float:
    text = answer.headers.get("retry-after", "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return pause
    # Not all clients return at the same moment.
    return max(pause, min(float(text), _MAX_RETRY_AFTER))


def object_of(found: Any) -> dict[str, Any]:
    """Returns an answer that is an object."""
    if not isinstance(found, dict):
        raise errors.NotReached("the answer of the server is no object")
    return found


def list_of(page: Any, name: str) -> list[Any]:
    """Returns the list of this name in an answer."""
    found = object_of(page).get(name)
    if not isinstance(found, list):
        raise errors.NotReached(f"the answer of the server has no list of {name}")
    return found


def _query(query: Mapping[str, Any] | None) -> str:
    pairs = [(name, value) for name, value in (query or {}).items() if value is not None]
    return "?" + urlencode(pairs) if pairs else ""


def path_of(execution: str, rest: str = "") -> str:
    """Returns the path of an execution, or of something below it."""
    return f"/api/executions/{quote(execution, safe='')}{rest}"


def _requester() -> str:
    """Returns `user@host`, in characters that a header can have."""
    user = os.environ.get("USER") or os.environ.get("LOGNAME") or ""
    if not user:
        import pwd

        try:
            user = pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            pass
    host = os.uname().nodename
    text = f"{user}@{host}" if user else host
    return "".join(c if "!" <= c <= "~" else "?" for c in text)[:255] or "?"
