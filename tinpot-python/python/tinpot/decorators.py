"""The decorator, where older Tinpots had it: `from tinpot.decorators import action`."""

from tinpot._action import action

__all__ = ["action"]
