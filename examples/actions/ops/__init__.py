"""A package: its files import each other in the usual way."""
