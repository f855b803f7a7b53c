"""A stand-in for the real package, so that this example needs no network."""


def apply(namespace):
    return {"namespace": namespace, "applied": True}
