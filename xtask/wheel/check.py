"""Checks what is in a wheel: `cargo xtask ci wheel` runs it.

Usage: check.py WHEEL VERSION [MAX_BYTES]
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

PACKAGE = Path("tinpot-python/python/tinpot")
TAG = re.compile(r"tinpot-(?P<version>[^-]+)-py3-none-(?:manylinux|linux|musllinux|macosx)\w+\.whl")


def faults(path: Path, version: str, max_bytes: int | None) -> list[str]:
    """Returns everything that is wrong with a wheel."""
    found = []
    name = TAG.fullmatch(path.name)
    if name is None:
        found.append(f"{path.name} is not for all Pythons of one platform")
    elif name["version"] != version:
        found.append(f"{path.name} must be version {version}")
    size = path.stat().st_size
    if max_bytes is not None and size > max_bytes:
        found.append(f"the wheel must have at most {max_bytes} bytes (got {size})")
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        info = f"tinpot-{version}.dist-info"
        sources = {file.name for file in PACKAGE.iterdir() if file.is_file()}
        expected = {f"tinpot/{source}" for source in sources}
        expected |= {f"tinpot-{version}.data/scripts/tinpot"}
        expected |= {f"{info}/{file}" for file in ("METADATA", "RECORD", "WHEEL")}
        expected |= {f"{info}/entry_points.txt"}
        expected |= {f"{info}/licenses/LICENSE-{licence}" for licence in ("MIT", "APACHE")}
        found += [f"{name} is missing" for name in sorted(expected - names)]
        more = {name for name in names - expected if not name.startswith(f"{info}/sboms/")}
        found += [f"{name} must not be there" for name in sorted(more)]
        for source in sorted(sources):
            if f"tinpot/{source}" not in names:
                continue
            if wheel.read(f"tinpot/{source}") != (PACKAGE / source).read_bytes():
                found.append(f"{source} is not the file of the crate")
        if not any(name.startswith(f"{info}/sboms/") for name in names):
            found.append("there is no list of what the program is made of")
        if f"{info}/entry_points.txt" in names:
            entries = wheel.read(f"{info}/entry_points.txt").decode()
            if "[pytest11]\ntinpot=tinpot.pytest_plugin" not in entries.replace(" ", ""):
                found.append("entry_points.txt does not have the plugin of pytest")
            if "console_scripts" in entries:
                found.append("the command must be the program, not a script")
    return found


def main(path: str, version: str, max_bytes: str | None = None) -> int:
    """Prints every fault, and returns an exit code."""
    all_faults = faults(Path(path), version, int(max_bytes) if max_bytes else None)
    print("\n".join(all_faults) or f"{Path(path).name}: {Path(path).stat().st_size} bytes")
    return 1 if all_faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
