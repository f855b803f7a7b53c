"""Runs one peer with a Redis of its own, and measures what needs the peer's own client.

    python3 benches/peers/serve.py celery|dramatiq

Needs `redis-server`. Makes a venv in target/bench/peers-venv when there is none. Prints one JSON line
when everything answers, then takes commands on standard input, one line each, and answers each with one
JSON line; at the end of the input it stops all it started.

    round_trip N     submit, wait, N times: {"p50_ms", "p99_ms"}
    end_to_end N     enqueue N no-ops, then wait for all: {"per_second", "enqueued_per_second"}
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE.parent.parent / "target" / "bench" / "peers-venv"
PYTHON = VENV / "bin" / "python"

WORKERS = {
    "celery": ["-m", "celery", "-A", "celery_app", "worker", "--pool=prefork", "--concurrency=2", "--loglevel=WARNING"],
    "dramatiq": ["-m", "dramatiq", "dramatiq_app", "--processes", "2", "--threads", "8"],
}


def make_venv():
    """Install the pinned requirements, once per version of the list."""
    wanted = (HERE / "requirements.txt").read_text()
    stamp = VENV / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"], check=True, stdout=2)
    stamp.write_text(wanted)


def free_port():
    """Return a free loopback port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, check, seconds=30.0):
    """Poll until `check` does not raise."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return check()
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"{what} does not answer: {error}") from error
            time.sleep(0.1)


class Peer:
    """The processes of one peer."""

    def __init__(self, name, folder):
        self.name, self.folder, self.processes = name, folder, []
        self.redis_port, self.http_port = free_port(), free_port()
        self.environment = dict(os.environ, PEER=name, REDIS_URL=f"redis://127.0.0.1:{self.redis_port}/0")

    def start(self, program, arguments):
        """Start one process whose output goes to a file of its own."""
        label = len(self.processes)
        with open(Path(self.folder) / f"{label}.log", "wb") as log:
            process = subprocess.Popen(
                [str(program), *map(str, arguments)],
                cwd=HERE,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        return process.pid

    def start_all(self):
        """Redis (nothing on disk), the workers, the API; returns what the caller wants to know."""
        redis = ["--port", self.redis_port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.folder]
        self.start("redis-server", redis)
        wait_for("redis-server", lambda: socket.create_connection(("127.0.0.1", self.redis_port), 1).close())
        worker = self.start(PYTHON, WORKERS[self.name])
        uvicorn = ["-m", "uvicorn", "api:app", "--port", self.http_port, "--log-level", "warning", "--no-access-log"]
        api = self.start(PYTHON, uvicorn)
        url = f"http://127.0.0.1:{self.http_port}/ready"
        wait_for("the API", lambda: urllib.request.urlopen(url, timeout=30).read())
        return {"port": self.http_port, "api_pid": api, "worker_pid": worker}

    def stop(self):
        """Ask, wait, insist."""
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def measure(peer, command):
    """Run one measurement in a process of the venv, which alone can import the peer."""
    output = subprocess.run(
        [PYTHON, HERE / "measure.py", *command], cwd=HERE, env=peer.environment, check=True, stdout=subprocess.PIPE
    )
    return output.stdout.decode().strip()


def end(number, frame):
    """End in the usual way, so that what was started is stopped; once, as stopping takes a while."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)


def main():
    """Serve until the input ends."""
    if len(sys.argv) != 2 or sys.argv[1] not in WORKERS:
        raise SystemExit(__doc__)
    if shutil.which("redis-server") is None:
        raise SystemExit("redis-server is missing: apt-get install redis-server")
    make_venv()
    with tempfile.TemporaryDirectory(prefix="tinpot-peers-") as folder:
        peer = Peer(sys.argv[1], folder)
        signal.signal(signal.SIGTERM, end)
        try:
            print(json.dumps(peer.start_all()), flush=True)
            for line in sys.stdin:
                print(measure(peer, line.split()), flush=True)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            peer.stop()


if __name__ == "__main__":
    main()
