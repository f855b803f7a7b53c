"""The state that an attempt finds in its process: it is put back after each attempt."""

from __future__ import annotations

import contextlib
import contextvars
import sys
from collections.abc import Iterable
from typing import Any

from tinpot import _dict_versions, _event_loop, _logging_state, _parts, _process_parts

# The kinds of parts, in the order in which they are kept: those that are compared after the reply,
# before it, and only after a call of what sets them.
_LATE, _EARLY, _NOTED = range(3)


class Snapshot:
    """The values of all parts, and the context variables, at one time."""

    __slots__ = ("context", "values")

    def __init__(self, values: list[Any], context: contextvars.Context) -> None:
        self.values = values
        self.context = context


class ProcessState:
    """The parts of the state, and the snapshot that is in force."""

    def __init__(self) -> None:
        self._logging = _logging_state.LoggingState()
        self._event_loop = _event_loop.EventLoop()
        self._parts = [self._event_loop, *_process_parts.find(), self._logging]
        kinds = [_kind(part) for part in self._parts]
        self._parts = sorted(self._parts, key=_kind)
        self._early, self._noted = kinds.count(_LATE), len(kinds) - kinds.count(_NOTED)
        self._late_parts = self._parts[: self._early]
        self._reads = [part.quick_read for part in self._parts[self._early : self._noted]]
        self._untrusted: list[_parts.Noted] = []
        self._modules: dict[str, Any] = {}
        self._last_module = ""
        self._modules_version = _dict_versions.reader(sys.modules)
        self._modules_known_at: object = None
        self._tinpot = sys.modules["tinpot"]
        self.current = Snapshot(self._keep(), contextvars.copy_context())
        self._put_back_modules()
        # All that can be in force: what a first import added belongs to all.
        self._snapshots = [self.current]

    def _keep(self) -> list[Any]:
        return [part.keep(part.read()) for part in self._parts]

    def is_unchanged(self) -> bool:
        """Returns True if the process is as in the snapshot in force, without the late parts."""
        try:
            for part in self._untrusted:
                part.touched.add(part)
            if _parts.Noted.touched and not self._are_noted_unchanged():
                return False
            return [read() for read in self._reads] == self.current.values[
                self._early : self._noted
            ]
        except Exception:
            # A value that an action left cannot be compared.
            return False

    def _are_noted_unchanged(self) -> bool:
        pairs = zip(self._parts[self._noted :], self.current.values[self._noted :])
        return all(_parts.same(part.read(), value) for part, value in pairs)

    def is_late_unchanged(self) -> bool:
        """Returns True if the late parts and the modules are as in the snapshot in force."""
        try:
            for part, value in zip(self._late_parts, self.current.values):
                if not part.is_as(value):
                    return False
            return self._has_same_modules()
        except Exception:
            return False

    def put_back_event_loop(self) -> None:
        """Puts back the event loop, which every coroutine changes, if that is possible."""
        _event_loop.leave_running_loop()
        wanted = self.current.values[self._early]
        if self._event_loop.read() != wanted:
            with contextlib.suppress(OSError):
                self._event_loop.write(wanted)

    def copy(self) -> Snapshot:
        """Returns a snapshot to compare with."""
        return Snapshot(self._keep(), contextvars.Context())

    def snapshot(self, context: contextvars.Context) -> Snapshot:
        """Returns a snapshot of the present state, which can be in force later."""
        pairs = zip(self.current.values, self._keep())
        # The same object where nothing differs, so that a switch need not compare.
        values = [old if _parts.same(old, new) else new for old, new in pairs]
        snapshot = Snapshot(values, context)
        self._snapshots.append(snapshot)
        return snapshot

    def put_back(self) -> list[str]:
        """Makes the process as in the snapshot in force.

        Returns the names of the parts that could not be put back.
        """
        failed = []
        new_modules = self._put_back_modules()
        values = self.current.values
        for at, part in enumerate(self._parts):
            try:
                found, wanted = part.read(), values[at]
                if part is self._logging or not _parts.same(found, wanted):
                    if new_modules and part.grows:
                        self._adopt(at, part.additions(wanted, found, new_modules))
                    values[at] = part.write(values[at])
            except Exception:
                failed.append(part.name)
        return failed

    def enter(self, snapshot: Snapshot) -> list[str]:
        """Makes the process as in a snapshot, whatever it is now."""
        self.current = snapshot
        return self.put_back()

    def switch(self, snapshot: Snapshot) -> None:
        """Makes the process as in a snapshot, from one in force in which nothing has changed."""
        before, self.current = self.current, snapshot
        values = snapshot.values
        for at, (old, new) in enumerate(zip(before.values, values)):
            if old is not new and not _parts.same(old, new):
                # What fails is found after the attempt, too.
                with contextlib.suppress(Exception):
                    values[at] = self._parts[at].write(new)

    def changes_since(self, snapshot: Snapshot) -> dict[int, Any]:
        """Returns the changes of the process since a snapshot, by part."""
        found = {}
        for at, part in enumerate(self._parts):
            changes = part.changes(snapshot.values[at], part.keep(part.read()))
            if changes is not None:
                found[at] = changes
        return found

    def apply(self, changes: dict[int, Any]) -> None:
        """Makes changes to the process, whatever else has changed."""
        for at, change in changes.items():
            part = self._parts[at]
            part.write(part.merged(part.keep(part.read()), change))

    def hold_for_all(self, changes: dict[int, Any], names: Iterable[str] = ()) -> None:
        """Adds changes to all snapshots; with `names`, those of these parts only."""
        for at, change in changes.items():
            if not names or self._parts[at].name in names:
                self._adopt(at, change)

    def hold(self, name: str, changes: Any) -> None:
        """Adds changes of one part to all snapshots."""
        for at, part in enumerate(self._parts):
            if part.name == name:
                self._adopt(at, changes)

    def _adopt(self, at: int, changes: Any) -> None:
        if changes is None:
            return
        part = self._parts[at]
        for snapshot in self._snapshots:
            snapshot.values[at] = part.merged(snapshot.values[at], changes)

    def _has_same_modules(self) -> bool:
        """Returns True if no module was added, removed, replaced, or imported again.

        A comparison of all takes 9 µs for 440 modules (2026-11-29). Where changes of dictionaries
        are not counted, a module that is replaced in its place stays unseen.
        """
        version = self._modules_version()
        if version == self._modules_known_at:
            return True
        modules = sys.modules
        if _dict_versions.IS_COUNTED:
            is_same = modules == self._modules
        else:
            is_same = (
                len(modules) == len(self._modules)
                and modules.get("tinpot") is self._tinpot
                and next(reversed(modules)) == self._last_module
            )
        if is_same:
            self._modules_known_at = version
        return is_same

    def _put_back_modules(self) -> frozenset[str]:
        """Puts back modules that were removed; returns the packages of those that are new."""
        if self._has_same_modules():
            return frozenset()
        modules, known = sys.modules, self._modules
        for name, module in known.items():
            if modules.get(name) is not module:
                modules[name] = module
        names = frozenset(name.partition(".")[0] for name in modules if name not in known)
        self._modules = dict(modules)
        self._last_module = next(reversed(modules))
        noted = (part for part in self._parts if isinstance(part, _parts.Noted))
        self._untrusted = [part for part in noted if not part.others.isdisjoint(modules)]
        return names


def _kind(part: _parts.Part) -> int:
    """Returns the place of a part: namespaces first, because lists are found through them."""
    if part.late:
        return _LATE
    return _NOTED if isinstance(part, _parts.Noted) else _EARLY
