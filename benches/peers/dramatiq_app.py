"""The jobs on Dramatiq: broker and results in Redis."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from jobs import print_lines

REDIS_URL = os.environ["REDIS_URL"]

broker = RedisBroker(url=REDIS_URL)
broker.add_middleware(Results(backend=RedisBackend(url=REDIS_URL)))
broker.add_middleware(CurrentMessage())
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True, max_retries=0)
def noop():
    """Do nothing: only the round trip is measured."""


@dramatiq.actor(store_results=True, max_retries=0, time_limit=600_000)
def lines(count):
    """Print `count` lines to the execution's log stream."""
    return print_lines(CurrentMessage.get_current_message().message_id, count)


TASKS = {"noop": noop, "lines": lines}


def submit(name, parameters):
    """Enqueue one task; returns (id, handle)."""
    handle = TASKS[name].send_with_options(kwargs=parameters)
    return handle.message_id, handle


def wait(handle, timeout=60.0):
    """Block until the task has ended and return its result."""
    return handle.get_result(block=True, timeout=int(timeout * 1000))
