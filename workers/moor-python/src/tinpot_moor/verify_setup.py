"""Checks what a worker needs, and says what is wrong.

python -m tinpot_moor.verify_setup --private-key key.pem --public-key public.pem
"""

from __future__ import annotations

import argparse
import os
import socket
import stat
import sys
import time
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import zmq

from . import keys
from .cli import add_arguments, daemon_of, service_type
from .enrol import EnrolmentRefused, Identity, enrolment_token
from .link import Daemon, Link
from .messages import Protocol
from .schema import Dialect
from .values import decode_value, encode_value
from .wire import Malformed

OLDEST = {"pyzmq": (25,), "cryptography": (40,)}
PYTHON = (3, 9)
WORKER_TYPE = "verify-setup"


class Report:
    """The findings so far. Each is printed as soon as it is known."""

    def __init__(self) -> None:
        self.faults = 0

    def good(self, text: str) -> None:
        """Reports something that is as it has to be."""
        print(f"ok     {text}", flush=True)

    def note(self, text: str) -> None:
        """Reports something to know."""
        print(f"note   {text}", flush=True)

    def bad(self, text: str) -> None:
        """Reports something that has to be changed."""
        self.faults += 1
        print(f"WRONG  {text}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Runs all checks. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tinpot_moor.verify_setup",
        description="Check versions, keys and addresses of a worker for mooR.",
    )
    add_arguments(parser)
    parser.add_argument("--worker-type", default="echo", help="Type of the worker (default echo)")
    parser.add_argument("--offline", action="store_true", help="Do not talk to the daemon")
    parser.add_argument(
        "--patience",
        type=float,
        default=12.0,
        metavar="SECONDS",
        help="Time to wait for the daemon, which pings every 5 s (default 12)",
    )
    chosen = parser.parse_args(arguments)
    report = Report()
    check_versions(report)
    check_library(report)
    daemon = check_keys(report, chosen)
    if daemon is not None:
        report.note(f"dialect {'B' if daemon.key is None else 'A'}")
        if check_addresses(report, daemon) and not chosen.offline:
            check_daemon(report, daemon, chosen.worker_type, chosen.patience)
    print(f"{report.faults} wrong" if report.faults else "all is well")
    return 1 if report.faults else 0


def check_versions(report: Report) -> None:
    """Checks Python and the packages."""
    here = ".".join(str(number) for number in sys.version_info[:3])
    if sys.version_info >= PYTHON:
        report.good(f"Python {here}")
    else:
        report.bad(f"Python must be 3.9 or newer (got {here})")
    for package, oldest in OLDEST.items():
        wanted = ".".join(str(number) for number in oldest)
        try:
            found = version(package)
        except PackageNotFoundError:
            report.bad(f"{package} is missing: pip install '{package}>={wanted}'")
            continue
        if int(found.partition(".")[0]) >= oldest[0]:
            report.good(f"{package} {found}")
        else:
            report.bad(f"{package} must be {wanted} or newer (got {found})")
    curve = "with CURVE" if zmq.has("curve") else "without CURVE: dialect B over tcp:// needs it"
    report.note(f"libzmq {zmq.zmq_version()}, {curve}")


def check_library(report: Report) -> None:
    """Checks that a value and a token are read as they were written."""
    value = ["text", 1, 1.5, None, {"key": b"bytes"}]
    key = keys.SigningKey.generate()
    worker_id = uuid.uuid4()
    if decode_value(encode_value(value)) != value:
        report.bad("a value is not read as it was written")
    elif keys.verify(key.token(worker_id), key.public) != worker_id:
        report.bad("a token is not read as it was signed")
    else:
        report.good("values and tokens are read as they were written")


def check_keys(report: Report, chosen: argparse.Namespace) -> Daemon | None:
    """Checks the key files, or the identity. Returns the daemon to talk to."""
    try:
        identity = None
        if not chosen.private_key and not chosen.public_key:
            identity = Identity.load(Path(chosen.data_dir), service_type(chosen.worker_type))
            if identity is None and chosen.response_address.startswith("tcp://"):
                check_enrolment(report, chosen)
                return None
            daemon = Daemon(chosen.request_address, chosen.response_address, None, identity)
        else:
            daemon = daemon_of(chosen, chosen.worker_type)
    except (keys.KeyFileError, EnrolmentRefused) as error:
        report.bad(str(error))
        return None
    if daemon.key is not None:
        compared = ", and fits the public key" if chosen.public_key else ""
        report.good(f"{chosen.private_key} has an Ed25519 key{compared}")
        if daemon.key.note:
            report.note(daemon.key.note)
        if not chosen.public_key:
            report.note("not compared with a public key: --public-key")
        mode = stat.S_IMODE(os.stat(chosen.private_key).st_mode)
        if mode & 0o077:
            command = f"chmod 600 {chosen.private_key}"
            report.note(f"others can read the private key (mode {mode:04o}): {command}")
    elif daemon.identity is not None:
        report.good(f"enrolled as {daemon.identity.service_uuid}")
    return daemon


def check_enrolment(report: Report, chosen: argparse.Namespace) -> None:
    """Checks what the first start of a worker needs. Nothing is enrolled here."""
    report.note(f"{chosen.worker_type} is not enrolled yet: it enrols at its first start")
    file = chosen.enrollment_token_file
    try:
        enrolment_token(Path(file) if file else None)
        report.good("there is a token for the enrolment")
    except EnrolmentRefused as error:
        report.bad(f"{error}; or name the key of dialect A: --private-key")
    why = _unreachable(chosen.enrollment_address)
    if why is None:
        report.good(f"enrolment: a process listens at {chosen.enrollment_address}")
    else:
        report.bad(f"enrolment: {chosen.enrollment_address}: {why}")


def check_addresses(report: Report, daemon: Daemon) -> bool:
    """Checks both addresses, and that a process listens there."""
    if daemon.requests == daemon.responses:
        report.bad(f"requests and responses must have two addresses (got {daemon.requests} twice)")
        return False
    try:
        daemon.check()
    except ValueError as error:
        report.bad(str(error))
        return False
    before = report.faults
    for name, address in (("requests", daemon.requests), ("responses", daemon.responses)):
        why = _unreachable(address)
        if why is None:
            report.good(f"{name}: a process listens at {address}")
        else:
            report.bad(f"{name}: {address}: {why}")
    if daemon.key is not None and daemon.responses.startswith("tcp://"):
        report.note("dialect A sends tokens and values in the clear: use tcp:// on one host only")
    return report.faults == before


def _unreachable(address: str) -> str | None:
    scheme, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    try:
        if scheme == "tcp":
            socket.create_connection((host.strip("[]"), int(port)), timeout=3).close()
            return None
        path = Path(place)
        if not path.exists():
            return f"there is no socket{'' if path.parent.exists() else ' and no folder'}"
        if not path.is_socket():
            return "this is not a socket"
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(place)
    except ConnectionRefusedError:
        return "no process listens: is the daemon running?"
    except (OSError, OverflowError, ValueError) as error:
        return str(error)
    return None


def check_daemon(report: Report, daemon: Daemon, worker_type: str, patience: float) -> None:
    """Attaches as a worker of a type of its own, waits for a ping, and leaves.

    A server that takes some types only is asked again with the type of the worker.
    """
    link = Link(daemon)
    published: list[list[bytes]] = []
    try:
        for attached_type in (WORKER_TYPE, worker_type):
            protocol = Protocol(attached_type, uuid.uuid4(), daemon.key)
            reply = _exchange(link, protocol.attach(), patience, published)
            if reply is None:
                report.bad(
                    f"{daemon.responses} does not answer for {patience:g} s: is it the address "
                    "for responses, and of a daemon that knows this worker?"
                )
                return
            try:
                name, fields = protocol.reply(reply)
            except Malformed as error:
                report.bad(f"the answer to the attach cannot be read: {error}")
                return
            if name != "WorkerAuthFailed":
                break
        if name not in ("WorkerAttached", "WorkerAck"):
            hint = ""
            if name == "WorkerRejected":
                here = protocol.dialect.value
                other = "without a key" if protocol.dialect is Dialect.A else "with --private-key"
                hint = f": dialect {here} may be the wrong one, try {other}"
            reason = fields.get("reason") or "no reason given"
            report.bad(f"the daemon refuses the worker: {reason} ({name}){hint}")
            return
        report.good(f"the daemon takes a worker of the type {attached_type}")
        _wait_for_ping(report, link, protocol, patience, published)
        if _exchange(link, protocol.detach(), patience, published) is None:
            report.bad("the daemon does not answer to the detach")
    finally:
        link.close()


def _exchange(
    link: Link, frames: list[bytes], patience: float, published: list[list[bytes]]
) -> list[bytes] | None:
    """Sends a message. Returns its reply, and adds what is published in the meantime."""
    link.send(frames)
    until = time.monotonic() + patience
    while time.monotonic() < until:
        reply, found = link.poll(until - time.monotonic())
        published.extend(found)
        if reply is not None:
            return reply
    return None


def _wait_for_ping(
    report: Report, link: Link, protocol: Protocol, patience: float, published: list[list[bytes]]
) -> None:
    until = time.monotonic() + patience
    while published or time.monotonic() < until:
        for frames in published:
            try:
                name, _ = protocol.published(frames)
            except Malformed as error:
                report.bad(f"a publication cannot be read: {error}")
                return
            if name == "PingWorkers":
                report.good("the daemon pings")
                return
        published[:] = link.poll(until - time.monotonic())[1]
    report.bad(f"no ping for {patience:g} s: are the addresses swapped?")


if __name__ == "__main__":
    sys.exit(main())
