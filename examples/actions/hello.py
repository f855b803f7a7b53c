"""The shortest action, and one of every parameter type."""

from typing import Optional

from tinpot import action


@action
def hello(name: str = "world"):
    """Say hello."""
    print(f"Hello, {name}!")
    return f"Hello, {name}!"


@action(group="Basics", description="Takes one parameter of every type and returns what it got")
def echo(
    text: str,
    count: int = 3,
    ratio: float = 0.5,
    loud: bool = False,
    words: list[str] = ("one", "two"),
    settings: Optional[dict] = None,
    note: Optional[str] = None,
):
    """Shows what arrives in Python for what was typed into a form or sent as JSON."""
    for number in range(1, count + 1):
        print(f"{number}: {text.upper() if loud else text}")
    return {
        "text": text,
        "count": count,
        "ratio": ratio,
        "loud": loud,
        "words": list(words),
        "settings": settings,
        "note": note,
    }
