"""Cleaning of cache directories."""

import os
import time
from pathlib import Path
from typing import Any, Union

from tinpot import action, action_print

# Directories of the system: a mistyped path must not delete files there.
SYSTEM = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var",
)
# The parts of them that may be cleaned.
CACHES = ("/var/cache", "/var/tmp")


def checked_directory(directory: str) -> Path:
    """Returns the real path of a directory that may be cleaned; raises ValueError otherwise."""
    if not os.path.isabs(directory):
        raise ValueError(f"directory must be an absolute path (got {directory!r})")
    path = Path(directory).resolve()
    is_system = any(is_within(path, system) for system in SYSTEM)
    if is_system and not any(is_within(path, cache) for cache in CACHES):
        raise ValueError(f"refusing to clean {path}: it belongs to the system")
    # `/`, `/srv`, a home directory, or a directory that contains the home directory.
    if len(path.parts) < 3 or path.parent == Path("/home") or is_within(Path.home(), path):
        raise ValueError(f"refusing to clean {path}: it is not a cache")
    if not path.is_dir():
        raise ValueError(f"{path} is not a directory")
    return path


def is_within(path: Path, folder: Union[str, Path]) -> bool:
    """Returns True if a path is the folder or lies below it."""
    return path == Path(folder) or Path(folder) in path.parents


@action(group="Maintenance", timeout=600)
def clean_cache(
    directory: str, older_than_days: float = 7.0, dry_run: bool = True
) -> dict[str, Any]:
    """Delete the files in a cache directory that did not change for some days.

    Symbolic links are not followed. With `dry_run`, which is the default, nothing is deleted.
    """
    if older_than_days < 0:
        raise ValueError(f"older_than_days must be 0 or more (got {older_than_days})")
    root = checked_directory(directory)
    oldest_kept = time.time() - older_than_days * 86_400
    files, size = 0, 0
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            path = Path(folder, name)
            status = path.lstat()
            if status.st_mtime > oldest_kept:
                continue
            verb = "would delete" if dry_run else "deleting"
            action_print(verb, path, f"({status.st_size} bytes)")
            if not dry_run:
                path.unlink(missing_ok=True)
            files += 1
            size += status.st_size
        if not dry_run and Path(folder) != root and not os.listdir(folder):
            os.rmdir(folder)
    action_print(f"{files} files, {size} bytes", "would be deleted" if dry_run else "deleted")
    return {"directory": str(root), "files": files, "bytes": size, "dry_run": dry_run}
