"""Text that must not be shown."""

from __future__ import annotations

import os
from _operator import _compare_digest
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinpot._errors import ActionError


class Secret:
    """A password or token.

    It prints as `***`, also in logs, tracebacks and results; only `reveal()` returns its text.

        @action
        def login(user: str, password: Secret):
            connect(user, password.reveal())
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a Secret must be made of text, not of {type(text).__name__}")
        self._text = text

    def reveal(self) -> str:
        """Returns the text."""
        return self._text

    @property
    def value(self) -> str:
        """The text."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return "***"

    def __len__(self) -> int:
        return len(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return _compare_digest(
            self._text.encode("utf-8", "surrogatepass"),
            other._text.encode("utf-8", "surrogatepass"),
        )

    def __hash__(self) -> int:
        return hash(("tinpot.Secret", self._text))


def find_local(name: str, taken: Mapping[str, str]) -> str | None:
    """Returns a secret of the worker's own; None if it has none of that name.

    taken: the secrets that were variables of the process, by variable.
    """
    variable = _variable(name)
    text = os.environ.get(variable, taken.get(variable))
    folder = os.environ.get("TINPOT_SECRETS_DIR")
    is_file_name = os.path.basename(name) == name and name not in (".", "..")
    if text is None and folder and is_file_name:
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                text = file.read().rstrip("\r\n")
        except FileNotFoundError:
            pass
    return text


def missing(name: str, error: ActionError) -> Exception:
    """Returns the exception for a secret that neither the worker nor the coordinator has."""
    if error.kind not in ("NotFound", "Unavailable", "Forbidden"):
        return error
    # Without a worker, the reason is of no help.
    why = "" if error.kind == "Unavailable" else f". The coordinator says: {error}"
    return KeyError(
        f"there is no secret {name!r}: set {_variable(name)}, put a file {name!r} into the folder"
        f" TINPOT_SECRETS_DIR, or run `tinpot secrets set {name}`{why}"
    )


def _variable(name: str) -> str:
    return "TINPOT_SECRET_" + name.upper().replace("-", "_")
