"""The decisions of a worker: which attempts to run, when to end them, what to report until when.

The machine has no clock and does no I/O. Its caller passes the time in seconds, and performs what
the machine asks of its `Host`.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from .messages import Dispatch, Epoch, Fence, Message, number, typed

RESEND = 1.0
"""The time until an unanswered message is sent again."""
ACCEPT_DELAY = 0.005
"""The longest delay of an `accept`: a `result` that is ready by then replaces it."""
WAITING = 0.5
"""The time that an attempt may wait for a slot before it is given back."""
WAITING_PER_SLOT = 256
LOOK = 0.1
"""The time between two looks at the attempts that are held."""
SILENT_BEATS = 3
"""The beats that another store must have heard after the last one that the present one echoed."""
EPOCHAL = ("cancel", "probe", "drain", "result_ack")
"""The messages that count only if they are of the epoch that the worker follows."""
FORMER = 8
"""The number of stores that were left and are remembered."""
SHORT_GRACE = 2.0
"""The longest grace period of attempts that are dropped, or outlived the patience of a drain."""


class Stop(enum.Enum):
    """The reason why an attempt is asked to end."""

    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    FENCED = "fenced"
    SHUTTING_DOWN = "shutting_down"


class Host(Protocol):
    """The caller of a machine, which has clock, transport and attempts."""

    def send(self, message: Message) -> None:
        """Sends a message to the coordinator."""

    def start(self, dispatch: Dispatch) -> None:
        """Starts an attempt, and calls `finished` once nothing of it is alive."""

    def stop(self, fence: Fence, reason: Stop, grace: float) -> None:
        """Asks an attempt to end, and kills it after the grace period."""

    def forget(self, fence: Fence) -> None:
        """Drops the log of an attempt."""


@dataclass
class Held:
    """An attempt that the worker holds, until its end is acknowledged."""

    dispatch: Dispatch
    since: float
    """The begin of the wait or of the run."""
    running: bool = False
    said: bool | None = None
    """The value of `running` in the last `accept`."""
    reason: Stop | None = None
    """The first reason for which it was asked to end."""
    dropped: bool = False
    hurried: bool = False
    """True if the end of the lease has replaced a longer grace period."""
    report: Message | None = None
    """The end of the attempt, which is sent until it is acknowledged."""
    sent_at: float = 0.0


@dataclass
class Store:
    """The latest known epoch of a coordinator's store, and what was handled in it."""

    epoch: Epoch
    settled: int = 0
    seen: dict[int, str | None] = field(default_factory=dict)
    """The fences above `settled` that were handled, each with the reason of its rejection.

    A cancel that arrives before its dispatch leaves its fence here, too.
    """

    def settle(self, up_to: int) -> None:
        """Forgets fences that are not dispatched again."""
        if up_to > self.settled:
            self.settled = up_to
            self.seen = {seen: why for seen, why in self.seen.items() if seen > up_to}


class Machine:
    """The worker's side of the protocol."""

    def __init__(self, description: Message, host: Host, patience: float) -> None:
        """Takes the fields of a `hello` that do not change, with all slots."""
        self.description = description
        self.host = host
        self.patience = patience
        self.slots = int(description["slots"])
        self.actions = {action["name"] for action in description["offer"]["actions"]}
        self.store: Store | None = None
        """The store whose coordinator the worker follows."""
        self.held: dict[Fence, Held] = {}
        self.draining = False
        self._stores: dict[int, Store] = {}
        self._end_at = math.inf
        self._waiting: deque[Fence] = deque()
        self._running = 0
        self._last_beat = 0
        self._beats: dict[int, float] = {}
        self._next_beat = math.inf
        self._lease = 60.0
        self._lease_until = 0.0
        self._terms_of: Epoch | None = None
        self._beat_interval = 5.0
        self._last_echo = 0
        self._accepts: deque[tuple[float, Fence]] = deque()
        self._looked_at = 0.0

    @property
    def epoch(self) -> Epoch | None:
        """The epoch that the worker follows."""
        return None if self.store is None else self.store.epoch

    # The link and the clock.

    def link_up(self, now: float) -> None:
        """Introduces the worker on a new connection, and repeats every report."""
        self._hello(now)
        for fence, held in self.held.items():
            if held.report is not None:
                self._repeat(now, fence, held)

    def wake_at(self) -> float:
        """Returns when `tick` must be called."""
        accept = self._accepts[0][0] if self._accepts else math.inf
        look = self._looked_at + LOOK if self.held else math.inf
        return min(self._next_beat, self._end_at, accept, look)

    def tick(self, now: float) -> None:
        """Performs everything that is due."""
        self._looked_at = now
        for fence, held in list(self.held.items()):
            self._look(now, fence, held)
        while self._accepts and self._accepts[0][0] <= now:
            fence = self._accepts.popleft()[1]
            waiting = self.held.get(fence)
            if waiting and waiting.report is None and waiting.said != waiting.running:
                self._repeat(now, fence, waiting)
        if self._next_beat <= now:
            self._beat(now)
        if self._end_at <= now:
            self._end_at = math.inf
            for fence, held in list(self.held.items()):
                self._stop(fence, held, Stop.SHUTTING_DOWN, min(held.dispatch.grace, SHORT_GRACE))

    def _look(self, now: float, fence: Fence, held: Held) -> None:
        dispatch = held.dispatch
        if held.report is not None:
            if held.sent_at + RESEND <= now:
                self._repeat(now, fence, held)
        elif dispatch.retryable and self._lease_until - self._margin(dispatch) <= now:
            # Another worker may run it once the lease is over, so it must be dead by then.
            if not held.running:
                self._give_back(now, fence)
            elif held.reason is None:
                self._stop(fence, held, Stop.FENCED, min(dispatch.grace, self._lease / 3))
            elif dispatch.grace > self._lease / 3 and not held.hurried:
                held.hurried = True
                if held.reason is not Stop.FENCED:
                    self.host.stop(fence, held.reason, self._lease / 3)
        elif not held.running:
            if held.since + WAITING <= now:
                self._give_back(now, fence)
        elif dispatch.timeout is not None and held.since + dispatch.timeout <= now:
            self._stop(fence, held, Stop.TIMED_OUT, dispatch.grace)

    def _margin(self, dispatch: Dispatch) -> float:
        return min(dispatch.grace, self._lease / 3) + self._lease / 20

    # Messages to the coordinator.

    def _send(self, kind: str, body: Message) -> None:
        if self.store is not None:
            body["epoch"] = str(self.store.epoch)
        self.host.send({kind: body})

    def _hello(self, now: float) -> None:
        slots = 0 if self.draining else self.slots
        self._send("hello", {**self.description, "slots": slots, "seq": self._last_beat + 1})
        self._beat(now)

    def _beat(self, now: float) -> None:
        self._last_beat += 1
        self._beats[self._last_beat] = now
        # The echo of an older beat could not extend the lease.
        self._beats = {seq: at for seq, at in self._beats.items() if at >= now - self._lease}
        self._next_beat = now + self._beat_interval
        free = max(self.slots - self._running, 0)
        held = [str(fence) for fence in self.held]
        self._send("beat", {"seq": self._last_beat, "free": free, "held": held})

    def _repeat(self, now: float, fence: Fence, held: Held) -> None:
        """Sends the report of an attempt again, or says that the worker has it."""
        if held.report is not None:
            held.sent_at = now
            self.host.send(held.report)
        else:
            held.said = held.running
            self.host.send({"accept": {"fence": str(fence), "running": held.running}})

    # Messages from the coordinator.

    def receive(self, now: float, message: Message) -> None:
        """Handles a message of the control lane. Raises `Malformed` if it cannot be read."""
        # Overdue attempts end before any message can extend the lease, also after a long sleep.
        if self._looked_at + LOOK <= now:
            self.tick(now)
        kind = next(iter(message))
        body = typed(dict, message, kind)
        epoch, last_beat = self.epoch, self._last_beat
        if kind == "dispatch":
            self._dispatched(now, Dispatch.read(body))
        elif kind == "beat_ack":
            self._acknowledged_beat(now, body)
        elif kind == "who_is_there":
            # Also answers coordinators of later epochs and other stores: the echo of the next beat
            # shows that they are at work.
            if epoch is None or not epoch.is_after(Epoch.parse(body.get("epoch"))):
                self._hello(now)
        elif kind in EPOCHAL and Epoch.parse(body.get("epoch")) == epoch:
            self._asked(now, kind, body)
        if self.epoch != epoch and self._last_beat == last_beat:
            # The coordinator dispatches nothing before it knows that the worker follows it.
            self._beat(now)

    def _asked(self, now: float, kind: str, body: Message) -> None:
        if kind == "drain":
            if self.draining:
                # The coordinator repeats its request until the hello arrives.
                self._hello(now)
            else:
                self.drain(now)
            return
        fence = Fence.parse(body.get("fence"))
        held = self.held.get(fence)
        if kind == "cancel":
            self._cancelled(now, fence, body.get("force") is True)
        elif kind == "result_ack":
            if held is not None and held.report is not None:
                del self.held[fence]
        elif held is None:
            self._not_here(fence)
        else:
            self._repeat(now, fence, held)

    def _acknowledged_beat(self, now: float, body: Message) -> None:
        epoch, echo = Epoch.parse(body.get("epoch")), number(body, "seq_echo")
        settled = number(body, "settled", 0)
        dropped = [Fence.parse(fence) for fence in typed(list, body, "drop", [])]
        cancelled = [Fence.parse(fence) for fence in typed(list, body, "cancel", [])]
        # Without these two, the coordinator is of an earlier version.
        lease = number(body, "lease_ms", 60_000) / 1000
        beat = number(body, "beat_ms", 5_000) / 1000
        store = self._adopt(epoch, echo)
        if store is None:
            return
        self._terms_of, self._lease = epoch, lease
        # A lease shorter than three beats would end between two of them.
        self._beat_interval = min(beat, lease / 3)
        self._renew(echo)
        store.settle(settled)
        for fence in dropped:
            self._dropped(fence)
        for fence in cancelled:
            self._cancelled(now, fence, force=False)

    def _renew(self, echo: int) -> bool:
        """Extends the lease from the moment at which the echoed beat was sent."""
        sent = self._beats.get(echo)
        if sent is not None and self._terms_of == self.epoch:
            self._lease_until = max(self._lease_until, sent + self._lease)
        return sent is not None

    def _adopt(self, epoch: Epoch, echo: int) -> Store | None:
        """Follows an epoch that echoes a beat, if it has taken over. Returns its store if it has."""
        present, known = self.store, self._stores.get(epoch.instance)
        is_ours = echo in self._beats
        if present is None or present.epoch != epoch:
            is_refused = known.epoch > epoch if known else len(self._stores) > FORMER
            # Another store has taken over only if the present one has been silent.
            is_other = present is not None and present is not known
            if is_refused or not is_ours or (is_other and echo < self._last_echo + SILENT_BEATS):
                return None
        if known is None or known.epoch != epoch:
            known = self._stores[epoch.instance] = Store(epoch)
        if is_ours:
            self._last_echo = max(self._last_echo, echo)
        self.store = known
        return known

    def _dispatched(self, now: float, dispatch: Dispatch) -> None:
        fence = dispatch.fence
        store = self._adopt(fence.epoch, dispatch.seq_echo)
        if store is None:
            return
        held = self.held.get(fence)
        if held is not None:
            self._repeat(now, fence, held)
            return
        if fence.number <= store.settled:
            return
        is_new = fence.number not in store.seen
        why = self._refusal(now, dispatch) if is_new else store.seen[fence.number]
        if why is not None:
            self.host.send({"reject": {"fence": str(fence), "why": why}})
        if is_new:
            store.seen[fence.number] = why
            store.settle(min(dispatch.settled, fence.number - 1))
        if is_new and why is None:
            self.held[fence] = Held(dispatch, since=now)
            self._waiting.append(fence)
            self._accepts.append((now + ACCEPT_DELAY, fence))
            self._start_waiting(now)

    def _refusal(self, now: float, dispatch: Dispatch) -> str | None:
        is_fresh = self._renew(dispatch.seq_echo)
        if not is_fresh or self._lease_until - self._margin(dispatch) <= now:
            return "stale"
        if self.draining:
            return "draining"
        if dispatch.is_deployed or dispatch.action not in self.actions:
            return "unknown_action"
        return "busy" if len(self._waiting) >= self.slots * WAITING_PER_SLOT else None

    # Attempts.

    def _start_waiting(self, now: float) -> None:
        while self._waiting and self._running < self.slots:
            fence = self._waiting.popleft()
            held = self.held[fence]
            held.running, held.since = True, now
            self._running += 1
            if held.said is False:
                self._accepts.append((now + ACCEPT_DELAY, fence))
            self.host.start(held.dispatch)

    def finished(
        self, now: float, fence: Fence, outcome: Any, last_log_seq: int, killed: bool = False
    ) -> None:
        """Ends an attempt of which nothing is alive any more."""
        held = self.held.get(fence)
        if held is None or not held.running:
            return
        self._running -= 1
        if outcome == "cancelled" and held.reason is Stop.TIMED_OUT:
            outcome = "timed_out"
        elif outcome == "cancelled" and held.reason is Stop.SHUTTING_DOWN:
            message = "the worker shut down before the action had finished"
            failure = {"code": "worker_shutdown", "kind": "WorkerShutdown", "message": message}
            outcome = {"failed": failure}
        if held.dropped:
            del self.held[fence]
            self.host.forget(fence)
        elif outcome == "cancelled" and held.reason is Stop.FENCED:
            self._end(now, fence, {"released": {"fence": str(fence), "how": "killed"}})
        else:
            ran_us = int((now - held.since) * 1e6)
            result: Message = {"fence": str(fence), "outcome": outcome, "ran_us": ran_us}
            result["last_log_seq"] = last_log_seq
            if killed and outcome in ("cancelled", "timed_out"):
                result["killed"] = True
            self._end(now, fence, {"result": result})
        self._start_waiting(now)

    def _end(self, now: float, fence: Fence, report: Message) -> None:
        held = self.held[fence]
        held.running, held.report = False, report
        self._repeat(now, fence, held)

    def _give_back(self, now: float, fence: Fence) -> None:
        self._waiting.remove(fence)
        self._end(now, fence, {"released": {"fence": str(fence), "how": "never_ran"}})

    def _stop(self, fence: Fence, held: Held, reason: Stop, grace: float) -> None:
        """Asks an attempt to end. The first reason counts; without grace, it is asked again."""
        if held.running and (held.reason is None or grace == 0):
            held.reason = held.reason or reason
            self.host.stop(fence, held.reason, grace)

    def _cancelled(self, now: float, fence: Fence, force: bool) -> None:
        held, store = self.held.get(fence), self.store
        if held is None:
            if store is not None and store.epoch == fence.epoch and fence.number > store.settled:
                store.seen.setdefault(fence.number, None)
            self._not_here(fence)
        elif held.report is not None:
            self._repeat(now, fence, held)
        elif held.running:
            self._stop(fence, held, Stop.CANCELLED, 0 if force else held.dispatch.grace)
        else:
            self._give_back(now, fence)

    def _dropped(self, fence: Fence) -> None:
        """Ends an attempt that does not belong to this worker any more. It is not reported."""
        held = self.held.get(fence)
        if held is not None and held.running:
            held.reason, held.dropped = Stop.FENCED, True
            self.host.stop(fence, Stop.FENCED, min(held.dispatch.grace, SHORT_GRACE))
        elif held is not None:
            if held.report is None:
                self._waiting.remove(fence)
            del self.held[fence]

    def _not_here(self, fence: Fence) -> None:
        # The worker holds each attempt until its end is acknowledged, and ignores dispatches of
        # earlier epochs. So one that it does not hold never ran, unless it is of another store.
        same = self.store is None or self.store.epoch.instance == fence.epoch.instance
        how = "never_ran" if same else "unknown"
        self.host.send({"released": {"fence": str(fence), "how": how}})

    # The drain.

    def drain(self, now: float) -> None:
        """Takes nothing new. What still runs after the patience is asked to end."""
        self._end_at = min(self._end_at, now + self.patience)
        self._take_nothing_new(now)

    def _take_nothing_new(self, now: float) -> None:
        if self.draining:
            return
        self.draining = True
        while self._waiting:
            self._give_back(now, self._waiting[0])
        self._hello(now)

    def goodbye(self) -> Message:
        """Returns the last message of a worker of which nothing is alive any more."""
        return {"goodbye": {"held": [str(fence) for fence in self.held]}}
