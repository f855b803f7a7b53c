"""The worker with the actions that the suites call."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from tinpot_worker import Context, Identity, Worker, join


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    broker, name = os.environ["MQTT_BROKER"], os.environ["WORKER_NAME"]
    identity = None
    token = os.environ.get("TINPOT_JOIN_TOKEN_FILE")
    if token is not None:
        key = Path("worker.key")
        if not key.exists():
            await join(broker, Path(token).read_text(), name, save=key)
        identity = Identity.load(key)
    worker = Worker(broker, name=name, slots=int(os.environ["CONCURRENCY"]), identity=identity)

    @worker.action
    def echo(text: str) -> str:
        return text

    calls = 0

    @worker.action
    async def count() -> int:
        nonlocal calls
        calls += 1
        return calls

    @worker.action
    async def lines(context: Context, count: int) -> None:
        for number in range(1, count + 1):
            context.log(f"line {number}")

    @worker.action
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)

    worker.action(sleep, name="sleep_briefly", timeout=0.3)
    worker.action(sleep, name="sleep_retried", retry={"retries": 2, "delay_ms": 100})

    @worker.action
    def fail(message: str) -> None:
        raise ValueError(message)

    @worker.action
    def big(bytes: int) -> str:
        return "x" * bytes

    await worker.run()


asyncio.run(main())
