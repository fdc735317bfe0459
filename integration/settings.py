"""What differs between deployments: the environment, read once, strictly.

What the business decides stands in the rules file. A secret may come from a file: `NAME_FILE=/run/secrets/x`
in place of `NAME`. Unknown `RINGBACK_*` names are refused, so that a typing error cannot switch something off.
`docs/settings.md` lists every setting; a test keeps it in step with this file.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit


class SettingsError(Exception):
    """The environment cannot be used. The message has a line per mistake: name, what is wrong, what to do."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class Dialing:
    """Whom this deployment may ring: everybody, nobody, or only these numbers."""

    everybody: bool = True
    only: frozenset[str] = frozenset()  # E.164

    def withholds(self, number: str) -> bool:
        """Whether a call to this number must not be placed here."""
        return not self.everybody and number not in self.only

    @property
    def is_off(self) -> bool:
        """Whether nobody at all is rung."""
        return not self.everybody and not self.only


@dataclass(frozen=True, slots=True)
class DialerSettings:
    """How the contact centre is reached."""

    base_url: str
    client_id: str
    client_secret: str = field(repr=False)
    token_encoding: Literal["json", "form"] = "json"  # noqa: S105 - a form, no secret
    client_auth: Literal["body", "basic"] = "body"


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole environment, checked."""

    database_url: str = field(repr=False)
    rules_path: Path
    public_url: str | None
    host: str
    port: int
    dialing: Dialing
    cooldown_seconds: float
    web_threads: int
    dial_threads: int
    writeback_threads: int
    log_level: str
    warnings: tuple[str, ...] = ()
    dnc_key: str | None = field(default=None, repr=False)


DEFAULT_DATABASE = "sqlite:///ringback.db"

# Every setting: name -> (default as the documentation shows it, what it is for).
SETTINGS: Mapping[str, tuple[str, str]] = {
    "DATABASE_URL": (DEFAULT_DATABASE, "where the ledger is kept: `sqlite:///FILE` or `postgres://...`"),
    "RINGBACK_RULES": ("config/rules.yaml", "the admin's rules file"),
    "PUBLIC_URL": ("", "the https address under which the CRM reaches this server, for schemes that sign it"),
    "PORT": ("8000", "the port to listen on; when it is set, on every interface, otherwise on 127.0.0.1 alone"),
    "CXONE_ORG_ID": ("", "the organisation; makes the host `https://ORG.mypurecloud.com`"),
    "CXONE_BASE_URL": ("", "the address of the API, in place of the host made from CXONE_ORG_ID"),
    "CXONE_CLIENT_ID": ("", "the OAuth client's id"),
    "CXONE_CLIENT_SECRET": ("", "the OAuth client's secret"),
    "CXONE_TOKEN_ENCODING": ("json", "how the token is asked for: `json` or `form`"),
    "CXONE_CLIENT_AUTH": ("body", "where id and secret go: `body`, or `basic` for HTTP Basic"),
    "RINGBACK_DIALING": ("on", "`on`, `off`, or the only numbers to be dialled, `+15551234567,+49...`"),
    "RINGBACK_COOLDOWN_MINUTES": ("10", "how long a number that was rung is not rung again for another lead"),
    "RINGBACK_DNC_KEY": ("", "the key of the do-not-call list: 32 characters or more, at random, the same everywhere"),
    "RINGBACK_WEB_THREADS": ("8", "requests answered at the same time"),
    "RINGBACK_DIAL_THREADS": ("16", "calls placed at the same time"),
    "RINGBACK_WRITEBACK_THREADS": ("8", "write-backs under way at the same time"),
    "RINGBACK_ALLOW_DATA_LOSS": ("", "`yes` lets a PaaS dyno keep leads on its disk, which is wiped daily"),
    "LOG_LEVEL": ("info", "`debug`, `info`, `warning` or `error`"),
}

SHORTEST_KEY = 32
_ORG_ID = re.compile(r"[A-Za-z0-9-]{1,63}")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


class Environment:
    """The environment with `NAME_FILE` resolved, for settings and for the rules' `${VAR}`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def values(self) -> dict[str, str]:
        """Every variable; `NAME` read from the file that `NAME_FILE` names. Raises SettingsError."""
        found, mistakes = self.read()
        if mistakes:
            raise SettingsError(mistakes)
        return found

    def read(self, ours: Collection[str] = ()) -> tuple[dict[str, str], list[str]]:
        """The same, and what is wrong. `ours` are the names that the rules use: a `..._FILE` of anything else
        than these and the settings may belong to another program, and is no mistake of ours.
        """
        found = dict(self._environ)
        mistakes = []
        for name, path in self._environ.items():
            target = name.removesuffix("_FILE")
            if target == name or not path or not _may_come_from_file(target):
                continue
            is_ours = target in SETTINGS or target in ours
            if self._environ.get(target, "").strip():
                if is_ours:
                    mistakes.append(f"{target}: both {target} and {name} are set; unset one of them")
                continue
            try:
                found[target] = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError, ValueError):  # ValueError: a zero byte in the path
                if is_ours:
                    mistakes.append(f"{name}: the file it names cannot be read; check path and permissions")
        return found, mistakes


def _may_come_from_file(name: str) -> bool:
    return bool(re.fullmatch(r"[A-Z][A-Z0-9_]*", name))


class _Reader:
    """Collects mistakes, so that all of them are told in one run."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.mistakes: list[str] = []
        self.warnings: list[str] = []

    def text(self, name: str) -> str:
        value = self.environ.get(name, "").strip()
        return value or SETTINGS[name][0]

    def choice(self, name: str, *allowed: str) -> str:
        value = self.text(name).lower()
        if value not in allowed:
            self.mistakes.append(f"{name}: {value!r} is not known; use one of {', '.join(allowed)}")
        return value

    def whole(self, name: str, least: int, most: int) -> int:
        value = self.text(name)
        if not re.fullmatch(r"[0-9]{1,6}", value) or not least <= int(value) <= most:
            self.mistakes.append(f"{name}: {value!r} must be a whole number from {least} to {most}")
            return least
        return int(value)

    def refuse_unknown(self) -> None:
        for name in sorted(self.environ):
            if not name.startswith("RINGBACK_") or name.removesuffix("_FILE") in SETTINGS:
                continue
            near = difflib.get_close_matches(name, [one for one in SETTINGS if one.startswith("RINGBACK_")], 1)
            hint = f"; did you mean {near[0]}?" if near else "; docs/settings.md lists them all"
            self.mistakes.append(f"{name}: there is no such setting{hint}")

    def address(self, name: str) -> str:
        """An http(s) address without a trailing slash; empty when it is not set."""
        value = self.text(name).rstrip("/")
        if not value:
            return ""
        try:
            parts = urlsplit(value)
            host = parts.hostname
            _ = parts.port
        except ValueError:
            host = None
        if (
            host is None
            or parts.scheme not in ("http", "https")
            or parts.username is not None
            or re.search(r"[\s\\]", value)
            or parts.query
            or parts.fragment
        ):
            self.mistakes.append(f"{name}: must be an address such as https://api.example.com, without a user or query")
        elif parts.scheme == "http" and host not in _LOCAL:
            self.warnings.append(f"{name} is not https: secrets and phone numbers cross the network in the clear")
        return value

    def dialing(self) -> Dialing:
        if not self.environ.get("RINGBACK_DIALING", "on").strip():
            # A deployment that means `off` and lost the word on the way must not ring everybody.
            self.mistakes.append("RINGBACK_DIALING is empty; write on, off or numbers")
            return Dialing(everybody=False)
        value = self.text("RINGBACK_DIALING")
        if value.lower() in ("on", "off"):
            return Dialing(everybody=value.lower() == "on")
        numbers = [part.strip() for part in value.split(",") if part.strip()]
        if not numbers or not all(_E164.fullmatch(number) for number in numbers):
            self.mistakes.append(
                "RINGBACK_DIALING: must be `on`, `off`, or numbers in the form +15551234567, separated by commas"
            )
        return Dialing(everybody=False, only=frozenset(numbers))

    def key(self, name: str) -> str | None:
        value = self.text(name)
        if value and len(value) < SHORTEST_KEY:
            self.mistakes.append(
                f"{name}: has fewer than {SHORTEST_KEY} characters; make one with `openssl rand -hex 32`"
            )
        return value or None

    def database_url(self) -> str:
        value = self.text("DATABASE_URL")
        if not value.startswith(("sqlite:///", "postgres://", "postgresql://")):
            self.mistakes.append("DATABASE_URL: must start with sqlite:/// or postgres:// (or postgresql://)")
        elif not value.startswith("sqlite") and not _is_whole(value):
            self.mistakes.append(
                "DATABASE_URL: the signs @ / ? # in its user or password must be written as %40 %2F %3F %23"
            )
        elif not value.startswith("sqlite") and not _has_host(value):
            self.mistakes.append("DATABASE_URL: host or port cannot be read; copy the whole address anew")
        dyno_may_lose = self.text("RINGBACK_ALLOW_DATA_LOSS").lower() == "yes"
        if self.environ.get("DYNO") and value.startswith("sqlite") and not dyno_may_lose:
            self.mistakes.append(
                "DATABASE_URL: this is a PaaS dyno, whose disk is wiped at least daily, and leads would be lost "
                "with it; add a PostgreSQL database (`heroku addons:create heroku-postgresql:essential-0`), "
                "or set RINGBACK_ALLOW_DATA_LOSS=yes"
            )
        return value

    def done(self) -> None:
        if self.mistakes:
            raise SettingsError(self.mistakes)


def _is_whole(address: str) -> bool:
    """Whether the only @ ends user and password: otherwise a part of the password is taken for host or name."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return True  # told apart by `_has_host`
    return parts.netloc.count("@") <= 1 and not any("@" in part for part in (parts.path, parts.query, parts.fragment))


def _has_host(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.port is not None or bool(parts.hostname) or "host=" in parts.query
    except ValueError:
        return False


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Everything but the dialer. Raises SettingsError with every mistake."""
    reader = _Reader(environ)
    reader.refuse_unknown()
    settings = Settings(
        database_url=reader.database_url(),
        rules_path=Path(reader.text("RINGBACK_RULES")),
        public_url=reader.address("PUBLIC_URL") or None,
        host="0.0.0.0" if environ.get("PORT") else "127.0.0.1",  # noqa: S104 - a PaaS routes to the dyno's address
        port=reader.whole("PORT", 0, 65535),
        dialing=reader.dialing(),
        cooldown_seconds=60.0 * reader.whole("RINGBACK_COOLDOWN_MINUTES", 0, 100_000),
        web_threads=reader.whole("RINGBACK_WEB_THREADS", 1, 64),
        dial_threads=reader.whole("RINGBACK_DIAL_THREADS", 1, 64),
        writeback_threads=reader.whole("RINGBACK_WRITEBACK_THREADS", 1, 64),
        log_level=reader.choice("LOG_LEVEL", "debug", "info", "warning", "error"),
        warnings=tuple(reader.warnings),
        dnc_key=reader.key("RINGBACK_DNC_KEY"),
    )
    reader.done()
    return settings


def read_dialer_settings(environ: Mapping[str, str]) -> DialerSettings:
    """How the contact centre is reached. Raises SettingsError with every mistake.

    Apart from the rest, because `check` and `explain` need no dialer.
    """
    reader = _Reader(environ)
    base_url = reader.address("CXONE_BASE_URL")
    org_id = reader.text("CXONE_ORG_ID")
    if not base_url and not org_id:
        reader.mistakes.append(
            "CXONE_ORG_ID: not set; set it to your organisation, or CXONE_BASE_URL to the API's address"
        )
    elif not base_url and not _ORG_ID.fullmatch(org_id):
        reader.mistakes.append("CXONE_ORG_ID: may hold only letters, digits and hyphens, at most 63")
    for name in ("CXONE_CLIENT_ID", "CXONE_CLIENT_SECRET"):
        if not reader.text(name):
            reader.mistakes.append(f"{name}: not set; Admin Console > Platform > OAuth Clients shows it")
    encoding = reader.choice("CXONE_TOKEN_ENCODING", "json", "form")
    auth = reader.choice("CXONE_CLIENT_AUTH", "body", "basic")
    reader.done()
    return DialerSettings(
        base_url=base_url or f"https://{org_id}.mypurecloud.com",
        client_id=reader.text("CXONE_CLIENT_ID"),
        client_secret=reader.text("CXONE_CLIENT_SECRET"),
        token_encoding="form" if encoding == "form" else "json",
        client_auth="basic" if auth == "basic" else "body",
    )
