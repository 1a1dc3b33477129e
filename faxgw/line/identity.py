"""Who calls whom: how a trunk wants to see the numbers of our calls, and where it shows those of its calls to us.

Called number: Request-URI and To, in the form that the trunk's settings ask for. Caller: From (RFC 3261 section
8.1.1.3), P-Asserted-Identity and P-Preferred-Identity (RFC 3325), withheld by an anonymous From and Privacy (RFC 3323,
RFC 3325 section 7). The number on whose behalf: Diversion (RFC 5806), History-Info (RFC 7044).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from faxgw.fax.number import national_form
from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.events import IncomingCall
from faxgw.foip.headers import NameAddr, quote, split_list
from faxgw.foip.message import clean_text
from faxgw.foip.uri import OtherUri, SipUri, Uri, find_param, sip_uri

if TYPE_CHECKING:
    from faxgw.line.trunk import TrunkSettings

ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'
"""RFC 3323 section 4.1.1.3."""
WITHHELD = frozenset({"id", "user", "header"})
"""Privacy values that ask us not to show who called (RFC 3323 section 4.2, RFC 3325 section 9.3)."""
MAX_ENTRIES = 32
"""History-Info entries looked at."""
_INDEX = re.compile(r"\d{1,3}(\.\d{1,3}){0,15}")

Fields = tuple[tuple[str, str], ...]
"""Header fields."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who one of our calls comes from."""

    number: str = ""
    """E.164; empty: the trunk's own."""
    name: str = ""
    """Shown beside it."""
    withheld: bool = False
    """The called side is not to learn the number."""


# Calls that we place


def called(number: str, settings: TrunkSettings) -> Uri:
    """The called number as the Request-URI, without the transport.

    Args:
        number: E.164.
        settings: Of the trunk.

    Raises:
        LocalProtocolError: If it makes no URI.
    """
    return _uri(_dialled(number, settings), settings.host, settings.port, settings)


def to_value(number: str, settings: TrunkSettings) -> str:
    """The To value of a call."""
    return f"<{_uri(_dialled(number, settings), settings.domain or settings.host, None, settings)}>"


def _dialled(number: str, settings: TrunkSettings) -> str:
    """What is dialled for a number on the trunk."""
    if settings.strip and number.startswith(settings.strip) and number != settings.strip:
        return settings.dial_prefix + number[len(settings.strip) :]
    return settings.dial_prefix + formatted(number, settings.number_format, settings.country)


def formatted(number: str, form: str, country: str) -> str:
    """A number in one of the forms of `number_format`; what is no E.164 number stays as it is."""
    if not number.startswith("+"):
        return number
    if form == "national":
        return national_form(number, country)
    return {"plus": "+", "digits": "", "zeros": "00"}[form] + number[1:]


def from_value(caller: Caller, settings: TrunkSettings) -> str:
    """The From value of a call."""
    if caller.withheld:
        return ANONYMOUS
    if settings.identity in ("pai", "ppi"):
        user = settings.login or _form(settings.caller, settings)
        return _address(user, settings) if user else ANONYMOUS
    number = caller.number or settings.caller
    if number:
        return _address(_form(number, settings), settings, caller.name)
    return _address(settings.login, settings) if settings.login else ANONYMOUS


def headers(caller: Caller, number: str, settings: TrunkSettings) -> Fields:
    """The further header fields of a call that say who calls, and for whom.

    Args:
        caller: Who calls.
        number: The number called, E.164.
        settings: Of the trunk.
    """
    fields: list[tuple[str, str]] = []
    own = settings.caller if settings.asserted == "trunk" else caller.number or settings.caller
    user = _form(own, settings) if own else settings.login
    if user and (caller.withheld or settings.identity != "from"):
        name = "P-Preferred-Identity" if settings.identity.endswith("ppi") else "P-Asserted-Identity"
        fields.append((name, _address(user, settings, "" if caller.withheld else caller.name)))
    if caller.withheld:
        fields.append(("Privacy", "id"))
    if settings.diversion:
        fields += _diverted(number, settings)
    return tuple(fields)


def _diverted(number: str, settings: TrunkSettings) -> Fields:
    """The number on whose behalf we call: it was called, and sends the call on to `number`."""
    address = f"<{_uri(_form(settings.diversion, settings), settings.domain or settings.host, None, settings)}>"
    fields: list[tuple[str, str]] = []
    if settings.divert_with != "history_info":
        fields.append(("Diversion", f"{address};reason=unconditional;counter=1;privacy=off"))
    if settings.divert_with != "diversion":
        target = called(number, settings)
        cause = replace(target, params=(*target.params, ("cause", "302"))) if isinstance(target, SipUri) else target
        fields.append(("History-Info", f"{address};index=1, <{cause}>;index=1.1;mp=1"))
    return tuple(fields)


def _form(number: str, settings: TrunkSettings) -> str:
    return formatted(number, settings.caller_format or settings.number_format, settings.country) if number else ""


def _uri(user: str, host: str, port: int | None, settings: TrunkSettings) -> Uri:
    if settings.uri == "tel":
        context = "" if user.startswith("+") else f";phone-context={settings.domain or settings.host}"
        return OtherUri("tel", f"{user}{context}")  # RFC 3966 section 5.1.5: a local number needs its context
    uri = sip_uri(user, host, port)
    return replace(uri, params=(("user", "phone"),)) if settings.uri == "phone" else uri


def _address(user: str, settings: TrunkSettings, name: str = "") -> str:
    uri = sip_uri(user, settings.domain or settings.host)
    if settings.uri == "phone" and user != settings.login:
        uri = replace(uri, params=(("user", "phone"),))
    return f"{quote(name)} <{uri}>" if name else f"<{uri}>"


# Calls to us


def dialled(event: IncomingCall, where: str) -> str:
    """The number dialled of a call to us; empty for none.

    Args:
        event: The INVITE.
        where: `request_uri`, `to`, `diversion` or `history_info`, as the trunk's settings say. A call that was not
            diverted has no Diversion and no History-Info with two entries: then the Request-URI counts.
    """
    if where == "request_uri":
        return event.target
    if where == "history_info":
        entry = _retargeted(_values(event, "history-info"))
        return event.target if entry is None else _user(entry.uri)
    values = _values(event, where)
    try:
        return _user(NameAddr.parse(values[0]).uri)
    except (IndexError, RemoteProtocolError):
        return event.target if where == "diversion" and not _has(event, where) else ""


def identified(event: IncomingCall, where: str) -> IncomingCall:
    """The call with the number and name of who calls us; both empty when they are withheld or not known.

    Args:
        event: The INVITE.
        where: `asserted`: P-Asserted-Identity where there is one, else From; `from`: From alone.
    """
    if _is_withheld(event):
        return replace(event, caller="", display="")
    number, name = event.caller, event.display
    for value in _values(event, "p-asserted-identity") if where == "asserted" else ():
        try:
            asserted = NameAddr.parse(value)
        except RemoteProtocolError:
            continue
        if user := _user(asserted.uri):
            number, name = user, clean_text(asserted.display) or ("" if _is_anonymous(number) else name)
            break
    known = not _is_anonymous(number)
    return replace(event, caller=number if known else "", display=name if known else "")


def _is_anonymous(number: str) -> bool:
    return number.lower() in ("", "anonymous", "unavailable", "restricted", "unknown")


def _is_withheld(event: IncomingCall) -> bool:
    asked = {part.strip().lower() for value in _all(event, "privacy") for part in re.split("[;,]", value)}
    return bool(asked & WITHHELD)


def _retargeted(values: Sequence[str]) -> NameAddr | None:
    """The History-Info entry that the last one was mapped from: whom the caller wanted (RFC 7044 section 5)."""
    entries: list[tuple[tuple[int, ...], NameAddr]] = []
    for value in values[:MAX_ENTRIES]:
        try:
            entry = NameAddr.parse(value)
        except RemoteProtocolError:
            continue
        index = entry.param("index") or ""
        if _INDEX.fullmatch(index):
            entries.append((tuple(int(part) for part in index.split(".")), entry))
    entries.sort(key=lambda item: item[0])
    if len(entries) < 2:
        return None
    last = entries[-1][1]
    source = find_param(last.params, "mp") or find_param(last.params, "rc") or find_param(last.params, "np") or ""
    return next((entry for _index, entry in entries[:-1] if entry.param("index") == source), entries[-2][1])


def _all(event: IncomingCall, name: str) -> list[str]:
    return [value for key, value in event.headers if key.lower() == name]


def _has(event: IncomingCall, name: str) -> bool:
    return bool(_all(event, name))


def _values(event: IncomingCall, name: str) -> list[str]:
    """The elements of all fields of that name; none of a field that cannot be read."""
    found: list[str] = []
    for value in _all(event, name):
        try:
            found += split_list(value)
        except RemoteProtocolError:
            continue
    return found


def _user(uri: Uri) -> str:
    """The number in a URI; of a `tel:` URI without its parameters."""
    return clean_text(uri.username if isinstance(uri, SipUri) else uri.opaque.partition(";")[0])
