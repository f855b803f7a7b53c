"""The flags of a worker program."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from .enrol import DATA_DIR, ENROLMENT, EnrolmentRefused, Identity, enrol, enrolment_token
from .keys import KeyFileError, SigningKey
from .link import REQUESTS, RESPONSES, Daemon
from .session import Refused
from .worker import Worker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say where the daemon is. Variables give their defaults."""

    def add(flag: str, variable: str, default: str | None, text: str) -> None:
        text = f"{text} (variable {variable}" + (f", default {default})" if default else ")")
        parser.add_argument(flag, default=os.environ.get(variable, default), help=text)

    add("--request-address", "WORKER_REQUEST_ADDR", REQUESTS, "Address of the daemon's requests")
    add("--response-address", "WORKER_RESPONSE_ADDR", RESPONSES, "Address for responses")
    add("--private-key", "WORKER_PRIVATE_KEY", None, "Signing key, PEM; selects dialect A")
    add("--public-key", "WORKER_PUBLIC_KEY", None, "Public key, checked against the private one")
    add("--enrollment-address", "WORKER_ENROLLMENT_ADDR", ENROLMENT, "Enrolment, dialect B")
    add("--enrollment-token-file", "WORKER_ENROLLMENT_TOKEN_FILE", None, "File with the token")
    add("--data-dir", "WORKER_DATA_DIR", str(DATA_DIR), "Folder of the CURVE keys, dialect B")


def service_type(worker_type: str) -> str:
    """Returns the name under which workers of a type are enrolled."""
    return f"python-{worker_type}-worker"


def daemon_of(arguments: argparse.Namespace, worker_type: str) -> Daemon:
    """Returns the daemon of the flags. Enrols the worker if it needs that and has no keys yet."""
    addresses = (arguments.request_address, arguments.response_address)
    if arguments.private_key:
        return Daemon(*addresses, SigningKey.load(arguments.private_key, arguments.public_key))
    if arguments.public_key:
        raise KeyFileError("a public key needs a private key: --private-key")
    if not arguments.response_address.startswith("tcp://"):
        return Daemon(*addresses)
    folder = Path(arguments.data_dir)
    service = service_type(worker_type)
    identity = Identity.load(folder, service)
    if identity is None:
        file = arguments.enrollment_token_file
        token = enrolment_token(Path(file) if file else None)
        identity = enrol(service, token, arguments.enrollment_address, folder)
    return Daemon(*addresses, identity=identity)


def main(
    worker: Worker,
    parser: argparse.ArgumentParser | None = None,
    configure: Callable[[argparse.Namespace], object] | None = None,
) -> None:
    """Runs a worker with the flags of the command line. Exits with status 1 if it is refused.

    `parser` may have flags of the program's own, which `configure` receives.
    """
    parser = parser or argparse.ArgumentParser(description=f"The {worker.type} worker for mooR.")
    add_arguments(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        if configure is not None:
            configure(arguments)
        worker.run(daemon_of(arguments, worker.type))
    except (EnrolmentRefused, Refused, TimeoutError, ValueError) as error:
        sys.exit(f"{parser.prog}: {error}")
