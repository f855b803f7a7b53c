"""Fetches a page: `worker_request("fetch", {"GET", "https://example.org/"})`.

Further arguments are the body, and a list of pairs of header names and values. The result is a map
with `status`, `headers` and `body`. Only hosts that `--allow` names are asked: what a MOO can reach
through its worker is what its wizards, and those who trick them, can reach.
"""

from __future__ import annotations

import argparse
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from tinpot_moor import InvalidRequest, PermissionDenied, Request, TimedOut, Value, Worker
from tinpot_moor.cli import main

BODY_BYTES = 1024 * 1024

worker = Worker("fetch", timeout=30)
allowed: set[str] = set()


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to the caller: they may lead to hosts that are not allowed."""

    def redirect_request(self, *_: Any) -> None:
        return None


opener = urllib.request.build_opener(NoRedirects)


@worker.serve
def fetch(
    request: Request, method: str, url: str, body: str = "", headers: list[Any] | None = None
) -> dict[str, Value]:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise InvalidRequest(f"the URL must be http:// or https:// (got {url!r})")
    if parts.hostname not in allowed:
        raise PermissionDenied(f"the host {parts.hostname} is not allowed: start with --allow")
    asked = urllib.request.Request(url, body.encode() or None, method=method)
    for name, value in headers or []:
        asked.add_header(str(name), str(value))
    try:
        # A status of 400 and above is an answer as well.
        try:
            response = opener.open(asked, timeout=request.remaining())
        except urllib.error.HTTPError as error:
            response = error
        with response:
            content = response.read(BODY_BYTES + 1)
    except TimeoutError:
        raise TimedOut(f"{parts.hostname} does not answer in time") from None
    if len(content) > BODY_BYTES:
        raise InvalidRequest(f"the answer must have at most {BODY_BYTES} bytes")
    pairs: list[Value] = [[name, value] for name, value in response.headers.items()]
    text = content.decode(response.headers.get_content_charset("utf-8"), "replace")
    return {"status": response.status, "headers": pairs, "body": text}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fetches pages for mooR.")
    hosts = os.environ.get("FETCH_ALLOW", "").split()
    parser.add_argument("--allow", action="append", default=hosts, help="A host that may be asked")
    main(worker, parser, lambda arguments: allowed.update(arguments.allow))
