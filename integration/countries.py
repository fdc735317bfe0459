"""Which country a record means, whatever language its CRM speaks.

A country decides how a number is read and which rule fits, so a name with two meanings ("Congo",
"Korea") is not understood, rather than guessed. The names in 28 languages come from CLDR by way of
Babel. Babel itself is not used here: it holds 35 MB and takes 0.2 s to open those languages, for names
that fit into a small table. The table is `countries.json`, made by `python tests/unit/test_countries.py`
(Babel 2.18 of November 2026); a test compares the two.
"""

from __future__ import annotations

import difflib
import json
import unicodedata
from functools import cache
from importlib import resources

from integration.model import Tree

MAX_NAME = 80  # characters: no country's name is longer

# Everyday and official names that CLDR does not list, by ISO code.
ALIASES = {
    "AE": "UAE, Emirates",
    "BA": "Bosnia",
    "BO": "Bolivia (Plurinational State of)",
    "BN": "Brunei Darussalam",
    "CD": "DR Congo, DRC, Democratic Republic of the Congo, Congo (the Democratic Republic of the)",
    "CG": "Republic of the Congo",
    "CH": "Swiss Confederation",
    "CI": "Ivory Coast, Cote d Ivoire",
    "CN": "Mainland China, PRC, People's Republic of China",
    "CV": "Cabo Verde",
    "CZ": "Czech Republic, Tschechische Republik, Ceska republika",
    "DE": "Federal Republic of Germany, Bundesrepublik Deutschland, BRD",
    "FK": "Falkland Islands (Malvinas)",
    "FM": "Micronesia (Federated States of)",
    "GB": "Great Britain, Britain, England, Scotland, Wales, Northern Ireland, UK, "
    "United Kingdom of Great Britain and Northern Ireland, Grossbritannien, Grande-Bretagne, Gran Bretana, "
    "Gran Bretagna, Groot-Brittannie, Angleterre, Inglaterra, Inghilterra, Engeland, Schottland",
    "GR": "EL, Hellas, Hellenic Republic",
    "HK": "Hong Kong, Hongkong",
    "IE": "Eire, Republic of Ireland",
    "IR": "Iran (Islamic Republic of), Islamic Republic of Iran",
    "KP": "Korea (Democratic People's Republic of), Democratic People's Republic of Korea, DPRK",
    "KR": "Korea (Republic of), Republic of Korea",
    "LA": "Lao People's Democratic Republic, Lao PDR",
    "MD": "Moldova (Republic of), Republic of Moldova",
    "MK": "Macedonia, Macedonia (the former Yugoslav Republic of)",
    "MM": "Burma",
    "MO": "Macao, Macau",
    "NL": "Holland, Hollande, Holanda, Olanda, The Netherlands",
    "PS": "Palestine, State of Palestine",
    "RU": "Russian Federation",
    "SY": "Syrian Arab Republic",
    "SZ": "Swaziland",
    "TL": "East Timor",
    "TR": "Turkey, Republic of Turkey",
    "TW": "Taiwan (Province of China), Republic of China",
    "TZ": "Tanzania (United Republic of), United Republic of Tanzania",
    "US": "United States of America, America, The States, Vereinigte Staaten von Amerika, "
    "Etats-Unis d'Amerique, Estados Unidos de America, EE UU, EEUU, EUA, Stati Uniti d'America, VSA",
    "VA": "Vatican, Holy See, Holy See (Vatican City State)",
    "VE": "Venezuela (Bolivarian Republic of)",
    "VG": "Virgin Islands (British)",
    "VI": "Virgin Islands (US)",
    "VN": "Viet Nam",
    "XK": "XKX",
}

_LETTERS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "\u0131": "i", "æ": "ae", "œ": "oe", "&": " and "})


def read_country(value: Tree) -> str | None:
    """The ISO 3166 alpha-2 code that a value means, or None.

    Understood are alpha-2 and alpha-3 codes and names in 28 languages, without regard to case, accents
    and punctuation. Kosovo is XK, as in telephone plans.
    """
    if not isinstance(value, str) or len(value) > MAX_NAME:
        return None
    text = value.strip()
    if text in _codes():  # nearly every CRM sends the code
        return text
    return _index().get(name_key(text))


def country_names_hint(value: Tree) -> str | None:
    """The English name nearest to a value that `read_country` does not know, or None when none is near."""
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME:
        return None
    names = {name: code for name, code in _index().items() if len(name) > len("usa")}
    near = difflib.get_close_matches(name_key(value), names, n=1, cutoff=0.75)
    return _table()["names"][names[near[0]]][0] if near else None


def name_key(name: str) -> str:
    """A name without case, accents, punctuation, outer spaces and leading article."""
    folded = unicodedata.normalize("NFKD", name.casefold().translate(_LETTERS))
    kept = [char for char in folded if not unicodedata.combining(char) and char not in ".'\u2019`\u00b4"]
    words = "".join(char if char.isalnum() else " " for char in kept).split()
    if all(len(word) == 1 for word in words):  # U. S. A.
        words = ["".join(words)]
    if len(words) > 1 and words[0] == "the":
        del words[0]
    return unicodedata.normalize("NFC", " ".join(words))


@cache
def _table() -> dict[str, dict[str, list[str]]]:
    """`names`: alpha-2 -> the English name, then name keys. `alpha3`: alpha-2 -> its alpha-3 codes."""
    text = resources.files("integration").joinpath("countries.json").read_text("utf-8")
    table: dict[str, dict[str, list[str]]] = json.loads(text)
    return table


@cache
def _codes() -> frozenset[str]:
    return frozenset(_table()["names"])


@cache
def _index() -> dict[str, str]:
    """Name key -> code. Codes come last, so that no name hides one."""
    table = _table()
    index = {key: code for code, (_, *keys) in table["names"].items() for key in keys}
    index |= {name_key(name): code for code, names in ALIASES.items() for name in names.split(", ")}
    index |= {alpha3.lower(): code for code, codes in table["alpha3"].items() for alpha3 in codes}
    return index | {code.lower(): code for code in table["names"]}
