"""Attempts of a worker, without a broker."""

from __future__ import annotations

import asyncio
import sys
import unittest
from typing import Any
from unittest import mock

from tinpot_worker import Context, Permanent, Worker
from tinpot_worker.logs import Logs
from tinpot_worker.machine import Stop
from tinpot_worker.messages import Dispatch, Fence
from tinpot_worker.worker import schema_of


def dispatch(action: str, **parameters: Any) -> Dispatch:
    fence = Fence.parse("1.1.1")
    return Dispatch(fence, 1, 0, "id", 1, action, parameters, None, 10.0, False, False)


class Attempts(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        self.worker = Worker(slots=1)
        self.ends: asyncio.Queue[Any] = asyncio.Queue()
        machine = mock.Mock()
        machine.finished.side_effect = lambda _now, _fence, end, *_: self.ends.put_nowait(end)
        self.worker._machine = machine
        self.worker._logs = Logs()
        mock.patch.object(self.worker, "_turn").start()
        self.addCleanup(mock.patch.stopall)

    async def outcome(self, request: Dispatch) -> Any:
        self.worker._loop = asyncio.get_running_loop()
        self.worker.start(request)
        return await asyncio.wait_for(self.ends.get(), 5)

    async def test_an_attempt_that_is_cancelled_before_its_first_step_ends(self) -> None:
        @self.worker.action
        async def wait() -> None:
            await asyncio.sleep(60)

        self.worker._loop = asyncio.get_running_loop()
        self.worker.start(dispatch("wait"))
        self.worker.stop(Fence.parse("1.1.1"), Stop.CANCELLED, 10.0)
        self.assertEqual(await asyncio.wait_for(self.ends.get(), 5), "cancelled")

    async def test_an_action_may_raise_anything(self) -> None:
        @self.worker.action
        async def leave() -> None:
            sys.exit(3)

        @self.worker.action
        async def refuse() -> None:
            raise Permanent("never")

        failure = (await self.outcome(dispatch("leave")))["failed"]
        self.assertEqual((failure["kind"], failure["message"]), ("SystemExit", "3"))
        self.assertTrue((await self.outcome(dispatch("refuse")))["failed"]["permanent"])

    async def test_a_result_without_a_form_is_a_permanent_failure(self) -> None:
        @self.worker.action
        async def give(name: str) -> Any:
            return {"nan": float("nan"), "text": "\ud800", "object": object()}[name]

        for name in ("nan", "text", "object"):
            failure = (await self.outcome(dispatch("give", name=name)))["failed"]
            self.assertEqual((failure["kind"], failure["permanent"]), ("ResultError", True))

    def test_the_schema_follows_from_the_signature(self) -> None:
        def act(context: Context, name: str, count: int = 3, *, other: object = None) -> None: ...

        self.assertEqual(
            schema_of(act),
            {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "count": {"type": "integer", "default": 3},
                    "other": {"default": None},
                },
                "required": ["name"],
                "additionalProperties": False,
            },
        )


if __name__ == "__main__":
    unittest.main()
