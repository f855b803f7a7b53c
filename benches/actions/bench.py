"""The actions that the benchmarks run: the same work that peers/ does on other systems."""

from tinpot import action


@action
def noop():
    """Do nothing: only the round trip is measured."""


@action
def lines(count: int = 100_000):
    """Print `count` lines."""
    for number in range(1, count + 1):
        print(f"line {number}")
    return count
