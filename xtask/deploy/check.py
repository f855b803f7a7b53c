"""Checks the files in deploy/ and the Dockerfile, offline: `cargo xtask ci deploy` runs it."""

from __future__ import annotations

import sys
from pathlib import Path

import compose
import dockerfile
import systemd
from settings import Settings


def main(root: Path) -> int:
    """Prints every fault, and returns an exit code."""
    settings = Settings(root / "docs")
    folder = root / "deploy/compose"
    units = root / "deploy/systemd"
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        found[path] = compose.faults(path.read_text(), folder, settings)
    for path in [root / "Dockerfile", *sorted((root / "deploy").rglob("*Dockerfile"))]:
        found[path] = dockerfile.faults(path.read_text(), settings)
    for path in sorted(units.glob("*.service")):
        found[path] = systemd.faults(path.read_text(), units, settings)
    found[units] = systemd.verify(sorted(units.glob("*.service")))
    faults = [f"{path.relative_to(root)}: {fault}" for path, all in found.items() for fault in all]
    print("\n".join(faults) or f"{len(found) - 1} files")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
