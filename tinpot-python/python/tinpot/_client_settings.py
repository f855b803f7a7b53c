"""The server of a client and the token for it, found as the command `tinpot` finds them."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from typing import Any
from urllib.parse import SplitResult, urlsplit

from tinpot._client_errors import SettingsError
from tinpot._client_proxy import proxy_for

DEV = "tinpot dev"
DEFAULT_SERVER = "http://127.0.0.1:8000"
# The largest files, in bytes.
_TOKEN_BYTES = 4096
_FILE_BYTES = 1024 * 1024
_OTHERS = 0o077


class Settings:
    """The address of a server, the team, and the token.

    url: the URL, without a slash at its end.
    parts: the parts of the URL.
    proxy: the proxy in between; None without one.
    team: the team to act in; None if none is named.
    """

    def __init__(
        self,
        server: str | None = None,
        profile: str | None = None,
        team: str | None = None,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
    ) -> None:
        url, team_of_profile = _named(server, profile)
        self.url = url.strip().rstrip("/")
        self.parts = _parts(self.url)
        self.proxy = proxy_for(self.parts)
        self.team = _filled(team) or _variable("TINPOT_TEAM") or team_of_profile
        if self.team is not None and not (self.team.isprintable() and self.team.isascii()):
            raise SettingsError(f"team must be the name of a team (got {self.team!r})")
        self.token_source: str | None = None
        self._token: str | None = None
        # The file of a running `tinpot dev`, which has another token after a restart.
        self._dev_file: str | None = None
        self._find_token(token, token_file)
        if self._token is not None:
            self._check_private()

    def authorization(self) -> str | None:
        """Returns the value of the header with the token; None without a token."""
        if self._dev_file is not None:
            self._token = _dev_token(self._dev_file) or self._token
        return None if self._token is None else f"Bearer {self._token}"

    def _find_token(self, token: str | None, token_file: str | os.PathLike[str] | None) -> None:
        file = os.fspath(token_file) if token_file else _variable("TINPOT_TOKEN_FILE")
        variable = _variable("TINPOT_TOKEN")
        path = os.path.join(_config_folder() or "", "credentials.toml")
        if token is not None:
            return self._take(token, "the argument `token`")
        if file:
            return self._take(_read_token(str(file)), str(file))
        if variable:
            return self._take(variable, "TINPOT_TOKEN")
        kept = _kept_token(path, self.url, self.team)
        if kept is not None:
            return self._take(kept, path)
        for path in _dev_files(self.parts):
            if self.take_dev_file(path):
                return None
        return None

    def take_dev_file(self, path: str) -> bool:
        """Takes the token of a running `tinpot dev` from its file; False if there is none."""
        found = _dev_token(path)
        if found is not None:
            self._take(found, DEV)
            self._dev_file = path
        return found is not None

    def _take(self, text: str, source: str) -> None:
        text = text.strip()
        if not re.fullmatch(r"[!-~]+", text):
            raise SettingsError(f"{source} must have one API token, which starts with tpt_")
        self._token, self.token_source = text, source

    def _check_private(self) -> None:
        if self.parts.scheme == "https" or is_here(self.parts.hostname or ""):
            return
        raise SettingsError(
            f"refusing to send the token of {self.token_source} to {self.url} over plain HTTP,"
            " where others can read it: use https://"
        )


def is_here(host: str) -> bool:
    """Returns True if a host is this machine."""
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # Raises for one that is no number.
        _ = parts.port
    except ValueError as error:
        raise SettingsError(f"the server must be a URL: {error} (got {url!r})") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"the server must be a URL like {DEFAULT_SERVER} (got {url!r})")
    if parts.username is not None:
        raise SettingsError("the URL of the server must not name a user: servers have no users")
    if parts.query or parts.fragment or not re.fullmatch(r"[!-~]+", url):
        raise SettingsError(f"the URL of the server must be an address and a path (got {url!r})")
    return parts


def _named(server: str | None, profile: str | None) -> tuple[str, str | None]:
    """Returns the URL of the server, and the team of the profile that names it."""
    if _filled(server):
        return str(server), None
    if _filled(profile):
        return _of_profile(str(profile))
    url, name = _variable("TINPOT_SERVER"), _variable("TINPOT_PROFILE")
    if url:
        return url, None
    return _of_profile(name) if name else (DEFAULT_SERVER, None)


def _of_profile(name: str) -> tuple[str, str | None]:
    folder = _config_folder()
    if folder is None:
        raise SettingsError(f"profile {name!r}: set XDG_CONFIG_HOME or HOME to find the profiles")
    path = os.path.join(folder, "config.toml")
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_FILE_BYTES)
    except (OSError, ValueError) as error:
        raise SettingsError(f"profile {name!r}: cannot read {path}: {error}") from None
    profiles = _toml(text, path).get("profile")
    found = profiles.get(name) if isinstance(profiles, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get("server"), str):
        raise SettingsError(f"no profile {name!r} with a server in {path}")
    team = found.get("team")
    return found["server"], team if isinstance(team, str) and team else None


def _kept_token(path: str, url: str, team: str | None) -> str | None:
    """Returns the token that `tinpot login` kept for a server."""
    if not os.path.isabs(path):
        return None
    try:
        text = _read_private(path)
    except OSError as error:
        raise SettingsError(f"{path}: {error}") from None
    if text is None:
        return None
    servers = _toml(text, path).get("server")
    keys = [f"{url}#{team.lower()}", url] if team else [url]
    for key in keys:
        kept = servers.get(key) if isinstance(servers, dict) else None
        if isinstance(kept, dict) and isinstance(kept.get("token"), str):
            return str(kept["token"])
    return None


def _dev_files(parts: SplitResult) -> list[str]:
    """Returns the paths at which a `tinpot dev` of this user keeps its token."""
    is_dev = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    if not is_dev or parts.path:
        return []
    session, home = _absolute("XDG_RUNTIME_DIR"), _absolute("HOME")
    state = _absolute("XDG_STATE_HOME") or (home and os.path.join(home, ".local", "state"))
    folders = [session if session and os.path.isdir(session) else None, state]
    name = f"dev-{parts.port or 80}.json"
    return [os.path.join(folder, "tinpot", name) for folder in folders if folder]


def _dev_token(path: str) -> str | None:
    try:
        text = _read_private(path)
        token = json.loads(text)["token"] if text else None
    except (OSError, ValueError, KeyError, TypeError):
        # One that others can change is none.
        return None
    return token if isinstance(token, str) and re.fullmatch(r"[!-~]+", token) else None


def _read_token(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(_TOKEN_BYTES)
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot read the token in {path}: {error}") from None
    if mode & _OTHERS:
        raise SettingsError(f"{path} may be read by others ({mode:04o}): chmod 600 {path}")
    return text


def _read_private(path: str) -> str | None:
    """Reads a file of this user; None if there is none.

    Raises `OSError` if others may read it, if it is another user's, a link, or no regular file.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with open(number, "rb") as file:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise OSError("it must be a file of this user")
        mode = stat.S_IMODE(found.st_mode)
        if mode & _OTHERS:
            raise OSError(f"it may be read by others ({mode:04o}): chmod 600 {path}")
        return file.read(_FILE_BYTES).decode("utf-8", "replace")


def _toml(text: str, path: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib

        try:
            return tomllib.loads(text)
        except ValueError as error:
            raise SettingsError(f"{path}: {error}") from None
    return _tables(text, path)


_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_HEADER = re.compile(rf"\[\s*({_PART}(?:\s*\.\s*{_PART})*)\s*\]\s*(?:#.*)?")
_PAIR = re.compile(rf"""({_PART})\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*')\s*(?:#.*)?""")


def _tables(text: str, path: str) -> dict[str, Any]:
    """Reads TOML that has only tables of strings, for Python 3.10 and older, which read none."""
    whole: dict[str, Any] = {}
    table = whole
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        header, pair = _HEADER.fullmatch(line), _PAIR.fullmatch(line)
        if header:
            table = whole
            for part in re.findall(_PART, header[1]):
                table = table.setdefault(_string(part), {})
                if not isinstance(table, dict):
                    raise SettingsError(f"{path}:{number}: a name stands for a text and a table")
        elif pair:
            table[_string(pair[1])] = _string(pair[2])
        else:
            raise SettingsError(f"{path}:{number}: reading this line needs Python 3.11 or newer")
    return whole


def _string(text: str) -> str:
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    return text[1:-1] if text.startswith("'") else text


def _config_folder() -> str | None:
    """Returns the folder with the settings of the user."""
    base, home = _absolute("XDG_CONFIG_HOME"), _absolute("HOME")
    if base is None and home is not None:
        base = os.path.join(home, ".config")
    return base and os.path.join(base, "tinpot")


def _absolute(name: str) -> str | None:
    path = os.environ.get(name)
    return path if path and os.path.isabs(path) else None


def _variable(name: str) -> str | None:
    return _filled(os.environ.get(name))


def _filled(text: str | None) -> str | None:
    return text if text else None
