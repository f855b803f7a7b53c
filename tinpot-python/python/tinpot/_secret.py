"""Text that must not be seen."""

from _operator import _compare_digest


class Secret:
    """A password, a token: prints as `***`, in logs, tracebacks and results, and gives its text only to who asks for it.

        @action
        def login(user: str, password: Secret):
            connect(user, password.reveal())
    """

    __slots__ = ("_text",)

    def __init__(self, text):
        if not isinstance(text, str):
            raise TypeError("a Secret is made of text, not of %s" % type(text).__name__)
        self._text = text

    def reveal(self):
        """The text itself."""
        return self._text

    @property
    def value(self):
        """The text itself."""
        return self._text

    def __repr__(self):
        return "***"

    __str__ = __repr__

    def __format__(self, _how):
        return "***"

    def __len__(self):
        return len(self._text)

    def __eq__(self, other):
        if not isinstance(other, Secret):
            return NotImplemented
        return _compare_digest(self._text.encode("utf-8", "surrogatepass"), other._text.encode("utf-8", "surrogatepass"))

    def __hash__(self):
        return hash(("tinpot.Secret", self._text))
