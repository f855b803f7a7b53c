"""An action to begin with. The worker reloads this file when it changes."""

from tinpot import action


@action
def hello(name: str = "world") -> str:
    """Say hello.

    Args:
        name: The person to greet.
    """
    print(f"Hello, {name}!")
    return f"Hello, {name}!"
