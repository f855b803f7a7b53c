"""A worker with two actions. Start a coordinator, then this, then `tinpot run greet --name Ada`."""

import asyncio

from tinpot_worker import Context, Worker

worker = Worker("mqtt://localhost:1883", name="hello", slots=4)


@worker.action
def greet(name: str) -> str:
    """Greets a person."""
    return f"Hello {name}"


@worker.action(timeout=60)
async def count(context: Context, to: int = 10) -> int:
    """Counts, and can be cancelled at any number."""
    for number in range(1, to + 1):
        context.log(f"at {number}")
        context.progress(number, to)
        await asyncio.sleep(1)
    return to


if __name__ == "__main__":
    asyncio.run(worker.run())
