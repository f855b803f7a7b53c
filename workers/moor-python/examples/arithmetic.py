"""Calculates: `worker_request("arithmetic", {"divide", 7, 2.0})`."""

from __future__ import annotations

import operator

from tinpot_moor import Err, InvalidRequest, Value, Worker
from tinpot_moor.cli import main

worker = Worker("arithmetic")

OPERATIONS = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "remainder": operator.mod,
}


@worker.serve
def calculate(operation: str, left: Value, right: Value) -> Value:
    if operation not in OPERATIONS:
        known = ", ".join(OPERATIONS)
        raise InvalidRequest(f"the operation must be one of {known} (got {operation!r})")
    for operand in (left, right):
        if isinstance(operand, bool) or not isinstance(operand, (int, float)):
            raise InvalidRequest(f"an operand must be a number (got {operand!r})")
    try:
        result: Value = OPERATIONS[operation](left, right)
    except ZeroDivisionError:
        # An error of MOO as a value: the caller decides about it.
        return Err("E_DIV", "Division by zero")
    return result


if __name__ == "__main__":
    main(worker)
