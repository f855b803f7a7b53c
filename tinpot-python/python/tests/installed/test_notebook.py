"""The notebook of the examples: its cells run on a server with the actions of the examples."""

import ast
import asyncio
import inspect
import json
import pathlib

import pytest

from tinpot.testing import Server

EXAMPLES = pathlib.Path(__file__).parents[4] / "examples"


def run_cell(source, names):
    """Runs a cell as notebooks do, also with `await`, and returns the value of its last line."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if isinstance(last, ast.Expr):
        tree.body[-1] = ast.copy_location(
            ast.Assign([ast.Name("_", ast.Store(), **position(last))], last.value), last
        )
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(ast.fix_missing_locations(tree), "cell", "exec", flags=flags)
    names.pop("_", None)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, names))
    else:
        exec(code, names)
    return names.get("_")


def position(node):
    return {"lineno": node.lineno, "col_offset": node.col_offset}


@pytest.fixture(scope="module")
def server():
    with Server(EXAMPLES / "actions") as server:
        yield server


def test_the_cells_of_the_notebook_run(server, monkeypatch, capsys):
    monkeypatch.setenv("TINPOT_SERVER", server.url)
    monkeypatch.setenv("TINPOT_TOKEN", server.token)
    notebook = json.loads((EXAMPLES / "notebooks" / "first_steps.ipynb").read_text("utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    names = {"__name__": "__main__"}
    values = [run_cell("".join(cell["source"]), names) for cell in cells]
    hello, countdown, _, greetings = values
    assert hello == "Hello, notebook!"
    assert countdown[0] == "succeeded" and len(names["lines"]) >= 3
    assert names["failure"].kind in capsys.readouterr().out
    assert greetings == ["Hello, Ada!", "Hello, Grace!", "Hello, Barbara!"]
