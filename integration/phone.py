"""Which number rings whom, and which numbers this program never rings.

libphonenumber knows the plans of all countries, but "valid" is not "safe to dial": satellites and
Caribbean islands are valid, `911` is no emergency number once `+` stands before it, and a number
written nationally is a valid number of several countries. So the text is cleaned here first, letters
and extensions are refused, short and emergency numbers are caught on raw digits, and only then does
the library read bare digits. What it calls valid is allowed by country, never by country code.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import phonenumbers
from phonenumbers import PhoneNumberType

from integration.model import Reason, Tree
from integration.payload import as_text, is_nothing
from integration.phone_data import (
    EMERGENCY,
    FICTIONAL,
    PREMIUM_PREFIXES,
    SATELLITE_PREFIXES,
    SERVICE_PREFIXES,
    SHORT_PLANS,
    TOLL_FREE_PREFIXES,
)

MAX_TEXT = 200  # characters of a phone field that are still a phone field
E164_DIGITS = 15  # with the country code; no network takes more
MAX_DIGITS = 20  # those, a prefix for abroad and a trunk zero
MIN_SHORT_DIGITS = 3
MAX_SHORT_DIGITS = 6


@dataclass(frozen=True, slots=True)
class PhonePolicy:
    """What the `phones:` block of the rules allows."""

    may_call: frozenset[str]  # ISO 3166 alpha-2 regions
    read_as: str | None = None  # region for a number without + on a record without a country
    refuse_fictional: bool = False
    own_numbers: frozenset[str] = frozenset()  # E.164


@dataclass(frozen=True, slots=True)
class Phone:
    """A number that may be dialled."""

    e164: str
    country: str  # ISO 3166 alpha-2 region of the number; the tutorial's fictional range counts as US


@dataclass(frozen=True, slots=True)
class PhoneRefused:
    """Why a value is not dialled. `blocked`: never to be; otherwise a person may correct the record."""

    reason: Reason
    detail: str  # a sentence that repeats no digit of the number
    blocked: bool
    country: str | None = None  # region of the number, where it was understood
    e164: str | None = None  # set where the number was understood


def read_phone(value: Tree, country: str | None, policy: PhonePolicy) -> Phone | PhoneRefused:
    """Read one field. Of several numbers in it, the first that can be dialled is taken.

    `country` is the record's ISO country. `policy.read_as` replaces it only when it is None.
    """
    text = _text_of(value)
    if isinstance(text, PhoneRefused):
        return text
    pieces = _pieces(text)
    if isinstance(pieces, PhoneRefused):
        return pieces
    region = country if country is not None else policy.read_as
    return _first_dialable(_read_piece(piece, region, policy) for piece in pieces)


def read_phones(values: Sequence[Tree], country: str | None, policy: PhonePolicy) -> Phone | PhoneRefused:
    """Read several fields in order: the first number that can be dialled, or the most telling refusal.

    A list among the values stands for its items.
    """
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return _first_dialable(read_phone(value, country, policy) for value in flat)


def read_every(values: Sequence[Tree], country: str | None, policy: PhonePolicy) -> list[Phone | PhoneRefused]:
    """Read several fields for all the numbers in them, dialled or not; an empty field is passed over.

    Around a slash may stand two numbers, or one: every reading that gives a number counts.
    """
    region = country if country is not None else policy.read_as
    found: list[Phone | PhoneRefused] = []
    for value in values:
        text = _text_of(value)
        pieces = text if isinstance(text, PhoneRefused) else _pieces(text)
        if isinstance(pieces, PhoneRefused):
            found += [] if pieces.reason is Reason.NO_PHONE else [pieces]
            continue
        for piece in pieces:
            parts = piece.split("/") if "/" in piece else []
            read = [_read_piece(piece, region, policy), *(_read_number(part.strip(), region, policy) for part in parts)]
            found += [one for one in read if one.e164 is not None] or read[:1]
    return found


def mask(e164: str) -> str:
    """A number as logs and pages may show it: its last two digits."""
    return f"+…{e164[-2:]}"


# Dates, times and UUIDs are left alone; any other run of seven digits is taken for a number, also with
# its signs percent-encoded.
_RUN = re.compile(
    r"(?P<kept>\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
    r"|\b(?:19|20)\d\d-[01]\d-[0-3]\d(?:[T ][0-2]\d:[0-5]\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?"
    r"(?![\w-]))"
    r"|\+?\(?\d(?:(?:[-\s.()/\u2010-\u2015\u2212]|%2[0-9a-fA-F]){0,3}\d){6,}"
)


def mask_numbers(text: str) -> str:
    """A text with every run that may be a phone number masked. In doubt it is masked."""
    return _RUN.sub(lambda run: run[0] if run["kept"] else mask(run[0]), text)


# ---- from a value to pieces of text -----------------------------------------------------------


def _bad(detail: str) -> PhoneRefused:
    return PhoneRefused(Reason.BAD_PHONE, detail, blocked=False)


_NO_PHONE = PhoneRefused(Reason.NO_PHONE, "The phone field is empty.", blocked=False)
_NO_REGION = PhoneRefused(
    Reason.NO_REGION,
    "The number has no country code and the record no country; write it with + and the country code, "
    "or set `phones.read_as`.",
    blocked=False,
)
_EXTENSION = _bad("The number has an extension, which cannot be dialled; leave it out.")
_LETTERS = _bad("The phone field holds letters; write the number in digits.")


def _text_of(value: Tree) -> str | PhoneRefused:
    if is_nothing(value):
        return _NO_PHONE
    if isinstance(value, Decimal) and (not value.is_finite() or int(value.as_tuple().exponent) > 0):
        return _bad("The number was sent rounded, in powers of ten; send it as text.")
    if isinstance(value, Decimal | int) and value < 0:
        return _bad("The phone field is a negative number; send the phone number as text.")
    if isinstance(value, Decimal) and value != value.to_integral_value():
        return _bad("The phone field is a number with a fraction; send the phone number as text.")
    if isinstance(value, bool | dict | list) or (text := as_text(value)) is None:
        return _bad("The phone field is no text; map a field that holds one number.")
    if len(text) > MAX_TEXT:
        return _bad(f"The phone field is longer than {MAX_TEXT} characters; map a field that holds a number.")
    return _cleaned(text)


_EXTRA_HYPHENS = "\u2212\u30fc\uff70"


def _cleaned(text: str) -> str | PhoneRefused:
    """Plain digits, plain hyphens and spaces; marks that only steer the display are dropped."""
    kept: list[str] = []
    for char in text.replace("\r\n", "\n"):
        kind = unicodedata.category(char)
        if kind in ("No", "Nl", "Cs", "Co") or (kind == "Cc" and char not in "\n\t"):
            return _bad("The phone field holds a control character or an odd sign; type the number again.")
        if kind != "Cf":
            kept.append("-" if kind == "Pd" or char in _EXTRA_HYPHENS else char)
    plain = unicodedata.normalize("NFKC", "".join(kept))
    digits = (str(unicodedata.decimal(char)) if char.isdecimal() else char for char in plain)
    return "".join(digits).strip().strip("'\"=").strip()


_SCIENTIFIC = re.compile(r"\+?\d+(?:[.,]\d+)?[eE]\+?\d+")
_SPREADSHEET_FLOAT = re.compile(r"\+?\d{7,}[.,]0+")
_PAUSES = re.compile(r",\s*,|,\s*\d{1,6}\s*#")
_SEPARATOR = re.compile(r"[;|,\n\t\u3001]|\s(?:or|oder|ou|und|and)\s", re.IGNORECASE)
_EXTENSION_MARK = re.compile(
    r"(?:\b|(?<=\d))(?:extension|extn|ext|ex|x|durchwahl|dw|poste|app)\W{0,3}\d", re.IGNORECASE
)
_LABEL = re.compile(r"(?:tel|telephone|phone|mobile|mob|cell|callto|whatsapp)\b[\s.:]*(?=[+(\d])", re.IGNORECASE)


def _pieces(text: str) -> list[str] | PhoneRefused:
    """The numbers of one field, each as it was written."""
    if _SCIENTIFIC.fullmatch(text):
        return _bad("A spreadsheet has rounded the number to powers of ten; its last digits are lost.")
    if _SPREADSHEET_FLOAT.fullmatch(text):
        return _bad("A spreadsheet has made the number a fraction; write it as text, without the end `.0`.")
    if _PAUSES.search(text):
        return _EXTENSION
    if "phone-context" in text.lower():
        return _bad("The number is local to a network (phone-context); write it with + and the country code.")
    joined = re.sub(r";\s*(?=ext)", " ", text, flags=re.IGNORECASE)
    return [piece for piece in (part.strip() for part in _SEPARATOR.split(joined)) if piece]


def _first_dialable(results: Iterable[Phone | PhoneRefused]) -> Phone | PhoneRefused:
    refusals: list[PhoneRefused] = []
    for result in results:
        if isinstance(result, Phone):
            return result
        refusals.append(result)
    return min(refusals, key=_usefulness, default=_NO_PHONE)


def _usefulness(refusal: PhoneRefused) -> int:
    if refusal.blocked:
        return 0 if refusal.e164 else 1
    return {Reason.NO_REGION: 2, Reason.BAD_PHONE: 3}.get(refusal.reason, 4)


# ---- one number -------------------------------------------------------------------------------


def _read_piece(piece: str, region: str | None, policy: PhonePolicy) -> Phone | PhoneRefused:
    """One number, or several around slashes. A slash may also stand behind an area code: 030/9018201."""
    parts = [part for part in piece.split("/") if part.strip()]
    if len(parts) < 2 or not 0 < sum(map(str.isdigit, parts[0])) <= _area_digits(parts[0]):
        return _first_dialable(_read_number(part.strip(), region, policy) for part in parts)
    if len(parts) > 2:  # 030/9018201/02: is the last part another number, or the end of this one?
        return _TWO_READINGS
    return _read_number(piece.replace("/", " "), region, policy)


def _area_digits(part: str) -> int:
    """How many digits may stand before a slash that is no end of a number."""
    return 8 if part.strip(" (").startswith(("+", "00")) else 6


def _read_number(written: str, region: str | None, policy: PhonePolicy) -> Phone | PhoneRefused:
    """One number. Emergency and short numbers are told by their digits, before any plan is asked."""
    label = _LABEL.match(written)
    text = written[label.end() :] if label else written
    digits = _digits_of(text)
    if isinstance(digits, PhoneRefused):
        return digits
    if (refused := _short(digits, region)) is not None:
        return refused
    if _is_junk(digits.lstrip("+")):
        return _JUNK
    international = digits.startswith(("+", "00"))
    if region is None and not international:
        return _NO_REGION
    if not international and region not in phonenumbers.SUPPORTED_REGIONS:
        return PhoneRefused(Reason.NO_REGION, f"{region} has no numbers of its own; write it with +.", blocked=False)
    numbers = _readings(digits, region) or _readings(_digits_only(_TRUNK.sub(r"\1", text, count=1)), region)
    if len(numbers) != 1:
        return _TWO_READINGS if numbers else _no_such(None if international else region)
    return _judged(*numbers[0], policy)


# The zero of a national number, shown behind the country code: `+48 (0)22`. Most plans know it; for one
# without such a zero the library does not.
_TRUNK = re.compile(r"^(\s*(?:\+|00)[\s\d]{1,5})\(0\)")

_JUNK = _bad("The number is made up (one digit repeated, or counting); correct the record.")
_TWO_READINGS = _bad("The number can be read in two ways; write it with + and the country code.")


def _no_such(region: str | None) -> PhoneRefused:
    where = f" in {region}; write it with + if it belongs elsewhere, or" if region else ";"
    return _bad(f"No such number can exist{where} correct the record.")


_PUNCTUATION = re.compile(r"[-\s.()\[\]~\u00b7'\u2019]")


def _digits_only(text: str) -> str:
    return _PUNCTUATION.sub("", text)


def _digits_of(text: str) -> str | PhoneRefused:
    """`+` and digits, or digits alone, as ASCII."""
    if re.match(r"sips?:|client:", text, re.IGNORECASE) or "@" in text:
        return _bad("The phone field holds an internet address; a telephone number is needed.")
    if _EXTENSION_MARK.search(text):
        return _EXTENSION
    if any(char.isalpha() for char in text):
        return _LETTERS
    if "*" in text or "#" in text:
        return _bad("The phone field holds a dialling code (* or #); write the number alone.")
    digits = _digits_only(text)
    if not any(char.isdigit() for char in digits):
        return _bad("The phone field holds no digits; correct the record.")
    if not re.fullmatch(r"\+?[0-9]+", digits):
        return _bad("The phone field holds a sign that no number has; write digits, with + only in front.")
    if len(digits) > MAX_DIGITS:
        return _bad(f"The number has more than {MAX_DIGITS} digits; map a field that holds one number.")
    return digits


def _is_junk(digits: str) -> bool:
    return len(set(digits)) == 1 or digits in "01234567890123456789" or digits in "98765432109876543210"


def _short(digits: str, region: str | None) -> PhoneRefused | None:
    """Emergency numbers and short codes, also behind a country code: `911`, `+911`, `+1 911`, `0049 112`."""
    international = digits.startswith(("+", "00")) and digits not in EMERGENCY
    bare = digits.removeprefix("+" if digits[0] == "+" else "00") if international else digits
    # The rest behind a country code of one to three digits; a whole number would be longer.
    tails = {bare, *(bare[cut:] for cut in (1, 2, 3) if international)}
    if tails & EMERGENCY and len(bare) <= MAX_SHORT_DIGITS:
        return PhoneRefused(Reason.EMERGENCY_NUMBER, "This is an emergency number.", blocked=True)
    if len(bare) < MIN_SHORT_DIGITS:
        return _bad("The number is too short; correct the record.")
    if len(bare) > MAX_SHORT_DIGITS or (region in SHORT_PLANS and not international):
        return None
    return PhoneRefused(Reason.SHORT_NUMBER, "The number is a short code, or its area code is missing.", blocked=True)


def _readings(digits: str, region: str | None) -> list[tuple[phonenumbers.PhoneNumber, int]]:
    """What the digits can mean: numbers that exist, or that a table here knows, with their type. Normally one.

    `00` is the prefix for abroad in most countries and opens a national number in none, so it counts as
    `+` wherever the record comes from. Where another prefix begins alike (001 in Hong Kong, 011 in the
    US), the region's own reading counts too, and two different readings are one too many.
    """
    ways: list[tuple[str, str | None]] = []
    if region is not None or digits.startswith("+"):
        ways.append((digits, None if digits.startswith("+") else region))
    if digits.startswith("00"):
        ways.append(("+" + digits[2:], None))
    found: dict[str, tuple[phonenumbers.PhoneNumber, int]] = {}
    for text, where in ways:
        try:
            number = phonenumbers.parse(text, where)
        except phonenumbers.NumberParseException:
            continue
        e164 = _e164(number)
        if len(e164) > 1 + E164_DIGITS:  # which the library takes for some countries, Germany among them
            continue
        kind = phonenumbers.number_type(number)  # asked once: it costs as much as all the rest
        if kind != PhoneNumberType.UNKNOWN or _listed_class(e164[1:]) or _fictional_region(e164[1:]):
            found[e164] = (number, kind)
    return list(found.values())


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


# ---- may it be rung? --------------------------------------------------------------------------

_CLASSES = {
    PhoneNumberType.PREMIUM_RATE: Reason.PREMIUM_NUMBER,
    PhoneNumberType.TOLL_FREE: Reason.TOLL_FREE_NUMBER,
    PhoneNumberType.SHARED_COST: Reason.SERVICE_NUMBER,
    PhoneNumberType.PERSONAL_NUMBER: Reason.SERVICE_NUMBER,
    PhoneNumberType.PAGER: Reason.SERVICE_NUMBER,
    PhoneNumberType.UAN: Reason.SERVICE_NUMBER,
    PhoneNumberType.VOICEMAIL: Reason.SERVICE_NUMBER,
}
_SENTENCES = {
    Reason.OWN_NUMBER: "This is one of our own numbers.",
    Reason.PREMIUM_NUMBER: "This is a premium-rate number.",
    Reason.SATELLITE_NUMBER: "This is a satellite number, or one of no country.",
    Reason.TOLL_FREE_NUMBER: "This is a toll-free number, which is no person's.",
    Reason.SERVICE_NUMBER: "This is a service number (shared cost, personal, pager, company or voicemail).",
    Reason.FICTIONAL_NUMBER: "This number is set aside for examples, and `refuse_fictional` is set.",
}


def _judged(number: phonenumbers.PhoneNumber, kind: int, policy: PhonePolicy) -> Phone | PhoneRefused:
    e164 = _e164(number)
    fictional = _fictional_region(e164[1:])
    region = phonenumbers.region_code_for_number(number) or fictional
    country = None if region == "001" else region
    reason: Reason | None = None
    if e164 in policy.own_numbers:
        reason = Reason.OWN_NUMBER
    elif (listed := _listed_class(e164[1:]) or _CLASSES.get(kind)) is not None:
        reason = listed
    elif fictional and policy.refuse_fictional:
        reason = Reason.FICTIONAL_NUMBER
    if reason is not None:
        return PhoneRefused(reason, _SENTENCES[reason], blocked=True, country=country, e164=e164)
    if _is_junk(str(number.national_number)):
        return _JUNK
    if country is None or country not in policy.may_call:
        where = country or "no single country"
        detail = f"The number belongs to {where}, which is not in `phones.may_call`."
        return PhoneRefused(Reason.COUNTRY_NOT_ALLOWED, detail, blocked=True, country=country, e164=e164)
    return Phone(e164, country)


_NANP_FICTION = re.compile(r"1[0-9]{3}55501[0-9]{2}")  # 555-0100 to 555-0199 behind any area code


def _listed_class(digits: str) -> Reason | None:
    if digits.startswith(SATELLITE_PREFIXES):
        return Reason.SATELLITE_NUMBER
    if digits.startswith(PREMIUM_PREFIXES):
        return Reason.PREMIUM_NUMBER
    if digits.startswith(TOLL_FREE_PREFIXES):
        return Reason.TOLL_FREE_NUMBER
    return Reason.SERVICE_NUMBER if digits.startswith(SERVICE_PREFIXES) else None


def _fictional_region(digits: str) -> str | None:
    """The region of a number set aside for fiction; None for all others."""
    if _NANP_FICTION.fullmatch(digits):
        return "US"
    for prefix, length, region in FICTIONAL:
        if len(digits) == length and digits.startswith(prefix):
            return region
    return None
