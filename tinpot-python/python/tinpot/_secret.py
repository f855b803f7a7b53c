"""Text that must not be shown."""

from __future__ import annotations

from _operator import _compare_digest


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
