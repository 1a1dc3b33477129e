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

from faxgw.fax.errors import Refused

MAX_TYPED = 128
"""Characters of a number as typed, at most."""
MAX_DIGITS = 15
"""Digits of an E.164 number at most (ITU-T E.164 section 6.2.1)."""
_SEPARATORS = re.compile(r"[\s.\-/()\u00a0\u2010-\u2015]+")
_SUB_ADDRESS = re.compile(r"/T33S=([0-9#*]{1,20})$", re.IGNORECASE)
_EMERGENCY = frozenset(
    {"110", "112", "911", "999", "000", "15", "17", "18", "114", "115", "116000", "119", "191", "196", "197"}
)
_SATELLITE = ("870", "881", "882", "883", "979")


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
    allowed_countries: frozenset[str] = frozenset()
    """Regions that are open; empty: all regions but the closed classes."""
    open_classes: frozenset[NumberClass] = frozenset()
    """Classes of CLOSED_BY_DEFAULT that were opened."""


def local_part_to_number(local_part: str) -> tuple[str, str]:
    """Take the wrapping of a mail address's local part away: (number as typed, sub-address).

    Raises:
        Refused: If it is too long.
    """
    text = local_part.strip().strip('"')
    if len(text) > MAX_TYPED:
        raise Refused("number too long", public="The number is too long.")
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


def parse_number(typed: str, plan: DialPlan, sub_address: str = "") -> FaxNumber:
    """The number a sender meant.

    Args:
        typed: Without the wrapping of a mail address.
        plan: How to read it and what is open.
        sub_address: T.33 sub-address, if one was given.

    Raises:
        Refused: With a sentence that says what is wrong with it.
    """
    if len(typed) > MAX_TYPED:
        raise Refused("number too long", public="The number is too long.")
    digits = _SEPARATORS.sub("", typed)
    if not re.fullmatch(r"\+?[0-9]+", digits, re.ASCII):
        raise Refused(f"not a number: {typed!r}", public=f"“{_shown(typed)}” is not a telephone number.")
    if digits.lstrip("+") in _EMERGENCY:
        raise Refused("emergency number", public="Emergency numbers are never dialled.")
    international = "+" + digits[2:] if digits.startswith("00") else digits
    if international.startswith("+") and international[1:].startswith(_SATELLITE):
        return _classified(typed, international, "001", NumberClass.SATELLITE, plan, sub_address)
    parsed = _parse(typed, international, plan)
    e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    region = phonenumbers.region_code_for_number(parsed) or phonenumbers.region_code_for_country_code(
        parsed.country_code or 0
    )
    return _classified(typed, e164, region or "001", _kind(parsed), plan, sub_address)


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
    raise Refused(f"impossible number {typed!r}", public=f"“{_shown(typed)}” cannot be dialled: {fault}.")


def _kind(parsed: phonenumbers.PhoneNumber) -> NumberClass:
    kind = phonenumbers.number_type(parsed)
    if kind in (PhoneNumberType.PREMIUM_RATE, PhoneNumberType.UAN):
        return NumberClass.PREMIUM
    if kind == PhoneNumberType.SHARED_COST:
        return NumberClass.SHARED_COST
    if len(str(parsed.national_number)) <= 4:
        return NumberClass.SHORT
    return NumberClass.ORDINARY


def _classified(typed: str, e164: str, region: str, kind: NumberClass, plan: DialPlan, sub_address: str) -> FaxNumber:
    if not 3 <= len(e164) - 1 <= MAX_DIGITS:
        raise Refused("length", public=f"“{_shown(typed)}” cannot be dialled: it has a wrong length.")
    if kind in CLOSED_BY_DEFAULT and (
        kind not in plan.open_classes or kind in (NumberClass.EMERGENCY, NumberClass.SHORT)
    ):
        label = kind.value.replace("_", "-")
        raise Refused(f"closed class {kind}", public=f"“{_shown(typed)}” is a {label} number, which is not open here.")
    if plan.allowed_countries and region not in plan.allowed_countries:
        raise Refused(f"closed country {region}", public=f"Faxes to “{_shown(typed)}” ({region}) are not open here.")
    return FaxNumber(typed, e164, region, kind, sub_address)


def _shown(typed: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in typed)[:40]


def recipient_zone(number: FaxNumber) -> str:
    """An IANA zone in which the number's owner lives, for calling hours; `UTC` when unknown."""
    from phonenumbers import timezone

    zones = timezone.time_zones_for_number(phonenumbers.parse(number.e164))
    return zones[0] if zones and zones[0] != "Etc/Unknown" else "UTC"


def masked(number: str) -> str:
    """The form for logs: country and the last two digits, `+33…89`."""
    digits = re.sub(r"[^0-9+]", "", number)
    return f"{digits[:3]}…{digits[-2:]}" if len(digits) > 6 else "…"
