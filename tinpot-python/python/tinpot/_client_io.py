"""Files and certificates of clients."""

from __future__ import annotations

import os
import socket
from typing import IO, TYPE_CHECKING

from tinpot._client_errors import SettingsError
from tinpot._client_steps import Cut

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from tinpot._client_settings import Settings

# The part of a body that is read or sent at once.
PIECE_BYTES = 64 * 1024


def tls(settings: Settings, ca_file: str | os.PathLike[str] | None) -> ssl.SSLContext | None:
    """Returns the certificates to trust; None for a server without TLS."""
    if settings.parts.scheme != "https":
        if ca_file is not None:
            raise SettingsError(f"ca_file is for a server with https:// (got {settings.url!r})")
        return None
    import ssl

    try:
        return ssl.create_default_context(cafile=None if ca_file is None else os.fspath(ca_file))
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read certificates from {ca_file}: {error}") from None


def cut(error: BaseException, was_sent: bool = True) -> Cut:
    """Returns what a plan receives for a failed connection."""
    # Before Python 3.10, the second is no subclass of the first.
    if isinstance(error, (TimeoutError, socket.timeout)):
        return Cut("no answer in time", was_sent)
    if isinstance(error, socket.gaierror):
        return Cut("unknown host", was_sent)
    return Cut(str(error) or type(error).__name__, was_sent)


class WholeFile:
    """A file that is at its path once everything has been written to it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._file: IO[bytes] | None = None

    def __enter__(self) -> IO[bytes]:
        import tempfile

        folder = os.path.dirname(os.path.abspath(self._path))
        self._file = tempfile.NamedTemporaryFile(dir=folder, prefix=".tinpot-", delete=False)
        return self._file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        assert self._file is not None
        self._file.close()
        if kind is not None:
            os.unlink(self._file.name)
            return
        # Temporary files are private; this one is to be like others.
        mask = os.umask(0o077)
        os.umask(mask)
        os.chmod(self._file.name, 0o666 & ~mask)
        os.replace(self._file.name, self._path)
