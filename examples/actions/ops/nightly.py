"""An action that consists of others: decorated functions stay plain functions, so it calls them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Optional

from backup import backup_sqlite
from cleanup import clean_cache

from tinpot import action, action_print

from .report import system_report


@action(group="Maintenance", timeout=7200)
def nightly(
    cache: Optional[str] = None, databases: Sequence[str] = (), dry_run: bool = True
) -> dict[str, Any]:
    """Report, clean a cache and back up databases: one execution, one log.

    A part that fails does not stop the next ones. The action fails at the end and names the parts
    that failed.
    """
    parts: dict[str, Callable[[], Any]] = {"system_report": partial(system_report, processes=False)}
    if cache:
        parts["clean_cache"] = partial(clean_cache, cache, dry_run=dry_run)
    for database in databases:
        parts[f"backup_sqlite {database}"] = partial(backup_sqlite, database)
    results = {}
    failed = []
    for name, run in parts.items():
        action_print(f"── {name}")
        try:
            results[name] = run()
        except Exception as error:
            action_print(f"{name} failed: {type(error).__name__}: {error}")
            failed.append(name)
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(parts)} parts failed: {', '.join(failed)}")
    return results
