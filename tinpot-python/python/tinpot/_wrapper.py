"""What a decorated function becomes: itself, and inside of another action a step of that one."""

import functools
import inspect

from tinpot import _context


def wrap(function, entry):
    """The function as other code sees it."""
    if not inspect.isfunction(function):
        return function  # a built-in, a partial: it cannot be taken for a step
    name = entry.name
    find, step = _context.find, _context.Step
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapper(*args, **kwargs):
            context = find()
            if context is None:
                return await function(*args, **kwargs)
            with step(context, name):
                return await function(*args, **kwargs)

    elif inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            context = find()
            if context is None:
                return (yield from function(*args, **kwargs))
            with step(context, name):
                return (yield from function(*args, **kwargs))

    elif inspect.isasyncgenfunction(function):
        return function
    else:

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            context = find()
            if context is None:
                return function(*args, **kwargs)
            with step(context, name):
                return function(*args, **kwargs)

    wrapper.__tinpot_name__ = name
    wrapper.submit = lambda **parameters: _context.current().submit(name, **parameters)
    wrapper.call = lambda **parameters: _context.current().call(name, **parameters)
    return wrapper
