"""What an action can ask of the worker that runs it."""


class Context:
    """The attempt that runs now. An action gets it as a parameter that is annotated with this class, or from `tinpot.current()`."""
