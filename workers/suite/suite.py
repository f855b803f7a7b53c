"""Runs a worker against a real broker and a real coordinator, with plain and with sealed frames.

`python3 workers/suite/suite.py COMMAND...` starts COMMAND as the worker. It gets its settings by
the variables MQTT_BROKER, WORKER_NAME, CONCURRENCY (its slots), and, for sealed frames,
TINPOT_JOIN_TOKEN_FILE. It offers the actions `echo`, `lines`, `sleep`, `fail` and `big`; README.md
in this folder says what they do.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from place import Place, Process, wait_for

COUNT = 20_000


class Scenes:
    """The scenes, in order. Each leaves worker and coordinator at work."""

    def __init__(self, frames: str, command: list[str]) -> None:
        self.place = Place(frames)
        self.command = command
        self.variables = {"MQTT_BROKER": self.place.broker, "WORKER_NAME": "one"}
        self.variables["CONCURRENCY"] = "2"
        if frames == "require":
            token = self.place.folder / "token"
            token.write_text(self.place.token("one"))
            self.variables["TINPOT_JOIN_TOKEN_FILE"] = str(token)
        self.start()

    def start(self) -> None:
        self.worker = Process(self.command, self.place.folder, **self.variables)
        try:
            self.place.wait_for_action("echo")
        except AssertionError:
            print(self.worker.log.read_text()[-4000:])
            raise

    def succeeded(self, execution: str) -> object:
        end = self.place.end(execution)
        assert end["status"] == "succeeded", end
        assert len(end["attempts"]) == 1, end
        return end["outcome"].get("result")

    def runs_and_returns(self) -> None:
        for text in ("hello", "", "ümläut 😀 \u2028", "x" * 100_000):
            assert self.succeeded(self.place.submit("echo", text=text)) == text

    def runs_many_once(self) -> None:
        ids = [self.place.submit("echo", text=str(number)) for number in range(200)]
        assert [self.succeeded(one) for one in ids] == [str(number) for number in range(200)]

    def reports_failures(self) -> None:
        end = self.place.end(self.place.submit("fail", message="no disk"))
        assert end["status"] == "failed" and "no disk" in str(end["outcome"]), end

    def refuses_a_large_result(self) -> None:
        end = self.place.end(self.place.submit("big", bytes=2_000_000))
        assert end["status"] == "failed" and "result" in str(end["outcome"]), end
        assert len(str(self.succeeded(self.place.submit("big", bytes=500_000)))) == 500_000

    def writes_a_long_log(self) -> None:
        execution = self.place.submit("lines", count=COUNT)
        self.succeeded(execution)
        expected = [f"line {number}" for number in range(1, COUNT + 1)]
        wait_for("every line", lambda: len(self.place.lines(execution)) >= COUNT)
        assert self.place.lines(execution) == expected

    def cancels(self) -> None:
        execution = self.place.submit("sleep", seconds=60)
        self.place.wait_for(execution, "running")
        self.place.request("POST", f"/api/executions/{execution}/cancel", {})
        assert self.place.end(execution)["status"] == "cancelled"

    def cancels_at_once(self) -> None:
        for _ in range(20):
            execution = self.place.submit("sleep", seconds=60)
            self.place.request("POST", f"/api/executions/{execution}/cancel", {})
            assert self.place.end(execution)["status"] == "cancelled"

    def times_out(self) -> None:
        end = self.place.end(self.place.submit("sleep_briefly", seconds=60))
        assert end["status"] == "timed_out", end

    def survives_the_broker(self) -> None:
        execution = self.place.submit("sleep", seconds=1.5)
        self.place.wait_for(execution, "running")
        self.place.mosquitto.kill()
        self.place.start_broker()
        self.succeeded(execution)

    def survives_the_coordinator(self) -> None:
        execution = self.place.submit("sleep", seconds=1.5)
        self.place.wait_for(execution, "running")
        self.place.coordinator.kill()
        self.place.start()
        self.succeeded(execution)
        assert self.succeeded(self.place.submit("echo", text="again")) == "again"

    def reports_what_ended_meanwhile(self) -> None:
        execution = self.place.submit("sleep", seconds=0.5)
        self.place.wait_for(execution, "running")
        self.place.coordinator.kill()
        # The result is ready, and nothing acknowledges it.
        time.sleep(1)
        self.place.start()
        self.succeeded(execution)

    def lets_another_run_what_it_lost(self) -> None:
        execution = self.place.submit("sleep_retried", seconds=1)
        self.place.wait_for(execution, "running")
        self.worker.kill()
        self.start()
        end = self.place.end(execution)
        assert end["status"] == "succeeded" and len(end["attempts"]) == 2, end

    def drains(self) -> None:
        execution = self.place.submit("sleep", seconds=0.5)
        self.place.wait_for(execution, "running")
        listed = self.place.request("GET", "/api/workers")["workers"]
        live = next(worker["id"] for worker in listed if worker.get("slots"))
        self.place.request("POST", f"/api/workers/{live}/drain", {})
        self.succeeded(execution)
        assert self.worker.child.wait(10) == 0


def run(frames: str, command: list[str]) -> int:
    """Plays all scenes. Returns the number of failures."""
    began = time.monotonic()
    scenes = Scenes(frames, command)
    failures = 0
    try:
        plays: list[Callable[[], None]] = [
            scenes.runs_and_returns,
            scenes.runs_many_once,
            scenes.reports_failures,
            scenes.refuses_a_large_result,
            scenes.writes_a_long_log,
            scenes.cancels,
            scenes.cancels_at_once,
            scenes.times_out,
            scenes.survives_the_broker,
            scenes.survives_the_coordinator,
            scenes.reports_what_ended_meanwhile,
            scenes.lets_another_run_what_it_lost,
            scenes.drains,
        ]
        for play in plays:
            name = f"{frames}: {play.__name__}"
            try:
                play()
                print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception:  # noqa: BLE001 the next scene may still tell something
                failures += 1
                print(f"not ok {name}\n{traceback.format_exc()}", flush=True)
                print(scenes.worker.log.read_text()[-4000:])
    finally:
        scenes.worker.kill()
        scenes.place.close()
    return failures


def main() -> int:
    """Plays all scenes with plain and with sealed frames."""
    command = [str(Path(word).absolute()) if Path(word).exists() else word for word in sys.argv[1:]]
    with ThreadPoolExecutor() as pool:
        failures = sum(pool.map(lambda frames: run(frames, command), ("plain", "require")))
    print(f"{failures} failed")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
