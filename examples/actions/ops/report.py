"""A report on the worker's machine."""

import os
import platform
import shutil
from typing import Any

from tinpot import action, action_print, run_command

from ._format import gigabytes


@action(group="Monitoring", timeout=60)
def system_report(directory: str = "/", processes: bool = True) -> dict[str, Any]:
    """Report load, disk and the largest processes of the worker's machine."""
    disk = shutil.disk_usage(directory)
    report: dict[str, Any] = {
        "host": platform.node(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "disk_free_bytes": disk.free,
        "disk_used_percent": round(100 * disk.used / disk.total, 1),
    }
    for name, value in report.items():
        action_print(f"{name}: {value}")
    action_print(f"{gigabytes(disk.free)} of {gigabytes(disk.total)} are free on {directory}")
    # Many containers do not have `ps`. The rest of the report does not need it.
    if processes and shutil.which("ps"):
        listed = run_command(["ps", "-eo", "pid,rss,comm", "--sort=-rss"], check=False)
        report["processes"] = [line.split(None, 2) for line in listed.stdout.splitlines()[1:6]]
    return report
