"""The main loop of a child interpreter: reads requests, runs one attempt at a time, replies.

Standard output and standard error are pipes to the worker, and so are requests and replies.
"""

from __future__ import annotations

import _thread
import fcntl
import json
import os
import select
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from tinpot import (
    _channel,
    _context,
    _discovery,
    _hazards,
    _integrations,
    _limits,
    _modules,
    _run,
    _sources,
    _swallowed,
    _template,
    _text,
)
from tinpot._clean_interpreter import CleanInterpreter, own_decimal_context
from tinpot._connection import Connection
from tinpot._errors import Cancelled, LimitExceeded
from tinpot._isolation import Copies
from tinpot._leftovers import Children, end_threads

if TYPE_CHECKING:
    from types import FrameType

    from tinpot._action import Entry
    from tinpot._exit_handlers import ExitHandlers
    from tinpot._process_state import Snapshot

    _ImportLate = Callable[[Callable[[list[str]], object]], None]

# F_SETSIG, which Linux alone has, and which the module `fcntl` lacks.
_F_SETSIG = 10
# The variable with the trace context of the attempt.
_TRACEPARENT = "TRACEPARENT"
# The beginning of the request to import late files: with true to describe all actions.
_IMPORT_LATE = b'{"import_late":'
_control = _run.Control()
# What was raised to end the attempt. The frames of its traceback must not be kept.
_requests: weakref.WeakSet[BaseException] = weakref.WeakSet()


def main(requests_fd: int, replies_fd: int, lifeline_fd: int, template_fd: int) -> None:
    """Runs the interpreter until the worker closes the connection.

    template_fd: the socket for requests to make copies; negative if there is none.
    """
    for fd in (requests_fd, replies_fd, lifeline_fd, template_fd):
        if fd >= 0:
            os.set_inheritable(fd, False)
    signal.signal(signal.SIGTERM, _on_terminate)
    _swallowed.bring_back(_terminate_again)
    _tie_to_worker(lifeline_fd)
    connection = Connection(requests_fd, replies_fd)
    settings = json.loads(connection.request() or b"null")
    _context.take_secrets(settings["secrets"])
    _integrations.install()

    def importing(files: list[str]) -> None:
        connection.send(_text.json_bytes({"importing": files}) + b"\n")

    clean = CleanInterpreter(settings["root"], _on_terminate)
    # Also without a template: fresh attempts run in copies. Elsewhere none are made.
    is_copied = sys.platform == "linux" and not settings["shared"]
    hazards = _hazards.Hazards(settings["root"]) if is_copied else None
    known = _template.descriptors()
    found, import_late = _discover(settings, importing, clean, hazards)
    mark, limit_memory = settings["mark"], not settings["memory_by_cgroup"]
    if hazards is not None:
        against = hazards.found(found.files.values())._asdict()
        connection.send(_text.json_bytes({"hazards": against}) + b"\n")
    connection.send(b'{"ready":' + found.as_json() + b"}\n")
    if template_fd >= 0:
        if _template.is_asked(requests_fd, template_fd):
            connection.close()
            try:
                copy = _template.serve(template_fd, lifeline_fd, known, clean.enter_copy)
                _control.stopped = False
                _tie_to_worker(copy.lifeline)
                connection = Connection(copy.requests, copy.replies)
                mark, limit_memory = copy.mark, not copy.memory_by_cgroup
                connection.send(b'{"copied":true}\n')
            except BaseException:
                # At once: the handlers of `atexit` belong to all copies.
                traceback.print_exc()
                os._exit(1)
        else:
            os.close(template_fd)
    try:
        if settings["shared"]:
            # Imported here: asyncio takes as long to import as everything else.
            from tinpot import _shared_interpreter

            clean.files.merge()
            limit, tmp = settings["result_limit_bytes"], settings["tmp"]
            _shared_interpreter.serve(connection, found, limit, mark, tmp)
            return
        channel = _channel.PipeChannel(mark, connection, _control, settings["tmp"])

        def guards() -> Mapping[str, _limits.Guard]:
            return _limits.guards(found.entries(), settings["limits"], limit_memory)

        limit = settings["result_limit_bytes"]
        copies = Copies(settings["start_seconds"])
        _serve(connection, found, limit, guards, channel, clean, copies, import_late)
    except (BrokenPipeError, ConnectionResetError):
        pass
    os._exit(0)


def _discover(
    settings: Mapping[str, Any],
    importing: Callable[[list[str]], object],
    clean: CleanInterpreter,
    hazards: _hazards.Hazards | None,
) -> tuple[_discovery.Discovery, _ImportLate]:
    """Imports the files. Returns the actions, and what imports the files that were left."""
    root, skip = settings["root"], settings["skip"]
    options: dict[str, Any] = {name: settings[name] for name in ("only", "names", "owners")}
    options["views"] = clean.files
    options["late"], options["hazards"] = settings["late"], hazards
    clean.files.hazards = hazards
    sources = None
    try:
        if settings["sources"] is None:
            found = _discovery.discover(root, skip, lambda file: importing([file]), **options)
        else:
            sources = _sources.Sources(root, settings["store"], settings["sources"], importing)
            sources.install()
            found = _discovery.discover(root, skip, sources=sources, **options)
            sources.finish()
    finally:
        clean.files.finish()
    clean.hold_variable(*_modules.for_spawned_processes(root))

    def import_late(importing: Callable[[list[str]], object]) -> None:
        clean.files.resume()
        try:
            if sources is not None:
                sources.resume(importing)
            found.import_late(lambda file: importing([file]))
        finally:
            if sources is not None:
                sources.finish()
            clean.files.finish()

    return found, import_late


def _serve(
    connection: Connection,
    found: _discovery.Discovery,
    limit: int,
    make_guards: Callable[[], Mapping[str, _limits.Guard]],
    channel: _channel.Channel,
    clean: CleanInterpreter,
    copies: Copies,
    import_late: _ImportLate,
) -> None:
    entries, guards = found.entries(), make_guards()
    next_request, send = connection.next_attempt, connection.reply
    exits = clean.exit_handlers
    children, own_pid = Children(), os.getpid()
    is_clean = True

    def run(view: Snapshot, request: Any, entry: Entry | None) -> tuple[bytes, bool]:
        context = view.context.copy()
        try:
            return context.run(_attempt, request, entry, found, limit, guards, channel, exits)
        except BaseException as error:
            # A signal handler of the action raised it, after the action.
            return _run.failed(error, _control), True

    while True:
        line = next_request()
        if line is None:
            return
        if _control.stopped or not is_clean:
            # Asked to end between two attempts: another interpreter has to run this one.
            send(b'{"refused":true}\n')
            continue
        if line.startswith(_IMPORT_LATE):
            import_late(lambda files: send(_text.json_bytes({"importing": files}) + b"\n"))
            entries, guards = found.entries(), make_guards()
            # Processes that these imports started are no leftovers of an attempt.
            children = Children()
            is_asked = json.loads(line)["import_late"]
            offer = found.as_json() if is_asked else b'{"actions":[],"load_errors":[]}'
            send(b'{"ready":' + offer + b"}\n")
            continue
        request: Any = json.loads(line)
        entry = entries.get(request["action"])
        view = clean.enter(entry.file if entry is not None else "")
        # What a file leaves that is imported late cannot be shared. 1 instead of true: copies hang.
        is_alone = request.get("fresh") is not True or request["action"] in found.late
        if not is_alone and copies.are_possible():
            send(_attempt_in_copy(copies, children, clean, partial(run, view, request, entry)))
            continue
        reply, is_spent = run(view, request, entry)
        # In a process that cannot be copied, as one with threads, the attempt is the only one.
        is_spent = is_spent or bool(request.get("fresh"))
        # Must not live until the next attempt.
        request = entry = None
        if os.getpid() != own_pid:
            # The action forked, and this is the child: the parent sends the reply.
            clean.flush()
            os._exit(0)
        if not clean.put_back():
            is_spent = True
        _context.leave()
        if children.has_more():
            is_spent = True
        send(reply[:-1] + b',"left":true}\n' if is_spent else reply + b"\n")
        is_clean = clean.put_back_late()


def _attempt_in_copy(
    copies: Copies,
    children: Children,
    clean: CleanInterpreter,
    run: Callable[[], tuple[bytes, bool]],
) -> bytes:
    """Runs an attempt in a copy of this process. Returns the line of the reply."""

    def attempt() -> bytes:
        own_pid = os.getpid()
        # A request to end may have come before the copy was made.
        reply = _run.CANCELLED if _control.stopped else run()[0]
        clean.flush()
        if os.getpid() != own_pid:
            # The action forked, and this is the child: the parent replies.
            os._exit(0)
        _context.leave()
        return reply

    reply = copies.run(attempt)
    return reply[:-1] + b',"left":true}\n' if children.has_more() else reply + b"\n"


def _attempt(
    request: dict[str, Any],
    entry: Entry | None,
    found: _discovery.Discovery,
    limit: int,
    guards: Mapping[str, _limits.Guard],
    channel: _channel.Channel,
    exits: ExitHandlers,
) -> tuple[bytes, bool]:
    """Runs one attempt. Returns the reply, and True if the interpreter must not be used again."""
    threads = _thread._count()
    is_spent = False
    try:
        exits.is_attempt = True
        _control.running = True
        try:
            traceparent = request.get("traceparent")
            if traceparent is not None:
                os.environ[_TRACEPARENT] = traceparent
            elif _TRACEPARENT in os.environ:
                # That of the attempt before.
                del os.environ[_TRACEPARENT]
            context = _context.enter(
                _channel.Attempt(
                    channel,
                    request.get("execution"),
                    request.get("fence"),
                    request.get("attempt", 1),
                    traceparent,
                    request.get("uploads"),
                )
            )
            if entry is None:
                reply = _run.unknown(request["action"], found)
            else:
                own_decimal_context()
                guard = guards.get(request["action"])
                call = _run.call if guard is None else guard.call
                value = call(entry, request["parameters"], _control, context)
                own_limit = None if guard is None else guard.max_result
                reply = _run.succeeded(value, limit if own_limit is None else own_limit)
                value = None
            if _thread._count() > threads:
                is_spent = end_threads(threads)
        finally:
            _control.running = False
    except BaseException as error:
        _control.running = False
        reply = _run.failed(error, _control)
        if _thread._count() > threads and not _control.stopped:
            is_spent = end_threads(threads)
        # It was raised anywhere, and may have left any state behind.
        is_spent = is_spent or isinstance(error, LimitExceeded)
    if exits.run():
        # Objects that live on do not expect that.
        is_spent = True
    return reply, is_spent


def _on_terminate(_signal: int, _frame: FrameType | None) -> None:
    _control.stopped = True
    if not _control.running:
        return
    _control.running = False
    if _control.hook is not None:
        _control.hook()
    else:
        request = Cancelled("the attempt was asked to end")
        _requests.add(request)
        raise request


def _terminate_again(dropped: BaseException | None) -> Callable[[], object] | None:
    if not isinstance(dropped, Cancelled) or dropped not in _requests:
        return None
    # The end of the attempt sets it back.
    _control.running = True
    main = threading.main_thread().ident or 0
    return partial(signal.pthread_kill, main, signal.SIGTERM)


def _tie_to_worker(lifeline_fd: int) -> None:
    """Ends this process group with the worker, even while C code holds the interpreter lock.

    On Linux the kernel does it: when the last writer closes the pipe, it signals the group.
    """
    group = os.getpgrp()
    try:
        fcntl.fcntl(lifeline_fd, fcntl.F_SETOWN, -group)
        fcntl.fcntl(lifeline_fd, _F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(lifeline_fd, fcntl.F_GETFL)
        is_async = os.O_ASYNC if hasattr(os, "O_ASYNC") else fcntl.FASYNC
        fcntl.fcntl(lifeline_fd, fcntl.F_SETFL, flags | is_async)
        is_tied = sys.platform == "linux"
    except (OSError, AttributeError):
        is_tied = False
    if not is_tied:
        threading.Thread(target=_watch, args=(lifeline_fd, group), daemon=True).start()
    elif select.select([lifeline_fd], [], [], 0)[0]:
        # The worker ended before the signal was set up.
        os.killpg(group, signal.SIGKILL)


def _watch(lifeline_fd: int, group: int) -> None:
    os.read(lifeline_fd, 1)
    os.killpg(group, signal.SIGKILL)
