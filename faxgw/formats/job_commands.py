"""Commands of a sender within a text: `@@express; resolution=standard@@` in a mail's subject or a merged document.

The syntax is this project's own (docs/smtp.md). Pure: a text, the account's settings and the moment go in, the text
without its commands and what they ask for come out; whatever is wrong with one is said in a sentence that names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any  # settings have types of their own, checked by fax.account
from zoneinfo import ZoneInfo

from faxgw.fax.account import COMMANDS, SETTINGS, Effective, Level, Origin
from faxgw.fax.fault_texts import Said, Unfit
from faxgw.fax.header_policy import fault as unlawful_header
from faxgw.fax.number import WIDE

MARK = "@@"
"""Before and behind commands."""
MAX_COMMANDS = 20
"""Commands of one text at most."""
MAX_REFERENCE = 80
"""Characters of a job's reference."""
MAX_VALUE = 400
"""Characters of a value: the longest setting is the header line's template."""
MAX_AHEAD = 31 * 86400.0
"""Seconds that a fax may be put off, or be tried."""
_RUN = re.compile(r"(?<!@)@@(?!@)(.*?)(?<!@)@@(?!@)", re.DOTALL)
_LONE = re.compile(r"(?<!@)@@(?!@)")
_UNSEEN = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_SPACES = re.compile(r"\s+")
_DASHES = re.compile("[\u2010-\u2015\u2212]")
_CLOSING = {'"': '"', **dict.fromkeys("„“”‟", "„“”‟"), **dict.fromkeys("«»", "«»")}
"""What closes a quotation. Word processors and telephones make other marks of those that are typed."""
_NAME = re.compile(r"[a-z][a-z -]{0,29}")
_NUMBER = re.compile(r"[+(]?[0-9][0-9 ()./\-]{2,60}")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_AFTER = re.compile(r"\+([0-9]{1,5})\s*(min|m|h|d)")
_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ]+([0-9]{1,2}):([0-9]{2}))?")
_SECONDS = {"min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHORT = {"low": "standard", "normal": "standard", "high": "fine"}

_SYNONYMS = {
    "res": "resolution",
    "fax id": "csid",
    "cost": "cost centre",
    "cost center": "cost centre",
    "cost-centre": "cost centre",
    "cost-center": "cost centre",
    "billing": "cost centre",
    "billing code": "cost centre",
    "priority": "express",
    "at": "earliest",
    "after": "earliest",
    "until": "latest",
    "before": "latest",
    "ref": "reference",
}


class CommandFault(Exception):
    """A command is wrong.

    Args:
        said: One sentence for the sender, which names the command.
        forbidden: True: the command is right, but not open to the account.
    """

    def __init__(self, said: Said, *, forbidden: bool = False) -> None:
        super().__init__(said.told())
        self.said = said
        self.forbidden = forbidden

    @property
    def text(self) -> str:
        """In English."""
        return self.said.told()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a text's commands ask for."""

    rest: str
    """The text without its commands, spaces closed up."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that the job overrides, checked."""
    earliest: float | None = None
    """Unix seconds."""
    latest: float | None = None
    """Unix seconds."""
    reference: str = ""
    """What the sender calls the job."""
    numbers: tuple[str, ...] = ()
    """As typed; only in documents."""
    personal: str = ""
    """Personal text of the recipient; only in documents."""

    @property
    def given(self) -> bool:
        """Whether there was any command."""
        named = self.settings or self.numbers or self.personal or self.reference
        return bool(named) or (self.earliest, self.latest) != (None, None)


def read_commands(text: str, account: Effective, *, now: float, numbers: bool = False) -> Asked:
    """Read the commands in a text.

    Args:
        text: A subject, or the text of a page.
        account: The settings in force: they decide which commands are open, and in which zone times are meant.
        now: When it was accepted, Unix seconds.
        numbers: True: an item may be a fax number, or `personal=`, as in merged documents.

    Raises:
        CommandFault: If one of them is wrong, or not open to the account.
    """
    if MARK not in text or not (numbers or account["commands"]):
        return Asked(text)
    rest = " ".join(_RUN.sub(" ", text).split())
    if _LONE.search(rest):
        raise CommandFault(Said("A command begins with @@ and does not end with @@."))
    reading = _Reading(account, now, numbers)
    for run in _RUN.finditer(text):
        for item in _items(run[1]):
            reading.take(item)
    return reading.asked(rest)


def in_force(account: Effective, asked: Asked) -> Effective:
    """The account's settings with a job's commands laid over them.

    Raises:
        CommandFault: If they break a rule of the account.
    """
    origin = Origin(Level.JOB, "command")
    values = {**account.values, **asked.settings}
    settings = Effective(values, {**account.origins, **dict.fromkeys(asked.settings, origin)})
    if "header" in asked.settings and (unlawful := unlawful_header(settings)):
        raise CommandFault(Said("Command “{name}”: {fault}.", {"name": "header", "fault": (unlawful,)}), forbidden=True)
    return settings


class _Reading:
    """Commands, one after the other."""

    def __init__(self, account: Effective, now: float, numbers: bool) -> None:
        self._account = account
        self._now = now
        self._numbers = numbers
        self._zone = ZoneInfo(account["time_zone"])
        self._seen: set[str] = set()
        self._settings: dict[str, Any] = {}
        self._times: dict[str, float] = {}
        self._found: list[str] = []
        self._personal = ""
        self._reference = ""

    def take(self, item: str) -> None:
        """Read one item."""
        if len(self._seen) + len(self._found) >= MAX_COMMANDS:
            raise CommandFault(Said("There are more than {limit} commands.", {"limit": MAX_COMMANDS}))
        if self._numbers and _NUMBER.fullmatch(typed := _DASHES.sub("-", item.translate(WIDE))):
            self._found.append(typed)
            return
        name, equals, value = item.partition("=")
        name = _named(name)
        value = _unquoted(value)
        if name not in COMMANDS and not (self._numbers and name == "personal"):
            said = "There is no command “{item}”. Commands are: {commands}."
            raise CommandFault(Said(said, {"item": _shown(item), "commands": ", ".join(COMMANDS)}))
        if name in self._seen:
            raise CommandFault(Said("The command “{name}” is given twice.", {"name": name}))
        self._seen.add(name)
        if name == "personal":
            self._personal = self._checked(name, value, lambda v: v)
            return
        if name not in self._account["commands"]:
            raise CommandFault(
                Said("The command “{name}” is not open to this account.", {"name": name}), forbidden=True
            )
        if not equals and name != "express":
            raise CommandFault(Said("The command “{name}” needs a value: {name}=….", {"name": name}))
        _READERS[name](self, name, value)

    def asked(self, rest: str) -> Asked:
        """All of them."""
        earliest, latest = self._times.get("earliest"), self._times.get("latest")
        if latest is not None and latest <= max(earliest or 0.0, self._now):
            raise _wrong("latest", Said("this time has passed, or lies before “earliest”"))
        numbers = tuple(self._found)
        return Asked(rest, self._settings, earliest, latest, self._reference, numbers, self._personal)

    # ---------------------------------------------------------------------------------------- what commands mean

    def setting(self, name: str, value: str, key: str | None = None) -> None:
        """A setting of the account, as text."""
        key = key or name
        self._settings[key] = self._checked(name, value, SETTINGS[key].check)

    def resolution(self, name: str, value: str) -> None:
        """Words of other products are understood."""
        self.setting(name, _SHORT.get(value.lower(), value.lower()))

    def paper(self, name: str, value: str) -> None:
        """`a4` is A4."""
        self.setting(name, value.capitalize())

    def lower(self, name: str, value: str) -> None:
        """A setting whose words are in lower case."""
        self.setting(name, value.lower())

    def cost_centre(self, name: str, value: str) -> None:
        """The setting has the vendor's name."""
        self.setting(name, value, "billing_code")

    def header(self, name: str, value: str) -> None:
        """`none` is no header line, where the law allows that."""
        self.setting(name, "" if value.lower() == "none" else value)

    def named(self, name: str, value: str) -> None:
        """What the sender calls the job."""
        if len(value) > MAX_REFERENCE or not value.isprintable():
            raise _wrong(name, Said("must be a printable text of at most {limit} characters", {"limit": MAX_REFERENCE}))
        self._reference = value

    def cover(self, name: str, value: str) -> None:
        """`none` is no cover page."""
        self.setting(name, "" if value.lower() == "none" else value)

    def express(self, name: str, value: str) -> None:
        """Asked for, or taken back: `express`, `priority=normal`."""
        word = {"": "express", "yes": "express", "no": "normal"}.get(value.lower(), value.lower())
        self.setting(name, word, "priority")
        if word == "express" and not self._account["may_express"]:
            raise CommandFault(Said("Express faxes are not open to this account."), forbidden=True)

    def retries(self, name: str, value: str) -> None:
        """So many dials after the first, within what the account has."""
        most = self._account["max_dials"] - 1
        if not (value.isascii() and value.isdigit() and len(value) <= 3 and int(value) <= most):
            raise _wrong(name, Said("must be a whole number from {low} to {high}", {"low": 0, "high": most}))
        self._settings["max_dials"] = int(value) + 1

    def time(self, name: str, value: str) -> None:
        """A moment."""
        moment = _moment(value, self._now, self._zone)
        if moment is None:
            raise _wrong(name, Said("must be a time such as 18:30, 2026-11-23 08:00 or +2h"), value)
        if moment > self._now + MAX_AHEAD:
            raise _wrong(name, Said("at most {limit} days ahead", {"limit": int(MAX_AHEAD / 86400)}))
        self._times[name] = moment

    def _checked(self, name: str, value: str, check: Callable[[str], Any]) -> Any:
        if len(value) > MAX_VALUE or not value.isprintable():
            raise _wrong(name, Said("must be a printable text of at most {limit} characters", {"limit": MAX_VALUE}))
        try:
            return check(value)
        except ValueError as exc:
            said = exc.said if isinstance(exc, Unfit) else Said("{fault}", {"fault": str(exc)})
            raise _wrong(name, said, value) from exc


_READERS: Mapping[str, Callable[[_Reading, str, str], None]] = {
    "resolution": _Reading.resolution,
    "cover": _Reading.cover,
    "header": _Reading.header,
    "csid": _Reading.setting,
    "cost centre": _Reading.cost_centre,
    "express": _Reading.express,
    "earliest": _Reading.time,
    "latest": _Reading.time,
    "retries": _Reading.retries,
    "reference": _Reading.named,
    "paper": _Reading.paper,
    "mode": _Reading.lower,
}


def without_commands(text: str) -> str:
    """A text as people are shown it, whatever its commands say."""
    return " ".join(_RUN.sub(" ", text).split()) if MARK in text else text


def _items(run: str) -> Sequence[str]:
    """The commands between two marks; a quoted value may hold semicolons.

    Word processors write spaces and hyphens that do not break, and break lines: they are plain ones here.
    """
    run = _SPACES.sub(" ", _UNSEEN.sub("", run))
    found: list[str] = []
    start = position = 0
    before = ""  # what stands before a character, spaces aside
    while position < len(run):
        character = run[position]
        if character == ";":
            found.append(run[start:position])
            start = position + 1
        elif character == '"' or (character in _CLOSING and before == "="):
            position = _closed(run, position)
        before = before if character == " " else character
        position += 1
    found = [item.strip() for item in (*found, run[start:]) if item.strip()]
    if not found:
        raise CommandFault(Said("There is no command between @@ and @@."))
    return found


def _closed(run: str, at: int) -> int:
    """Where a quotation ends."""
    closing = _CLOSING[run[at]]
    end = next((place for place in range(at + 1, len(run)) if run[place] in closing), -1)
    if end < 0:
        raise CommandFault(Said("A quotation mark in “{run}” is not closed.", {"run": _shown(run)}))
    return end


def _wrong(name: str, fault: Said, value: str | None = None) -> CommandFault:
    """A command's value is not what it may be."""
    if value is None:
        return CommandFault(Said("Command “{name}”: {fault}.", {"name": name, "fault": fault}))
    given: dict[str, str | Said] = {"name": name, "fault": fault, "value": _shown(value)}
    return CommandFault(Said("Command “{name}”: {fault}, not “{value}”.", given))


def _named(written: str) -> str:
    name = " ".join(written.lower().replace("_", " ").split())
    if not _NAME.fullmatch(name):
        return ""
    return _SYNONYMS.get(name, _SYNONYMS.get(name.replace("-", " "), name))


def _unquoted(value: str) -> str:
    value = value.strip()
    quoted = len(value) > 1 and value[-1] in _CLOSING.get(value[0], "")
    return value[1:-1].strip() if quoted else value


def _moment(value: str, now: float, zone: ZoneInfo) -> float | None:
    """Unix seconds: after so long, today or tomorrow at, on a day at; None: it is no time."""
    here = datetime.fromtimestamp(now, zone)
    if match := _AFTER.fullmatch(value.lower()):
        return now + int(match[1]) * _SECONDS[match[2]]
    try:
        if match := _CLOCK.fullmatch(value):
            today = here.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0, fold=0)
            if today.timestamp() > now:
                return today.timestamp()
            return (today.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=zone).timestamp()
        if match := _DAY.fullmatch(value):
            day = [int(group or 0) for group in match.groups()]
            return datetime(*day[:5], tzinfo=zone).timestamp()  # type: ignore[arg-type,misc]  # five numbers
    except (ValueError, OverflowError):
        return None
    return None


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:60]
