"""The log stream over Redis publish and subscribe, which the tasks of both peers share."""

import json
import os
import time

import redis

_client = None


def client():
    """One connection per process, made after the fork."""
    global _client
    if _client is None:
        _client = redis.Redis.from_url(os.environ["REDIS_URL"])
    return _client


def channel(execution_id):
    """The channel that carries the log of one execution."""
    return f"logs:{execution_id}"


def print_lines(execution_id, count):
    """Publish one message per line and the end, as `action_print` of the Celery-era system did."""
    connection, name = client(), channel(execution_id)
    for seq in range(1, count + 1):
        data = {"timestamp": time.time(), "level": "INFO", "message": f"line {seq}", "seq": seq}
        connection.publish(name, json.dumps({"type": "log", "data": data}))
    complete = {"type": "complete", "data": {"state": "SUCCESS", "successful": True}}
    connection.publish(name, json.dumps(complete))
    return count
