"""An action made of others: decorated functions stay plain functions, so they are simply called."""

from typing import Optional

from backup import backup_sqlite
from cleanup import clean_cache
from tinpot import action, action_print

from .report import system_report


@action(group="Maintenance", timeout=7200)
def nightly(cache: Optional[str] = None, databases: list[str] = (), dry_run: bool = True):
    """Report, clean a cache, back up databases: one execution, one log.

    A part that fails does not stop the next ones; the whole fails at the end and says which did.
    """
    parts = {"system_report": lambda: system_report(processes=False)}
    if cache:
        parts["clean_cache"] = lambda: clean_cache(cache, dry_run=dry_run)
    for database in databases:
        parts[f"backup_sqlite {database}"] = lambda database=database: backup_sqlite(database)
    results, failed = {}, []
    for name, run in parts.items():
        action_print(f"── {name}")
        try:
            results[name] = run()
        except Exception as error:  # whatever went wrong, the other parts still have to run
            action_print(f"{name} failed: {type(error).__name__}: {error}")
            failed.append(name)
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(parts)} parts failed: {', '.join(failed)}")
    return results
