"""The configuration of `logging`, as one part of the state that a process has once."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Set
from typing import Any

from tinpot._parts import GONE, Part, same

# A logger without a configuration of its own.
_PRISTINE = {"level": 0, "propagate": True, "disabled": False}
_LISTS = ("handlers", "filters")
# Changes whenever another logger is made, by the rules of `logging`.
_DERIVED = ("parent", "_cache")


class LoggingState(Part):
    """The levels, handlers and filters of all loggers, and the settings of their handlers.

    A value is the settings of the module, copies of the dictionaries of the loggers, and the
    settings of the handlers; None while `logging` is not imported.
    """

    grows = True

    def __init__(self) -> None:
        super().__init__("logging", self._read)
        self._logging: Any = None
        # In the order in which they were found, which is that of all values.
        self._loggers: list[Any] = []
        self._tables: list[dict[str, Any]] = []
        self._handlers: list[Any] = []
        # What a logger or a handler has at first, for values that do not know it yet.
        self._first_loggers: list[dict[str, Any]] = []
        self._first_handlers: list[Any] = []
        self._count = -1

    def _read(self) -> Any:
        logging = self._logging
        if logging is None:
            logging = sys.modules.get("logging")
            if not hasattr(logging, "lastResort"):
                # Not imported, or not completely.
                return None
            self._logging = logging
        manager = logging.root.manager
        if len(manager.loggerDict) != self._count:
            self._find_loggers()
        settings = (
            manager.disable,
            logging.raiseExceptions,
            logging.lastResort,
            logging._loggerClass,
            logging._logRecordFactory,
            logging._levelToName,
            logging._nameToLevel,
        )
        return (settings, self._tables, [_settings(handler) for handler in self._handlers])

    def _find_loggers(self) -> None:
        """Adds the loggers that were made since the last time."""
        manager = self._logging.root.manager
        known = set(map(id, self._loggers))
        for logger in [self._logging.root, *manager.loggerDict.values()]:
            if id(logger) in known or not isinstance(logger, self._logging.Filterer):
                continue
            self._loggers.append(logger)
            self._tables.append(vars(logger))
            first = {**vars(logger), **_PRISTINE, "handlers": [], "filters": []}
            if logger is self._logging.root:
                # The level of the integration, which installs itself with the import.
                first["level"] = self._logging.INFO
            self._first_loggers.append(first)
        self._count = len(manager.loggerDict)

    def _know_handlers(self) -> None:
        known = set(map(id, self._handlers))
        for logger in self._loggers:
            for handler in logger.handlers:
                if id(handler) not in known:
                    known.add(id(handler))
                    self._handlers.append(handler)
                    self._first_handlers.append(_copy_settings(_settings(handler)))

    def keep(self, value: Any) -> Any:
        if value is None:
            return None
        self._find_loggers()
        self._know_handlers()
        settings, tables, handlers = self._read()
        # The names of the levels are changed in place.
        settings = (*settings[:-2], dict(settings[-2]), dict(settings[-1]))
        return (settings, [_copy(table) for table in tables], list(map(_copy_settings, handlers)))

    def write(self, value: Any) -> Any:
        if self._read() is None:
            return value
        # A place holder may have become a logger, which the count does not show.
        self._find_loggers()
        settings, tables, handlers = value or self._first_settings()
        tables = tables + self._first_loggers[len(tables) :]
        handlers = handlers + self._first_handlers[len(handlers) :]
        logging = self._logging
        (
            logging.root.manager.disable,
            logging.raiseExceptions,
            logging.lastResort,
            logging._loggerClass,
            logging._logRecordFactory,
        ) = settings[:-2]
        # Names of further levels stay: modules add them once, while they are imported.
        logging._levelToName.update(settings[-2])
        logging._nameToLevel.update(settings[-1])
        settings = (*settings[:-2], dict(logging._levelToName), dict(logging._nameToLevel))
        # Copies, which must not change with the loggers.
        tables = [_put_back(*pair) for pair in zip(self._loggers, tables)]
        for handler, wanted in zip(self._handlers, handlers):
            if not same(_settings(handler), wanted):
                _put_back_handler(handler, wanted)
        logging.root.manager._clear_cache()
        return (settings, tables, handlers)

    def _first_settings(self) -> Any:
        logging = self._logging
        names = {
            logging.CRITICAL: "CRITICAL",
            logging.ERROR: "ERROR",
            logging.WARNING: "WARNING",
            logging.INFO: "INFO",
            logging.DEBUG: "DEBUG",
            logging.NOTSET: "NOTSET",
        }
        numbers = {name: number for number, name in names.items()}
        numbers.update(FATAL=logging.CRITICAL, WARN=logging.WARNING)
        first = (0, True, logging.lastResort, logging.Logger, logging.LogRecord)
        settings = (*first, names, numbers)
        return (settings, [], [])

    def changes(self, old: Any, new: Any) -> Any:
        if new is None:
            return None
        settings, tables, handlers = new
        old_settings, old_tables, old_handlers = old or self._first_settings()
        old_tables = old_tables + self._first_loggers[len(old_tables) :]
        old_handlers = old_handlers + self._first_handlers[len(old_handlers) :]
        pairs = enumerate(zip(old_tables, tables))
        loggers = {at: one[1] for at, one in pairs if not _is_alike(*one)}
        pairs = enumerate(zip(old_handlers, handlers))
        changed = {at: one[1] for at, one in pairs if not same(*one)}
        if same(old_settings, settings) and not loggers and not changed:
            return None
        return (settings, loggers, changed)

    def merged(self, value: Any, changes: Any) -> Any:
        settings, loggers, changed = changes
        _, tables, handlers = value or self._first_settings()
        tables = tables + self._first_loggers[len(tables) :]
        handlers = handlers + self._first_handlers[len(handlers) :]
        tables = [loggers.get(at, table) for at, table in enumerate(tables)]
        handlers = [changed.get(at, one) for at, one in enumerate(handlers)]
        return (settings, tables, handlers)

    def additions(self, old: Any, new: Any, packages: Set[str]) -> Any:
        """Keeps the configuration that a package gave to its own loggers while it was imported."""
        if new is None:
            return None
        settings, old_tables, _ = old or self._first_settings()
        self._know_handlers()
        found = {}
        for at in range(len(old_tables), len(new[1])):
            name = self._loggers[at].name.partition(".")[0]
            if name in packages and not _is_alike(self._first_loggers[at], new[1][at]):
                found[at] = self._first_loggers[at] = _copy(new[1][at])
        return (settings, found, {}) if found else None


def _copy(table: dict[str, Any]) -> dict[str, Any]:
    return {**table, "handlers": list(table["handlers"]), "filters": list(table["filters"])}


def _settings(handler: Any) -> tuple[Any, ...]:
    stream = getattr(handler, "stream", None) if hasattr(handler, "setStream") else None
    if hasattr(handler, "baseFilename"):
        # It opens its file when it needs it.
        stream = None
    return (handler.level, handler.formatter, handler.filters, stream)


def _copy_settings(settings: tuple[Any, ...]) -> tuple[Any, ...]:
    level, formatter, filters, stream = settings
    return (level, formatter, list(filters), stream)


def _is_alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    names = (one.keys() | other.keys()).difference(_DERIVED)
    return all(same(one.get(name, GONE), other.get(name, GONE)) for name in names)


def _put_back(logger: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    """Puts back the settings of a logger; returns a copy of all its attributes."""
    table = vars(logger)
    if not _is_alike(table, wanted):
        for handler in table["handlers"]:
            if handler not in wanted["handlers"]:
                # It may keep lines. Closing it would break code that uses it again.
                with contextlib.suppress(Exception):
                    handler.flush()
        for name in [name for name in table if name not in wanted and name not in _DERIVED]:
            del table[name]
        for name, value in wanted.items():
            if name in _LISTS:
                table[name] = list(value)
            elif name not in _DERIVED:
                table[name] = value
    return _copy(table)


def _put_back_handler(handler: Any, wanted: tuple[Any, ...]) -> None:
    level, formatter, filters, stream = wanted
    handler.level, handler.formatter, handler.filters = level, formatter, list(filters)
    if stream is not None:
        handler.stream = stream
