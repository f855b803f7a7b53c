"""Functions that several actions share. A file that starts with `_` offers no actions itself."""


def gigabytes(count: float) -> str:
    """Formats a number of bytes."""
    return f"{count / 1e9:.1f} GB"
