# What a child interpreter starts with. A `spawn` of multiprocessing imports this file again, and must not start a loop of its own.
if __name__ == "__main__":
    import os
    import sys

    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path[:1] != [here]:
        sys.path.insert(0, here)
    control, lifeline = int(sys.argv[1]), int(sys.argv[2])
    sys.argv[1:] = []
    from tinpot import _child

    _child.main(control, lifeline)
