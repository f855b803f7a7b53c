"""Cleaning up."""

import os
import time
from pathlib import Path

from tinpot import action, action_print

# Nothing below these is a cache, and a slip of the keyboard must not find out.
SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", "/var")
# The parts of them that are there to be cleaned.
CACHES = ("/var/cache", "/var/tmp")


def checked_directory(directory):
    """The real path of a directory that may be cleaned; raises ValueError for any other."""
    if not os.path.isabs(directory):
        raise ValueError(f"{directory!r} is not an absolute path: where it leads depends on the worker")
    path = Path(directory).resolve()
    if any(within(path, system) for system in SYSTEM) and not any(within(path, cache) for cache in CACHES):
        raise ValueError(f"refusing to clean {path}: it belongs to the system")
    # `/`, `/srv`, a home directory, or anything that has the home directory in it.
    if len(path.parts) < 3 or path.parent == Path("/home") or within(Path.home(), path):
        raise ValueError(f"refusing to clean {path}: too much depends on it")
    if not path.is_dir():
        raise ValueError(f"{path} is not a directory")
    return path


def within(path, folder):
    """Whether a path is the folder, or lies below it."""
    return path == Path(folder) or Path(folder) in path.parents


@action(group="Maintenance", timeout=600)
def clean_cache(directory: str, older_than_days: float = 7.0, dry_run: bool = True):
    """Delete files in a cache directory that nobody has changed for some days.

    Symbolic links are not followed. With dry_run, which is the default, nothing is deleted.
    """
    if older_than_days < 0:
        raise ValueError("older_than_days must not be negative")
    root = checked_directory(directory)
    oldest_kept = time.time() - older_than_days * 86_400
    files, size = 0, 0
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            path = Path(folder, name)
            status = path.lstat()
            if status.st_mtime > oldest_kept:
                continue
            action_print("would delete" if dry_run else "deleting", path, f"({status.st_size} bytes)")
            if not dry_run:
                path.unlink(missing_ok=True)
            files += 1
            size += status.st_size
        if not dry_run and Path(folder) != root and not os.listdir(folder):
            os.rmdir(folder)
    action_print(f"{files} files, {size} bytes", "would be deleted" if dry_run else "deleted")
    return {"directory": str(root), "files": files, "bytes": size, "dry_run": dry_run}
