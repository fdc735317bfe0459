"""Settings and rules become wired services. The only place that names a vendor.

Most of what is wired here is slow to load (requests 0.1 s, the log 0.1 s, Flask, the rules), and most commands
need a part of it only. So each function loads its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integration.settings import (
    SETTINGS,
    DialerSettings,
    Environment,
    Settings,
    SettingsError,
    read_dialer_settings,
    read_settings,
)

if TYPE_CHECKING:
    from integration.dialers import Dialer
    from integration.http import Client
    from integration.ledger import Ledger
    from integration.rules import Rules

DEFAULT_RULES = Path(SETTINGS["RINGBACK_RULES"][0])
_VARIABLE = re.compile(rb"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def read_environment() -> dict[str, str]:
    """The process's environment with `NAME_FILE` resolved. Raises SettingsError."""
    return Environment(os.environ).values()


def read_environment_to_judge() -> tuple[dict[str, str], list[str]]:
    """The same, and what is wrong, also with the variables that the rules name. For whoever goes on all the same."""
    environment = Environment(os.environ)
    try:
        raw = read_rules_file(rules_path(environment.read()[0]))
    except SettingsError:  # told by whoever needs the rules
        raw = b""
    return environment.read(_variables(raw))


def read_environment_for_rules() -> dict[str, str]:
    """The same for whoever needs no settings but the place of the rules. Raises SettingsError when that is unclear."""
    environ, mistakes = Environment(os.environ).read()
    unclear = [mistake for mistake in mistakes if mistake.startswith("RINGBACK_RULES")]
    if unclear:
        raise SettingsError(unclear)
    return environ


def read_all_settings(environ: Mapping[str, str]) -> tuple[Settings, DialerSettings]:
    """Settings and the dialer's. Raises SettingsError with the mistakes of both."""
    mistakes: list[str] = []
    try:
        settings = read_settings(environ)
    except SettingsError as error:
        mistakes += error.mistakes
    try:
        dialer_settings = read_dialer_settings(environ)
    except SettingsError as error:
        mistakes += error.mistakes
    if mistakes:
        raise SettingsError(mistakes)
    return settings, dialer_settings


def read_for_serving() -> tuple[Settings, DialerSettings, Rules]:
    """All that serving needs: settings, the dialer's, and rules with every `${VAR}` set.

    Raises SettingsError with the mistakes of all three, or RulesError when nothing but the rules is wrong.
    """
    settings, dialer_settings, rules = _read_for_serving(dials=True)
    assert dialer_settings is not None
    return settings, dialer_settings, rules


def read_for_web() -> tuple[Settings, Rules]:
    """The same for a process that never dials: it can do without the contact centre's secrets."""
    settings, _, rules = _read_for_serving(dials=False)
    return settings, rules


def _read_for_serving(*, dials: bool) -> tuple[Settings, DialerSettings | None, Rules]:
    from integration.rules import RulesError, load_rules  # noqa: PLC0415

    environ, mistakes = read_environment_to_judge()
    unread = {mistake.partition(":")[0].removesuffix("_FILE") for mistake in mistakes}
    path = rules_path(environ)
    rules, rules_error, told = None, None, []
    try:
        rules = load_rules(read_rules_file(path), name=str(path), environ=environ)
    except SettingsError as error:
        told = error.mistakes
    except RulesError as error:
        rules_error = error
        told = _not_about(unread, str(error).splitlines())
        told += [error.closing] if told else []
    settings, dialer_settings = None, None
    try:
        if dials:
            settings, dialer_settings = read_all_settings(environ)
        else:
            settings = read_settings(environ)
    except SettingsError as error:
        mistakes += _not_about(unread, error.mistakes)
    if rules is not None:
        public_url = environ.get("PUBLIC_URL", "").strip() or None
        mistakes += _not_about(unread, _missing_public_url(rules, public_url))
        mistakes += _not_about(unread, missing_dnc_key(rules, environ.get("RINGBACK_DNC_KEY", "").strip()))
    if rules_error is not None and not mistakes:
        raise rules_error
    if settings is None or rules is None or mistakes:
        raise SettingsError([*mistakes, *told])
    return settings, dialer_settings, rules


def _not_about(names: Collection[str], mistakes: Iterable[str]) -> list[str]:
    """Without those that follow from a variable whose own mistake has been told already."""
    return [
        mistake
        for mistake in mistakes
        if mistake.partition(":")[0] not in names and not any(f"${{{name}}}" in mistake for name in names)
    ]


def _variables(rules: bytes) -> set[str]:
    """The variables that a rules file names as `${NAME}`, also one that cannot be loaded."""
    return {name.decode() for name in _VARIABLE.findall(rules)}


def rules_path(environ: Mapping[str, str]) -> Path:
    """The rules file that the settings name."""
    return Path(environ.get("RINGBACK_RULES", "").strip() or DEFAULT_RULES)


def read_rules_to_look(path: Path, environ: Mapping[str, str]) -> Rules:
    """The rules for looking at accounts and decisions, never for serving: a `${VAR}` that is not set is
    replaced by a harmless text. Raises RulesError, SettingsError."""
    from integration.rules import load_rules  # noqa: PLC0415

    raw = read_rules_file(path)
    return load_rules(raw, name=str(path), environ=environ, declared=_variables(raw))


def read_rules_file(path: Path) -> bytes:
    """The file's bytes. Raises SettingsError with words for people."""
    limit = 2_000_000
    if path == DEFAULT_RULES and not path.exists():
        missing = f"{path} is not in this folder ({Path.cwd()}); go to the clone or set RINGBACK_RULES"
        raise SettingsError([missing])
    try:
        if path.exists() and not path.is_file():
            raise SettingsError([f"RINGBACK_RULES: {path} is no ordinary file"])
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        problem = (error.strerror or "cannot be read").lower()
        raise SettingsError([f"RINGBACK_RULES: {path}: {problem}; give the path of your rules file"]) from None


def need_public_url(settings: Settings, rules: Rules) -> None:
    """Raises SettingsError when a source's signature covers the public address and nobody has told it."""
    mistakes = _missing_public_url(rules, settings.public_url)
    if mistakes:
        raise SettingsError(mistakes)


def _missing_public_url(rules: Rules, public_url: str | None) -> list[str]:
    sources = [name for name, source in rules.sources.items() if source.scheme.signs_url]
    if not sources or public_url is not None:
        return []
    mistake = (
        f"PUBLIC_URL: not set, and the signature of {_of_sources(sources)} covers the address under "
        "which the CRM reaches this server; set it to that address, or every webhook is refused"
    )
    return [mistake]


def _of_sources(names: Sequence[str]) -> str:
    return f"{'source' if len(names) == 1 else 'sources'} {', '.join(names)}"


def missing_dnc_key(rules: Rules, key: str | None) -> list[str]:
    """What is wrong when a source's opt-outs have no list to go to."""
    sources = [name for name, source in rules.sources.items() if source.opt_out is not None]
    if not sources or key:
        return []
    mistake = (
        f"RINGBACK_DNC_KEY: not set, and the opt-outs of {_of_sources(sources)} go onto the do-not-call list; "
        "make one with `openssl rand -hex 32`, and keep it as you keep the database"
    )
    return [mistake]


# ---- the database -------------------------------------------------------------------------------


def make_database(settings: Settings) -> bool:
    """Create or migrate the database. Whether there was anything to do. Raises LedgerUnavailable."""
    from integration.ledger import migrate  # noqa: PLC0415

    open_ledger(settings).close()  # says in words what is wrong with a file or a server
    return migrate(settings.database_url)


def open_ledger(settings: Settings, *, ask_first: bool = True, **how: Any) -> Ledger:
    """The ledger; `how` as in `open_database`. With `ask_first` a PostgreSQL that is away raises here.

    Raises LedgerUnavailable, LedgerInUse.
    """
    from integration.ledger import Ledger, NumberKey, open_database  # noqa: PLC0415

    key = None if settings.dnc_key is None else NumberKey(settings.dnc_key)
    return Ledger(open_database(settings.database_url, ask_first=ask_first, **how), key)


def open_serving_ledger(settings: Settings, **how: Any) -> Ledger:
    """The ledger for a process that serves: on SQLite it is the only one, and may migrate it itself.

    A PostgreSQL that does not answer is no reason not to begin. One that says no (a wrong password, not migrated)
    is. Raises LedgerUnavailable, LedgerInUse.
    """
    from integration.ledger import LedgerUnavailable, migrate  # noqa: PLC0415
    from integration.log import get_log  # noqa: PLC0415

    try:
        ledger = open_ledger(settings, exclusive=True, **how)
    except LedgerUnavailable as error:
        if error.lasts or settings.database_url.startswith("sqlite:"):
            raise
        get_log().error("database.unavailable", detail=str(error))
        return open_ledger(settings, ask_first=False, **how)
    try:
        if ledger.database.dialect == "sqlite" and not ledger.is_migrated():
            migrate(settings.database_url)
            get_log().info("database.migrated")
        demand_migrated(ledger)
    except LedgerUnavailable as error:
        if error.lasts or ledger.database.dialect == "sqlite":
            ledger.close()
            raise
    return ledger


def demand_migrated(ledger: Ledger) -> None:
    """Raises LedgerUnavailable when the database does not answer or is not migrated."""
    from integration.ledger import LedgerUnavailable  # noqa: PLC0415

    if not ledger.is_migrated():
        raise LedgerUnavailable("the database is not migrated; run `ringback release`", lasts=True)


# ---- the dialer ---------------------------------------------------------------------------------


def make_dialer(settings: DialerSettings, client: Client) -> Dialer:
    """The dialer that these settings ask for."""
    from integration.dialers.personal_connection import PersonalConnection  # noqa: PLC0415 - the one vendor

    return PersonalConnection(
        base_url=settings.base_url,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        token_encoding=settings.token_encoding,
        client_auth=settings.client_auth,
        client=client,
    )
