"""Which values become a number to dial. The rows of the table are named after the failure catalogue's."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.model import Reason
from integration.phone import Phone, PhonePolicy, PhoneRefused, mask, mask_numbers, read_phone, read_phones
from integration.phone_data import EMERGENCY, FICTIONAL, PREMIUM_PREFIXES

TABLE = json.loads((Path(__file__).parents[1] / "data/phone_numbers.json").read_text("utf-8"), parse_float=Decimal)
ROWS = TABLE["rows"]
PARKED = {Reason.BAD_PHONE, Reason.NO_PHONE, Reason.NO_REGION}


def policy(name):
    fields = dict(TABLE["policies"][name])
    for key in ("may_call", "own_numbers"):
        fields[key] = frozenset(fields.get(key, ()))
    return PhonePolicy(**fields)


USUAL = policy("usual")
US = policy("us")
EVERYWHERE = PhonePolicy(frozenset(phonenumbers.SUPPORTED_REGIONS))


def title(row):
    return f"{row['row']}-{str(row['value'])[:24].encode('ascii', 'replace').decode()}-{row.get('country')}"


@pytest.mark.parametrize("row", ROWS, ids=title)
def test_it_reads_the_catalogue_of_numbers(row):
    found = read_phone(row["value"], row.get("country"), policy(row.get("policy", "usual")))

    if "to" in row:
        assert found == Phone(row["to"], row["in"])
    else:
        assert isinstance(found, PhoneRefused)
        assert (found.reason, found.country, found.e164) == (row["refused"], row.get("in"), row.get("understood"))
        assert found.blocked is (found.reason not in PARKED)
        assert row.get("says", "") in found.detail


@pytest.mark.parametrize("row", [row for row in ROWS if "to" not in row], ids=title)
def test_a_refusal_is_a_sentence_that_repeats_no_digits_of_the_number(row):
    found = read_phone(row["value"], row.get("country"), policy(row.get("policy", "usual")))

    assert found.detail[0].isupper()
    assert found.detail.endswith(".")
    digits = "".join(char for char in str(row["value"]) if char.isdigit())
    assert not any(digits[start : start + 4] in found.detail for start in range(len(digits) - 3))


@pytest.mark.parametrize("prefix_row", FICTIONAL, ids=lambda row: row[0])
def test_each_fictional_range_can_be_dialled_and_refused(prefix_row):
    prefix, length, region = prefix_row
    number = "+" + prefix.ljust(length, "7")
    allowed = frozenset({region})

    assert read_phone(number, None, PhonePolicy(allowed)) == Phone(number, region)
    refused = read_phone(number, None, PhonePolicy(allowed, refuse_fictional=True))
    assert (refused.reason, refused.blocked) == (Reason.FICTIONAL_NUMBER, True)


@pytest.mark.parametrize("prefix", PREMIUM_PREFIXES)
def test_no_number_with_a_premium_prefix_is_dialled(prefix):
    for length in range(8, 15):
        assert isinstance(read_phone("+" + (prefix + "2073864951")[:length], None, EVERYWHERE), PhoneRefused)


def test_the_emergency_numbers_of_all_plans_are_known():
    for region in phonenumbers.SUPPORTED_SHORT_REGIONS:
        plan = phonenumbers.PhoneMetadata.short_metadata_for_region(region)
        example = plan.emergency.example_number if plan and plan.emergency else None
        if example:
            assert example in EMERGENCY, region


@pytest.mark.parametrize("number", sorted(EMERGENCY))
@pytest.mark.parametrize("country", [None, "US", "DE", "AD"])
def test_no_emergency_number_is_dialled_from_any_record(number, country):
    for written in (number, f"+{number}", f"+1{number}", f"+49 {number}", f"0049{number}", f"00{number}"):
        found = read_phone(written, country, EVERYWHERE)
        assert isinstance(found, PhoneRefused)
        # Five digits behind a country code are no short number any more, and no valid one either.
        assert found.reason in (Reason.EMERGENCY_NUMBER, Reason.SHORT_NUMBER) or len(number) == 5, written


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS - {"AC", "TA"}))  # no ISO countries
def test_a_number_of_each_country_is_read_however_it_is_written(region):
    for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE):
        number = phonenumbers.example_number_for_type(region, kind)
        if number is None:
            continue
        e164, spaced, national = (phonenumbers.format_number(number, form) for form in (0, 1, 2))
        for written, country in ((e164, None), (spaced, None), ("00" + e164[1:], None), (national, region)):
            found = read_phone(written, country, EVERYWHERE)
            # The library's examples are often 12345678, which is refused as made up. Some small regions
            # share their ranges with a larger neighbour, which is then the number's country.
            assert found.e164 == e164 or "made up" in found.detail, written


def test_a_number_with_two_readings_is_not_dialled():
    # From Hong Kong 001 leads abroad; elsewhere 00 does, and a 1 follows.
    found = read_phone("001 656 234 5678", "HK", policy("world"))

    assert found.reason is Reason.BAD_PHONE
    assert "two ways" in found.detail


def test_the_default_region_is_for_records_without_a_country_only():
    assert read_phone("347 223 4567", None, US) == Phone("+13472234567", "US")
    assert read_phone("347 223 4567", "IT", US).country == "IT"


def test_of_several_fields_the_first_that_can_be_dialled_is_taken():
    assert read_phones(["n/a", "", "911", "(415) 555-2671", "+14155552672"], "US", USUAL) == Phone("+14155552671", "US")


def test_a_list_among_the_fields_stands_for_its_items():
    assert read_phones([None, ["n/a", "+14155552671"]], None, USUAL) == Phone("+14155552671", "US")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], Reason.NO_PHONE),
        ([None, "", False, [], [None]], Reason.NO_PHONE),
        ([None, "n/a"], Reason.BAD_PHONE),
        (["n/a", "415 555 2671"], Reason.NO_REGION),
        (["415 555 2671", "911"], Reason.EMERGENCY_NUMBER),
        (["n/a", "911", "+19002345678", "+18002345678"], Reason.PREMIUM_NUMBER),
        (["x", "+2524012345"], Reason.COUNTRY_NOT_ALLOWED),
    ],
)
def test_when_no_field_can_be_dialled_the_most_telling_reason_wins(values, reason):
    assert read_phones(values, None, USUAL).reason is reason


def test_a_mask_shows_the_last_two_digits_alone():
    assert mask("+15551234567") == "+…67"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Invalid number +1 (415) 555-2671.", "Invalid number +…71."),
        ("to=%2B1%28415%29%20555%2D2671&x=1", "to=%2B+…71&x=1"),
        ("030/9018201, 0171.3920012", "+…01, +…12"),
        ("\u0664\u0661\u0665\u0665\u0665\u0665\u0662\u0666\u0667\u0661", "+…\u0667\u0661"),
        ('{"to":"+15551234567","code":40022}', '{"to":"+…67","code":40022}'),
        ("call a1b2c3d4-e5f6-7890-abcd-ef1234567890 is gone", "call a1b2c3d4-e5f6-7890-abcd-ef1234567890 is gone"),
        ("at 2026-11-23T18:30:00.123456Z", "at 2026-11-23T18:30:00.123456Z"),
        ("at 2026-11-23T18:30+01:00 and 2026-11-23 18:30", "at 2026-11-23T18:30+01:00 and 2026-11-23 18:30"),
        ("on 2026-11-23 +14155552671", "on 2026-11-23 +…71"),
        ("2026-11-23415555", "+…55"),
        ("HTTP 404 after 1500 ms, lead 123456", "HTTP 404 after 1500 ms, lead 123456"),
        ("pc-12345", "pc-12345"),
        ("", ""),
    ],
)
def test_numbers_within_a_text_are_masked_and_the_rest_is_left(text, masked):
    assert mask_numbers(text) == masked


def test_masking_a_long_text_takes_no_time_to_speak_of():
    for hostile in ("1-" * 200_000, "123456 x" * 50_000, "%2" * 200_000, "2026-11-" * 50_000, "+(" * 200_000):
        mask_numbers(hostile)


@given(
    st.text(alphabet="0123456789+-(). /#*x;,|or\n\u202aA\u0663\uff19\u00b2", max_size=40),
    st.sampled_from([None, "US", "DE", "HK"]),
)
def test_whatever_stands_in_the_field_only_an_allowed_valid_number_comes_out(text, country):
    found = read_phone(text, country, USUAL)

    if isinstance(found, Phone):
        assert found.e164[0] == "+"
        assert found.e164[1:].isascii()
        assert found.e164[1:].isdigit()
        assert found.country in USUAL.may_call
        assert read_phone(found.e164, None, USUAL) == found
    else:
        assert found.reason in Reason
        assert found.e164 is None or found.blocked


@given(st.text(max_size=300))
def test_no_text_makes_it_fail(text):
    assert isinstance(read_phone(text, "US", USUAL), Phone | PhoneRefused)
    mask_numbers(text)


@given(
    st.lists(
        st.tuples(st.sampled_from("0123456789"), st.sampled_from(["", " ", "-", ".", ") ", "/", "%20"])),
        min_size=7,
        max_size=15,
    ),
    st.sampled_from(["", "+", "(", "to: +"]),
    st.sampled_from(["", ".", " failed", '"}']),
)
def test_no_number_survives_masking_however_it_is_written(digits, before, after):
    masked = mask_numbers(before + "".join(digit + between for digit, between in digits) + after)

    assert sum(char.isdigit() for char in masked.replace("%20", "")) <= 2


def test_reading_a_number_loads_no_more_of_the_library_than_it_needs():
    program = (
        "import sys, integration.phone as p\n"
        "p.read_phone('+4930901820', None, p.PhonePolicy(frozenset({'DE'})))\n"
        "names = [n for n in sys.modules if n.startswith('phonenumbers.')]\n"
        "print(*(n for n in names if 'geo' in n or 'carrier' in n or 'tzdata' in n or 'region_F' in n))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""
