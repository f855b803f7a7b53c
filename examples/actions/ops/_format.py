"""What several actions share. A file that starts with `_` offers no actions itself."""


def gigabytes(count):
    """Bytes for people."""
    return f"{count / 1e9:.1f} GB"
