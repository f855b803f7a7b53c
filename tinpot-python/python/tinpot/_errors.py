"""The exceptions that actions can meet."""


class Cancelled(BaseException):
    """Raised inside an action that is asked to end: it was cancelled, or ran longer than it may.

    It is no `Exception`, so that `except Exception` does not swallow it: let it pass, and clean up in `finally`.
    """


class LimitExceeded(BaseException):
    """Raised inside an action that exceeds a limit of its attempt. No `Exception`, like `Cancelled`: let it pass."""


class CommandError(Exception):
    """A command ended with another code than 0."""

    def __init__(self, command, returncode, stdout="", stderr=""):
        self.command = command
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        super().__init__(self._describe())

    def _describe(self):
        if self.returncode is not None and self.returncode < 0:
            how = "was killed by signal %d" % -self.returncode
        else:
            how = "ended with code %s" % self.returncode
        last = self.stderr.strip().splitlines()[-1:] if self.stderr else []
        return "%s %s%s" % (self.command, how, ": " + last[0] if last else "")


class CommandTimeout(CommandError):
    """A command ran longer than its `timeout`, and was killed."""

    def __init__(self, command, timeout, stdout="", stderr=""):
        self.timeout = timeout
        super().__init__(command, None, stdout, stderr)

    def _describe(self):
        return "%s ran longer than %s s and was killed" % (self.command, self.timeout)


class ActionError(Exception):
    """Another action that was called did not succeed."""

    def __init__(self, message, kind="", traceback=None, execution=None, status="failed"):
        self.message = message
        self.kind = kind
        self.traceback = traceback
        self.execution = execution
        self.status = status
        text = "%s: %s" % (kind, message) if kind else message
        if execution:
            text += " (execution %s)" % execution
        if traceback:
            text += "\n\nits own traceback:\n" + traceback
        super().__init__(text)


class LimitError(Exception):
    """Something is larger than it may be."""


class ParameterError(Exception):
    """Parameters that are not what the action takes.

    problems: everything that is wrong, as pairs of where (`days`, `hosts[3]`, `limits.cpu`) and what.
    """

    def __init__(self, problems):
        self.problems = list(problems)
        super().__init__("; ".join("%s: %s" % pair if pair[0] else pair[1] for pair in self.problems))
