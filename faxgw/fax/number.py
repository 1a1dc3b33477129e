"""Telephone numbers: what a sender may type, the one E.164 form, and the classes that are never dialled.

A number is parsed once, at submission, and kept in three forms: as typed, E.164, and (per trunk) as dialled.
Forms accepted in a mail address (features A2): `+33…`, `0033…`, national, with spaces, dots, dashes, slashes and
parentheses; `FAX=+33…` (RFC 3191), `/T33S=` sub-address (RFC 3192), `[Fax:+33…]`, `IMCEAFAX-+2B33…`.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

import phonenumbers
from phonenumbers import PhoneNumberType

from faxgw.fax.fault_texts import NumberRefused, Said

MAX_TYPED = 128
"""Characters of a number as typed, at most."""
MAX_DIGITS = 15
"""Digits of an E.164 number at most (ITU-T E.164 section 6.2.1)."""
_SEPARATORS = re.compile(r"[\s.\-/()\u00a0\u2010-\u2015\u2212\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")
"""Besides what people type: minus signs, and the marks that nobody sees and address books put around a number."""
WIDE = dict(zip(range(0xFF08, 0xFF1A), "()*+,-./0123456789", strict=True))
"""Letters of full width, as East Asian keyboards write them; superscripts and other digits are no digits."""
_SUB_ADDRESS = re.compile(r"/T33S=([0-9#*]{1,20})$", re.IGNORECASE)
LIST = "distribution-list"
"""In place of a number: who gets the fax stands in an attached list."""
MERGE = "merge"
"""In place of a number: the mail's documents are merged ones, and name their numbers themselves."""
_PLACES = {LIST: LIST, "list": LIST, MERGE: MERGE, "serial-fax": MERGE}
_EMERGENCY = frozenset(
    {"110", "112", "911", "999", "000", "15", "17", "18", "114", "115", "116000", "119", "191", "196", "197"}
)
_SATELLITE = ("870", "881", "882", "883")
_INTERNATIONAL_PREMIUM = "979"
"""International premium rate service (ITU-T E.169.2)."""
_DEAR: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "AT": (("900", "901", "930", "931", "939"), ("810", "820", "821")),
    "BE": (("90",), ("70", "78")),
    "CH": (("900", "901", "906"), ("840", "842", "844", "848")),
    "DE": (("900", "137", "138", "118"), ("180",)),
    "ES": (("803", "806", "807", "905", "118"), ("901", "902")),
    "FR": (("89",), ("81", "82")),
    "GB": (("9", "70", "118"), ("843", "844", "845", "870", "871", "872", "873")),
    "IT": (("89", "144", "166"), ("199", "848", "847", "840")),
    "LU": (("900", "901", "905"), ("801",)),
    "NL": (("900", "906", "909"), ("84", "87")),
    "US": (("900",), ()),
}
"""Beginnings of national numbers: premium, shared cost. They count where the number plan's table does not know the
number: a carrier may charge for one that has a digit too few or too many."""


NEVER_EMERGENCY = "Emergency numbers are never dialled."


class NumberClass(enum.StrEnum):
    """What a number costs and whether it may be dialled without being opened."""

    ORDINARY = "ordinary"
    PREMIUM = "premium"
    SHARED_COST = "shared_cost"
    SATELLITE = "satellite"
    EMERGENCY = "emergency"
    SHORT = "short"


CLOSED_BY_DEFAULT = frozenset(
    {NumberClass.PREMIUM, NumberClass.SHARED_COST, NumberClass.SATELLITE, NumberClass.EMERGENCY, NumberClass.SHORT}
)
"""Classes that need to be opened; EMERGENCY and SHORT can never be (features D8, D9)."""


@dataclass(frozen=True, slots=True)
class FaxNumber:
    """A number that may be dialled."""

    typed: str
    """As the sender wrote it."""
    e164: str
    """`+` and digits."""
    country: str
    """ISO 3166 region of the number plan, or `001` for global services."""
    kind: NumberClass
    sub_address: str = ""
    """T.33 sub-address, sent as T.30 SUB; digits, `#`, `*`."""

    @property
    def vendor(self) -> str:
        """`00` and digits, as the vendor's reports write numbers (spine section 10)."""
        return "00" + self.e164[1:]


@dataclass(frozen=True, slots=True)
class DialPlan:
    """How national forms are read, and what may be dialled."""

    country: str = "FR"
    """ISO 3166 region whose national numbers are meant."""
    area_code: str = ""
    """Put before a number too short for the national plan, when set."""
    plus_sign: bool = False
    """A number without `+`, `00` or a leading `0` is international."""
    allowed_countries: frozenset[str] = frozenset()
    """Regions that are open; empty: all regions but the closed classes."""
    open_classes: frozenset[NumberClass] = frozenset()
    """Classes of CLOSED_BY_DEFAULT that were opened."""
    open_numbers: tuple[str, ...] = ()
    """Numbers, or beginnings of numbers, E.164, that may be dialled although their class or country is closed."""
    sandbox: bool = False
    """Only the numbers of simulated machines may be dialled."""


def local_part_to_number(local_part: str) -> tuple[str, str]:
    """Take the wrapping of a mail address's local part away: (number as typed, sub-address).

    Raises:
        Refused: If it is too long.
    """
    text = _unquoted(local_part)
    if len(text) > MAX_TYPED:
        raise NumberRefused("number too long", Said("The number is too long."))
    if text.upper().startswith("IMCEAFAX-"):
        text = _imcea(text[len("IMCEAFAX-") :])
    if match := re.fullmatch(r"\[fax:(.*)\]", text, re.IGNORECASE):
        text = match.group(1)
    sub = ""
    if match := _SUB_ADDRESS.search(text):
        text, sub = text[: match.start()], match.group(1)
    if match := re.match(r"(?:FAX|FAXNUMBER)=", text, re.IGNORECASE):
        text = text[match.end() :]
    if "@" in text:
        text = text.rpartition("@")[2]
    return text.strip(), sub


def place_of(local_part: str) -> str:
    """LIST or MERGE where a mail address's local part says that the numbers stand elsewhere; else empty."""
    return _PLACES.get(local_part.strip().strip('"').lower(), "")


def _unquoted(local_part: str) -> str:
    """A local part without the quotes of a quoted string, and without its backslashes (RFC 5321 section 4.1.2)."""
    text = local_part.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1]).strip()
    return text.strip('"')


def is_global(local_part: str) -> bool:
    """Whether a local part is of the form of RFC 3191, whose numbers are international even where `+` is forgotten."""
    return re.match(r"(?:FAX|FAXNUMBER)=", _unquoted(local_part), re.IGNORECASE) is not None


def is_assigned(e164: str) -> bool:
    """Whether a number lies in a range of its country's plan that is given out."""
    return phonenumbers.is_valid_number(phonenumbers.parse(e164))


def _imcea(text: str) -> str:
    """Undo Exchange's encapsulation: `+XX` is a hexadecimal octet, `_` a slash."""
    return re.sub(r"\+([0-9A-Fa-f]{2})", lambda m: chr(int(m.group(1), 16)), text.replace("_", "/"))


def dialled_forms(text: str, country: str) -> tuple[str, ...]:
    """The E.164 numbers that a caller's carrier may mean by a number dialled, likeliest first; empty for none.

    Carriers write `+33…`, `0033…`, `33…` or the national form (docs/receiving.md).

    Args:
        text: As it came.
        country: ISO 3166 region whose national form is meant.
    """
    digits = _SEPARATORS.sub("", text)
    if len(digits) > MAX_TYPED or not re.fullmatch(r"\+?[0-9]+", digits, re.ASCII):
        return ()
    if digits.startswith("+"):
        return (digits,) if len(digits) <= MAX_DIGITS + 1 else ()
    forms = ["+" + digits[2:]] if digits.startswith("00") else ["+" + digits]
    try:
        national = phonenumbers.parse(digits, country)
    except phonenumbers.NumberParseException:
        national = None
    if national is not None:
        forms.append(phonenumbers.format_number(national, phonenumbers.PhoneNumberFormat.E164))
    return tuple(dict.fromkeys(form for form in forms if 4 <= len(form) <= MAX_DIGITS + 1))


SANDBOX = "+33199000"
"""Beginning of the numbers that sandbox accounts may dial; nobody has such a number (France keeps it for fiction)."""
_SANDBOXED = "This account is a sandbox: it calls simulated machines only, whose numbers begin with {prefix}."


def parse_number(typed: str, plan: DialPlan, sub_address: str = "") -> FaxNumber:
    """The number a sender meant, if it may be dialled.

    Args:
        typed: Without the wrapping of a mail address.
        plan: How to read it and what is open.
        sub_address: T.33 sub-address, if one was given.

    Raises:
        Refused: With a sentence that says what is wrong with it.
    """
    number = _parse_number(typed, plan, sub_address)
    if plan.sandbox and not number.e164.startswith(SANDBOX):
        raise NumberRefused("sandbox", Said(_SANDBOXED, {"prefix": SANDBOX}))
    return number


def _parse_number(typed: str, plan: DialPlan, sub_address: str) -> FaxNumber:
    """The number a sender meant.

    Args:
        typed: Without the wrapping of a mail address.
        plan: How to read it and what is open.
        sub_address: T.33 sub-address, if one was given.

    Raises:
        Refused: With a sentence that says what is wrong with it.
    """
    if len(typed) > MAX_TYPED:
        raise NumberRefused("number too long", Said("The number is too long."))
    digits = _SEPARATORS.sub("", typed.translate(WIDE))
    if not re.fullmatch(r"\+?[0-9]+", digits, re.ASCII):
        raise _refused(f"not a number: {typed!r}", "“{typed}” is not a telephone number.", typed)
    if digits.lstrip("+") in _EMERGENCY or phonenumbers.is_emergency_number(digits, plan.country):
        raise NumberRefused("emergency number", Said(NEVER_EMERGENCY))
    international = "+" + digits[2:] if digits.startswith("00") else digits
    if plan.plus_sign and not international.startswith(("+", "0")):
        international = "+" + international
    if international.startswith("+") and international[1:].startswith(_SATELLITE):
        return _classified(typed, international, "001", NumberClass.SATELLITE, plan, sub_address)
    if international.startswith("+" + _INTERNATIONAL_PREMIUM):
        return _classified(typed, international, "001", NumberClass.PREMIUM, plan, sub_address)
    parsed = _parse(typed, international, plan)
    e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    region = phonenumbers.region_code_for_number(parsed) or phonenumbers.region_code_for_country_code(
        parsed.country_code or 0
    )
    return _classified(typed, e164, region or "001", _kind(parsed, region or ""), plan, sub_address)


def _parse(typed: str, international: str, plan: DialPlan) -> phonenumbers.PhoneNumber:
    candidates = [international]
    if plan.area_code and not international.startswith(("+", "0")):
        candidates.append(plan.area_code + international)
    fault = "it is not a number of any plan"
    for candidate in candidates:
        try:
            parsed = phonenumbers.parse(candidate, plan.country)
        except phonenumbers.NumberParseException as exc:
            if exc.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
                fault = "its country code does not exist"
            continue
        reason = phonenumbers.is_possible_number_with_reason(parsed)
        if reason == phonenumbers.ValidationResult.IS_POSSIBLE:
            return parsed
        if reason in (phonenumbers.ValidationResult.TOO_SHORT, phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY):
            fault = "it is too short"
        elif reason == phonenumbers.ValidationResult.TOO_LONG:
            fault = "it is too long"
    raise _refused(f"impossible number {typed!r}", "“{typed}” cannot be dialled: {why}.", typed, why=Said(fault))


def _kind(parsed: phonenumbers.PhoneNumber, region: str) -> NumberClass:
    national = str(parsed.national_number)
    if phonenumbers.is_emergency_number(national, region):
        return NumberClass.EMERGENCY
    kind = phonenumbers.number_type(parsed)
    if kind in (PhoneNumberType.PREMIUM_RATE, PhoneNumberType.UAN, PhoneNumberType.PERSONAL_NUMBER):
        return NumberClass.PREMIUM
    if kind == PhoneNumberType.SHARED_COST:
        return NumberClass.SHARED_COST
    if kind != PhoneNumberType.UNKNOWN:
        return NumberClass.ORDINARY
    if len(national) <= 4 or phonenumbers.is_valid_short_number(parsed):
        return NumberClass.SHORT
    premium, shared = _DEAR.get(region, ((), ()))
    if national.startswith(premium):
        return NumberClass.PREMIUM
    return NumberClass.SHARED_COST if national.startswith(shared) else NumberClass.ORDINARY


def _classified(typed: str, e164: str, region: str, kind: NumberClass, plan: DialPlan, sub_address: str) -> FaxNumber:
    if not 3 <= len(e164) - 1 <= MAX_DIGITS:
        raise _refused("length", "“{typed}” cannot be dialled: {why}.", typed, why=Said("it has a wrong length"))
    if kind is NumberClass.EMERGENCY:
        raise NumberRefused("emergency number", Said(NEVER_EMERGENCY))
    if kind is NumberClass.SHORT:
        raise _refused("short number", "“{typed}” is a special service number; these are never dialled.", typed)
    opened = e164.startswith(plan.open_numbers) if plan.open_numbers else False
    if kind in CLOSED_BY_DEFAULT and not (opened or kind in plan.open_classes):
        label = kind.value.replace("_", "-")
        raise _refused(
            f"closed class {kind}", "“{typed}” is a {kind} number, which is not open here.", typed, kind=label
        )
    if not opened and plan.allowed_countries and region not in plan.allowed_countries:
        raise _refused(
            f"closed country {region}", "Faxes to “{typed}” ({region}) are not open here.", typed, region=region
        )
    return FaxNumber(typed, e164, region, kind, sub_address)


def _refused(detail: str, text: str, typed: str, **values: str | Said) -> NumberRefused:
    return NumberRefused(detail, Said(text, {"typed": _shown(typed), **values}))


def _shown(typed: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in typed)[:40]


def recipient_zone(number: FaxNumber) -> str:
    """An IANA zone in which the number's owner lives, for calling hours; `UTC` when unknown."""
    from phonenumbers import timezone

    zones = timezone.time_zones_for_number(phonenumbers.parse(number.e164))
    return zones[0] if zones and zones[0] != "Etc/Unknown" else "UTC"


def national_form(e164: str, country: str) -> str:
    """The digits that are dialled for a number in a country: the national form there, else `00` and the number.

    Args:
        e164: `+` and digits.
        country: ISO 3166 region in which it is dialled.
    """
    try:
        parsed = phonenumbers.parse(e164)
    except phonenumbers.NumberParseException:
        return "00" + e164[1:]
    if parsed.country_code != phonenumbers.country_code_for_region(country):
        return "00" + e164[1:]
    prefix = phonenumbers.ndd_prefix_for_region(country, True) or ""
    return prefix + phonenumbers.national_significant_number(parsed)


def masked(number: str) -> str:
    """The form for logs: country and the last two digits, `+33…89`."""
    digits = re.sub(r"[^0-9+]", "", number)
    return f"{digits[:3]}…{digits[-2:]}" if len(digits) > 6 else "…"
