"""A stand-in for the real package, so that this example needs no network."""


class AutoModel:
    def __init__(self, name):
        self.name = name

    @classmethod
    def from_pretrained(cls, name):
        return cls(name)

    def __call__(self, text):
        return {"model": self.name, "tokens": len(text.split())}
