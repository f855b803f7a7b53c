"""Hostile actions, which change what a process has once, and innocent ones, which notice it."""

import asyncio
import builtins
import contextvars
import csv
import datetime
import decimal
import faulthandler
import gc
import http.client
import json
import locale
import logging
import logging.config
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import warnings

import tinpot
from tinpot import action

VARIABLE = contextvars.ContextVar("variable", default="none")
UNRAISABLE = sys.unraisablehook


async def job():
    return "ok"


@action
def own():
    return os.getpid()


@action
def use_loop():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop = asyncio.get_event_loop_policy().get_event_loop()
    return loop.run_until_complete(job())


@action
def close_loop():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(job())
    loop.close()


@action
async def coroutine():
    return "ok"


@action
def running_loop():
    asyncio._set_running_loop(asyncio.new_event_loop())


@action
def policy():
    class Policy(asyncio.DefaultEventLoopPolicy):
        def get_event_loop(self):
            raise RuntimeError("no loop")

    asyncio.set_event_loop_policy(Policy())


@action
def nap():
    for _ in range(30):
        time.sleep(0.01)
    return "done"


@action
def burn():
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    return "done"


@action
def alarm():
    signal.alarm(1)
    signal.setitimer(signal.ITIMER_REAL, 0.1)


@action
def interval():
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)


@action
def interval_with_handler():
    def stop(*_):
        raise RuntimeError("too long")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)


@action
def profile_timer():
    signal.setitimer(signal.ITIMER_PROF, 0.001)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.001)


@action
def dump_later():
    faulthandler.dump_traceback_later(0.1, exit=True)


@action
def utf8():
    sys.stdout = open(sys.stdout.fileno(), mode="w", encoding="utf8", buffering=1)
    print("✓")


@action
def open_again():
    os.fdopen(sys.stdout.fileno(), "wb", 0)


@action
def plain():
    print("hello")
    print("to stderr", file=sys.stderr)
    os.write(1, b"to 1\n")
    return "ok"


@action
def silence():
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)


@action
def closed():
    os.close(1)


@action
def closed_stderr():
    sys.stderr.close()


@action
def detached():
    sys.stdout.detach()


@action
def report():
    with tempfile.TemporaryDirectory() as folder, open(folder + "/report.csv", "w") as out:
        out.write("id,amount\n")
        out.flush()
        print("writing the report")
        out.write("1,100\n")
        out.flush()
        return open(out.name).read()


@action
def configured():
    sys.stdout.reconfigure(encoding="ascii", errors="replace", newline="\r\n", line_buffering=False)
    sys.stderr.reconfigure(write_through=True)


@action
def lines():
    print("✓ one")
    print("x" * 200_000)
    return [sys.stdout.encoding, sys.stdout.errors, sys.stdout.line_buffering]


@action
def tee():
    write = sys.stdout.write
    sys.stdout.write = lambda text: write(text.upper())


@action
def nonblocking():
    os.set_blocking(1, False)


@action
def closed_stdin():
    sys.stdin.close()


@action
def stdin_descriptor():
    reader, writer = os.pipe()
    os.write(writer, b"of another action")
    os.dup2(reader, 0)
    os.close(writer)


@action
def read():
    return [sys.stdin.read(), os.read(0, 10).decode()]


@action
def handler():
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s by a handler"))
    logging.getLogger("shop").addHandler(handler)
    logging.getLogger("shop").error("first")


@action
def configure_logging():
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": True,
            "root": {"level": "CRITICAL", "handlers": ["one"]},
            "handlers": {"one": {"class": "logging.StreamHandler", "level": "CRITICAL"}},
        }
    )


@action
def disable_logging():
    logging.disable(logging.CRITICAL)


@action
def levels():
    logging.getLogger("shop").setLevel(logging.CRITICAL)
    logging.getLogger("new").setLevel(logging.CRITICAL)


@action
def no_propagation():
    logging.getLogger("shop").propagate = False
    logging.getLogger("shop").filters.append(lambda record: False)


@action
def level_of_root():
    logging.getLogger().setLevel(logging.DEBUG)
    logging.basicConfig(level=logging.DEBUG, format="%(message)s!", force=True)


shop = logging.getLogger("shop")


@action
def log_once():
    shop.error("once")
    logging.getLogger("new").warning("new")


@action
def log_debug():
    logging.debug("debug")
    logging.info("info")


@action
def errors():
    warnings.simplefilter("error")


@action
def warn():
    warnings.warn("careful")
    warnings.warn("old", DeprecationWarning)
    return "ok"


@action
def own_showwarning():
    warnings.showwarning = lambda *_, **__: None
    logging.captureWarnings(True)


@action
def umask():
    os.umask(0o777)


@action
def mode():
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(folder + "/one")
        return oct(os.stat(folder + "/one").st_mode)


@action
def zone():
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    time.mktime(time.localtime())


@action
def hour():
    return [time.localtime(0).tm_hour, time.tzname, os.environ.get("TZ")]


@action
def decimals():
    decimal.getcontext().prec = 3


@action
def other_decimals():
    decimal.setcontext(decimal.Context(prec=2))


@action
def invoice():
    return str(decimal.Decimal("1234.56") * 1)


@action
def context_variable():
    VARIABLE.set("of another action")


@action
def variable():
    return VARIABLE.get()


@action
def timeout():
    socket.setdefaulttimeout(0.001)


@action
def recursion():
    sys.setrecursionlimit(200)
    sys.setswitchinterval(1)


@action
def rlimits():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@action
def be_nice():
    os.nice(1)


@action
def one_processor():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


@action
def limits():
    return [
        socket.getdefaulttimeout(),
        sys.getrecursionlimit(),
        sys.getswitchinterval(),
        resource.getrlimit(resource.RLIMIT_NOFILE),
        resource.getrlimit(resource.RLIMIT_FSIZE),
        os.nice(0),
        sorted(os.sched_getaffinity(0)),
    ]


def hook(*_):
    return None


@action
def profile():
    threading.setprofile(hook)
    sys.setprofile(hook)


@action
def hooked():
    threading.settrace(hook)
    sys.settrace(hook)
    sys.excepthook = sys.displayhook = sys.unraisablehook = hook
    threading.excepthook = hook


@action
def hooks():
    return [
        repr(one)
        for one in (
            sys.getprofile(),
            sys.gettrace(),
            threading._profile_hook,
            threading._trace_hook,
            sys.excepthook is sys.__excepthook__,
            sys.displayhook is sys.__displayhook__,
            sys.unraisablehook is UNRAISABLE,
            threading.excepthook is threading.__excepthook__,
        )
    ]


@action
def handlers():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)


@action
def masked():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})


@action
def signals():
    handlers = [str(signal.getsignal(number)).split(" at ")[0] for number in range(1, 32)]
    return [handlers, sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))]


@action
def arguments():
    sys.argv[1:] = ["--of-another-action"]
    sys.argv = ["other", "one"]


@action
def paths():
    sys.path.insert(0, "/of/another/action")
    sys.meta_path.reverse()


@action
def arguments_are():
    return [len(sys.argv), "/of/another/action" in sys.path, sys.meta_path.index(sys.meta_path[0])]


@action
def built():
    builtins.print = lambda *_: None
    builtins.shouted = True


@action
def patch():
    tinpot.run_command = None
    tinpot.action_print = None
    time.sleep = None
    socket.socket = None


@action
def forget():
    del sys.modules["tinpot"], sys.modules["logging"]
    import logging as other

    other.disable()


@action
def replace_modules():
    sys.modules["tinpot"] = None
    sys.modules["json"] = None
    sys.modules["of_another_action"] = sys


@action
def shout():
    import json
    from logging import getLogger

    from tinpot import action_print, run_command

    action_print("shouted")
    print("printed")
    time.sleep(0)
    socket.socket().close()
    run_command(["true"])
    return [hasattr(builtins, "shouted"), json.dumps(1), getLogger is logging.getLogger]


@action
def collect():
    gc.disable()
    gc.set_threshold(1, 1, 1)
    gc.callbacks.append(hook)


@action
def collector():
    return [gc.isenabled(), gc.get_threshold(), gc.callbacks]


@action
def locales():
    locale.setlocale(locale.LC_ALL, "C")


@action
def locale_is():
    return locale.setlocale(locale.LC_ALL)


@action
def move_away():
    os.chdir("/")


@action
def gone():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)


@action
def folder():
    return os.getcwd() == "/"


@action
def environment():
    os.environ["LEAK"] = "1"
    os.environ.pop("PATH", None)
    os.environ = {}


@action
def variables():
    return ["LEAK" in os.environ, "PATH" in os.environ, type(os.environ).__name__]


@action
def start_method():
    multiprocessing.set_start_method("spawn")
    return "ok"


@action
def temporary():
    tempfile.tempdir = "/of/another/action"


@action
def temporary_is():
    return tempfile.gettempdir()


@action
def import_again():
    del sys.modules["csv"]
    import csv  # noqa: F401


@action
def modules_are():
    import csv as now

    return now is csv


@action
def stop_clock():
    time.monotonic = time.time = time.perf_counter = lambda: 0
    datetime.datetime = datetime.date = None
    json.dumps = os.getcwd = subprocess.run = None
    subprocess.Popen(["sleep", "0.01"])


@action
def clock():
    print("standard error is a message", file=sys.stderr)
    now = datetime.datetime.now().year > 2000
    return [time.monotonic() > 0, now, json.dumps(1), os.getcwd() != "", callable(subprocess.run)]


@action
def default_decimals():
    decimal.DefaultContext.prec = 3
    decimal.DefaultContext.traps[decimal.Inexact] = True


@action
def debug():
    tracemalloc.start()
    sys.set_coroutine_origin_tracking_depth(5)
    http.client.HTTPConnection.debuglevel = 1
    threading.current_thread().name = "renamed"
    multiprocessing.current_process().name = "renamed"
    logging.addLevelName(logging.ERROR, "MISTAKE")


@action
def debugged():
    return [
        tracemalloc.is_tracing(),
        sys.get_coroutine_origin_tracking_depth(),
        http.client.HTTPConnection.debuglevel,
        threading.current_thread().name,
        multiprocessing.current_process().name,
        logging.getLevelName(logging.ERROR),
    ]


@action
def put_variables():
    os.putenv("LEAK", "1")
    os.unsetenv("PATH")


@action
def variables_of_c():
    return subprocess.run(
        ["/bin/sh", "-c", "echo $LEAK; test -n $PATH"], capture_output=True, text=True
    ).stdout


@action
def real_time_signal():
    signal.signal(signal.SIGRTMIN + 3, signal.SIG_IGN)


@action
def real_time_signal_is():
    return str(signal.getsignal(signal.SIGRTMIN + 3))


HOARD = []


@action
def hoard():
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    HOARD.extend(os.dup(0) for _ in range(min(soft, 100_000) - 20))
    # What lies below is not in order any more.
    os.close(HOARD.pop(0))


@action
def open_many():
    for fd in [os.dup(0) for _ in range(100)]:
        os.close(fd)
    return "ok"
