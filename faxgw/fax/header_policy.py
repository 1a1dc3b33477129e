"""What the law asks of a header line, judged when a fax is submitted. Pure.

`us-tcpa`: 47 CFR 68.318(d) (Telephone Consumer Protection Act, 47 USC 227(d)(1)): date and time, an identification of
the business, other entity or individual that sends, and the telephone number of the sending machine or of the sender,
in a margin of each page or of the first. The number may be none that costs more than an ordinary call.

`fr`: Code des postes et des communications électroniques, article L34-5: who sends must not be hidden, and there must
be an address to which an objection can be sent at no other cost than that of its transmission.

What is looked at is what will be printed: the template's literal text and the values of `%C`. A name is there when the
account's `caller_name` is. The job keeps template and settings, so what is right at submission is right at the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from faxgw.fax.account import Effective
from faxgw.fax.errors import Refused
from faxgw.fax.fault_texts import Said
from faxgw.fax.header import HeaderContext, HeaderLine, HeaderRefused, HeaderTemplate, expand, parse
from faxgw.fax.number import DialPlan, NumberClass, parse_number

MAX_PRINTED = 100
"""Characters of a line that fits the page's width at the smallest size, whatever they are but very wide ones: beyond,
the header is cut off at the left."""

_NUMBER = re.compile(r"(?<![0-9])\+?[0-9(][0-9 ()./-]{4,28}[0-9](?![0-9])")
_ADDRESS = re.compile(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,5}")
_CUT_OFF = "a line of it has {length} characters; beyond {limit} it may be cut off"
_LONGEST = datetime(2026, 9, 30, 23, 59, tzinfo=UTC)  # a Wednesday in September


@dataclass(frozen=True, slots=True)
class _Policy:
    """What one policy asks for."""

    law: str
    """Where it is written."""
    moment: bool
    """Date and time are printed."""
    address_will_do: bool
    """A mail address does instead of a telephone number."""


POLICIES = {
    "us-tcpa": _Policy("47 CFR 68.318(d)", moment=True, address_will_do=False),
    "fr": _Policy("CPCE article L34-5", moment=False, address_will_do=True),
}
"""By their names; `none` asks for nothing."""


def shortfalls(settings: Effective) -> tuple[Said, ...]:
    """What the header of an account's faxes lacks by the account's policy; nothing when it is good.

    Args:
        settings: In force for the fax: `header_policy`, `header`, `caller_name`, `csid`, `country`, `area_code`.
    """
    policy = POLICIES.get(settings["header_policy"])
    if policy is None:
        return ()
    try:
        template = parse(settings["header"])
    except HeaderRefused as exc:
        return (Said("{mistake}", {"mistake": exc.args[0]}),)
    if template.empty:
        return (Said("it is switched off"),)
    return tuple(_lacking(policy, template, settings))


def fault(settings: Effective) -> Said | None:
    """Why a fax with these settings is not accepted, for its sender; None when its header satisfies the policy."""
    found = shortfalls(settings)
    if not found:
        return None
    name = settings["header_policy"]
    said = (
        "Faxes of this account must have a header line that satisfies the policy {policy} ({law}); theirs does not: "
        "{faults}."
    )
    return Said(said, {"policy": name, "law": POLICIES[name].law, "faults": found})


def refusal(settings: Effective) -> str:
    """The same in English, in one string; empty when there is nothing against it."""
    found = fault(settings)
    return found.told() if found else ""


def _lacking(policy: _Policy, template: HeaderTemplate, settings: Effective) -> Iterator[Said]:
    codes = template.codes
    if policy.moment:
        if not (codes & {"Y", "y"} and codes & {"m", "b", "B"} and "d" in codes):
            yield Said("it does not print the date (day, month and year, such as %d.%m.%Y)")
        if not ("M" in codes and ("H" in codes or {"I", "p"} <= codes)):
            yield Said("it does not print the time (%H:%M, or %I:%M %p)")
    name = _folded(settings["caller_name"])
    if not any(map(str.isalpha, name)):
        yield Said("the name of who sends is not known (setting caller_name)")
    elif not any(name in _folded(text) for text in template.literals):
        yield Said("it does not print the name of who sends ({name})", {"name": settings["caller_name"]})
    numbers = [match[0] for text in template.literals for match in _NUMBER.finditer(text)]
    if "C" in codes:
        numbers.append(settings["csid"])
    if not any(_ordinary(number, settings) for number in numbers):
        addresses = policy.address_will_do and any(map(_ADDRESS.search, template.literals))
        if not addresses:
            also = ", or a mail address" if policy.address_will_do else ""
            yield Said(f"it does not print a telephone number of the sender that is charged as an ordinary call{also}")
    context = HeaderContext(_LONGEST, "+" + "0" * 15, settings["csid"], settings["time_zone"], settings["language"])
    longest = max(map(_length, expand(template, context, 100, 100)))
    if longest > MAX_PRINTED:
        yield Said(_CUT_OFF, {"length": longest, "limit": MAX_PRINTED})


def _length(line: HeaderLine) -> int:
    parts = [part for part in (line.left, line.centre, line.right) if part]
    return sum(map(len, parts)) + 2 * max(0, len(parts) - 1)


def _ordinary(number: str, settings: Effective) -> bool:
    """Whether this is a telephone number that costs what a call costs."""
    plan = DialPlan(settings["country"], settings["area_code"], open_classes=frozenset({NumberClass.SATELLITE}))
    try:
        return parse_number(number.strip(), plan).kind is NumberClass.ORDINARY
    except Refused:
        return False


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
