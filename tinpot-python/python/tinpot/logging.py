"""The functions for output, where older Tinpots had them: `from tinpot.logging import …`."""

from tinpot._command import action_print, capture_subprocess_output, run_command

__all__ = ["action_print", "capture_subprocess_output", "run_command"]
