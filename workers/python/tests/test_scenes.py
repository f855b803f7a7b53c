"""The scenes of the specification, played with the machine and with a log."""

from __future__ import annotations

import json
import unittest
from pathlib import Path
from typing import Any

from tinpot_worker.identity import JoinToken
from tinpot_worker.logs import Log
from tinpot_worker.machine import Machine, Stop
from tinpot_worker.messages import Dispatch, Fence, Malformed, Message

VECTORS = Path(__file__).parents[3] / "docs" / "protocol" / "vectors"


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


def seconds(steps: list[Any]) -> Any:
    """Yields the steps with their times. Rounding must not make a deadline later than it is."""
    for place, step in enumerate(steps):
        yield step["at"] / 1000 + place * 1e-7, step


class Recorder:
    """A host that notes what it is asked for."""

    def __init__(self) -> None:
        self.take()

    def take(self) -> dict[str, list[Any]]:
        taken = getattr(self, "noted", {})
        self.noted: dict[str, list[Any]] = {"sends": [], "starts": [], "stops": []}
        return taken

    def send(self, message: Message) -> None:
        self.noted["sends"].append(message)

    def start(self, dispatch: Dispatch) -> None:
        self.noted["starts"].append(str(dispatch.fence))

    def stop(self, fence: Fence, reason: Stop, grace: float) -> None:
        self.noted["stops"].append([str(fence), reason.value, round(grace * 1000)])

    def forget(self, fence: Fence) -> None:
        pass


class Scenes(unittest.TestCase):
    def assert_has(self, found: Any, expected: Any, where: str) -> None:
        """Checks that every field of `expected` is in `found`. Lists have the same length."""
        if isinstance(expected, dict):
            for name, value in expected.items():
                self.assertIn(name, found, where)
                self.assert_has(found[name], value, where)
        elif isinstance(expected, list):
            self.assertEqual(len(found), len(expected), f"{where}: {found}")
            for one, other in zip(found, expected):
                self.assert_has(one, other, where)
        else:
            self.assertEqual(found, expected, where)

    def test_the_machine_plays_every_scene(self) -> None:
        vectors = load("scenes-1.json")
        worker = vectors["worker"]
        for scene in vectors["scenes"]:
            host = Recorder()
            offer = {"actions": [{"name": name} for name in worker["actions"]]}
            hello = {"name": worker["name"], "slots": worker["slots"], "offer": offer}
            machine = Machine(hello, host, 1e9)
            for now, step in seconds(scene["steps"]):
                if "link_up" in step:
                    machine.link_up(now)
                elif "receive" in step:
                    machine.receive(now, step["receive"])
                elif "finish" in step:
                    end = step["finish"]
                    fence = Fence.parse(end["fence"])
                    machine.finished(now, fence, end["outcome"], end["last_log_seq"])
                elif "drain" in step:
                    machine.patience = step["drain"] / 1000
                    machine.drain(now)
                else:
                    machine.tick(now)
                noted = host.take()
                for kind in ("sends", "starts", "stops"):
                    where = f"{scene['name']}, at {step['at']}: {kind}"
                    self.assert_has(noted[kind], step.get(kind, []), where)

    def test_a_log_plays_every_scene(self) -> None:
        for scene in load("logs-1.json")["scenes"]:
            log = Log(Fence.parse("1.1.1"), lambda: None)
            for now, step in seconds(scene["steps"]):
                for line in step.get("write", []):
                    log.write(line, "stdout", "info")
                if "ack" in step:
                    log.acknowledged(now, int(step["ack"]))
                sent: list[int] = []
                for message in log.due(now):
                    first, count = message["log"]["first_seq"], len(message["log"]["lines"])
                    sent += range(first, first + count)
                self.assertEqual(sent, step.get("sends", []), f"{scene['name']}, at {step['at']}")

    def test_fences_are_read_and_ordered(self) -> None:
        vectors = load("fences-1.json")
        for entry in vectors["valid"]:
            fence = Fence.parse(entry["text"])
            numbers = [fence.epoch.instance, fence.epoch.number, fence.number]
            expected = [int(entry[name]) for name in ("instance", "epoch", "number")]
            self.assertEqual((numbers, str(fence)), (expected, entry["text"]))
        for text in vectors["invalid"]:
            with self.assertRaises(Malformed, msg=text):
                Fence.parse(text)
        order = [Fence.parse(text) for text in vectors["order"]]
        self.assertEqual(sorted(order), order)

    def test_join_tokens_are_read(self) -> None:
        vectors = load("tokens-1.json")
        for entry in vectors["valid"]:
            token = JoinToken.parse(entry["text"])
            self.assertEqual(token.seed.hex(), entry["seed"])
            self.assertEqual(token.coordinator.hex(), entry["coordinator"])
        for text in vectors["invalid"]:
            with self.assertRaises(ValueError, msg=text):
                JoinToken.parse(text)


if __name__ == "__main__":
    unittest.main()
