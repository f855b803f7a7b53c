"""What the worker's machine looks like."""

import os
import platform
import shutil

from tinpot import action, action_print, run_command

from ._format import gigabytes


@action(group="Monitoring", timeout=60)
def system_report(directory: str = "/", processes: bool = True):
    """Report load, disk and the hungriest processes of the machine that the worker runs on."""
    disk = shutil.disk_usage(directory)
    report = {
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
    # Containers are often without it; a report with a part missing is better than none.
    if processes and shutil.which("ps"):
        listed = run_command(["ps", "-eo", "pid,rss,comm", "--sort=-rss"], check=False)
        report["processes"] = [line.split(None, 2) for line in listed.stdout.splitlines()[1:6]]
    return report
