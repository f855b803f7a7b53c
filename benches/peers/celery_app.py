"""The jobs on Celery: broker and results in Redis, as the Celery-era system had them."""

import os

from celery import Celery
from jobs import print_lines

REDIS_URL = os.environ["REDIS_URL"]

app = Celery("peers", broker=REDIS_URL, backend=REDIS_URL)
app.conf.update(
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    worker_hijack_root_logger=False,
)


@app.task(name="noop")
def noop():
    """Do nothing: only the round trip is measured."""


@app.task(name="lines", bind=True)
def lines(self, count):
    """Print `count` lines to the execution's log stream."""
    return print_lines(self.request.id, count)


TASKS = {"noop": noop, "lines": lines}


def submit(name, parameters):
    """Enqueue one task; returns (id, handle)."""
    handle = TASKS[name].delay(**parameters)
    return handle.id, handle


def wait(handle, timeout=60.0):
    """Block until the task has ended and return its result."""
    return handle.get(timeout=timeout)
