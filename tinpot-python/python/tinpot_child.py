"""The program that a child interpreter runs."""

# The `spawn` method of multiprocessing imports this file again, and must not start a second loop.
# It has set `sys.path` before.
if __name__ == "__main__":
    import os
    import sys

    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path[:1] != [here]:
        sys.path.insert(0, here)
    requests, replies, lifeline, template = map(int, sys.argv[1:5])
    sys.argv[1:] = []
    from tinpot import _child

    _child.main(requests, replies, lifeline, template)
elif __name__ == "__mp_main__":
    from tinpot import _modules

    _modules.in_spawned_process()
