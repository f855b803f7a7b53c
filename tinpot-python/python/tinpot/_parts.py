"""The kinds of values of which the state of a process consists: how they are kept and put back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from functools import partial
from typing import Any, ClassVar

from tinpot import _dict_versions

# Stands for a value that is absent.
GONE: Any = object()


class Part:
    """One part of the state. Values are compared with `==`.

    grows: if True, additions of a module that is imported for the first time belong to all.
    late: if True, it is put back after the reply, because that never fails and never waits.
    """

    grows = False
    late = False

    def __init__(
        self, name: str, read: Callable[[], Any], write: Callable[[Any], object] | None = None
    ) -> None:
        """Describes a part.

        read: returns the present value.
        write: puts back a value, or raises an exception; None if that is not possible.
        """
        self.name = name
        self.read = read
        # The same, for the check after each attempt: it may fail instead.
        self.quick_read = read
        self._write = write

    def keep(self, value: Any) -> Any:
        """Returns a copy of a value that was read, which later changes do not reach."""
        return value

    def is_as(self, value: Any) -> bool:
        """Returns True if the present value equals one that was kept; it may fail instead."""
        return bool(self.quick_read() == value)

    def write(self, value: Any) -> Any:
        """Puts back a value that was kept; returns the value to keep from now on."""
        if self._write is None:
            raise OSError(f"{self.name} cannot be put back")
        self._write(value)
        return value

    def changes(self, old: Any, new: Any) -> Any:
        """Returns the changes between two values; None if there are none."""
        return None if same(old, new) else (new,)

    def merged(self, value: Any, changes: Any) -> Any:
        """Returns a value with changes."""
        return changes[0]

    def additions(self, old: Any, new: Any, packages: Set[str]) -> Any:
        """Returns those of the changes that a first import may have made; None if none.

        packages: the names of the packages that were imported first.
        """
        return None


class Table(Part):
    """A dictionary of the process, which exists once and is changed in place."""

    late = True

    def __init__(self, name: str, table: dict[Any, Any], *, grows: bool = False) -> None:
        super().__init__(name, lambda: table)
        self._table = table
        self.grows = grows
        self._version = _dict_versions.reader(table)
        # What the table was last found to be equal to, and at which version.
        self._equal: Any = None
        self._equal_at: object = None

    def keep(self, value: Any) -> Any:
        return dict(value)

    def is_as(self, value: Any) -> bool:
        version = self._version()
        if value is self._equal and version == self._equal_at:
            return True
        if self._table != value:
            return False
        self._equal, self._equal_at = value, version
        return True

    def write(self, value: Any) -> Any:
        for key in [key for key in self._table if key not in value]:
            self._remove(key)
        for key, wanted in value.items():
            found = self._table.get(key, GONE)
            if not same(found, wanted):
                self._set(key, wanted)
        return value

    def _set(self, key: Any, value: Any) -> None:
        self._table[key] = value

    def _remove(self, key: Any) -> None:
        del self._table[key]

    def changes(self, old: Any, new: Any) -> Any:
        found = {key: value for key, value in new.items() if not same(old.get(key, GONE), value)}
        found.update((key, GONE) for key in old if key not in new)
        return found or None

    def merged(self, value: Any, changes: Any) -> Any:
        both = {**value, **changes}
        return {key: value for key, value in both.items() if value is not GONE}

    def additions(self, old: Any, new: Any, packages: Set[str]) -> Any:
        return {key: value for key, value in new.items() if key not in old} or None


class Lists(Part):
    """Lists that are changed in place. What was added is found again, whatever its position."""

    def __init__(self, name: str, read: Callable[[], list[Any]], *, grows: bool = False) -> None:
        super().__init__(name, read)
        self.grows = grows

    def keep(self, value: Any) -> Any:
        return list(value)

    def write(self, value: Any) -> Any:
        self.read()[:] = value
        return value

    def changes(self, old: Any, new: Any) -> Any:
        return None if same(old, new) else (list(old), list(new))

    def merged(self, value: Any, changes: Any) -> Any:
        old, new = changes
        kept = [one for one in value if one in new or one not in old]
        first = next((at for at, one in enumerate(new) if one in old), len(new))
        before = [one for one in new[:first] if one not in kept]
        # Each of the others keeps its place in front of the one that follows it.
        for at in range(len(new) - 1, first - 1, -1):
            if new[at] not in kept and new[at] not in before:
                after = (kept.index(one) for one in new[at + 1 :] if one in kept)
                kept.insert(next(after, len(kept)), new[at])
        return before + kept

    def additions(self, old: Any, new: Any, packages: Set[str]) -> Any:
        grown = [one for one in new if one not in old]
        if not grown:
            return None
        # In their places: a finder in front of the others answers first.
        both = [one for one in new if one in old or one in grown]
        return (list(old), both)


class Tuple(Part):
    """A fixed number of values, each of which is put back on its own."""

    def write(self, value: Any) -> Any:
        for at, (found, wanted) in enumerate(zip(self.read(), value)):
            if not same(found, wanted):
                self._set(at, wanted)
        return value

    def _set(self, at: int, value: Any) -> None:
        raise NotImplementedError

    def changes(self, old: Any, new: Any) -> Any:
        pairs = enumerate(zip(old, new))
        return {at: one[1] for at, one in pairs if not same(*one)} or None

    def merged(self, value: Any, changes: Any) -> Any:
        return tuple(changes.get(at, one) for at, one in enumerate(value))


class Noted(Tuple):
    """Values that take long to read. They are read only after a function was called that sets them.

    C code can set them too, which stays unknown.
    """

    # Those that may have changed.
    touched: ClassVar[set[Noted]] = set()

    def __init__(
        self,
        name: str,
        read: Callable[[], tuple[Any, ...]],
        put: Callable[[int, Any], object] | None,
        setters: Iterable[tuple[Any, str]],
        others: Iterable[str] = (),
    ) -> None:
        """Describes the part.

        put: puts back the value at a position; None if that is not possible.
        setters: the functions that set the values, as modules and names.
        others: the modules that set them without these functions, once they are imported.
        """
        super().__init__(name, self._read_if_set)
        self._read = read
        self._put = put
        self.others = frozenset(others)
        self._known: tuple[Any, ...] = ()
        self.touched.add(self)
        note = partial(self.touched.add, self)
        for module, setter in setters:
            note_calls(module, setter, note)

    def _read_if_set(self) -> tuple[Any, ...]:
        if self in self.touched:
            self._known = self._read()
            self.touched.discard(self)
        return self._known

    def write(self, value: Any) -> Any:
        super().write(value)
        self.touched.add(self)
        if not same(self._read_if_set(), value):
            raise OSError(f"{self.name} cannot be put back")
        return value

    def _set(self, at: int, value: Any) -> None:
        if self._put is None:
            raise OSError(f"{self.name} cannot be put back")
        self._put(at, value)


def note_calls(module: Any, name: str, note: Callable[[], object]) -> None:
    """Makes a function of a module, if it has one, call another first."""
    function: Any = getattr(module, name, None)
    if function is None:
        return

    def noted(*args: Any, **options: Any) -> Any:
        note()
        return function(*args, **options)

    noted.__name__ = noted.__qualname__ = function.__name__
    noted.__module__, noted.__doc__ = function.__module__, function.__doc__
    setattr(module, name, noted)


def same(one: Any, other: Any) -> bool:
    """Returns True for equal values; what their classes say is not trusted."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    try:
        return bool(one == other)
    except Exception:
        return False
