"""Accounts and settings: system → customer → profile → user or number → job, each value with its origin.

Every setting is one row of `SETTINGS`; a level gives a plain mapping and is checked once, when it is stored.
`resolve` lays the levels over one another. What a setting means is the business of whoever reads it.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar  # a setting's value has the type its row names; `Effective` hands it out checked
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from faxgw.fax.denied import MAX_PATTERNS, MAX_STARS
from faxgw.fax.fault_texts import Said, Unfit
from faxgw.fax.job import InDoubt
from faxgw.fax.overlay import OverlayMode
from faxgw.fax.resolution import Resolution
from faxgw.fax.retry import BUSY_PAUSES, NO_ANSWER_PAUSES, NO_CARRIER_PAUSES, PROTOCOL_PAUSES


class AccountState(enum.StrEnum):
    """States of a customer, a user or a number (features B0)."""

    ACTIVE = "active"
    OUTBOUND_SUSPENDED = "outbound_suspended"
    SUSPENDED = "suspended"
    ENDED = "ended"


def strictest(*states: AccountState) -> AccountState:
    """The state that counts where several do, such as a customer's and its user's."""
    return max(states, key=list(AccountState).index)


class Level(enum.StrEnum):
    """Where a value can be given, from the weakest to the strongest."""

    DEFAULT = "default"
    SYSTEM = "system"
    CUSTOMER = "customer"
    PROFILE = "profile"
    USER = "user"
    NUMBER = "number"
    JOB = "job"


_NARROWING = frozenset({Level.PROFILE, Level.USER, Level.NUMBER, Level.JOB})


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    key: str
    default: Any
    check: Callable[[Any], Any]
    """Returns the value in its proper type, or raises ValueError with a sentence."""
    doc: str
    narrow: Callable[[Any, Any], Any] | None = None
    """Set for entitlements: what is left of (the operator's value, a lower level's). The levels below the customer
    can then only narrow what system and customer give; None: the lower level decides freely."""

    @property
    def shape(self) -> Mapping[str, Any]:
        """What it may be, as JSON Schema: exactly what the check takes. Two formats are ours: `printable`, text without
        control or format characters, and `time-zone`, a zone of the tz database.
        """
        return {**_SHAPES[self.check], "description": self.doc, "default": _plain(self.default)}


INTERFACES = ("smtp", "rest", "soap", "api", "sftp", "ftp", "folder", "portal")
"""Ways in that an account may have (features B5)."""
COMMANDS = (
    *("resolution", "cover", "header", "csid", "cost centre", "express", "earliest", "latest", "retries"),
    *("reference", "paper", "mode"),
)
"""What a sender may command in a subject or a merged document (formats/job_commands.py)."""
_SHAPES: WeakKeyDictionary[Callable[[Any], Any], Mapping[str, Any]] = WeakKeyDictionary()
"""What each check takes, as JSON Schema."""
C = TypeVar("C", bound=Callable[[Any], Any])


def _shaped(**shape: Any) -> Callable[[C], C]:
    """Say what a check takes."""

    def keep(check: C) -> C:
        _SHAPES[check] = shape
        return check

    return keep


MAX_COUNTRIES = 300
"""Countries of a list: ISO 3166-1 has 249."""
MAX_WORDS = 100
"""Words of a list that has its words given, such as interfaces: more can only be repetitions."""
_MAILBOX = r"^[^\s@<>]{1,64}@[^\s@<>]{1,255}$"
_WILD = rf"^[ -)+-~]*(\*[ -)+-~]*){{0,{MAX_STARS}}}$"
_VALUE = r"^[A-Za-z_][\w.-]{0,63}=.*$"


def _list_of(item: Mapping[str, Any], most: int, least: int = 0) -> dict[str, Any]:
    bounds = {"minItems": least} if least else {}
    return {"type": "array", "items": item, **bounds, "maxItems": most}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _text(limit: int) -> Callable[[Any], str]:
    @_shaped(type="string", maxLength=limit, format="printable")
    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) > limit or not value.isprintable():
            raise Unfit(Said("must be a printable text of at most {limit} characters", {"limit": limit}))
        return value

    return check


@_shaped(type="boolean")
def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _number(low: float, high: float) -> Callable[[Any], int]:
    @_shaped(type="integer", minimum=int(low), maximum=int(high))
    def check(value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # 6.0 is 6 in JSON Schema (section 4.2.3), and some programs write it so
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low:g} to {high:g}")
        return value

    return check


def _one_of(*choices: str) -> Callable[[Any], str]:
    @_shaped(type="string", enum=list(choices))
    def check(value: Any) -> str:
        if value not in choices:
            raise Unfit(Said("must be one of {words}", {"words": ", ".join(choices)}))
        return str(value)

    return check


@_shaped(type="string", pattern="^[+0-9 ]{0,20}$")
def _ident(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[+0-9 ]{0,20}", value):
        raise Unfit(Said("must have at most 20 characters of + 0-9 and space (ITU-T T.30 section 5.3.6.2.4)"))
    return value


@_shaped(type="string", pattern=r"^(\+[0-9]{3,15})?$")
def _e164(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"(\+[0-9]{3,15})?", value):
        raise ValueError("must be a number in international form, +33123456789")
    return value


@_shaped(type="string", pattern="^[A-Z]{2}$")
def _country(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z]{2}", value):
        raise ValueError("must be a country of two capital letters")
    return value


@_shaped(**_list_of({"type": "string", "pattern": "^[A-Z]{2}$"}, MAX_COUNTRIES))
def _countries(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > MAX_COUNTRIES:
        raise ValueError(f"must be a list of at most {MAX_COUNTRIES} countries")
    return tuple(_country(item) for item in value)


@_shaped(**_list_of({"type": "string", "enum": ["premium", "shared_cost", "satellite"]}, MAX_WORDS))
def _classes(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > MAX_WORDS:
        raise ValueError(f"must be a list of at most {MAX_WORDS} number classes")
    return tuple(_one_of("premium", "shared_cost", "satellite")(item) for item in value)


@_shaped(**_list_of({"type": "string", "enum": list(INTERFACES)}, MAX_WORDS))
def _interfaces(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > MAX_WORDS:
        raise ValueError(f"must be a list of at most {MAX_WORDS} interfaces")
    return tuple(sorted({_one_of(*INTERFACES)(item) for item in value}, key=INTERFACES.index))


@_shaped(**_list_of({"type": "string", "enum": list(COMMANDS)}, MAX_WORDS))
def _commands(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > MAX_WORDS:
        raise ValueError(f"must be a list of at most {MAX_WORDS} commands")
    return tuple(sorted({_one_of(*COMMANDS)(item) for item in value}, key=COMMANDS.index))


@_shaped(type="string", pattern="^([A-Za-z0-9][A-Za-z0-9._-]{3,79})?$")
def _file_name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]{3,79})?", value):
        raise ValueError("must be a file name of 4 to 80 letters, digits and . _ -, or empty")
    return value.lower()


def _both(above: tuple[str, ...], below: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(item for item in above if item in below)


@_shaped(**_list_of({"type": "string", "pattern": r"^\+[0-9]{2,15}$"}, 1000))
def _prefixes(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of numbers")
    found = tuple(value)
    if len(found) > 1000 or not all(isinstance(v, str) and re.fullmatch(r"\+[0-9]{2,15}", v) for v in found):
        raise ValueError("must be at most 1000 numbers or beginnings of numbers in international form, +33899")
    return found


@_shaped(**_list_of({"type": "string", "pattern": _MAILBOX}, 20))
def _addresses(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of mail addresses")
    found = tuple(value)
    if len(found) > 20 or not all(
        isinstance(a, str) and re.fullmatch(r"[^\s@<>]{1,64}@[^\s@<>]{1,255}", a) for a in found
    ):
        raise ValueError("must be at most 20 mail addresses")
    return found


@_shaped(**_list_of({"type": "string", "pattern": _WILD, "minLength": 1, "maxLength": 40}, MAX_PATTERNS))
def _patterns(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of texts")
    found = tuple(value)
    if len(found) > MAX_PATTERNS or not all(
        isinstance(one, str) and re.fullmatch(r"[ -~]{1,40}", one) for one in found
    ):
        raise ValueError(f"must be at most {MAX_PATTERNS} texts of 1 to 40 characters")
    if any(one.count("*") > MAX_STARS for one in found):
        raise ValueError(f"must have at most {MAX_STARS} * in a text")
    return found


@_shaped(type="string", pattern="^(https?://[!-~]{1,1990})?$")
def _url(value: Any) -> str:
    if not isinstance(value, str) or (value and not re.fullmatch(r"https?://[!-~]{1,1990}", value)):
        raise ValueError("must be a URL, http or https, of at most 2000 characters")
    return value


@_shaped(type="string", pattern=f"{_MAILBOX}|^$")
def _address(value: Any) -> str:
    return "" if value == "" else str(_addresses((value,))[0])


@_shaped(**_list_of({"type": "integer", "minimum": 1, "maximum": 86_400}, 12, 1))
def _pauses(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of seconds")
    found = tuple(int(p) if isinstance(p, float) and p.is_integer() else p for p in value)
    good = all(isinstance(p, int) and not isinstance(p, bool) and 1 <= p <= 86400 for p in found)
    if not 1 <= len(found) <= 12 or not good:
        raise ValueError("must be 1 to 12 whole numbers of seconds, each from 1 to 86400; the last repeats")
    return found


@_shaped(**_list_of({"type": "string", "format": "printable", "pattern": _VALUE, "maxLength": 400}, 40))
def _values(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of values")
    found = tuple(value)
    good = all(
        isinstance(v, str) and v.isprintable() and len(v) <= 400 and re.fullmatch(r"[A-Za-z_][\w.-]{0,63}=.*", v)
        for v in found
    )
    if len(found) > 40 or not good:
        raise ValueError("must be at most 40 texts such as FromName=Ann, a name, an equals sign and a value")
    return found


@functools.cache
def _zones() -> frozenset[str]:
    """Every zone of this machine: walking their folder takes 7 ms, and each job's settings name one."""
    return frozenset(available_timezones())


@_shaped(type="string", format="time-zone")
def _zone(value: Any) -> str:
    try:
        if not isinstance(value, str) or value not in _zones():
            raise ZoneInfoNotFoundError
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise ValueError("must be a time zone such as Europe/Paris") from exc
    return value


@_shaped(**_list_of({"type": "string", "pattern": "^[a-z]{3}(_[a-z]{3,4})?$"}, 4))
def _models(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of languages")
    found = tuple(value)
    if len(found) > 4 or not all(isinstance(v, str) and re.fullmatch(r"[a-z]{3}(_[a-z]{3,4})?", v) for v in found):
        raise ValueError("must be at most 4 languages by their names at Tesseract, such as eng, fra, deu, chi_sim")
    return found


MAX_RECIPIENTS = 5_000
"""Recipients of one fax at most, whatever is set: beyond, the unit that accepts it would last too long
(docs/spine.md section 7)."""
NO_LIMIT = 1_000_000
"""A day's faxes or pages that no account reaches."""


SETTINGS: Mapping[str, Setting] = {
    s.key: s
    for s in (
        Setting("csid", "", _ident, "Sender's identification shown on the far machine (TSI), at most 20 characters"),
        Setting("clip", "", _e164, "Caller number; empty: the trunk's own"),
        Setting("caller_name", "", _text(40), "Name shown beside the caller number, where the trunk passes it on"),
        Setting("withhold_number", False, _flag, "Do not show the called side our number"),
        Setting("header", "%d.%m.%Y %H:%M %z  %C%cTo: %#%rPage %P/%T", _text(400), "Header line template"),
        Setting(
            "header_policy",
            "none",
            _one_of("none", "us-tcpa", "fr"),
            "Law that the header line must satisfy, or faxes are refused",
            lambda above, below: below if above == "none" else above,
        ),
        Setting("time_zone", "UTC", _zone, "Time zone of header and mails"),
        Setting("language", "en", _one_of("en", "fr", "de"), "Language of header and mails"),
        Setting(
            "resolution",
            "fine",
            _one_of(*Resolution),
            "standard 204x98, fine 204x196, superfine 204x391; less where the far machine takes no more",
        ),
        Setting("paper", "A4", _one_of("A4", "Letter", "Legal"), "Paper size"),
        Setting("mode", "auto", _one_of("auto", "text", "photo"), "How grey becomes black and white"),
        Setting("attachments_only", False, _flag, "Fax the attachments without the mail's text"),
        Setting("body_only", False, _flag, "Fax the mail's text without the attachments"),
        Setting("cover", "", _text(200), "Cover page, a template's name; empty or none: no cover page"),
        Setting("cover_text", False, _flag, "The mail's text stands on the cover page, not on pages of its own"),
        Setting("cover_values", (), _values, "Values for cover pages, FromName=Ann; a recipient's own come first"),
        Setting("overlay", "", _text(200), "Letterhead laid over the pages, a template's name; empty or none: none"),
        Setting("overlay_mode", "all_pages", _one_of(*OverlayMode), "Pages that bear the letterhead"),
        Setting("suppress_blank", False, _flag, "Leave blank pages out"),
        Setting("ignore_inline_images", False, _flag, "Leave out images that the HTML part shows"),
        Setting("min_image_px", 64, _number(0, 4000), "Smaller images are left out (logos, icons)"),
        Setting("billing_code", "", _text(80), "Cost centre"),
        Setting("priority", "normal", _one_of("normal", "express"), "express goes first"),
        Setting("max_dials", 12, _number(1, 12), "Dials per fax at most"),
        Setting("max_tries", 3, _number(1, 12), "Tries after connect per fax at most"),
        Setting("busy_pauses", BUSY_PAUSES, _pauses, "Seconds before the next dial after the 1st, 2nd, … busy"),
        Setting("no_answer_pauses", NO_ANSWER_PAUSES, _pauses, "The same where nobody answered"),
        Setting("no_carrier_pauses", NO_CARRIER_PAUSES, _pauses, "The same after a fault of the network"),
        Setting("protocol_pauses", PROTOCOL_PAUSES, _pauses, "The same after a transmission that broke"),
        Setting("valid_hours", 24, _number(1, 24 * 31), "A fax not sent after this many hours expires"),
        Setting("in_doubt", "report", _one_of(*(p.value for p in InDoubt)), "After an interrupted call"),
        Setting("report_success", True, _flag, "Mail the sender when a fax was sent"),
        Setting("report_failure", True, _flag, "Mail the sender when a fax was not sent"),
        Setting("push_url", "", _url, "Where reports of jobs that come over interfaces are posted; empty: nowhere"),
        Setting("push_format", "xml", _one_of("xml", "json"), "As the vendor's XML or as its JSON"),
        Setting("push_token_url", "", _url, "Where OAuth2 tokens for such posts come from"),
        Setting("report_addresses", (), _addresses, "Where status mails go; empty: to the sender"),
        Setting(
            "report_attachment",
            "never",
            _one_of("never", "success_only", "failure_only", "always"),
            "Which status mails bring the pages along, as they were sent",
        ),
        Setting(
            "report_format",
            "tiff",
            _one_of("tiff", "pdf", "pdf_ocr"),
            "What these pages are: tiff, pdf, or pdf_ocr, a PDF that can be searched",
        ),
        Setting(
            "report_order",
            "position",
            _one_of("position", "result", "number"),
            "Order of several faxes in a status mail: as the sender gave them, the worst first, or by number",
        ),
        Setting("mail_template", "", _text(200), "Mail template, by name; empty or default: the shipped designs"),
        Setting("report_cc", (), _addresses, "Who gets every status mail besides"),
        Setting("report_error_to", (), _addresses, "Where those go that tell of a failure; empty: where all go"),
        Setting("deny_callers", (), _patterns, "Callers that are not answered: +49301, +4930*, anonymous"),
        Setting("deny_idents", (), _patterns, "Machines whose faxes are not taken, by their CSID, with * and ?"),
        Setting("deliver_to", (), _addresses, "Mailboxes that get the faxes received; empty: the fallback mailbox"),
        Setting("fax_reply", "", _text(200), "Cover page that callers are faxed in reply; empty or none: no reply"),
        Setting("fax_reply_pause", 60, _number(10, 10_080), "Minutes within which a caller is not replied to again"),
        Setting("fallback_mailbox", "", _address, "Mailbox for received faxes that nobody else can be given"),
        Setting("fallback_in_clear", False, _flag, "Fallback mailbox gets in clear what was to be encrypted"),
        Setting("keep_days", 30, _number(1, 3650), "Days that documents and pages are kept once a fax is over"),
        Setting("archive_days", 0, _number(0, 36_500), "Days that faxes as sent or received are archived; 0: none"),
        Setting("archive_format", "pdf", _one_of("pdf", "tiff"), "What is archived of received faxes"),
        Setting("metadata_days", 180, _number(1, 36_500), "Days that is known who sent what to whom, and how it went"),
        Setting("junk_score", 0, _number(0, 100), "Received faxes of this junk score or more are set aside; 0: none"),
        Setting("junk_hours", 0, _number(0, 8760), "Hours after which faxes set aside go out; 0: only when told to"),
        Setting("junk_mail_hour", 7, _number(-1, 23), "Hour of the day at which new junk is told by mail; -1: never"),
        Setting("junk_link_days", 14, _number(0, 90), "Days that links in the mail about junk hold; 0: no links"),
        Setting("junk_memory_days", 180, _number(1, 3650), "Days that counts what was said of a sender, junk or not"),
        Setting("duplicate_days", 7, _number(0, 30), "Days within which a received fax is flagged as a copy; 0: never"),
        Setting("country", "FR", _country, "Country whose national numbers are meant"),
        Setting("area_code", "", _text(8), "Put before numbers too short for the national plan"),
        Setting("plus_sign", False, _flag, "Numbers without +, 00 or 0 are international"),
        Setting("allowed_countries", (), _countries, "Countries that may be dialled; empty: all"),
        Setting("open_classes", (), _classes, "Closed number classes that are open here"),
        Setting("open_numbers", (), _prefixes, "Numbers or beginnings, +33899, open though their class is closed"),
        Setting("max_pages", 200, _number(1, 500), "Pages of one fax at most", min),
        Setting(
            "max_recipients",
            MAX_RECIPIENTS,
            _number(1, MAX_RECIPIENTS),
            "Recipients of one fax at most, whichever way it comes, its distribution lists included",
            min,
        ),
        Setting("max_list", 1000, _number(0, 5000), "Recipients of one distribution list at most", min),
        Setting("max_merged", 200, _number(0, 500), "Faxes of one merged document at most", min),
        Setting(
            "list_name", "distribution-list.txt", _file_name, "Attachment that is a distribution list; empty: none"
        ),
        Setting(
            "sender_evidence",
            "auto",
            _one_of("auto", "none", "spf", "dkim", "spf_or_dkim"),
            "What must prove that a mail comes from the sender's domain, where nobody logged in and no network vouches",
        ),
        Setting("commands", COMMANDS, _commands, "Commands in subjects that are open to the account", _both),
        Setting("interfaces", INTERFACES, _interfaces, "Ways in that are open to the account", _both),
        Setting("faxes_per_day", NO_LIMIT, _number(0, NO_LIMIT), "Faxes accepted in 24 hours at most", min),
        Setting("pages_per_day", NO_LIMIT, _number(0, NO_LIMIT), "Pages accepted in 24 hours at most", min),
        Setting("may_express", True, _flag, "Express may be asked for", lambda above, below: above and below),
        Setting("trunk", "", _text(200), "Trunk to use, or several in their order, a, b; empty: by the routes"),
        Setting(
            "sandbox",
            "",
            _text(64),
            "Trunk to a simulator: its machines are called and no others; empty: real calls",
            lambda above, below: above or below,
        ),
        Setting("ocr", False, _flag, "Read the text of faxes received", lambda above, below: above and below),
        Setting("ocr_languages", (), _models, "Languages they are read in, eng, fra, deu; empty: the one of language"),
        Setting("barcodes", False, _flag, "Read the barcodes of faxes received", lambda above, below: above and below),
        Setting("ecm", True, _flag, "Offer error correction"),
        Setting("max_bit_rate", 14400, _number(2400, 14400), "Highest modem speed"),
    )
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was given."""

    level: Level
    name: str = ""
    """Name or id of the customer, profile, user or number; a place in a file for the system level."""

    def __str__(self) -> str:
        return f"{self.level} {self.name}".strip()


@dataclass(frozen=True, slots=True)
class Effective:
    """The settings in force, each with its origin. Serialises to the job's snapshot and back."""

    values: Mapping[str, Any]
    origins: Mapping[str, Origin]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def snapshot(self) -> dict[str, Any]:
        """A JSON-able form for the job row."""
        return {
            key: {
                "value": list(v) if isinstance(v, tuple) else v,
                "level": self.origins[key].level.value,
                "name": self.origins[key].name,
            }
            for key, v in self.values.items()
        }


def from_snapshot(data: Mapping[str, Any]) -> Effective:
    """The inverse of `Effective.snapshot`; settings made since then have their default."""
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for key, setting in SETTINGS.items():
        stored = data.get(key)
        values[key] = setting.default if stored is None else setting.check(stored["value"])
        origins[key] = Origin(Level.DEFAULT) if stored is None else Origin(Level(stored["level"]), stored["name"])
    return Effective(values, origins)


def check_settings(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The checked values of one level, and every fault as a sentence that names its key."""
    values, faults = {}, []
    for key, value in given.items():
        setting = SETTINGS.get(key)
        if setting is None:
            faults.append(f"{key}: there is no such setting")
            continue
        try:
            values[key] = setting.check(value)
        except ValueError as exc:
            faults.append(f"{key}: {exc}")
    return values, faults


def resolve(levels: Sequence[tuple[Origin, Mapping[str, Any]]]) -> Effective:
    """Lay the levels over one another, weakest first.

    Raises:
        ValueError: If a level holds a value that `check_settings` would refuse.
    """
    values = {key: setting.default for key, setting in SETTINGS.items()}
    origins = dict.fromkeys(SETTINGS, Origin(Level.DEFAULT))
    for origin, given in levels:
        checked, faults = check_settings(given)
        if faults:
            raise ValueError(f"{origin}: {'; '.join(faults)}")
        for key, value in checked.items():
            before, narrow = values[key], SETTINGS[key].narrow
            if narrow is not None and origin.level in _NARROWING and origins[key].level is not Level.DEFAULT:
                narrowed = narrow(before, value)
                if narrowed == before != value:
                    continue  # it would widen what the operator gives
                value = narrowed
            values[key] = value
            origins[key] = origin
    if values["sandbox"]:  # whatever trunk a level names: a sandbox reaches no other
        values["trunk"], origins["trunk"] = values["sandbox"], origins["sandbox"]
    return Effective(values, origins)
