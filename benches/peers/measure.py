"""One measurement through a peer's own client; run by serve.py."""

import importlib
import json
import os
import sys
import time

queue = importlib.import_module(f"{os.environ['PEER']}_app")


def round_trip(count):
    """Submit one, wait for it, and again."""
    times = []
    for turn in range(count + 100):
        started = time.perf_counter()
        queue.wait(queue.submit("noop", {})[1])
        if turn >= 100:  # the first ones open connections
            times.append((time.perf_counter() - started) * 1000)
    times.sort()
    return {"p50_ms": times[len(times) // 2], "p99_ms": times[len(times) * 99 // 100]}


def end_to_end(count):
    """Enqueue all, then wait for all."""
    queue.wait(queue.submit("noop", {})[1])
    started = time.perf_counter()
    handles = [queue.submit("noop", {})[1] for _ in range(count)]
    enqueued = time.perf_counter()
    for handle in handles:
        queue.wait(handle, 300.0)
    ended = time.perf_counter()
    return {"per_second": count / (ended - started), "enqueued_per_second": count / (enqueued - started)}


if __name__ == "__main__":
    print(json.dumps({"round_trip": round_trip, "end_to_end": end_to_end}[sys.argv[1]](int(sys.argv[2]))))
