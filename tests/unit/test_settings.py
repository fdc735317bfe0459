"""The environment: what is taken, and what each mistake says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from integration.settings import SETTINGS, Environment, SettingsError, read_dialer_settings, read_settings

ROOT = Path(__file__).parents[2]
DIALER = {"CXONE_ORG_ID": "acme", "CXONE_CLIENT_ID": "client", "CXONE_CLIENT_SECRET": "canary-secret"}


def mistakes(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_settings(environ)
    return caught.value.mistakes


def test_nothing_set_serves_this_machine_with_sqlite():
    settings = read_settings({})
    assert settings.database_url == "sqlite:///ringback.db"
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.rules_path == Path("config/rules.yaml")
    assert settings.dialing.everybody
    assert settings.cooldown_seconds == 600


def test_a_port_that_the_platform_gives_is_listened_on_everywhere():
    settings = read_settings({"PORT": "5123"})
    assert (settings.host, settings.port) == ("0.0.0.0", 5123)


def test_an_unknown_setting_is_refused_with_the_nearest_name():
    assert mistakes({"RINGBACK_DIALLING": "off"}) == [
        "RINGBACK_DIALLING: there is no such setting; did you mean RINGBACK_DIALING?"
    ]


def test_every_mistake_is_told_in_one_run():
    told = mistakes({"PORT": "x", "LOG_LEVEL": "loud", "DATABASE_URL": "mysql://x", "RINGBACK_DIALING": "perhaps"})
    assert [line.partition(":")[0] for line in told] == ["DATABASE_URL", "PORT", "RINGBACK_DIALING", "LOG_LEVEL"]


@pytest.mark.parametrize(
    ("value", "number", "withheld"),
    [
        ("on", "+4930901820", False),
        ("ON", "+4930901820", False),
        ("off", "+4930901820", True),
        ("+15551234567", "+4930901820", True),
        ("+15551234567, +4930901820", "+4930901820", False),
    ],
)
def test_dialing_can_be_kept_to_some_numbers(value: str, number: str, withheld: bool):
    assert read_settings({"RINGBACK_DIALING": value}).dialing.withholds(number) is withheld


@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_an_empty_dialing_is_a_mistake_and_never_taken_for_on(value: str):
    assert mistakes({"RINGBACK_DIALING": value}) == ["RINGBACK_DIALING is empty; write on, off or numbers"]


@pytest.mark.parametrize("value", ["yes", "15551234567", "+1555123456x", "+0123456789", ",", "on,+15551234567"])
def test_dialing_that_cannot_be_read_is_never_taken_for_on(value: str):
    assert mistakes({"RINGBACK_DIALING": value})[0].startswith("RINGBACK_DIALING: must be")


@pytest.mark.parametrize(
    "url", ["postgres://u:p@host:abc/x", "postgresql://", "postgres://u:p@h:99999/x", "mysql://h/x"]
)
def test_a_database_address_that_cannot_be_read_is_named_without_its_password(url: str):
    (told,) = mistakes({"DATABASE_URL": url})
    assert told.startswith("DATABASE_URL: ")
    assert "u:p" not in told


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:hunter@2@h/d",
        "postgres://u:12/hunter@h/d",
        "postgres://u:12?hunter@h/d",
        "postgres://u:12#hunter@h/d",
    ],
)
def test_a_password_with_signs_that_mean_something_in_an_address_is_told_and_not_shown(url: str):
    (told,) = mistakes({"DATABASE_URL": url})
    assert "%40" in told
    assert "hunter" not in told


def test_a_dyno_without_a_database_refuses_to_start_and_says_why():
    (told,) = mistakes({"DYNO": "web.1"})
    assert "wiped at least daily" in told
    assert "heroku addons:create heroku-postgresql" in told
    assert read_settings({"DYNO": "web.1", "RINGBACK_ALLOW_DATA_LOSS": "yes"}).database_url.startswith("sqlite")
    assert read_settings({"DYNO": "web.1", "DATABASE_URL": "postgres://u:p@h/d"}).database_url == "postgres://u:p@h/d"


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"CXONE_ORG_ID": "acme"}, "https://acme.mypurecloud.com"),
        ({"CXONE_ORG_ID": "acme", "CXONE_BASE_URL": ""}, "https://acme.mypurecloud.com"),
        ({"CXONE_BASE_URL": "https://gateway.example.com/cxone/"}, "https://gateway.example.com/cxone"),
        ({"CXONE_ORG_ID": "acme", "CXONE_BASE_URL": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080"),
    ],
)
def test_the_address_is_made_from_the_organisation_or_given(environ: dict[str, str], address: str):
    assert read_dialer_settings({**DIALER, "CXONE_ORG_ID": "", **environ}).base_url == address


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CXONE_ORG_ID", ""),
        ("CXONE_ORG_ID", "evil.example/"),
        ("CXONE_ORG_ID", "a" * 64),
        ("CXONE_ORG_ID", "acme\nx"),
        ("CXONE_ORG_ID", "äcme"),
        ("CXONE_BASE_URL", "gateway.example.com"),
        ("CXONE_BASE_URL", "ftp://gateway.example.com"),
        ("CXONE_BASE_URL", "https://user:pw@gateway.example.com"),
        ("CXONE_BASE_URL", "https://@gateway.example.com"),
        ("CXONE_BASE_URL", "https://gateway.example.com/?a=1"),
        ("CXONE_BASE_URL", "https://gateway.example.com/#a"),
        ("CXONE_BASE_URL", "https://gateway.example.com/a b"),
        ("CXONE_BASE_URL", "https://good.example\\@evil.example"),
        ("CXONE_BASE_URL", "https://"),
        ("CXONE_BASE_URL", "https://gateway.example.com:99999"),
    ],
)
def test_an_address_that_could_lead_elsewhere_is_refused(name: str, value: str):
    with pytest.raises(SettingsError) as caught:
        read_dialer_settings({**DIALER, name: value})
    assert caught.value.mistakes[0].startswith(name)


def test_a_secret_may_come_from_a_file(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("from-a-file\n")
    values = Environment({"CXONE_CLIENT_SECRET_FILE": str(secret), "OUR_CRM_SECRET_FILE": str(secret)}).values()
    assert values["CXONE_CLIENT_SECRET"] == "from-a-file"
    assert values["OUR_CRM_SECRET"] == "from-a-file"


def test_a_secret_file_that_cannot_be_read_is_named_by_its_setting_alone(tmp_path: Path):
    with pytest.raises(SettingsError) as caught:
        Environment({"CXONE_CLIENT_SECRET_FILE": str(tmp_path / "gone")}).values()
    assert caught.value.mistakes == [
        "CXONE_CLIENT_SECRET_FILE: the file it names cannot be read; check path and permissions"
    ]


def test_a_setting_given_twice_is_a_mistake(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("from-a-file")
    both = {"CXONE_CLIENT_SECRET_FILE": str(secret), "CXONE_CLIENT_SECRET": "canary-secret"}
    with pytest.raises(SettingsError) as caught:
        Environment(both).values()
    assert caught.value.mistakes == [
        "CXONE_CLIENT_SECRET: both CXONE_CLIENT_SECRET and CXONE_CLIENT_SECRET_FILE are set; unset one of them"
    ]
    gone = {**both, "CXONE_CLIENT_SECRET_FILE": "/nope"}
    with pytest.raises(SettingsError, match="are set; unset one"):
        Environment(gone).values()


def test_an_empty_variable_beside_its_file_counts_as_not_set(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("from-a-file")
    found = Environment({"CXONE_CLIENT_SECRET_FILE": str(secret), "CXONE_CLIENT_SECRET": ""}).values()
    assert found["CXONE_CLIENT_SECRET"] == "from-a-file"


def test_what_only_the_rules_name_is_judged_once_they_are_known(tmp_path: Path):
    environment = Environment({"OUR_TOKEN": "a", "OUR_TOKEN_FILE": "/nope", "SSL_CERT_FILE": "/nope", "SSL_CERT": "x"})
    assert environment.read()[1] == []
    assert environment.read({"OUR_TOKEN"})[1] == [
        "OUR_TOKEN: both OUR_TOKEN and OUR_TOKEN_FILE are set; unset one of them"
    ]
    assert Environment({"OUR_TOKEN_FILE": "/nope"}).read({"OUR_TOKEN"})[1] == [
        "OUR_TOKEN_FILE: the file it names cannot be read; check path and permissions"
    ]


def test_no_secret_stands_in_a_repr():
    settings = read_dialer_settings(DIALER)
    assert "canary-secret" not in repr(settings)
    assert "hunter2" not in repr(read_settings({"DATABASE_URL": "postgres://u:hunter2@h/d"}))


def test_every_setting_is_documented_with_its_default():
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (\S+) \|", text, flags=re.MULTILINE))
    for name, (default, _) in SETTINGS.items():
        assert name in rows, f"docs/settings.md does not list {name}"
        assert rows[name] == (f"`{default}`" if default else "none"), name
    assert set(rows) <= set(SETTINGS)


def test_every_variable_of_the_shipped_rules_is_documented():
    rules = (ROOT / "integration" / "demo" / "rules.yaml").read_text(encoding="utf-8")
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for name in set(re.findall(r"\$\{([A-Z_]+)\}", rules)):
        assert f"`{name}`" in text
