"""Which zones a state, a province or the beginning of a postal code may lie in, as tables.

Read in November 2026 from the public lists of the postal services and of the tz database; the area codes are those of
libphonenumber 9.0.43, with which a test compares them. A place on a border between zones has both. Clocks kept by habit
alone (Phenix City in Alabama, Jackpot in Nevada) count where a ZIP code names the place, and not for its state.
"""

from __future__ import annotations

from typing import Final

# ---- the United States ------------------------------------------------------------------------

# Zones -> states, as "code=name". Armed forces' addresses (AA, AE, AP) may be anywhere and are left out.
_NEW_YORK, _CHICAGO, _DENVER = "America/New_York", "America/Chicago", "America/Denver"
_PACIFIC, _BOISE, _INDIANA = "America/Los_Angeles", "America/Boise", "America/Indiana/Indianapolis"

US_STATES: Final = {
    _NEW_YORK: "CT=Connecticut, DE=Delaware, DC=District of Columbia=Washington DC, GA=Georgia, ME=Maine, MD=Maryland, "
    "MA=Massachusetts, NH=New Hampshire, NJ=New Jersey, NY=New York, NC=North Carolina, OH=Ohio, PA=Pennsylvania, "
    "RI=Rhode Island, SC=South Carolina, VT=Vermont, VA=Virginia, WV=West Virginia",
    _CHICAGO: "AL=Alabama, AR=Arkansas, IL=Illinois, IA=Iowa, LA=Louisiana, MN=Minnesota, MS=Mississippi, "
    "MO=Missouri, OK=Oklahoma, WI=Wisconsin",
    _DENVER: "CO=Colorado, MT=Montana, NM=New Mexico, UT=Utah, WY=Wyoming",
    _PACIFIC: "CA=California, WA=Washington=Washington State",
    f"{_NEW_YORK} {_CHICAGO}": "FL=Florida, KY=Kentucky, TN=Tennessee",
    f"{_INDIANA} {_CHICAGO}": "IN=Indiana",
    "America/Detroit America/Menominee": "MI=Michigan",
    f"{_CHICAGO} {_DENVER}": "KS=Kansas, NE=Nebraska, ND=North Dakota, SD=South Dakota, TX=Texas",
    f"{_BOISE} {_PACIFIC}": "ID=Idaho, OR=Oregon",
    f"{_PACIFIC} {_DENVER}": "NV=Nevada",
    f"America/Phoenix {_DENVER}": "AZ=Arizona",  # the Navajo Nation keeps summer time
    "America/Anchorage America/Adak": "AK=Alaska",
    "Pacific/Honolulu": "HI=Hawaii",
    "America/Puerto_Rico": "PR=Puerto Rico",
    "America/St_Thomas": "VI=Virgin Islands=US Virgin Islands",
    "Pacific/Guam": "GU=Guam",
    "Pacific/Saipan": "MP=Northern Mariana Islands",
    "Pacific/Pago_Pago": "AS=American Samoa",
}
US_TERRITORIES: Final = frozenset({"PR", "VI", "GU", "MP", "AS"})  # countries of their own to ISO and to telephones

# The first three digits of ZIP codes -> the state.
US_ZIPS: Final = (
    "005 NY, 006-007 PR, 008 VI, 009 PR, 010-027 MA, 028-029 RI, 030-038 NH, 039-049 ME, 050-054 VT, 055 MA, "
    "056-059 VT, 060-069 CT, 070-089 NJ, 100-149 NY, 150-196 PA, 197-199 DE, 200 DC, 201 VA, 202-205 DC, 206-212 MD, "
    "214-219 MD, 220-246 VA, 247-268 WV, 270-289 NC, 290-299 SC, 300-319 GA, 320-339 FL, 341-342 FL, 344 FL, "
    "346-347 FL, 349 FL, 350-352 AL, 354-369 AL, 370-385 TN, 386-397 MS, 398-399 GA, 400-427 KY, 430-459 OH, "
    "460-479 IN, 480-499 MI, 500-528 IA, 530-549 WI, 550-567 MN, 569 DC, 570-577 SD, 580-588 ND, 590-599 MT, "
    "600-629 IL, 630-658 MO, 660-679 KS, 680-693 NE, 700-714 LA, 716-729 AR, 730-732 OK, 733 TX, 734-749 OK, "
    "750-799 TX, 800-816 CO, 820-831 WY, 832-838 ID, 840-847 UT, 850-865 AZ, 870-884 NM, 885 TX, 889-898 NV, "
    "900-961 CA, 967-968 HI, 970-979 OR, 980-994 WA, 995-999 AK"
)

# In states with two zones: the ZIP prefixes that lie in one, or near the border in both.
US_ZIP_ZONES: Final = {
    _NEW_YORK: "320-323, 326-339, 341-342, 344, 346-347, 349, 374, 376-379, 400, 402-418",
    _INDIANA: "460-462, 466-474, 478",
    "America/Detroit": "480-497",
    _CHICAGO: "325, 370-372, 375, 380-385, 420-424, 463-464, 476-477, 570-574, 580-584, 587, 660-676, 679-689, 733, "
    "750-797",
    _DENVER: "577, 693, 799, 885",
    _BOISE: "832-834, 836-837",
    _PACIFIC: "838, 889-897, 970-978",
    "America/Phoenix": "850-859, 861-864",
    "America/Anchorage": "996-999",
    f"{_NEW_YORK} {_CHICAGO}": "368",  # Phenix City lives by Georgia's clocks
}

US_AREA_CODES: Final = {
    "AK": "907",
    "AL": "205 251 256 334 659 938",
    "AR": "327 479 501 870",
    "AZ": "480 520 602 623 928",
    "CA": "209 213 279 310 323 341 350 369 408 415 424 442 510 530 559 562 619 626 628 650 657 661 669 707 714"
    " 738 747 760 805 818 820 831 840 858 909 916 925 949 951",
    "CO": "303 719 720 748 970 983",
    "CT": "203 475 860 959",
    "DC": "202 771",
    "DE": "302",
    "FL": "239 305 321 324 352 386 407 448 561 645 656 689 727 728 754 772 786 813 850 863 904 941 954",
    "GA": "229 404 470 478 678 706 762 770 912 943",
    "HI": "808",
    "IA": "319 515 563 641 712",
    "ID": "208 986",
    "IL": "217 224 309 312 331 447 464 618 630 708 730 773 779 815 847 872",
    "IN": "219 260 317 463 574 765 812 930",
    "KS": "316 620 785 913",
    "KY": "270 364 502 606 859",
    "LA": "225 318 337 504 985",
    "MA": "339 351 413 508 617 774 781 857 978",
    "MD": "227 240 301 410 443 667",
    "ME": "207",
    "MI": "231 248 269 313 517 586 616 734 810 906 947 989",
    "MN": "218 320 507 612 651 763 952",
    "MO": "235 314 417 557 573 636 660 816 975",
    "MS": "228 601 662 769",
    "MT": "406",
    "NC": "252 336 472 704 743 828 910 919 980 984",
    "ND": "701",
    "NE": "308 402 531",
    "NH": "603",
    "NJ": "201 551 609 640 732 848 856 862 908 973",
    "NM": "505 575",
    "NV": "702 725 775",
    "NY": "212 315 329 332 347 363 516 518 585 607 631 646 680 716 718 838 845 914 917 929 934",
    "OH": "216 220 234 283 326 330 380 419 440 513 567 614 740 937",
    "OK": "405 539 572 580 918",
    "OR": "458 503 541 971",
    "PA": "215 223 267 272 412 445 484 570 582 610 717 724 814 835 878",
    "RI": "401",
    "SC": "803 821 839 843 854 864",
    "SD": "605",
    "TN": "423 615 629 731 865 901 931",
    "TX": "210 214 254 281 325 346 361 409 430 432 469 512 682 713 726 737 806 817 830 832 903 915 936 940 945"
    " 956 972 979",
    "UT": "385 435 801",
    "VA": "276 434 540 571 686 703 757 804 826 948",
    "VT": "802",
    "WA": "206 253 360 425 509 564",
    "WI": "262 274 353 414 534 608 715 920",
    "WV": "304 681",
    "WY": "307",
}

# ---- other countries with several zones ---------------------------------------------------------

STATES: Final[dict[str, dict[str, str]]] = {
    "US": US_STATES,
    "CA": {
        "America/Toronto America/Winnipeg": "ON=Ontario",
        "America/Toronto America/Halifax": "QC=Quebec=Québec=PQ",
        "America/Halifax": "NS=Nova Scotia, NB=New Brunswick, PE=Prince Edward Island=PEI",
        "America/St_Johns America/Goose_Bay": "NL=Newfoundland and Labrador=Newfoundland=NF=Labrador",
        "America/Winnipeg": "MB=Manitoba",
        "America/Regina America/Edmonton": "SK=Saskatchewan",
        "America/Edmonton": "AB=Alberta",
        "America/Vancouver America/Edmonton America/Creston America/Dawson_Creek America/Fort_Nelson": (
            "BC=British Columbia"
        ),
        "America/Whitehorse": "YT=Yukon=Yukon Territory",
        "America/Edmonton America/Inuvik": "NT=Northwest Territories=NWT",
        "America/Iqaluit America/Rankin_Inlet America/Cambridge_Bay America/Resolute": "NU=Nunavut",
    },
    "AU": {
        "Australia/Sydney Australia/Broken_Hill Australia/Lord_Howe": "NSW=New South Wales",
        "Australia/Sydney": "ACT=Australian Capital Territory=Canberra",
        "Australia/Melbourne": "VIC=Victoria",
        "Australia/Brisbane": "QLD=Queensland",
        "Australia/Adelaide": "SA=South Australia",
        "Australia/Perth Australia/Eucla": "WA=Western Australia",
        "Australia/Hobart": "TAS=Tasmania",
        "Australia/Darwin": "NT=Northern Territory",
    },
    "BR": {
        "America/Sao_Paulo": "SP=São Paulo, RJ=Rio de Janeiro, MG=Minas Gerais, ES=Espírito Santo, PR=Paraná, "
        "SC=Santa Catarina, RS=Rio Grande do Sul, DF=Distrito Federal=Brasília, GO=Goiás",
        "America/Bahia": "BA=Bahia",
        "America/Maceio": "AL=Alagoas, SE=Sergipe",
        "America/Recife America/Noronha": "PE=Pernambuco",
        "America/Fortaleza": "CE=Ceará, MA=Maranhão, PI=Piauí, RN=Rio Grande do Norte, PB=Paraíba",
        "America/Belem America/Santarem": "PA=Pará",
        "America/Belem": "AP=Amapá",
        "America/Araguaina": "TO=Tocantins",
        "America/Cuiaba": "MT=Mato Grosso",
        "America/Campo_Grande": "MS=Mato Grosso do Sul",
        "America/Porto_Velho": "RO=Rondônia",
        "America/Boa_Vista": "RR=Roraima",
        "America/Manaus America/Eirunepe": "AM=Amazonas",
        "America/Rio_Branco": "AC=Acre",
    },
    "MX": {
        "America/Mexico_City": "AGU=Aguascalientes, CHP=Chiapas, CMX=Ciudad de México=CDMX=Mexico City=DF, "
        "COL=Colima, DUR=Durango, GRO=Guerrero, GUA=Guanajuato, HID=Hidalgo, JAL=Jalisco, "
        "MEX=México=Estado de México=State of Mexico, MIC=Michoacán, MOR=Morelos, OAX=Oaxaca, PUE=Puebla, "
        "QUE=Querétaro, SLP=San Luis Potosí, TAB=Tabasco, TLA=Tlaxcala, VER=Veracruz, ZAC=Zacatecas",
        "America/Merida": "CAM=Campeche, YUC=Yucatán",
        "America/Monterrey America/Matamoros": "COA=Coahuila, NLE=Nuevo León, TAM=Tamaulipas",
        "America/Chihuahua America/Ciudad_Juarez America/Ojinaga": "CHH=Chihuahua",
        "America/Mazatlan": "BCS=Baja California Sur, SIN=Sinaloa",
        "America/Mazatlan America/Bahia_Banderas": "NAY=Nayarit",
        "America/Hermosillo": "SON=Sonora",
        "America/Tijuana": "BCN=Baja California=BC",
        "America/Cancun": "ROO=Quintana Roo",
    },
    "RU": {
        "Europe/Kaliningrad": "KGD=Kaliningrad=Калининград",
        "Europe/Moscow": "MOW=Moscow=Москва, MOS=Moscow Oblast=Московская, SPE=Saint Petersburg=Санкт-Петербург, "
        "LEN=Leningrad=Ленинградская, AD=Adygea=Адыгея, ARK=Arkhangelsk=Архангельская, BEL=Belgorod=Белгородская, "
        "BRY=Bryansk=Брянская, VLA=Vladimir=Владимирская, VLG=Vologda=Вологодская, VOR=Voronezh=Воронежская, "
        "DA=Dagestan=Дагестан, IVA=Ivanovo=Ивановская, IN=Ingushetia=Ингушетия, "
        "KB=Kabardino-Balkaria=Кабардино-Балкарская, KL=Kalmykia=Калмыкия, KLU=Kaluga=Калужская, "
        "KC=Karachay-Cherkessia=Карачаево-Черкесская, KR=Karelia=Карелия, KO=Komi=Коми, KOS=Kostroma=Костромская, "
        "KDA=Krasnodar=Краснодарский, KRS=Kursk=Курская, LIP=Lipetsk=Липецкая, ME=Mari El=Марий Эл, "
        "MO=Mordovia=Мордовия, MUR=Murmansk=Мурманская, NEN=Nenets=Ненецкий, "
        "NIZ=Nizhny Novgorod=Нижегородская, NGR=Novgorod=Новгородская, ORL=Oryol=Орловская, PNZ=Penza=Пензенская, "
        "PSK=Pskov=Псковская, ROS=Rostov=Ростовская, RYA=Ryazan=Рязанская, SE=North Ossetia=Северная Осетия, "
        "SMO=Smolensk=Смоленская, STA=Stavropol=Ставропольский, TAM=Tambov=Тамбовская, TA=Tatarstan=Татарстан, "
        "TVE=Tver=Тверская, TUL=Tula=Тульская, CE=Chechnya=Чеченская, CU=Chuvashia=Чувашская, "
        "YAR=Yaroslavl=Ярославская",
        "Europe/Kirov": "KIR=Kirov=Кировская",
        "Europe/Volgograd": "VGG=Volgograd=Волгоградская",
        "Europe/Astrakhan": "AST=Astrakhan=Астраханская",
        "Europe/Saratov": "SAR=Saratov=Саратовская",
        "Europe/Ulyanovsk": "ULY=Ulyanovsk=Ульяновская",
        "Europe/Samara": "SAM=Samara=Самарская, UD=Udmurtia=Удмуртская",
        "Asia/Yekaterinburg": "BA=Bashkortostan=Башкортостан, CHE=Chelyabinsk=Челябинская, "
        "KHM=Khanty-Mansi=Ханты-Мансийский, KGN=Kurgan=Курганская, ORE=Orenburg=Оренбургская, PER=Perm=Пермский, "
        "SVE=Sverdlovsk=Свердловская, TYU=Tyumen=Тюменская, YAN=Yamalo-Nenets=Ямало-Ненецкий",
        "Asia/Omsk": "OMS=Omsk=Омская",
        "Asia/Novosibirsk": "NVS=Novosibirsk=Новосибирская",
        "Asia/Barnaul": "ALT=Altai Krai=Алтайский, AL=Altai Republic=Алтай",
        "Asia/Tomsk": "TOM=Tomsk=Томская",
        "Asia/Novokuznetsk": "KEM=Kemerovo=Кемеровская",
        "Asia/Krasnoyarsk": "KYA=Krasnoyarsk=Красноярский, KK=Khakassia=Хакасия, TY=Tuva=Тыва",
        "Asia/Irkutsk": "IRK=Irkutsk=Иркутская, BU=Buryatia=Бурятия",
        "Asia/Chita": "ZAB=Zabaykalsky=Забайкальский",
        "Asia/Yakutsk": "AMU=Amur=Амурская",
        "Asia/Yakutsk Asia/Khandyga Asia/Ust-Nera Asia/Srednekolymsk": "SA=Sakha=Yakutia=Саха=Якутия",  # noqa: RUF001
        "Asia/Vladivostok": "PRI=Primorsky=Primorye=Приморский, KHA=Khabarovsk=Хабаровский, YEV=Jewish=Еврейская",
        "Asia/Magadan": "MAG=Magadan=Магаданская",
        "Asia/Sakhalin Asia/Srednekolymsk": "SAK=Sakhalin=Сахалинская",
        "Asia/Kamchatka": "KAM=Kamchatka=Камчатский",
        "Asia/Anadyr": "CHU=Chukotka=Чукотский",
    },
    # Of these two only the islands are listed.
    "ES": {
        "Atlantic/Canary": "CN=Canarias=Canary Islands=Islas Canarias, GC=Las Palmas, "
        "TF=Santa Cruz de Tenerife=Tenerife",
    },
    "PT": {
        "Atlantic/Madeira": "30=Madeira",
        "Atlantic/Azores": "20=Azores=Açores",
    },
    "ID": {
        "Asia/Jakarta": "JK=Jakarta=DKI Jakarta, JB=West Java=Jawa Barat, JT=Central Java=Jawa Tengah, "
        "JI=East Java=Jawa Timur, YO=Yogyakarta, BT=Banten, AC=Aceh, SU=North Sumatra=Sumatera Utara, "
        "SB=West Sumatra=Sumatera Barat, RI=Riau, KR=Riau Islands=Kepulauan Riau, JA=Jambi, "
        "SS=South Sumatra=Sumatera Selatan, BB=Bangka Belitung, BE=Bengkulu, LA=Lampung, "
        "KB=West Kalimantan=Kalimantan Barat, KT=Central Kalimantan=Kalimantan Tengah",
        "Asia/Makassar": "BA=Bali, NB=West Nusa Tenggara=Nusa Tenggara Barat, "
        "NT=East Nusa Tenggara=Nusa Tenggara Timur, "
        "KS=South Kalimantan=Kalimantan Selatan, KI=East Kalimantan=Kalimantan Timur, "
        "KU=North Kalimantan=Kalimantan Utara, SA=North Sulawesi=Sulawesi Utara, SN=South Sulawesi=Sulawesi Selatan, "
        "ST=Central Sulawesi=Sulawesi Tengah, SG=Southeast Sulawesi=Sulawesi Tenggara, "
        "SR=West Sulawesi=Sulawesi Barat, "
        "GO=Gorontalo",
        "Asia/Jayapura": "PA=Papua, PB=West Papua=Papua Barat, MA=Maluku, MU=North Maluku=Maluku Utara",
    },
}

# How a postal code begins -> zones, in countries where that is plain. Ranges are of as many digits as are written.
POSTAL_ZONES: Final[dict[str, dict[str, str]]] = {
    "CA": {  # the first letter
        "America/St_Johns America/Goose_Bay": "A",
        "America/Halifax": "B, C, E",
        "America/Toronto America/Halifax": "G",
        "America/Toronto": "H, J, K, L, M, N",
        "America/Toronto America/Winnipeg": "P",
        "America/Winnipeg": "R",
        "America/Regina America/Edmonton": "S",
        "America/Edmonton": "T",
        "America/Vancouver America/Edmonton America/Creston America/Dawson_Creek America/Fort_Nelson": "V",
        "America/Edmonton America/Inuvik America/Iqaluit America/Rankin_Inlet America/Cambridge_Bay "
        "America/Resolute": "X",
        "America/Whitehorse": "Y",
    },
    "AU": {
        "Australia/Sydney": "1000-2877, 2881-2897, 2900-2999, 0200-0299",
        "Australia/Sydney Australia/Broken_Hill": "2878-2880",
        "Australia/Lord_Howe": "2898",
        "Australia/Melbourne": "3000-3999, 8000-8999",
        "Australia/Brisbane": "4000-4999, 9000-9999",
        "Australia/Adelaide": "5000-5999",
        "Australia/Perth": "6000-6442, 6444-6999",
        "Australia/Perth Australia/Eucla": "6443",
        "Australia/Hobart": "7000-7999",
        "Australia/Darwin": "0800-0999",
    },
    "ES": {
        "Europe/Madrid": "01-34, 36-37, 39-50",
        "Atlantic/Canary": "35, 38",
        "Africa/Ceuta": "51-52",
    },
    "PT": {
        "Europe/Lisbon": "1000-8999",
        "Atlantic/Madeira": "9000-9499",
        "Atlantic/Azores": "9500-9999",
    },
}

# ---- names of zones --------------------------------------------------------------------------------

# What people and CRMs write for a zone, beside its name in the tz database, its city and the names of Windows. An
# abbreviation with two meanings (IST, BST) is left out; of CST and the like, what they mean in an American CRM.
ZONE_ALIASES: Final = {
    _NEW_YORK: "ET, EST, EDT, EST5EDT, Eastern, Eastern Time, Eastern Time (US & Canada), US Eastern, "
    "Eastern Daylight Time, New York City",
    _CHICAGO: "CT, CDT, Central, Central Time, Central Time (US & Canada), US Central, Central Daylight Time",
    _DENVER: "MT, MDT, Mountain, Mountain Time, Mountain Time (US & Canada), US Mountain, Mountain Daylight Time",
    _PACIFIC: "PT, PDT, Pacific, Pacific Time, Pacific Time (US & Canada), US Pacific, Pacific Daylight Time",
    _INDIANA: "Indiana (East), Indiana",
    "America/Phoenix": "Arizona",
    "America/Anchorage": "AKST, AKDT, AKT, Alaska, Alaska Time, Alaskan Time, Alaska Standard Time, "
    "Alaska Daylight Time",
    "Pacific/Honolulu": "HST, Hawaii, Hawaii Time, Hawaiian Time, Hawaii Standard Time",
    "America/Halifax": "AST, ADT, Atlantic, Atlantic Time, Atlantic Time (Canada)",
    "America/St_Johns": "NST, NDT, Newfoundland, Newfoundland Time",
    "America/Regina": "Saskatchewan",
    "America/Guatemala": "Central America",
    "America/Mexico_City": "Guadalajara",
    "America/Sao_Paulo": "Brasilia, Brasília, BRT, Brasilia Time",
    "America/Argentina/Buenos_Aires": "Buenos Aires, ART",
    "America/Nuuk": "Greenland",
    "Europe/London": "UK, United Kingdom, UK Time, Edinburgh",
    "Europe/Lisbon": "WEST, Western European Time, Western European Summer Time",
    "Europe/Berlin": "MEZ, MESZ, CEST, Central European Time, Central European Summer Time, Bern, Frankfurt, Munich, "
    "Hamburg, "
    "Mitteleuropäische Zeit, Deutschland, Germany",
    "Europe/Athens": "EEST, Eastern European Time, Eastern European Summer Time",
    "Europe/Kyiv": "Kyiv, Kiev",
    "Europe/Moscow": "MSK, Moscow Time, Moscow Standard Time, St. Petersburg",
    "Asia/Kolkata": "India, Indian Standard Time, Chennai, Mumbai, New Delhi, Delhi, Bangalore, Calcutta",
    "Asia/Kathmandu": "Katmandu",
    "Asia/Yangon": "Rangoon",
    "Asia/Ho_Chi_Minh": "Hanoi, Saigon",
    "Asia/Dubai": "Abu Dhabi, Gulf Standard Time, GST",
    "Asia/Karachi": "Islamabad, PKT",
    "Asia/Shanghai": "Beijing, Chongqing, China Time",
    "Asia/Hong_Kong": "HKT, Hong Kong Time",
    "Asia/Singapore": "SGT, Singapore Time",
    "Asia/Tokyo": "JST, Japan Time, Japan Standard Time, Osaka, Sapporo",
    "Asia/Seoul": "KST, Korea Standard Time, Korean Standard Time",
    "Asia/Jerusalem": "Israel Standard Time, Tel Aviv",
    "Australia/Perth": "AWST, Australian Western Standard Time, Western Australia",
    "Australia/Adelaide": "ACDT, South Australia",
    "Australia/Darwin": "Northern Territory",
    "Australia/Brisbane": "Queensland",
    "Australia/Sydney": "AEDT, Canberra, New South Wales",
    "Australia/Melbourne": "Victoria",
    "Australia/Hobart": "Tasmania",
    "Pacific/Auckland": "NZST, NZDT, New Zealand, New Zealand Time, Wellington",
    "Africa/Johannesburg": "SAST, South Africa, Pretoria",
    "Africa/Nairobi": "EAT, East Africa Time",
    "Africa/Lagos": "WAT, West Africa Time",
    f"{_DENVER} America/Phoenix": "MST",  # where clocks stay there, and where they do not
    f"{_CHICAGO} America/Regina": "CST",
    f"{_PACIFIC} America/Tijuana": "PST",
    "Australia/Sydney Australia/Brisbane": "AEST, Australian Eastern Standard Time, Australian Eastern Time, "
    "Eastern Australia",
    "Australia/Adelaide Australia/Darwin": "ACST, Australian Central Standard Time, Central Australia",
}

# The names of Windows (CLDR by way of Babel 2.18; a test compares the two). Outlook, Dynamics and others send them.
# fmt: off
WINDOWS_ZONES: Final = {
    "AUS Central Standard Time": "Australia/Darwin", "AUS Eastern Standard Time": "Australia/Sydney",
    "Afghanistan Standard Time": "Asia/Kabul", "Alaskan Standard Time": "America/Anchorage",
    "Aleutian Standard Time": "America/Adak", "Altai Standard Time": "Asia/Barnaul",
    "Arab Standard Time": "Asia/Riyadh", "Arabian Standard Time": "Asia/Dubai",
    "Arabic Standard Time": "Asia/Baghdad", "Argentina Standard Time": "America/Buenos_Aires",
    "Astrakhan Standard Time": "Europe/Astrakhan", "Atlantic Standard Time": "America/Halifax",
    "Aus Central W. Standard Time": "Australia/Eucla", "Azerbaijan Standard Time": "Asia/Baku",
    "Azores Standard Time": "Atlantic/Azores", "Bahia Standard Time": "America/Bahia",
    "Bangladesh Standard Time": "Asia/Dhaka", "Belarus Standard Time": "Europe/Minsk",
    "Bougainville Standard Time": "Pacific/Bougainville", "Canada Central Standard Time": "America/Regina",
    "Cape Verde Standard Time": "Atlantic/Cape_Verde", "Caucasus Standard Time": "Asia/Yerevan",
    "Cen. Australia Standard Time": "Australia/Adelaide", "Central America Standard Time": "America/Guatemala",
    "Central Asia Standard Time": "Asia/Bishkek", "Central Brazilian Standard Time": "America/Cuiaba",
    "Central Europe Standard Time": "Europe/Budapest", "Central European Standard Time": "Europe/Warsaw",
    "Central Pacific Standard Time": "Pacific/Guadalcanal", "Central Standard Time": "America/Chicago",
    "Central Standard Time (Mexico)": "America/Mexico_City", "Chatham Islands Standard Time": "Pacific/Chatham",
    "China Standard Time": "Asia/Shanghai", "Cuba Standard Time": "America/Havana",
    "Dateline Standard Time": "Etc/GMT+12", "E. Africa Standard Time": "Africa/Nairobi",
    "E. Australia Standard Time": "Australia/Brisbane", "E. Europe Standard Time": "Europe/Chisinau",
    "E. South America Standard Time": "America/Sao_Paulo", "Easter Island Standard Time": "Pacific/Easter",
    "Eastern Standard Time": "America/New_York", "Eastern Standard Time (Mexico)": "America/Cancun",
    "Egypt Standard Time": "Africa/Cairo", "Ekaterinburg Standard Time": "Asia/Yekaterinburg",
    "FLE Standard Time": "Europe/Kiev", "Fiji Standard Time": "Pacific/Fiji", "GMT Standard Time": "Europe/London",
    "GTB Standard Time": "Europe/Bucharest", "Georgian Standard Time": "Asia/Tbilisi",
    "Greenland Standard Time": "America/Godthab", "Greenwich Standard Time": "Atlantic/Reykjavik",
    "Haiti Standard Time": "America/Port-au-Prince", "Hawaiian Standard Time": "Pacific/Honolulu",
    "India Standard Time": "Asia/Calcutta", "Iran Standard Time": "Asia/Tehran",
    "Israel Standard Time": "Asia/Jerusalem", "Jordan Standard Time": "Asia/Amman",
    "Kaliningrad Standard Time": "Europe/Kaliningrad", "Korea Standard Time": "Asia/Seoul",
    "Libya Standard Time": "Africa/Tripoli", "Line Islands Standard Time": "Pacific/Kiritimati",
    "Lord Howe Standard Time": "Australia/Lord_Howe", "Magadan Standard Time": "Asia/Magadan",
    "Magallanes Standard Time": "America/Punta_Arenas", "Marquesas Standard Time": "Pacific/Marquesas",
    "Mauritius Standard Time": "Indian/Mauritius", "Middle East Standard Time": "Asia/Beirut",
    "Montevideo Standard Time": "America/Montevideo", "Morocco Standard Time": "Africa/Casablanca",
    "Mountain Standard Time": "America/Denver", "Mountain Standard Time (Mexico)": "America/Mazatlan",
    "Myanmar Standard Time": "Asia/Rangoon", "N. Central Asia Standard Time": "Asia/Novosibirsk",
    "Namibia Standard Time": "Africa/Windhoek", "Nepal Standard Time": "Asia/Katmandu",
    "New Zealand Standard Time": "Pacific/Auckland", "Newfoundland Standard Time": "America/St_Johns",
    "Norfolk Standard Time": "Pacific/Norfolk", "North Asia East Standard Time": "Asia/Irkutsk",
    "North Asia Standard Time": "Asia/Krasnoyarsk", "North Korea Standard Time": "Asia/Pyongyang",
    "Omsk Standard Time": "Asia/Omsk", "Pacific SA Standard Time": "America/Santiago",
    "Pacific Standard Time": "America/Los_Angeles", "Pacific Standard Time (Mexico)": "America/Tijuana",
    "Pakistan Standard Time": "Asia/Karachi", "Paraguay Standard Time": "America/Asuncion",
    "Qyzylorda Standard Time": "Asia/Qyzylorda", "Romance Standard Time": "Europe/Paris",
    "Russia Time Zone 10": "Asia/Srednekolymsk", "Russia Time Zone 11": "Asia/Kamchatka",
    "Russia Time Zone 3": "Europe/Samara", "Russian Standard Time": "Europe/Moscow",
    "SA Eastern Standard Time": "America/Cayenne", "SA Pacific Standard Time": "America/Bogota",
    "SA Western Standard Time": "America/La_Paz", "SE Asia Standard Time": "Asia/Bangkok",
    "Saint Pierre Standard Time": "America/Miquelon", "Sakhalin Standard Time": "Asia/Sakhalin",
    "Samoa Standard Time": "Pacific/Apia", "Sao Tome Standard Time": "Africa/Sao_Tome",
    "Saratov Standard Time": "Europe/Saratov", "Singapore Standard Time": "Asia/Singapore",
    "South Africa Standard Time": "Africa/Johannesburg", "South Sudan Standard Time": "Africa/Juba",
    "Sri Lanka Standard Time": "Asia/Colombo", "Sudan Standard Time": "Africa/Khartoum",
    "Syria Standard Time": "Asia/Damascus", "Taipei Standard Time": "Asia/Taipei",
    "Tasmania Standard Time": "Australia/Hobart", "Tocantins Standard Time": "America/Araguaina",
    "Tokyo Standard Time": "Asia/Tokyo", "Tomsk Standard Time": "Asia/Tomsk",
    "Tonga Standard Time": "Pacific/Tongatapu", "Transbaikal Standard Time": "Asia/Chita",
    "Turkey Standard Time": "Europe/Istanbul", "Turks And Caicos Standard Time": "America/Grand_Turk",
    "US Eastern Standard Time": "America/Indianapolis", "US Mountain Standard Time": "America/Phoenix",
    "UTC": "Etc/UTC", "UTC+12": "Etc/GMT-12", "UTC+13": "Etc/GMT-13", "UTC-02": "Etc/GMT+2", "UTC-08": "Etc/GMT+8",
    "UTC-09": "Etc/GMT+9", "UTC-11": "Etc/GMT+11", "Ulaanbaatar Standard Time": "Asia/Ulaanbaatar",
    "Venezuela Standard Time": "America/Caracas", "Vladivostok Standard Time": "Asia/Vladivostok",
    "Volgograd Standard Time": "Europe/Volgograd", "W. Australia Standard Time": "Australia/Perth",
    "W. Central Africa Standard Time": "Africa/Lagos", "W. Europe Standard Time": "Europe/Berlin",
    "W. Mongolia Standard Time": "Asia/Hovd", "West Asia Standard Time": "Asia/Tashkent",
    "West Bank Standard Time": "Asia/Hebron", "West Pacific Standard Time": "Pacific/Port_Moresby",
    "Yakutsk Standard Time": "Asia/Yakutsk", "Yukon Standard Time": "America/Whitehorse",
}
# fmt: on
