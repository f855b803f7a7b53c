"""The settings of the product, from its generated and tested reference pages."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_VARIABLE = re.compile(r"`([A-Z][A-Z0-9_]+)`")
_FLAG = re.compile(r"`(--[a-z][a-z-]*)")


@dataclass
class Program:
    """The settings of one command."""

    flags: set[str] = field(default_factory=set)
    variables: set[str] = field(default_factory=set)


class Settings:
    """The settings of all commands."""

    def __init__(self, docs: Path) -> None:
        """Reads the reference pages in a folder."""
        self.programs: dict[str, Program] = {}
        shared = Program()
        for page in ("configuration.md", "cli.md"):
            for title, text in _sections((docs / page).read_text()):
                command = title.strip("`").removeprefix("tinpot ")
                if title.strip("`").startswith("tinpot "):
                    self._add(self.programs.setdefault(command, Program()), text)
                elif title in ("Options of every command", "Other variables"):
                    self._add(shared, text)
        for program in self.programs.values():
            program.flags |= shared.flags | {"--help", "--config", "--show-config"}
            program.variables |= shared.variables | {"TINPOT_CONFIG"}
            # Every variable that is not the product's own has a second name.
            program.variables |= {
                f"TINPOT_{name}"
                for name in program.variables
                if not name.startswith(("TINPOT_", "MQTT_"))
            }

    @staticmethod
    def _add(program: Program, text: str) -> None:
        rows = [line for line in text.splitlines() if line.startswith("|")]
        for row in rows:
            program.flags |= set(_FLAG.findall(row))
            program.variables |= set(_VARIABLE.findall(row))

    def faults(self, command: list[str], variables: list[str], *, every: bool) -> list[str]:
        """Returns what a command line and its variables have that the product does not know.

        every: also accept variables of other commands, as an image sets them for all.
        """
        words = [word for word in command if not word.startswith("-")]
        name = next(
            (name for name in (" ".join(words[:2]), *words[:1]) if name in self.programs), None
        )
        if name is None:
            return [f"the command {command} is none of tinpot's"]
        program = self.programs[name]
        known = program.variables
        if every:
            known = set().union(*(each.variables for each in self.programs.values()))
        faults = []
        for word in command:
            flag = word.split("=")[0]
            if flag.startswith("--") and flag not in program.flags:
                faults.append(f"{flag} is no flag of `tinpot {name}`")
        faults += [
            f"{variable} is no variable of `tinpot {name}`"
            for variable in variables
            if variable not in known and not variable.startswith("TINPOT_SECRET_")
        ]
        return faults


def _sections(text: str) -> list[tuple[str, str]]:
    parts = re.split(r"^#{2,3} (.+)$", text, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2]))
