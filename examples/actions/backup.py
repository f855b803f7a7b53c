"""Backing up."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Optional

from tinpot import action, action_print


def verify(path):
    """Raises RuntimeError unless the file is a sound SQLite database; returns the rows of each table."""
    with closing(sqlite3.connect(path)) as database:
        problems = [row[0] for row in database.execute("PRAGMA integrity_check")]
        if problems != ["ok"]:
            raise RuntimeError(f"{path} is damaged: " + "; ".join(problems))
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        quoted = ((name, name.replace('"', '""')) for (name,) in tables)
        return {name: database.execute(f'SELECT count(*) FROM "{q}"').fetchone()[0] for name, q in quoted}


@action(group="Backup", timeout=3600)
def backup_sqlite(database: str, directory: Optional[str] = None, keep: int = 7):
    """Copy a SQLite database while it is in use, check the copy, and keep the newest few.

    The copies go beside the database unless a directory is given.
    """
    if keep < 1:
        raise ValueError("keep must be 1 or more")
    source = Path(database).resolve()
    if not source.is_file():
        raise FileNotFoundError(f"there is no database {source}")
    folder = Path(directory).resolve() if directory else source.parent
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"{source.stem}-{time.strftime('%Y%m%d-%H%M%S')}.backup.sqlite"
    # Under another name until it is known to be good, so that nobody restores half a copy.
    partial = copy.with_suffix(".partial")

    def progress(status, remaining, total):
        action_print(f"{total - remaining} of {total} pages")

    try:
        # Read-only, or a wrong name would create an empty database.
        with closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as original:
            with closing(sqlite3.connect(partial)) as target:
                original.backup(target, pages=1000, progress=progress)
        rows = verify(partial)
        os.replace(partial, copy)
    finally:
        partial.unlink(missing_ok=True)
    action_print(f"{copy}: {copy.stat().st_size} bytes, checked")
    removed = sorted(folder.glob(f"{source.stem}-*.backup.sqlite"))[:-keep]
    for old in removed:
        action_print("removing", old.name)
        old.unlink()
    return {"copy": str(copy), "bytes": copy.stat().st_size, "rows": rows, "removed": [old.name for old in removed]}
