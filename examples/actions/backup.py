"""Backups of SQLite databases."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Optional

from tinpot import action, action_print


def verify(path: Path) -> dict[str, int]:
    """Returns the number of rows of each table; raises RuntimeError if the file is damaged."""
    with closing(sqlite3.connect(path)) as database:
        problems = [row[0] for row in database.execute("PRAGMA integrity_check")]
        if problems != ["ok"]:
            raise RuntimeError(f"{path} is damaged: " + "; ".join(problems))
        tables = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall()
        rows = {}
        for (name,) in tables:
            quoted = name.replace('"', '""')
            rows[name] = database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0]
        return rows


@action(group="Backup", timeout=3600)
def backup_sqlite(database: str, directory: Optional[str] = None, keep: int = 7) -> dict[str, Any]:
    """Copy a SQLite database while it is in use, check the copy, and keep the newest few.

    The copies go next to the database unless a directory is given.
    """
    if keep < 1:
        raise ValueError(f"keep must be 1 or more (got {keep})")
    source = Path(database).resolve()
    if not source.is_file():
        raise FileNotFoundError(f"there is no database {source}")
    folder = Path(directory).resolve() if directory else source.parent
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"{source.stem}-{time.strftime('%Y%m%d-%H%M%S')}.backup.sqlite"
    # Under a temporary name until it is checked, so that no one restores half a copy.
    partial = copy.with_suffix(".partial")

    def progress(_status: int, remaining: int, total: int) -> None:
        action_print(f"{total - remaining} of {total} pages")

    try:
        # Read-only, because a wrong name would create an empty database otherwise.
        original = sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)
        with closing(original), closing(sqlite3.connect(partial)) as target:
            original.backup(target, pages=1000, progress=progress)
        rows = verify(partial)
        os.replace(partial, copy)
    finally:
        partial.unlink(missing_ok=True)
    size = copy.stat().st_size
    action_print(f"{copy}: {size} bytes, checked")
    removed = sorted(folder.glob(f"{source.stem}-*.backup.sqlite"))[:-keep]
    for old in removed:
        action_print("removing", old.name)
        old.unlink()
    names = [old.name for old in removed]
    return {"copy": str(copy), "bytes": size, "rows": rows, "removed": names}
