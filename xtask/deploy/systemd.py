"""Rules of systemd units and of the settings files that go with them."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import tomllib
from settings import Settings


def faults(text: str, folder: Path, settings: Settings) -> list[str]:
    """Returns the faults of a unit; its settings file is in the same folder."""
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        unit.read_string(text)
        service = dict(unit["Service"])
    except (configparser.Error, KeyError) as error:
        return [f"is no service: {error}"]
    words = service.get("ExecStart", "").split()
    if len(words) < 2 or not words[0].startswith("/"):
        return ["ExecStart must be an absolute path with a command"]
    found = settings.faults(words[1:], [], every=False)
    if service.get("User", "root") == "root":
        found.append("User must not be root")
    if service.get("Restart") != "on-failure":
        found.append(
            "Restart must be on-failure, which restarts a crashed worker but no drained worker"
        )
    if not unit.has_option("Install", "WantedBy"):
        found.append("has no [Install] with WantedBy")
    program = words[1]
    config = re.search(r"--config[ =](\S+)", service["ExecStart"])
    if config is None:
        return [*found, "ExecStart names no --config"]
    sample = folder / Path(config[1]).name
    if not sample.is_file():
        return [*found, f"there is no sample of {config[1]} in {folder}"]
    table = tomllib.loads(sample.read_text()).get(program)
    if table is None:
        return [*found, f"{sample.name} has no table [{program}]"]
    return found + [
        f"{sample.name}: {fault}" for fault in _table(table, program, service, settings)
    ]


def _table(
    table: dict[str, Any], program: str, service: dict[str, str], settings: Settings
) -> list[str]:
    flags = settings.programs[program].flags
    found = [
        f"{key} is no setting of `tinpot {program}`"
        for key in table
        if f"--{key.replace('_', '-')}" not in flags
    ]
    if "broker" not in table:
        found.append("names no broker")
    if program != "worker":
        return found
    if "actions" not in table:
        found.append("names no folder of actions")
    if service.get("KillMode") != "mixed":
        found.append("KillMode must be mixed: actions get SIGTERM from their worker alone")
    if float(service.get("TimeoutStopSec", "90")) <= table.get("grace", 10):
        found.append("grace must be less than TimeoutStopSec")
    return found


def is_installed() -> bool:
    """Returns true if `systemd-analyze` can be run."""
    return shutil.which("systemd-analyze") is not None


def verify(units: list[Path]) -> list[str]:
    """Returns what `systemd-analyze verify` says; nothing if it is not installed."""
    if not is_installed():
        return []
    with tempfile.TemporaryDirectory() as made:
        copies = []
        for unit in units:
            copy = Path(made) / unit.name
            # The program need not be installed where the check runs.
            copy.write_text(re.sub(r"(?m)^(ExecStart=)\S+", r"\1/bin/true", unit.read_text()))
            copies.append(str(copy))
        ran = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *copies],
            capture_output=True,
            text=True,
            timeout=60,
        )
    lines = (ran.stdout + ran.stderr).splitlines()
    # Faults of other units of this machine are not those of these.
    return [line for line in lines if any(unit.name in line for unit in units)]
