"""Parameters in docstrings of three styles."""

import datetime
import inspect
import unittest
from dataclasses import dataclass
from typing import Annotated, Optional

from tinpot import Param, schema
from tinpot._docstring import parse

GOOGLE = """Back up a host.

It takes a while.

Args:
    host (str, optional): Which host: a name
        or an address.
    days: How many.
    *more: Further ones.
    **others: Anything else.

Returns:
    int: How many files.

Raises:
    OSError: When it is full.
"""

NUMPY = """Back up a host.

It takes a while.

Parameters
----------
host : str, optional
    Which host: a name
    or an address.
days
    How many.
*more : int
    Further ones.
**others
    Anything else.

Returns
-------
int
    How many files.

Raises
------
OSError
    When it is full.
"""

REST = """Back up a host.

It takes a while.

:param str host: Which host: a name
    or an address.
:param days: How many.
:type days: int
:param more: Further ones.
:param others: Anything else.
:return: How many files.
:rtype: int
:raises OSError: When it is full.
"""


class StyleTest(unittest.TestCase):
    def test_all_three_say_the_same(self):
        for text in (GOOGLE, NUMPY, REST):
            found = parse(inspect.cleandoc(text))
            self.assertEqual(
                found.parameters,
                {
                    "host": "Which host: a name or an address.",
                    "days": "How many.",
                    "more": "Further ones.",
                    "others": "Anything else.",
                },
            )
            self.assertEqual(found.result, "How many files.")
            self.assertTrue(
                found.description.startswith("Back up a host.\n\nIt takes a while.\n\n"),
                found.description,
            )
            for gone in ("days", "How many", "---\n\n", "Args"):
                self.assertNotIn(gone, found.description)
            self.assertIn("When it is full.", found.description, "what is raised stays")

    def test_text_that_only_looks_like_it_stays(self):
        for text in (
            "Sends it.\n\nArguments:\n    none of them matters, really",
            "Says: hello.\n\nNote:\n    Args are read.",
            "Args:",
            "Parameters\nare what it takes.",
            "Uses :class:`Path`:\n\n:notafield x: y",
        ):
            found = parse(text)
            self.assertEqual(found.description, text)
            self.assertEqual((found.parameters, found.result), ({}, None))

    def test_odd_ones(self):
        self.assertIsNone(parse(None).description)
        self.assertIsNone(parse("Args:\n    a: b").description)
        self.assertEqual(parse("Args:\n    a: b\n\n    c: d\n").parameters, {"a": "b", "c": "d"})
        self.assertEqual(parse("Returns:\n    A list: of things.").result, "A list: of things.")
        self.assertEqual(parse("Returns:\n    list[int]: Things.").result, "Things.")
        self.assertEqual(
            parse("Parameters\n----------\na, b : int\n    Both.").parameters,
            {"a": "Both.", "b": "Both."},
        )
        self.assertEqual(parse("One.\n\nArgs:\n    a: b\n\nTwo.").description, "One.\n\nTwo.")
        self.assertEqual(parse("Args:\n    a:\n        Below.").parameters, {"a": "Below."})

    def test_a_large_one_takes_no_time(self):
        parse("Args:\n" + "    a(" + "(" * 5000 + ": b\n" * 2000)


@dataclass
class Limits:
    """Allowed values.

    :ivar cpu: How many cores.
    """

    cpu: int


class ActionTest(unittest.TestCase):
    def test_it_is_in_the_schema(self):
        def function(
            host: str,
            when: Optional[datetime.date] = None,
            limits: Limits = None,
            *,
            own: Annotated[int, Param(description="Mine.")] = 1,
        ) -> int:
            """Back up.

            Args:
                host: Which one.
                when: On which day.
                own: Not this.
                gone: A parameter that is there no more.

            Returns:
                How many files.
            """

        signature = schema.derive(function)
        words = {
            name: inner.get("description") for name, inner in signature.schema["properties"].items()
        }
        self.assertEqual(
            words,
            {
                "host": "Which one.",
                "when": "On which day.",
                "limits": "Allowed values.",
                "own": "Mine.",
            },
        )
        self.assertEqual(
            signature.schema["properties"]["limits"]["properties"]["cpu"]["description"],
            "How many cores.",
        )
        self.assertEqual(
            signature.result_schema, {"type": "integer", "description": "How many files."}
        )
        self.assertEqual(signature.description, "Back up.")

    def test_what_it_returns_stays_where_there_is_no_schema_for_it(self):
        def function():
            """Back up.

            Returns:
                How many files.
            """

        self.assertEqual(
            schema.derive(function).description, "Back up.\n\nReturns: How many files."
        )


if __name__ == "__main__":
    unittest.main()
