"""Workers that break the protocol on purpose, and the scene that notices each.

`mutants.py NAME` runs the worker of `examples/conformance.py` with one fault. `mutants.py` without
a name plays each in its scene, and fails unless the scene does. TINPOT names the program.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tinpot_worker import logs, machine, seal, worker
from tinpot_worker.machine import Machine

WORKER = Path(__file__).parents[1] / "examples" / "conformance.py"
MUTANTS: dict[str, tuple[str, Callable[[], None]]] = {}
"""The scene of each mutant, and what it does to the library."""


def mutant(scene: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Registers a mutant by the name of its function."""

    def register(change: Callable[[], None]) -> Callable[[], None]:
        MUTANTS[change.__name__] = (scene, change)
        return change

    return register


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replaces a function by what `make` returns for it."""
    setattr(owner, name, make(getattr(owner, name)))


def nothing(*_: Any, **__: Any) -> None:
    """Does nothing."""


@mutant("dispatch/repeated-after-its-end")
def runs_repetitions() -> None:
    def make(dispatched: Any) -> Any:
        def forgetful(self: Machine, now: float, dispatch: Any) -> None:
            if self.store is not None:
                self.store.seen.clear()
                self.store.settled = 0
            held = self.held.get(dispatch.fence)
            if held is not None and held.report is not None:
                del self.held[dispatch.fence]
            dispatched(self, now, dispatch)

        return forgetful

    replace(Machine, "_dispatched", make)


@mutant("dispatch/late")
def ignores_epochs() -> None:
    def make(adopt: Any) -> Any:
        return lambda self, epoch, echo: adopt(self, epoch, echo) or self.store

    replace(Machine, "_adopt", make)


@mutant("epochs/another-store-too-soon")
def follows_any_store() -> None:
    machine.SILENT_BEATS = -100


@mutant("dispatch/settled")
def forgets_what_is_settled() -> None:
    machine.Store.settle = nothing  # type: ignore[method-assign]


@mutant("dispatch/unknown-action")
def is_silent_about_unknown_actions() -> None:
    def make(send: Any) -> Any:
        return lambda self, message: None if "reject" in message else send(self, message)

    replace(worker.Worker, "send", make)


@mutant("cancel/running")
def ignores_cancels() -> None:
    Machine._cancelled = nothing  # type: ignore[method-assign]


@mutant("cancel/before-the-dispatch")
def forgets_early_cancels() -> None:
    def make(cancelled: Any) -> Any:
        def forgetful(self: Machine, now: float, fence: Any, force: bool) -> None:
            cancelled(self, now, fence, force)
            if self.store is not None and self.store.seen.get(fence.number, "") is None:
                del self.store.seen[fence.number]

        return forgetful

    replace(Machine, "_cancelled", make)


@mutant("results/sent-again")
def sends_results_once() -> None:
    machine.RESEND = 1e9


@mutant("results/acknowledged")
def ignores_acknowledgements() -> None:
    def make(asked: Any) -> Any:
        def deaf(self: Machine, now: float, kind: str, body: Any) -> None:
            if kind != "result_ack":
                asked(self, now, kind, body)

        return deaf

    replace(Machine, "_asked", make)


@mutant("results/acknowledged-by-an-earlier-epoch")
def takes_acknowledgements_of_any_epoch() -> None:
    def make(receive: Any) -> Any:
        def gullible(self: Machine, now: float, message: Any) -> None:
            if "result_ack" in message:
                message["result_ack"]["epoch"] = str(self.epoch)
            receive(self, now, message)

        return gullible

    replace(Machine, "receive", make)


@mutant("results/after-a-reconnect")
def forgets_results_with_the_connection() -> None:
    def make(link_up: Any) -> Any:
        def forgetful(self: Machine, now: float) -> None:
            self.held.clear()
            link_up(self, now)

        return forgetful

    replace(Machine, "link_up", make)


@mutant("results/held")
def hides_what_has_ended() -> None:
    def make(send: Any) -> Any:
        def hiding(self: Any, message: Any) -> None:
            if "beat" in message:
                message["beat"]["held"] = []
            send(self, message)

        return hiding

    replace(worker.Worker, "send", make)


@mutant("results/too-large")
def sends_results_of_any_size() -> None:
    worker.RESULT_BYTES = 1 << 40


@mutant("slots/waiting")
def runs_more_than_its_slots() -> None:
    def make(start_waiting: Any) -> Any:
        def eager(self: Machine, now: float) -> None:
            self.slots += 5
            start_waiting(self, now)
            self.slots -= 5

        return eager

    replace(Machine, "_start_waiting", make)


@mutant("slots/given-back")
def keeps_what_waits() -> None:
    machine.WAITING = 1e9


@mutant("leases/retryable")
def outlives_its_lease() -> None:
    def make(dispatched: Any) -> Any:
        def careless(self: Machine, now: float, dispatch: Any) -> None:
            object.__setattr__(dispatch, "retryable", False)
            dispatched(self, now, dispatch)

        return careless

    replace(Machine, "_dispatched", make)


@mutant("leases/from-the-sending")
def counts_the_lease_from_the_echo() -> None:
    def make(acknowledged: Any) -> Any:
        def optimistic(self: Machine, now: float, body: Any) -> None:
            acknowledged(self, now, body)
            self._lease_until = now + self._lease

        return optimistic

    replace(Machine, "_acknowledged_beat", make)


@mutant("leases/dropped")
def reports_what_was_dropped() -> None:
    def dropped(self: Machine, fence: Any) -> None:
        self._cancelled(self._looked_at, fence, force=True)

    Machine._dropped = dropped  # type: ignore[method-assign]


@mutant("probes/not-held")
def ignores_probes() -> None:
    Machine._not_here = nothing  # type: ignore[method-assign]


@mutant("beats/three-in-a-lease")
def beats_as_it_is_told() -> None:
    def make(acknowledged: Any) -> Any:
        def literal(self: Machine, now: float, body: Any) -> None:
            acknowledged(self, now, body)
            self._beat_interval = body.get("beat_ms", 5_000) / 1000

        return literal

    replace(Machine, "_acknowledged_beat", make)


@mutant("introduction/when-asked")
def answers_coordinators_of_the_past() -> None:
    def make(receive: Any) -> Any:
        def polite(self: Machine, now: float, message: Any) -> None:
            if "who_is_there" in message:
                self._hello(now)
            else:
                receive(self, now, message)

        return polite

    replace(Machine, "receive", make)


@mutant("drain/acknowledged-first")
def leaves_before_it_is_heard() -> None:
    def make(take_nothing_new: Any) -> Any:
        def hasty(self: Machine, now: float) -> None:
            self.held.clear()
            take_nothing_new(self, now)

        return hasty

    replace(Machine, "_take_nothing_new", make)


@mutant("drain/waiting")
def takes_more_while_it_drains() -> None:
    def make(refusal: Any) -> Any:
        def busy(self: Machine, now: float, dispatch: Any) -> Any:
            why = refusal(self, now, dispatch)
            return None if why == "draining" else why

        return busy

    replace(Machine, "_refusal", make)


@mutant("logs/window")
def ignores_the_log_window() -> None:
    logs.WINDOW_BYTES = 1 << 40


@mutant("logs/sent-again")
def sends_lines_once() -> None:
    logs.RESEND = 1e9


@mutant("logs/lines")
def numbers_lines_with_gaps() -> None:
    def make(add: Any) -> Any:
        def skipping(self: Any, *arguments: Any) -> None:
            if self.last_seq % 100 == 50:
                self.last_seq += 1
            add(self, *arguments)

        return skipping

    replace(logs.Log, "_add", make)


@mutant("logs/not-wanted")
def sends_lines_that_are_not_wanted() -> None:
    def make(acknowledged: Any) -> Any:
        def stubborn(self: Any, now: float, seq: int) -> None:
            acknowledged(self, now, 0 if seq > self.last_seq else seq)

        return stubborn

    replace(logs.Log, "acknowledged", make)


@mutant("frames/for-another-worker")
def reads_frames_of_others() -> None:
    def make(read_frame: Any) -> Any:
        def nosy(document: bytes, _: str) -> Any:
            return read_frame(document, json.loads(document).get("to"))

        return nosy

    replace(worker, "read_frame", make)


@mutant("frames/unknown-message")
def drops_frames_with_unknown_messages() -> None:
    known = {"dispatch", "beat_ack", "cancel", "drain", "probe", "result_ack", "who_is_there"}

    def make(read_frame: Any) -> Any:
        def strict(document: bytes, own: str) -> Any:
            messages = read_frame(document, own)
            return messages if all(set(message) <= known for message in messages) else []

        return strict

    replace(worker, "read_frame", make)


@mutant("sealed/plain")
def takes_plain_frames() -> None:
    def make(read: Any) -> Any:
        def trusting(self: Any, now: float, lane: int, frame: bytes) -> Any:
            return frame if frame[:1] == b"{" else read(self, now, lane, frame)

        return trusting

    replace(seal.Sessions, "read", make)


@mutant("sealed/repeated")
def takes_sealed_frames_again() -> None:
    seal.Window.is_fresh = lambda self, counter: True  # type: ignore[method-assign]


@mutant("sealed/forged-notice")
def believes_every_notice() -> None:
    def make(read: Any) -> Any:
        def credulous(kind: int, frame: bytes, public: bytes, **expected: object) -> Any:
            if kind == seal.NOTICE:
                return json.loads(seal.payload_of(frame))
            return read(kind, frame, public, **expected)

        return credulous

    replace(seal, "read_signed", make)


def is_noticed(name: str) -> str | None:
    """Plays a mutant in its scene. Returns what is wrong if it passes, or cannot be played."""
    scene, _ = MUTANTS[name]
    program = os.environ.get("TINPOT", "tinpot")
    command = [program, "conformance", "worker", "--scene", scene, "--format", "json"]
    command += ["--patience", "4", "--", sys.executable, __file__, name]
    played = subprocess.run(command, check=False, capture_output=True, text=True)
    if not played.stdout:
        return f"{name}: the suite did not run: {played.stderr}"
    (verdict,) = json.loads(played.stdout)["scenes"]
    if verdict["passed"]:
        return f"{name} passes {scene}"
    failure = verdict["failure"]
    if "Traceback" in failure["output"]:
        return f"{name} does not run:\n{failure['output']}"
    print(f"ok {name}: {failure['came'][:100]}", flush=True)
    return None


def main() -> int:
    """Runs one mutant, or plays all."""
    if len(sys.argv) > 1:
        MUTANTS[sys.argv[1]][1]()
        runpy.run_path(str(WORKER), run_name="__main__")
        return 0
    with ThreadPoolExecutor(6) as pool:
        failures = [failure for failure in pool.map(is_noticed, MUTANTS) if failure]
    print("\n".join(failures), f"{len(MUTANTS) - len(failures)} of {len(MUTANTS)} are noticed")
    return min(len(failures), 1)


if __name__ == "__main__":
    sys.exit(main())
