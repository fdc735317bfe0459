"""Countries as CRMs write them. Run as a script, this file makes `integration/countries.json` anew."""

from __future__ import annotations

import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest
from babel import Locale
from babel.core import get_global
from hypothesis import given
from hypothesis import strategies as st

from integration import countries
from integration.countries import country_names_hint, read_country

TABLE = Path(countries.__file__).with_name("countries.json")
LANGUAGES = (
    *("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "pl", "cs", "sk", "sl", "hu", "ro", "hr"),
    *("bg", "tr", "el", "ru", "uk", "ja", "zh", "zh_Hant", "ko", "ar", "he"),
)
# What CLDR calls a territory and ISO 3166 calls no country: islands of others, unions, placeholders.
NO_COUNTRY = {"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"}
TWO_MEANINGS = {"congo"}  # one of two in some languages, both in others
UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})


def make_table() -> str:
    """The table as text, one line for each country."""
    meanings: dict[str, set[str]] = defaultdict(set)
    for language in LANGUAGES:
        for code, name in Locale.parse(language).territories.items():
            if len(code) == 2 and code.isalpha() and code not in NO_COUNTRY:
                meanings[countries.name_key(name)].add(code)
                if language == "de":
                    meanings[countries.name_key(name.translate(UMLAUTS))].add(code)
    names: dict[str, list[str]] = defaultdict(list)
    for key in sorted(set(meanings) - TWO_MEANINGS):
        if len(meanings[key]) == 1:
            names[min(meanings[key])].append(key)
    english = Locale("en").territories
    aliases = get_global("territory_aliases")
    alpha3 = {code: [] for code in sorted(names)}
    for alias in sorted(aliases):
        if len(alias) == 3 and alias.isalpha() and len(aliases[alias]) == 1 and aliases[alias][0] in alpha3:
            alpha3[aliases[alias][0]].append(alias)
    return (
        '{"names": {\n'
        + ",\n".join(
            f'"{code}": {json.dumps([english[code], *names[code]], ensure_ascii=False)}' for code in sorted(names)
        )
        + '\n}, "alpha3": {\n'
        + ",\n".join(f'"{code}": {json.dumps(codes)}' for code, codes in alpha3.items())
        + "\n}}\n"
    )


def test_the_shipped_table_is_what_its_command_makes():
    assert TABLE.read_text("utf-8") == make_table()


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("DE", "DE"),
        (" de ", "DE"),
        ("DEU", "DE"),
        ("deu", "DE"),
        ("GBR", "GB"),
        ("UK", "GB"),
        ("EL", "GR"),
        ("XK", "XK"),
        ("XKX", "XK"),
        ("Germany", "DE"),
        ("Deutschland", "DE"),
        ("Allemagne", "DE"),
        ("Alemania", "DE"),
        ("Duitsland", "DE"),
        ("\u30c9\u30a4\u30c4", "DE"),
        ("\u5fb7\u56fd", "DE"),
        ("\u5fb7\u570b", "DE"),
        ("\u0413\u0435\u0440\u043c\u0430\u043d\u0438\u044f", "DE"),
        ("\u0623\u0644\u0645\u0627\u0646\u064a\u0627", "DE"),
        ("\u00d6sterreich", "AT"),
        ("O\u0308STERREICH", "AT"),
        ("Osterreich", "AT"),
        ("Oesterreich", "AT"),
        ("Autriche", "AT"),
        ("Schweiz", "CH"),
        ("Suisse", "CH"),
        ("Svizzera", "CH"),
        ("Switzerland", "CH"),
        ("USA", "US"),
        ("U.S.", "US"),
        ("U. S. A.", "US"),
        ("u.s.a", "US"),
        ("United States", "US"),
        ("United States of America", "US"),
        ("the united  states", "US"),
        ("Estados Unidos", "US"),
        ("EE. UU.", "US"),
        ("\u00c9tats-Unis", "US"),
        ("England", "GB"),
        ("Great Britain", "GB"),
        ("Gro\u00dfbritannien", "GB"),
        ("Scotland", "GB"),
        ("Holland", "NL"),
        ("The Netherlands", "NL"),
        ("Pays-Bas", "NL"),
        ("Turkey", "TR"),
        ("T\u00fcrkiye", "TR"),
        ("TURKIYE", "TR"),
        ("Czech Republic", "CZ"),
        ("Czechia", "CZ"),
        ("C\u00f4te d\u2019Ivoire", "CI"),
        ("Ivory Coast", "CI"),
        ("Bosnia & Herzegovina", "BA"),
        ("Hong Kong", "HK"),
        ("Korea, Republic of", "KR"),
        ("South Korea", "KR"),
        ("Iran, Islamic Republic of", "IR"),
        ("Viet Nam", "VN"),
        ("Russian Federation", "RU"),
        ("Congo (the Democratic Republic of the)", "CD"),
        ("Georgia", "GE"),
        ("Polska", "PL"),
        ("D\u00e4nemark", "DK"),
        ("Daenemark", "DK"),
    ],
)
def test_it_reads_codes_and_names(written, code):
    assert read_country(written) == code


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", ".", "XX", "ZZ", "EU", "European Union", "UN", "001", "276", "+49", "D", "XA", "AC", "qwertz"),
        *("Congo", "Kongo", "Korea", "Europe", "Atlantis", "DE/AT", "Germany, Austria", "de-DE", "x" * 10_000),
        *(None, 49, True, False, Decimal(49), ["DE"], {"code": "DE"}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_it_does_not_guess(value):
    assert read_country(value) is None


def test_each_alias_means_its_country_and_no_other_name_hides_it():
    for code, names in countries.ALIASES.items():
        for name in names.split(", "):
            assert read_country(name) == code


@pytest.mark.parametrize("code", sorted(json.loads(TABLE.read_text("utf-8"))["names"]))
def test_each_country_is_read_from_its_code_and_its_english_name(code):
    assert read_country(code) == read_country(code.lower()) == code
    assert read_country(Locale("en").territories[code]) == code


def test_the_iso_codes_are_all_there():
    table = json.loads(TABLE.read_text("utf-8"))

    assert len(table["names"]) == 249 + 1  # and Kosovo
    assert all(len(names) > 1 and table["alpha3"][code] for code, names in table["names"].items())


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("Germny", "Germany"),
        ("Deutshland", "Germany"),
        ("Untied States", "United States"),
        ("Untied Kingdom", "United Kingdom"),
        ("Austrlia", "Australia"),
        ("Swizerland", "Switzerland"),
        ("qwertz", None),
        ("X", None),
        ("", None),
        (None, None),
        (7, None),
        ("G" * 10_000, None),
    ],
)
def test_the_hint_is_the_nearest_known_name(value, name):
    assert country_names_hint(value) == name


@given(st.text(max_size=100))
def test_no_text_makes_it_fail(text):
    code = read_country(text)

    assert code is None or (len(code) == 2 and code.isascii() and code.isupper())
    country_names_hint(text)


if __name__ == "__main__":
    TABLE.write_text(make_table(), encoding="utf-8")
