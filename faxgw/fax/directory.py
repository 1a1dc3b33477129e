"""What an entry of a directory means here: a user with a sender address, or a number of the register.

Value sets of the vendor's columns are not public (interfaces section 4.5); what is taken is written down in
docs/accounts.md. A column without an effect here is named, never silently read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any  # settings

import phonenumbers

from faxgw.fax.account import check_settings
from faxgw.fax.resolution import Resolution

MAX_NAME = 64
"""Characters of a user's name, as in the table."""
MAX_LOCAL = 64
"""Octets before the @ of a mail address (RFC 5321 section 4.5.3.1.1)."""
MAX_ADDRESS = 254
"""Octets of a mail address: those of a path (RFC 5321 section 4.5.3.1.3) without its angle brackets."""
_MARK = 12
"""Digits that end the name of a user whose address is none."""
_ADDRESS = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+")
_NO_ADDRESS = f"{{column}} must be {{what}} of at most {MAX_ADDRESS} characters, {MAX_LOCAL} of them before the @"
_YES, _NO = frozenset({"true", "1", "yes", "on", "y"}), frozenset({"false", "0", "no", "off", "n"})
_RESOLUTIONS = {"high": "fine", "low": "standard"} | {each.value: each.value for each in Resolution}
_ORDERS = ("position", "result", "number")
"""Words for reply-status-sorting; those of the vendor are not public, and others are left alone."""
_IDENTS = ("csid", "fax-id")
"""Columns that count as without effect where nothing is left of them."""
_WITHOUT_EFFECT = (
    "blacklist", "reply-format", "prefix-plus-sign-in-fax-number", "customer-no", "client-name", "template-name",
    "date-format", "time-format",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """A user or a number as the directory wants it."""

    key: str
    """The user's name (`name_of`), or the number, E.164."""
    address: str = ""
    """The user's mail address; empty: it is a number."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    profile: str = ""
    """Short name; empty: none."""
    active: bool = True

    @property
    def shown(self) -> str:
        """What the directory calls it."""
        return self.address or self.key


@dataclass(frozen=True, slots=True)
class Meaning:
    """What all entries come to."""

    wanted: Sequence[Wanted]
    faults: Sequence[str]
    """Each with its line."""
    unused: Mapping[str, int]
    """Column without an effect here → entries that fill it."""


def senders(entries: Sequence[tuple[int, Mapping[str, str]]]) -> Meaning:
    """What the entries of an outbound directory mean."""
    return _meaning(entries, _sender, _WITHOUT_EFFECT)


def numbers(entries: Sequence[tuple[int, Mapping[str, str]]]) -> Meaning:
    """What the entries of an inbound directory mean."""
    return _meaning(entries, _number, ())


def _meaning(
    entries: Sequence[tuple[int, Mapping[str, str]]],
    read: Callable[[Mapping[str, str]], Wanted],
    without_effect: Sequence[str],
) -> Meaning:
    wanted: dict[str, Wanted] = {}
    faults: list[str] = []
    unused: dict[str, int] = {}
    for line, values in entries:
        try:
            one = read(values)
        except ValueError as exc:
            faults.append(f"line {line}: {exc}")
            continue
        if one.key in wanted:
            faults.append(f"line {line}: {one.shown} stands twice")
        wanted[one.key] = one
        idle = [column for column in without_effect if values.get(column)]
        idle += [column for column in _IDENTS if values.get(column) and not _ident(values, column)]
        for column in idle:
            unused[column] = unused.get(column, 0) + 1
    return Meaning(list(wanted.values()), faults, unused)


def _sender(values: Mapping[str, str]) -> Wanted:
    address = values.get("e-mail", "").lower()
    if not is_address(address):
        raise ValueError(_NO_ADDRESS.format(column="e-mail", what="a mail address"))
    given: dict[str, Any] = {}
    _copy(values, given, {"billing-code": "billing_code", "header": "header"})
    if ident := _ident(values, "csid"):
        given["csid"] = ident
    _copy(values, given, {"default-area-code": "area_code", "timezone": "time_zone"})
    if resolution := values.get("resolution", "").lower():
        if resolution not in _RESOLUTIONS:
            raise ValueError("resolution must be HIGH or LOW")
        given["resolution"] = _RESOLUTIONS[resolution]
    if code := values.get("default-country-code", ""):
        given["country"] = _country(code)
    if language := values.get("language", ""):
        given["language"] = language[:2].lower()
    if only := values.get("only-attachments", ""):
        given["attachments_only"] = _flag("only-attachments", only)
    if readers := [*_addresses(values, "reply-to"), *_addresses(values, "reply-cc")]:
        given["report_addresses"] = readers
    if readers := _addresses(values, "error-to"):
        given["report_error_to"] = readers
    given |= _report(values)
    return Wanted(name_of(address), address, _checked(given), values.get("profile-name", ""))


def is_address(text: str) -> bool:
    """Whether a text is a mail address of the length that RFC 5321 section 4.5.3.1 lets one have."""
    local, _, _domain = text.partition("@")
    fits = len(local.encode()) <= MAX_LOCAL and len(text.encode()) <= MAX_ADDRESS
    return fits and _ADDRESS.fullmatch(text) is not None


def name_of(address: str) -> str:
    """The name of the user who has an address: the address itself, which is what people look for.

    One that is longer than a name may be, or has a slash, which ends names in paths, is cut and given digits of its
    own, always the same for the same address.
    """
    if len(address) <= MAX_NAME and "/" not in address:
        return address
    mark = hashlib.sha256(address.encode()).hexdigest()[:_MARK]
    return f"{address.replace('/', '_')[: MAX_NAME - _MARK - 1]}~{mark}"


def _report(values: Mapping[str, str]) -> Mapping[str, str]:
    """When the pages go with status mails, and in which order these name several faxes."""
    found: dict[str, str] = {}
    if (column := "attach-tiff-to-report-only-if-error") in values and values[column]:
        found |= {"report_attachment": "failure_only"} if _flag(column, values[column]) else {}
    if (column := "attach-tiff-to-report") in values and values[column]:
        always = _flag(column, values[column])
        found |= {"report_attachment": found.get("report_attachment", "always")} if always else {}
    if (order := values.get("reply-status-sorting", "").lower()) in _ORDERS:
        found["report_order"] = order
    return found


def _number(values: Mapping[str, str]) -> Wanted:
    digits = re.sub(r"[ ()./-]", "", values.get("user-number", "")) + re.sub(r"[ -]", "", values.get("extension", ""))
    e164 = "+" + digits[2:] if digits.startswith("00") else digits
    if not re.fullmatch(r"\+[1-9][0-9]{3,14}", e164):
        raise ValueError("user-number and extension must be a number in international form, +33123456789")
    given: dict[str, Any] = {"csid": _ident(values, "fax-id") or e164}
    if recipients := _addresses(values, "recipients"):
        given["deliver_to"] = recipients
    if values.get("document-format", "pdf").lower() not in ("", "pdf"):
        raise ValueError("document-format must be PDF")
    if language := values.get("language", ""):
        given["language"] = language[:2].lower()
    _copy(values, given, {"billing-code": "billing_code"})
    active = _flag("active", values["active"]) if values.get("active") else True
    return Wanted(e164, "", _checked(given), values.get("profile", ""), active)


def _copy(values: Mapping[str, str], given: dict[str, Any], names: Mapping[str, str]) -> None:
    for column, key in names.items():
        if values.get(column):
            given[key] = values[column]


def _ident(values: Mapping[str, str], column: str) -> str:
    """An identification as T.30 has it: letters, which clients of the vendor have in theirs, are left out."""
    return re.sub(r"[^+0-9 ]", "", values.get(column, "")).strip()


def _addresses(values: Mapping[str, str], column: str) -> list[str]:
    found = [part for part in re.split(r"[,;\s]+", values.get(column, "")) if part]
    if not all(is_address(address) for address in found):
        raise ValueError(_NO_ADDRESS.format(column=column, what="mail addresses"))
    return found


def _flag(column: str, value: str) -> bool:
    if value.lower() in _YES:
        return True
    if value.lower() in _NO:
        return False
    raise ValueError(f"{column} must be true or false")


def _country(code: str) -> str:
    """The country of a calling code, `+33`, `0033` or `33`; a country itself is taken too."""
    if re.fullmatch(r"[A-Za-z]{2}", code):
        return code.upper()
    digits = code.removeprefix("+").removeprefix("00")
    region = phonenumbers.region_code_for_country_code(int(digits)) if re.fullmatch(r"[0-9]{1,3}", digits) else "ZZ"
    if region in ("ZZ", "001"):
        raise ValueError("default-country-code must be a calling code such as +33")
    return region


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    checked, faults = check_settings(given)
    if faults:
        raise ValueError("; ".join(faults))
    return {key: list(value) if isinstance(value, tuple) else value for key, value in checked.items()}
