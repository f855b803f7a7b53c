"""Workers of Tinpot in pure Python."""

from .identity import Identity, JoinRefused, join
from .worker import Cancelled, Context, Permanent, Worker

__all__ = ["Cancelled", "Context", "Identity", "JoinRefused", "Permanent", "Worker", "join"]
