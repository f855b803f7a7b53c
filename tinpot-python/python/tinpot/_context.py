"""What an action can ask of the worker that runs it.

What it says goes out as marked lines between those that it prints, so that all of it arrives in the order in which it was said. Calls of other
actions go over the connection to the worker, and wait for an answer.
"""

import contextvars
import json
import os
import time

from tinpot._errors import Cancelled, LimitError
from tinpot._channel import Attempt, Link

_LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "warn": "warning", "error": "error", "critical": "error"}
# A marked line has to fit one log line.
_TEXT_MAX = 48 * 1024
# What the artifacts of one attempt may have in all, and how much of one goes on one line.
ARTIFACTS_MAX_BYTES = 64 * 1024 * 1024
_PIECE_BYTES = 36 * 1024
_SUMMARY_MAX = 40 * 1024

_to_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode
_escape = json.encoder.encode_basestring


_current = contextvars.ContextVar("tinpot_context", default=None)
# What runs in a process that runs one attempt at a time: threads that an action starts find it here.
_running = None


def enter(attempt):
    """Makes an attempt the one that this process runs."""
    global _running
    _running = Context(attempt)
    return _running


def leave():
    global _running
    if _running is not None:
        _running._attempt.close()
        _running = None


def find():
    """The present context, or None."""
    return _current.get() or _running


def current():
    """The context of the attempt that runs now. Outside of a worker there is one too: it tells everything on standard error."""
    return _current.get() or _running or _outside


class Context:
    """The attempt that runs now. An action gets it as a parameter that is annotated with this class, or from `tinpot.current()`."""

    __slots__ = ("_attempt", "_span", "_options")

    def __init__(self, attempt, span=0, options=None):
        self._attempt = attempt
        self._span = span
        self._options = options

    @property
    def execution_id(self):
        """The id of the execution; None outside of a worker."""
        return self._attempt.execution

    @property
    def attempt(self):
        """The number of the attempt, from 1."""
        return self._attempt.number

    @property
    def fence(self):
        """The right to report: give it to resources that can refuse a smaller one than they have seen."""
        return self._attempt.fence

    @property
    def tmpdir(self):
        """A directory of this attempt's own, which goes away with it."""
        return self._attempt.tmpdir()

    def _innermost(self):
        """The context of the step that runs now, if that is of the same attempt."""
        here = find()
        return here if here is not None and here._attempt is self._attempt else self

    def log(self, level, message, **fields):
        """Writes to the log: level is "debug", "info", "warning" or "error"; fields are kept beside the message."""
        known = _LEVELS.get(str(level).lower())
        if known is None:
            raise ValueError("the level must be debug, info, warning or error, not %r" % (level,))
        message = str(message)
        link = self._attempt.link
        if type(link) is Link:
            tail = "".join(" %s=%r" % field for field in fields.items())
            return link.say("%s: %s%s" % (known, message, tail))
        if len(message) > _TEXT_MAX:
            message = message[:_TEXT_MAX] + " … [tinpot] %d characters are not kept" % (len(message) - _TEXT_MAX)
        extra = ""
        if fields:
            extra = _to_text(fields)
            extra = ',"f":' + (extra if len(extra) < _TEXT_MAX // 4 else '{"tinpot":"fields of %d bytes are not kept"}' % len(extra))
        link.mark('{"l":"%s","m":%s,"s":%d%s}' % (known, _escape(message), self._innermost()._span, extra))

    def debug(self, message, **fields):
        self.log("debug", message, **fields)

    def info(self, message, **fields):
        self.log("info", message, **fields)

    def warning(self, message, **fields):
        self.log("warning", message, **fields)

    def error(self, message, **fields):
        self.log("error", message, **fields)

    def progress(self, done, total=None, message=""):
        """Says how far it has come; the last one counts."""
        done, total = float(done), None if total is None else float(total)
        if done != done or total is not None and total != total:
            raise ValueError("progress is not a number")
        self._attempt.link.mark(_to_text({"p": [done, total, str(message)[:1000]]}))

    def step(self, name):
        """Runs a block as a step with a name: `with ctx.step("build"): …`. Steps nest."""
        return Step(self, str(name))

    def summary(self, markdown):
        """Says in Markdown what there is to say about all of it; the last text counts."""
        markdown = str(markdown)
        if len(markdown.encode("utf-8", "replace")) > _SUMMARY_MAX:
            raise LimitError("summary: at most %d bytes" % _SUMMARY_MAX)
        self._attempt.link.mark(_to_text({"e": {"summary": {"markdown": markdown}}}))

    def artifact(self, path, name=None):
        """Keeps a file with the execution, where it can be downloaded. At most 64 MiB in all per attempt."""
        import base64
        import mimetypes

        attempt, link = self._attempt, self._attempt.link
        name = os.path.basename(os.fspath(path)) if name is None else str(name)
        if not name or name in (".", "..") or "/" in name or "\\" in name or len(name) > 255 or not name.isprintable():
            raise ValueError("artifact: %r is not the name of a file" % name)
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if attempt.artifact_bytes + size > ARTIFACTS_MAX_BYTES:
                raise LimitError(
                    "artifact %s: %d bytes, and at most %d of %d are left"
                    % (name, size, ARTIFACTS_MAX_BYTES - attempt.artifact_bytes, ARTIFACTS_MAX_BYTES)
                )
            number, sent = attempt.artifacts + 1, 0
            while sent < size:
                piece = file.read(min(_PIECE_BYTES, size - sent))
                if not piece:
                    break
                sent += len(piece)
                link.mark('{"d":"%d %s"}' % (number, base64.b64encode(piece).decode()))
        attempt.artifacts = number
        attempt.artifact_bytes += sent
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        about = {"number": number, "attempt": attempt.number, "name": name, "size_bytes": sent, "media_type": kind}
        link.mark(_to_text({"e": {"artifact": about}}))

    def check_cancelled(self):
        """Raises `Cancelled` if the attempt was asked to end. Needed only where exceptions are swallowed, or in threads."""
        if self._attempt.link.stopped():
            raise Cancelled("the attempt was asked to end")

    def secret(self, name):
        """A secret of the worker: from the variable TINPOT_SECRET_<NAME>, or a file of that name in TINPOT_SECRETS_DIR. It is masked in the log."""
        from tinpot._secret import Secret

        text = os.environ.get("TINPOT_SECRET_" + name.upper().replace("-", "_"))
        folder = os.environ.get("TINPOT_SECRETS_DIR")
        if text is None and folder and os.path.basename(name) == name and name not in (".", ".."):
            try:
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    text = file.read().rstrip("\r\n")
            except FileNotFoundError:
                pass
        if text is None:
            raise KeyError("there is no secret %r: neither TINPOT_SECRET_%s nor a file in TINPOT_SECRETS_DIR" % (name, name.upper()))
        self._attempt.link.mark(_to_text({"x": text}))
        return Secret(text)

    def with_options(self, **options):
        """The same context with options for `call` and `submit`: priority, timeout, delay, expires_in, retries, queue, idempotency_key; times in seconds."""
        return Context(self._attempt, self._span, _options(options))

    def call(self, action, /, **parameters):
        """Has another action run, on whichever worker serves its queue, and returns its result.

        Meanwhile this attempt takes no slot. An action that does not succeed raises `ActionError`, with its own traceback.
        """
        return self._request(action, parameters, True)[1]

    async def call_async(self, action, /, **parameters):
        """The same as `call` in a coroutine: others go on meanwhile."""
        return (await self._attempt.link.call_async(self._asked(action, parameters, True)))[1]

    def submit(self, action, /, **parameters):
        """Has another action run and does not wait: `result()` of what is returned does."""
        import uuid

        options = dict(self._options or {})
        options.setdefault("idempotency_key", "submit %s" % uuid.uuid4())
        context = Context(self._attempt, self._span, options)
        execution, _ = context._request(action, parameters, False)
        return Child(context, action, parameters, execution)

    def _request(self, action, parameters, wait):
        return self._attempt.link.call(self._asked(action, parameters, wait))

    def _asked(self, action, parameters, wait):
        name = action if isinstance(action, str) else action.__tinpot_name__
        request = {"action": name, "parameters": _as_json(parameters), "wait": wait, "span": self._innermost()._span}
        if self._options:
            request["options"] = self._options
        return request


def _as_json(parameters):
    from tinpot._secret import Secret
    from tinpot._encode import form

    def default(value):
        # Another action is to have it, not its mask.
        return value.reveal() if isinstance(value, Secret) else form(value)

    return json.loads(json.JSONEncoder(allow_nan=False, default=default).encode(parameters))


_TIMES = {"timeout": "timeout_ms", "delay": "delay_ms", "expires_in": "expires_in_ms"}
_PLAIN = ("priority", "retries", "queue", "idempotency_key", "max_lost_attempts")


def _options(options):
    found = {}
    for name, value in options.items():
        if name in _TIMES:
            seconds = value.total_seconds() if hasattr(value, "total_seconds") else value
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < 3.2e9:
                raise ValueError("%s must be seconds or a timedelta, not %r" % (name, value))
            found[_TIMES[name]] = int(seconds * 1000)
        elif name in _PLAIN:
            found[name] = value
        else:
            raise TypeError("there is no option %r: %s" % (name, ", ".join([*_TIMES, *_PLAIN])))
    return found


class Child:
    """An execution that was asked for."""

    def __init__(self, context, action, parameters, execution):
        self.id = execution
        self._context, self._action, self._parameters = context, action, parameters

    def result(self):
        """Waits for its end and returns its result; raises `ActionError` when it did not succeed."""
        # The same key, so it is the same execution.
        return self._context._request(self._action, self._parameters, True)[1]

    def __repr__(self):
        return "Child(%r)" % (self.id,)


class Step:
    """A part of an attempt, with a beginning and an end."""

    __slots__ = ("context", "name", "inner", "token", "begin")

    def __init__(self, context, name):
        self.context = context
        self.name = name

    def __enter__(self):
        above = self.context._innermost()
        attempt = above._attempt
        attempt.spans += 1
        number, parent = attempt.spans, above._span
        self.inner = Context(attempt, number, above._options)
        self.token = _current.set(self.inner)
        started = '{"e":{"span_started":{"span":"%d.%d",%s"name":%s,"at":%d}},"s":%d}' % (
            attempt.number,
            number,
            '"parent":"%d.%d",' % (attempt.number, parent) if parent else "",
            _escape(self.name),
            time.time() * 1e6,
            number,
        )
        attempt.link.mark(started)
        attempt.link.span(number)
        self.begin = time.perf_counter()
        return self.inner

    def __exit__(self, kind, error, _trace):
        took = (time.perf_counter() - self.begin) * 1e6
        inner = self.inner
        attempt = inner._attempt
        try:
            _current.reset(self.token)
        except ValueError:
            _current.set(None)  # a generator that was closed elsewhere
        above = find()
        parent = above._span if above is not None and above._attempt is attempt else 0
        outcome, why = "succeeded", ""
        if kind is not None and not issubclass(kind, GeneratorExit):
            cancelled = issubclass(kind, Cancelled) or kind.__name__ == "CancelledError"
            outcome = "cancelled" if cancelled else "failed"
            try:
                text = str(error)[:1000]
            except Exception:
                text = ""
            why = ',"error":%s' % _escape("%s: %s" % (kind.__name__, text) if text else kind.__name__)
        ended = '{"e":{"span_ended":{"span":"%d.%d","outcome":"%s","took_us":%d%s}},"s":%d}' % (
            attempt.number,
            inner._span,
            outcome,
            took,
            why,
            parent,
        )
        attempt.link.mark(ended)
        attempt.link.span(parent)
        return False


_outside = Context(Attempt(Link()))
