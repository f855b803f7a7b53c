"""The HTTP side of the peers: FastAPI in front of a task queue, as in the Celery-era system.

`PEER` chooses the queue: `celery` or `dramatiq`. The log stream subscribes when it is opened and
forwards what is published from then on.
"""

import importlib
import json
import os
import time

import redis.asyncio
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from jobs import channel
from pydantic import BaseModel

queue = importlib.import_module(f"{os.environ['PEER']}_app")
subscriptions = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"])
app = FastAPI()

# A stream that hears nothing for this long has ended: its end was published before it subscribed.
SILENCE_SECONDS = 5.0


class Request(BaseModel):
    """The body of a submit."""

    parameters: dict = {}


def submit(name, request):
    """Enqueue, or answer 404."""
    if name not in queue.TASKS:
        raise HTTPException(404, f"no action is called {name}")
    return queue.submit(name, request.parameters)


@app.get("/ready")
def ready():
    """Answers 200 once a worker has done a task."""
    queue.wait(queue.submit("noop", {})[1], 30.0)
    return {"ready": True}


@app.post("/api/actions/{name}/sync_execute")
def sync_execute(name: str, request: Request):
    """Run and wait; FastAPI runs it on its thread pool."""
    execution_id, handle = submit(name, request)
    result = queue.wait(handle)
    return {"execution_id": execution_id, "action_name": name, "status": "SUCCESS", "result": result}


@app.post("/api/actions/{name}/execute")
def execute(name: str, request: Request):
    """Run and answer at once."""
    execution_id, _ = submit(name, request)
    stream_url = f"/api/executions/{execution_id}/stream"
    return {"execution_id": execution_id, "status": "submitted", "stream_url": stream_url}


@app.get("/api/executions/{execution_id}/stream")
async def stream(execution_id: str):
    """Server-sent events from now on."""

    async def events():
        async with subscriptions.pubsub() as subscription:
            await subscription.subscribe(channel(execution_id))
            yield 'data: {"type": "connected"}\n\n'
            heard = time.monotonic()
            while time.monotonic() - heard < SILENCE_SECONDS:
                message = await subscription.get_message(ignore_subscribe_messages=True, timeout=1.0)
                if message is None:
                    continue
                heard = time.monotonic()
                data = message["data"].decode()
                yield f"data: {data}\n\n"
                if json.loads(data)["type"] == "complete":
                    return
            yield 'data: {"type": "complete", "data": {"state": "UNKNOWN"}}\n\n'

    return StreamingResponse(events(), media_type="text/event-stream")
