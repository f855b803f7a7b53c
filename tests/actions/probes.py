"""Actions that leave traces for the tests to find."""

import ctypes
import os
import resource
import signal
import subprocess
import time

from tinpot import action


@action
def mark(file: str, text: str, seconds: float = 0.0):
    """Append one line to a file, in one write, and take some time."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, f"{text}\n".encode())
    os.close(handle)
    time.sleep(seconds)
    return text


@action
def chatty(file: str, text: str, count: int, seconds: float):
    """Leave a mark, and print that many lines, spread over some time."""
    mark(file, text)
    for number in range(1, count + 1):
        print(f"{text}: line {number}")
        time.sleep(seconds / count)
    return text


@action(retries=3)
def guarded(file: str, seconds: float):
    """Write the process id and whether an earlier process is still alive to a file.

    The first attempt takes some time, later ones take none.
    """
    before = []
    if os.path.exists(file):
        with open(file) as lines:
            before = [line.split()[0] for line in lines]
    alive = [pid for pid in before if _is_alive(pid)]
    mark(file, f"{os.getpid()} {'overlaps' if alive else 'alone'}")
    if not before:
        time.sleep(seconds)
    return len(before) + 1


@action
def hold(file: str, seconds: float):
    """Write the process id to a file, sleep, and write that it is done."""
    mark(file, str(os.getpid()), seconds)
    mark(file, "done")
    return os.getpid()


@action
def until(file: str):
    """Print numbered lines until the file exists."""
    number = 0
    while not os.path.exists(file):
        number += 1
        print(f"line {number}", flush=True)
        time.sleep(0.01)
    return number


@action
def family(file: str):
    """Start a child that starts a child, write their ids to a file, and wait forever."""
    script = 'sleep 1000 & echo $! >> "$1"; wait'
    child = subprocess.Popen(["sh", "-c", script, "sh", file])
    with open(file, "a") as ids:
        ids.write(f"{os.getpid()}\n{child.pid}\n")
    print("started", flush=True)
    child.wait()


@action
def outcast(file: str):
    """Start two daemons, write all ids to a file, and wait forever.

    Each daemon is forked twice, has its own session, ignores SIGTERM and keeps the output open.
    """
    mark(file, str(os.getpid()))
    for _ in range(2):
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if os.fork() == 0:
                mark(file, str(os.getpid()))
                time.sleep(1000)
            os._exit(0)
        os.wait()
    time.sleep(1000)


@action
def lines(count: int, gate: str = ""):
    """Print that many lines; with a gate, all but the first only once that file is there."""
    for number in range(1, count + 1):
        print(f"line {number}", flush=number == 1)
        while number == 1 and gate and not os.path.exists(gate):
            time.sleep(0.01)


@action(queue="special", group="Special")
def special():
    """Run on workers of queue `special` only."""
    return "special"


@action
def where():
    """The process that runs this."""
    return os.getppid()


def _is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@action
def is_there(process: int):
    """Return True if a process exists and is not a zombie."""
    return _is_alive(process)


@action
def clock():
    """The wall clock, in seconds since 1970."""
    return time.time()


def _started():
    """Return the start time of this process, which identifies it together with its id."""
    with open("/proc/self/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[19]


def _runs(process):
    try:
        with open(f"/proc/{process[0]}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return fields[0] != "Z" and fields[19] == process[1]
    except OSError:
        return False


def _soak(directory, name, seconds, fail=False):
    file = os.path.join(directory, name)
    me = [str(os.getpid()), _started()]
    started = []
    if os.path.exists(file):
        with open(file) as lines:
            for line in lines:
                word, *process = line.split()[:3]
                started.append(process) if word == "start" else started.remove(process)
            fail = False
    overlaps = any(_runs(process) for process in started)
    mark(file, " ".join(["start", *me, "overlaps" if overlaps else "alone"]))
    try:
        for part in (1, 2, 3):
            print(f"part {part} of 3", flush=True)
            time.sleep(seconds / 3)
        if fail:
            raise RuntimeError("the first attempt fails")
        return name
    finally:
        mark(file, " ".join(["end", *me]))


@action
def once(directory: str, name: str, seconds: float):
    """Write down its start and its end."""
    return _soak(directory, name, seconds)


@action
def again(directory: str, name: str, seconds: float, fail: bool = False):
    """Write down its starts and its ends, and whether one began before another was over."""
    return _soak(directory, name, seconds, fail)


@action
def segfault():
    """Read from nowhere."""
    ctypes.string_at(0)


@action
def leave(code: int):
    """End the interpreter without a word."""
    os._exit(code)


@action
def shoot():
    """Do what the kernel does to the largest process when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


@action
def exhaust():
    """Take memory until there is none, for this process at least."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, before[1]))
        taken = []
        while True:
            taken.append(bytearray(64 << 20))
    finally:
        taken = None
        resource.setrlimit(resource.RLIMIT_AS, before)


@action
def deaf(file: str):
    """Ignore requests to end, and never end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    mark(file, str(os.getpid()))
    while True:
        pass


@action
def freeze(file: str):
    """Stop, as by Ctrl-Z, and never go on."""
    mark(file, str(os.getpid()))
    os.kill(os.getpid(), signal.SIGSTOP)


@action
def flood(megabytes: int):
    """Write that many million bytes of lines, as fast as they are read."""
    block = b"".join(b"%099d\n" % number for number in range(10_000))
    for _ in range(megabytes):
        _write(block)


@action
def long_line(megabytes: int):
    """Write one line of that many million bytes, and another one."""
    for _ in range(megabytes):
        _write(b"x" * 1_000_000)
    _write(b"\nnext\n")


def _write(data: bytes):
    while data:
        data = data[os.write(1, data) :]


@action
def odd_bytes():
    """Write what is no text."""
    _write(
        b"not \xff\xfe utf-8\nnul \x00 inside\n\x1b[31mred\x1b[0m\ncut \xe2\x82\n\n"
        b"bell \x07\rback\nno end"
    )


@action
def large_result(megabytes: int):
    """Return a text of that many million characters."""
    return "x" * (megabytes * 1_000_000)
