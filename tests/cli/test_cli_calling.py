from __future__ import annotations

import json

import pytest

NUMBER = "+15551230007"


@pytest.fixture
def desk(desk, centre):
    """A desk whose settings name the sandbox's contact centre."""
    return desk


# ---- accounts -----------------------------------------------------------------------------------


def test_accounts_lists_what_the_dialer_has_and_marks_what_the_rules_use(desk):
    result = desk("accounts")
    assert result.exit_code == 0
    assert result.stdout == (
        "ID          NAME           NUMBER        IN THE RULES AS\n"
        "acc-east    US East        +15551230100  us-east\n"
        "acc-dach    Vertrieb DACH  +4930901820   dach\n"
        "acc-closed  Closed office  +15551230199  -\n"
    )
    assert result.stderr == ""


def test_accounts_rings_nobody_and_asks_for_the_list_once(desk, centre):
    desk("accounts")
    assert [seen.kind for seen in centre.requests()] == ["token", "list"]


def test_accounts_of_the_rules_that_are_not_found_end_with_1(desk):
    text = (desk.folder / "config/rules.yaml").read_text()
    desk.write("config/rules.yaml", text.replace("acc-east", "acc-west").replace("Vertrieb DACH", "Vertrieb"))
    result = desk("accounts")
    assert result.exit_code == 1
    assert "acc-dach" in result.stdout
    assert "No phone account has the id 'acc-west' of account 'us-east'" in result.stderr
    assert "No phone account has the name 'Vertrieb' of account 'dach'" in result.stderr
    told = json.loads(desk("accounts", "--json").stdout)
    assert [one["account"] for one in told["not_found"]] == ["us-east", "dach"]
    assert [one["used_as"] for one in told["accounts"]] == [[], [], []]


@pytest.mark.parametrize("rules", [None, "accounts: 5\n"])
def test_accounts_comes_without_rules_as_well(desk, rules):
    if rules is None:
        (desk.folder / "config/rules.yaml").unlink()
    else:
        desk.write("config/rules.yaml", rules)
    result = desk("accounts")
    assert result.exit_code == 0
    assert "acc-east" in result.stdout
    assert "so nothing is marked as used" in result.stderr


def test_accounts_says_what_is_wrong_with_the_dialer_in_words(desk):
    refused = desk("accounts", CXONE_CLIENT_SECRET="wrong")
    assert refused.exit_code == 1
    assert "check CXONE_CLIENT_ID and CXONE_CLIENT_SECRET" in refused.stderr
    assert "wrong" not in refused.output
    scope = desk("accounts", CXONE_CLIENT_ID="sandbox-write-only")
    assert scope.exit_code == 1
    assert "personalconnection:read" in scope.stderr
    unset = desk("accounts", CXONE_CLIENT_ID="", CXONE_CLIENT_SECRET="")
    assert unset.exit_code == 2
    assert [line.split(":")[1].strip() for line in unset.stderr.splitlines()] == [
        "CXONE_CLIENT_ID",
        "CXONE_CLIENT_SECRET",
    ]


# ---- call ---------------------------------------------------------------------------------------


def test_call_asks_first_and_rings_nobody_without_a_yes(desk, centre):
    for answer in ("n\n", "\n", ""):
        result = desk("call", NUMBER, "--account", "us-east", stdin=answer)
        assert result.exit_code == 1
        assert f"Ring {NUMBER} now? [y/N]" in result.stdout
        assert "acc-east" in result.stdout
        assert centre.url in result.stdout
        assert result.stdout.endswith("Not placed.\n")
    assert centre.calls() == []


def test_call_rings_once_after_a_yes_and_tells_the_call_id(desk, centre):
    result = desk("call", NUMBER, "--account", "us-east", stdin="y\n")
    assert result.exit_code == 0
    (seen,) = centre.calls()
    assert seen.to == NUMBER
    assert f"Placed: call {seen.call_id}, initiated." in result.stdout


def test_call_uses_the_accounts_caller_id_and_reads_a_number_as_the_rules_do(desk, centre):
    result = desk("call", "(555) 123-0007", "--account", "dach", "--yes")
    assert result.exit_code == 0
    (seen,) = centre.calls_to(NUMBER)
    assert json.loads(seen.body) == {"to": NUMBER, "from": "+4930901820"}


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        ("status_400", 1, "Not placed. The dialer does not take this number"),
        ("status_401", 1, "Not placed. The token was refused"),
        ("status_403", 1, "personalconnection:write"),
        ("status_404", 1, "`ringback accounts`"),
        ("status_429", 1, "Not placed."),
        ("status_500", 3, "Unclear."),
        ("reset_after", 3, "nothing is sent again"),
    ],
)
def test_whatever_the_dialer_answers_it_is_asked_once(desk, centre, behaviour, code, words):
    centre.behave(behaviour)
    result = desk("call", NUMBER, "--account", "us-east", "--yes")
    assert result.exit_code == code
    assert words in " ".join(result.output.split())
    assert len(centre.calls()) == 1


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("911", "emergency"),
        ("+33199001234", "country_not_allowed"),
        ("hello", "bad_phone"),
        ("", "no_phone"),
        ("+4930901820", "own_number"),
    ],
)
def test_call_refuses_numbers_that_the_rules_refuse(desk, centre, number, words):
    result = desk("call", number, "--account", "us-east", "--yes")
    assert result.exit_code == 1
    assert "Not placed." in result.stderr
    assert words in result.stderr
    assert centre.requests() == []


@pytest.mark.parametrize("dialing", ["off", "+15551230008,+15551230009"])
def test_call_respects_ringback_dialing(desk, centre, dialing):
    result = desk("call", NUMBER, "--account", "us-east", "--yes", RINGBACK_DIALING=dialing)
    assert result.exit_code == 1
    assert "RINGBACK_DIALING" in result.stderr
    assert centre.requests() == []
    allowed = desk("call", "+15551230008", "--account", "us-east", "--yes", RINGBACK_DIALING=dialing)
    assert allowed.exit_code == (1 if dialing == "off" else 0)


def test_call_names_the_accounts_when_the_key_is_wrong(desk, centre):
    result = desk("call", NUMBER, "--account", "us-west", "--yes")
    assert result.exit_code == 2
    assert "there are: us-east, dach" in result.stderr
    assert centre.requests() == []


def test_a_fault_while_placing_is_unclear_and_not_a_traceback(desk, centre, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("integration.dialers.personal_connection.PersonalConnection.place", broken)
    result = desk("call", NUMBER, "--account", "us-east", "--yes")
    assert result.exit_code == 3
    assert "RuntimeError at" in result.stdout
    assert "boom" not in result.stdout


def test_ctrl_c_while_placing_is_unclear(desk, centre, monkeypatch):
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("integration.dialers.personal_connection.PersonalConnection.place", stopped)
    result = desk("call", NUMBER, "--account", "us-east", "--yes")
    assert result.exit_code == 3
    assert "The phone may be ringing" in result.stdout


def test_call_rings_no_number_of_the_do_not_call_list(desk, office, centre):
    desk.env["RINGBACK_DNC_KEY"] = "k" * 32
    desk("dnc", "add", NUMBER)
    result = desk("call", NUMBER, "--account", "us-east", "--yes")
    assert (result.exit_code, "is on the do-not-call list" in result.stderr) == (1, True)
    other = desk("call", "+15551230008", "--account", "us-east", "--yes")
    assert other.exit_code == 0
    del desk.env["RINGBACK_DNC_KEY"]
    result = desk("call", "+15551230009", "--account", "us-east", "--yes")
    assert (result.exit_code, "RINGBACK_DNC_KEY is not set" in result.stderr) == (2, True)
    assert len(centre.calls()) == 1
