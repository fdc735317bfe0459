"""Tables of numbers that must not be taken for somebody's telephone. Digits only, without a plus.

Most classes of number come from libphonenumber. Here stands what it gets wrong or does not know.
"""

from __future__ import annotations

from typing import Final

# Emergency numbers of all national plans (libphonenumber 9.0.43, short-number data, November 2026). They
# are refused wherever the record comes from: a call from abroad can be turned into a local one.
# fmt: off
EMERGENCY: Final = frozenset((
    "01", "02", "03", "13", "14", "15", "16", "17", "18", "19", "90", "91", "92", "93", "94", "000",
    "001", "002", "003", "011", "019", "022", "033", "050", "060", "065", "066", "068", "080", "085", "088", "100",
    "101", "102", "103", "104", "105", "106", "107", "108", "110", "111", "112", "113", "114", "115", "116", "117",
    "118", "119", "120", "122", "123", "124", "125", "127", "128", "129", "130", "131", "132", "133", "140", "144",
    "150", "151", "152", "153", "154", "155", "156", "157", "158", "159", "160", "166", "170", "171", "172", "175",
    "177", "180", "188", "190", "191", "192", "193", "194", "195", "197", "198", "199", "211", "311", "333", "355",
    "511", "555", "666", "819", "888", "901", "902", "903", "911", "912", "913", "917", "919", "922", "933", "939",
    "955", "977", "990", "991", "992", "993", "994", "995", "996", "997", "998", "999", "1122", "1220", "1669", "1730",
    "9999", "1444", "10111", "10177", "90000",
))
# fmt: on

# Country codes that belong to no country and ring a satellite terminal or a personal number.
SATELLITE_PREFIXES: Final = ("870", "878", "881", "882", "883", "888")
TOLL_FREE_PREFIXES: Final = ("800",)
SERVICE_PREFIXES: Final = ("808",)

# Premium ranges by prefix: libphonenumber calls numbers in several of them invalid, which would only park
# the lead (9.0.43: +49900 with six digits more, +33899).
PREMIUM_PREFIXES: Final = (
    "979",  # international premium rate service
    "1900",
    "3290",
    "31900",
    "31906",
    "31909",
    "3389",
    "34803",
    "34806",
    "34807",
    "39892",
    "39899",
    "41900",
    "41901",
    "41906",
    "43900",
    "43901",
    "43930",
    "43931",
    "449",
    "46900",
    "49137",
    "49190",
    "49900",
    "61190",
    "64900",
)

# (prefix, digits in all, region): numbers set aside for examples, films and tests. They ring nobody.
# Read in part from public pages, in part from memory (the French ranges, the premium list): November 2026.
FICTIONAL: Final = (
    ("1555123", 11, "US"),  # the Personal Connection tutorial's own lead; area code 555 is not assigned
    ("1555987", 11, "US"),  # and its caller id
    ("447700900", 12, "GB"),  # Ofcom, numbers for drama use
    ("442079460", 12, "GB"),
    ("441134960", 12, "GB"),
    ("441144960", 12, "GB"),
    ("441154960", 12, "GB"),
    ("441164960", 12, "GB"),
    ("441174960", 12, "GB"),
    ("441184960", 12, "GB"),
    ("441214960", 12, "GB"),
    ("441314960", 12, "GB"),
    ("441414960", 12, "GB"),
    ("441514960", 12, "GB"),
    ("441614960", 12, "GB"),
    ("441914980", 12, "GB"),
    ("442896496", 12, "GB"),
    ("442920180", 12, "GB"),
    ("441632960", 12, "GB"),
    ("61491570", 11, "AU"),  # ACMA, numbers for use in TV shows, films and creative works
    ("6125550", 11, "AU"),
    ("6127010", 11, "AU"),
    ("6135550", 11, "AU"),
    ("6137010", 11, "AU"),
    ("6175550", 11, "AU"),
    ("6177010", 11, "AU"),
    ("6185550", 11, "AU"),
    ("6187010", 11, "AU"),
    ("493023125", 12, "DE"),  # Bundesnetzagentur, Mitteilung 148/2021, "Drama Numbers"
    ("496990009", 12, "DE"),
    ("494066969", 12, "DE"),
    ("492214710", 12, "DE"),
    ("498999998", 12, "DE"),
    ("3319900", 11, "FR"),  # Arcep, numbers for audiovisual works
    ("3326191", 11, "FR"),
    ("3335301", 11, "FR"),
    ("3346571", 11, "FR"),
    ("3353649", 11, "FR"),
    ("3363998", 11, "FR"),
)

# Where a whole national number has six digits or fewer. Elsewhere so few are a short code or lack an area.
SHORT_PLANS: Final = frozenset(
    ("AD", "CK", "FK", "FO", "GL", "KI", "NC", "NF", "NU", "PM", "SB", "SH", "SR", "TK", "TO", "TV", "VU", "WF", "WS")
)
