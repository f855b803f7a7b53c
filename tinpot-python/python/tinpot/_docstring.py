"""Reads what a docstring says about parameters, in the styles of Google, NumPy and reST."""

import re

_ARGUMENTS = {
    "args", "arguments", "parameters", "params", "keyword args", "keyword arguments", "other parameters", "attributes", "fields",
}
_RESULTS = {"returns", "return", "yields", "yield"}
_OTHERS = {
    "raises", "example", "examples", "note", "notes", "warning", "warnings", "see also", "references", "todo", "warns", "methods",
}
_google = re.compile(r"(\*{0,2}\w+)\s*(?:\((?:[^()]|\([^()]*\))*\))?\s*:(?:\s+(.*))?$").match
_numpy = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$").match
_rest = re.compile(r":(param|parameter|arg|argument|key|keyword|ivar|var|type|vartype|return|returns|rtype)\b\s*([^:]*):\s*(.*)$").match


class Docstring:
    """What was found.

    description: the text without what is said of parameters and of the result.
    parameters: what is said of each, by name.
    result: what is said of the result.
    """

    __slots__ = ("description", "parameters", "result")

    def __init__(self):
        self.description = None
        self.parameters = {}
        self.result = None


def parse(text):
    """Reads a docstring whose indentation was removed."""
    found, kept = Docstring(), []
    if not text:
        return found
    lines = text.expandtabs().splitlines()
    at = 0
    while at < len(lines):
        at = _section(lines, at, found) or _field(lines, at, found) or _keep(lines, at, kept)
    while kept and not kept[0].strip():
        kept.pop(0)
    # Where something was taken out, one empty line is enough.
    kept = [line for index, line in enumerate(kept) if line.strip() or (kept[index - 1].strip() and any(map(str.strip, kept[index:])))]
    found.description = "\n".join(line.rstrip() for line in kept) or None
    return found


def _keep(lines, at, kept):
    kept.append(lines[at])
    return at + 1


def _section(lines, at, found):
    """Reads a section of Google's or NumPy's style; the line after it, nothing when there is none or it is about something else."""
    line = lines[at]
    name = line.strip().rstrip(":").lower()
    if name not in _ARGUMENTS and name not in _RESULTS or _indent(line):
        return None
    if at + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[at + 1].strip()):
        end, entry = _numpy_end(lines, at + 2), _numpy
        block = lines[at + 2 : end]
    elif line.rstrip().endswith(":"):
        end, entry = _indented_end(lines, at + 1), _google
        block = lines[at + 1 : end]
    else:
        return None
    if not any(map(str.strip, block)):
        return None
    if name in _RESULTS:
        found.result = _result(block, entry is _numpy)
        return end
    read = _entries(block, entry)
    if not read:
        return None
    for names, words in read:
        for one in names.split(","):
            if words:
                found.parameters.setdefault(one.strip().lstrip("*"), words)
    return end


def _entries(block, entry):
    """Pairs of names and text; nothing when a line is no entry, so that it was a text of another kind."""
    first = next(_indent(line) for line in block if line.strip())
    read = []
    for line in block:
        if not line.strip():
            continue
        if _indent(line) <= first:
            match = entry(line.strip())
            if match is None:
                return []
            read.append((match.group(1), [match.group(2) or ""] if entry is _google else []))
        else:
            read[-1][1].append(line.strip())
    return [(names, " ".join(filter(None, words))) for names, words in read]


def _result(block, is_numpy):
    lines = [line for line in block if line.strip()]
    first = lines[0].strip()
    if is_numpy and len(lines) > 1 and _indent(lines[1]) > _indent(lines[0]):
        lines = lines[1:]  # the type has a line of its own
    elif not is_numpy:
        # `int: How many.` has the type first; a sentence with a colon in it has not.
        match = re.match(r"[\w.]+(?:\[[^\]]*\]+)?(?:\s*\|\s*[\w.]+)*:\s+(.+)$", first)
        lines[0] = match.group(1) if match else first
    return " ".join(line.strip() for line in lines)


def _field(lines, at, found):
    """Reads a field of reST's style; the line after it."""
    match = _rest(lines[at].strip()) if lines[at].lstrip().startswith(":") else None
    if match is None:
        return None
    what, name, words = match.groups()
    words = [words]
    indent, at = _indent(lines[at]), at + 1
    while at < len(lines) and lines[at].strip() and _indent(lines[at]) > indent:
        words.append(lines[at].strip())
        at += 1
    text = " ".join(filter(None, words))
    if what in ("return", "returns"):
        found.result = text or None
    elif what not in ("type", "vartype", "rtype") and name.split() and text:
        # `:param int days: …`
        found.parameters.setdefault(name.split()[-1].lstrip("*"), text)
    return at


def _indented_end(lines, at):
    while at < len(lines) and (not lines[at].strip() or _indent(lines[at])):
        at += 1
    return at


def _numpy_end(lines, at):
    """The next section's head, or text that is neither an entry nor indented."""
    while at < len(lines):
        underlined = at + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[at + 1].strip())
        known = lines[at].strip().rstrip(":").lower() in _ARGUMENTS | _RESULTS | _OTHERS
        if lines[at].strip() and not _indent(lines[at]) and (underlined or known):
            return at
        at += 1
    return at


def _indent(line):
    return len(line) - len(line.lstrip())
