"""Answers with its arguments: `worker_request("echo", {"Hello", 123})`."""

from __future__ import annotations

from tinpot_moor import Value, Worker
from tinpot_moor.cli import main

worker = Worker("echo")


@worker.serve
def echo(*arguments: Value) -> list[Value]:
    return ["echo_response", *arguments]


if __name__ == "__main__":
    main(worker)
