"""Rules of Dockerfiles: what hadolint and reviewers look for."""

from __future__ import annotations

import json
import re

from settings import Settings

_KNOWN = frozenset(
    [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ]
)


def faults(text: str, settings: Settings) -> list[str]:
    """Returns the faults of a Dockerfile."""
    instructions, found = _instructions(text)
    if not any(name == "FROM" for name, _ in instructions):
        return [*found, "has no FROM"]
    defaults = dict(_pair(rest) for name, rest in instructions if name == "ARG" and "=" in rest)
    stages: set[str] = set()
    last: list[tuple[str, str]] = []
    for name, rest in instructions:
        if name == "FROM":
            last = []
            image, _, stage = rest.partition(" AS ")
            image = re.sub(
                r"\$\{?(\w+)\}?", lambda match: defaults.get(match[1], ""), image.strip()
            )
            if image not in stages and not _is_pinned(image):
                found.append(f"FROM {image}: name a version of the image, not `latest`")
            stages.add(stage.strip())
        elif name == "RUN":
            found += _run(rest)
        elif name == "ADD":
            found.append("ADD: use COPY")
        last.append((name, rest))
    users = [rest for name, rest in last if name == "USER"]
    if not users or users[-1].split(":")[0] in ("root", "0"):
        found.append("the last USER must not be root")
    if not any(name == "HEALTHCHECK" for name, _ in last):
        found.append("has no HEALTHCHECK (NONE, if there is nothing to ask)")
    return found + _product(last, settings)


def _instructions(text: str) -> tuple[list[tuple[str, str]], list[str]]:
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    instructions, found = [], []
    for line in joined.splitlines():
        name, _, rest = line.strip().partition(" ")
        if name.upper() in _KNOWN:
            instructions.append((name.upper(), rest.strip()))
        else:
            found.append(f"unknown instruction {name}")
    return instructions, found


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip().strip('"')


def _is_pinned(image: str) -> bool:
    if "@sha256:" in image:
        return True
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    return tag != "latest" and re.search(r"\d", tag) is not None


def _run(command: str) -> list[str]:
    found = []
    if re.search(r"apt-get\s+(-\S+\s+)*install", command):
        if "--no-install-recommends" not in command:
            found.append("apt-get install needs --no-install-recommends")
        if "rm -rf /var/lib/apt/lists" not in command:
            found.append(
                "apt-get install leaves its lists: rm -rf /var/lib/apt/lists/* in the same RUN"
            )
    if re.search(r"\bapt\s+install", command):
        found.append("use apt-get, not apt")
    if re.search(r"pip3?\s+install", command) and "--no-cache-dir" not in command:
        found.append("pip install needs --no-cache-dir")
    if re.search(r"\bsudo\b", command):
        found.append("sudo has no place in a RUN")
    return found


def _product(last: list[tuple[str, str]], settings: Settings) -> list[str]:
    """Checks the commands and variables of an image that runs the product."""
    words = {name: rest for name, rest in last if name in ("CMD", "ENTRYPOINT", "HEALTHCHECK")}
    variables = [
        pair.split("=")[0]
        for name, rest in last
        if name == "ENV"
        for pair in rest.split()
        if "=" in pair
    ]
    found = []
    commands = [words["CMD"]] if "CMD" in words else []
    if "CMD " in words.get("HEALTHCHECK", ""):
        commands.append(words["HEALTHCHECK"].split("CMD ", 1)[1])
    for command in commands:
        try:
            listed = [word for word in json.loads(command) if word != "tinpot"]
        except ValueError:
            found.append(f"{command}: write a command as a list, so that it gets signals")
            continue
        found += settings.faults(listed, variables, every=True)
    return found
