"""Reads the parameters and the result from docstrings in the styles of Google, NumPy and reST."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

_PARAMETER_HEADINGS = {
    "args",
    "arguments",
    "parameters",
    "params",
    "keyword args",
    "keyword arguments",
    "other parameters",
    "attributes",
    "fields",
}
_RESULT_HEADINGS = {"returns", "return", "yields", "yield"}
_OTHER_HEADINGS = {
    "raises",
    "example",
    "examples",
    "note",
    "notes",
    "warning",
    "warnings",
    "see also",
    "references",
    "todo",
    "warns",
    "methods",
}
_match_google = re.compile(r"(\*{0,2}\w+)\s*(?:\((?:[^()]|\([^()]*\))*\))?\s*:(?:\s+(.*))?$").match
_match_numpy = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$").match
_match_rest = re.compile(
    r":(param|parameter|arg|argument|key|keyword|ivar|var|type|vartype|return|returns|rtype)\b"
    r"\s*([^:]*):\s*(.*)$"
).match
_MatchEntry = Callable[[str], Any]


class Docstring:
    """A docstring in parts.

    description: the text without the parts about parameters and the result.
    parameters: the descriptions of parameters, by name.
    result: the description of the result.
    """

    __slots__ = ("description", "parameters", "result")

    def __init__(self) -> None:
        self.description: str | None = None
        self.parameters: dict[str, str] = {}
        self.result: str | None = None


def parse(text: str | None) -> Docstring:
    """Parses a docstring without indentation."""
    found = Docstring()
    if not text:
        return found
    kept: list[str] = []
    lines = text.expandtabs().splitlines()
    at = 0
    while at < len(lines):
        end = _section(lines, at, found) or _field(lines, at, found)
        if end is None:
            kept.append(lines[at])
            end = at + 1
        at = end
    while kept and not kept[0].strip():
        kept.pop(0)
    # A section that was taken out leaves two empty lines, of which one stays.
    kept = [
        line
        for index, line in enumerate(kept)
        if line.strip() or (kept[index - 1].strip() and any(map(str.strip, kept[index:])))
    ]
    found.description = "\n".join(line.rstrip() for line in kept) or None
    return found


def _section(lines: Sequence[str], at: int, found: Docstring) -> int | None:
    """Reads a section in the style of Google or NumPy.

    Returns the index of the line after it; None if there is no such section at this line.
    """
    line = lines[at]
    name = line.strip().rstrip(":").lower()
    if (name not in _PARAMETER_HEADINGS and name not in _RESULT_HEADINGS) or _indent(line):
        return None
    is_numpy = at + 1 < len(lines) and bool(re.fullmatch(r"-{3,}", lines[at + 1].strip()))
    if is_numpy:
        end = _numpy_end(lines, at + 2)
        block = lines[at + 2 : end]
    elif line.rstrip().endswith(":"):
        end = _indented_end(lines, at + 1)
        block = lines[at + 1 : end]
    else:
        return None
    if not any(map(str.strip, block)):
        return None
    if name in _RESULT_HEADINGS:
        found.result = _result(block, is_numpy)
        return end
    entries = _entries(block, _match_numpy if is_numpy else _match_google)
    if not entries:
        return None
    for names, words in entries:
        for one in names.split(","):
            if words:
                found.parameters.setdefault(one.strip().lstrip("*"), words)
    return end


def _entries(block: Sequence[str], match_entry: _MatchEntry) -> list[tuple[str, str]]:
    """Returns pairs of names and descriptions; none if a line does not parse.

    Then the section is text of another kind.
    """
    first = next(_indent(line) for line in block if line.strip())
    entries: list[tuple[str, list[str]]] = []
    for line in block:
        if not line.strip():
            continue
        if _indent(line) <= first:
            match = match_entry(line.strip())
            if match is None:
                return []
            words = [match.group(2) or ""] if match_entry is _match_google else []
            entries.append((match.group(1), words))
        else:
            entries[-1][1].append(line.strip())
    return [(names, " ".join(filter(None, words))) for names, words in entries]


def _result(block: Sequence[str], is_numpy: bool) -> str:
    lines = [line for line in block if line.strip()]
    first = lines[0].strip()
    if is_numpy and len(lines) > 1 and _indent(lines[1]) > _indent(lines[0]):
        lines = lines[1:]  # the type has a line of its own
    elif not is_numpy:
        # `int: The count.` starts with the type. A sentence with a colon in it does not.
        match = re.match(r"[\w.]+(?:\[[^\]]*\]+)?(?:\s*\|\s*[\w.]+)*:\s+(.+)$", first)
        lines[0] = match.group(1) if match else first
    return " ".join(line.strip() for line in lines)


def _field(lines: Sequence[str], at: int, found: Docstring) -> int | None:
    """Reads a field in the style of reST; returns the index of the line after it."""
    match = _match_rest(lines[at].strip()) if lines[at].lstrip().startswith(":") else None
    if match is None:
        return None
    what, name, first = match.groups()
    words = [first]
    indent, at = _indent(lines[at]), at + 1
    while at < len(lines) and lines[at].strip() and _indent(lines[at]) > indent:
        words.append(lines[at].strip())
        at += 1
    text = " ".join(filter(None, words))
    if what in ("return", "returns"):
        found.result = text or None
    elif what not in ("type", "vartype", "rtype") and name.split() and text:
        # `:param int days: …` has the type before the name.
        found.parameters.setdefault(name.split()[-1].lstrip("*"), text)
    return at


def _indented_end(lines: Sequence[str], at: int) -> int:
    while at < len(lines) and (not lines[at].strip() or _indent(lines[at])):
        at += 1
    return at


def _numpy_end(lines: Sequence[str], at: int) -> int:
    """Returns the index of the next heading."""
    headings = _PARAMETER_HEADINGS | _RESULT_HEADINGS | _OTHER_HEADINGS
    while at < len(lines):
        is_underlined = at + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[at + 1].strip())
        is_known = lines[at].strip().rstrip(":").lower() in headings
        if lines[at].strip() and not _indent(lines[at]) and (is_underlined or is_known):
            return at
        at += 1
    return at


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
