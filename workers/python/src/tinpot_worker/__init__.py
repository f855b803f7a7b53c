"""Workers of Tinpot in pure Python."""

from .identity import Identity, JoinRefused
from .worker import Cancelled, Context, Permanent, Worker, join

__all__ = ["Cancelled", "Context", "Identity", "JoinRefused", "Permanent", "Worker", "join"]
