"""Logs: structured records of the standard library, one line each, on standard error, without telephone numbers.

A record is a constant message and `extra` fields: `log.info("call ended", extra={"event": "call_ended", …})`. On a
terminal it becomes a readable line, otherwise a JSON object. Telephone numbers are masked as +33…89: whole in the
fields named for numbers, and wherever a text looks like one; octets, mail subjects, bodies and passwords never
appear, whatever a record carries. Everything is bounded, and nothing can break out of its line.

Loggers are named after their modules, beneath `faxgw`; those of libraries are heard from WARNING on.
"""

from __future__ import annotations

import enum
import json
import logging
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

MAX_TEXT = 2_000
"""Characters of one field at most."""
MAX_TRACEBACK = 20_000
"""Characters of a traceback at most; its end is kept."""
MAX_ITEMS = 50
"""Entries of a list or table at most."""
MAX_DEPTH = 4
"""Lists and tables within one another at most."""
WITHHELD = "[withheld]"
"""Stands for what is never logged."""

# fmt: off
NUMBER_FIELDS = frozenset({
    "alternatives", "called", "callee", "caller", "caller_id", "calling", "clip", "csi", "csid", "destination",
    "dialled", "did", "e164", "from", "ident", "number", "numbers", "phone", "recipient", "recipients", "remote_csid",
    "sender", "to", "tsi", "typed", "uri",
})
"""Fields that hold a telephone number, or an address made of one; those that end in `_number` or `_e164` too."""
ID_FIELDS = frozenset({
    "attempt", "branch", "call_id", "event", "fax", "fence", "job", "logger", "message_id", "outbox", "pid",
    "reception", "sha256", "tag",
})
"""Fields that name something of ours or of a dialog: needed whole, and no numbers."""
CONTENT_FIELDS = frozenset({
    "authorization", "body", "content", "cookie", "credential", "document", "header_text", "password", "secret",
    "subject", "token",
})
"""Fields whose value is withheld."""
# fmt: on

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_OURS = frozenset({"time", "level", "logger", "message", "traceback"})
_DIGITS = re.compile(r"\+?\d(?:[ ().\-/]{0,2}\d)*")
_NUMBER_LIKE = re.compile(
    r"""
    \+\d(?:[ ().\-/]{0,2}\d){5,16}        # +33 1 23 45 67 89, wherever it stands
    |
    (?<![\w.+-])                          # the others not inside a word, an address or a decimal fraction
    (?: 0\d(?:[ .\-/]?\d){7,13}           # 01 23 45 67 89, 0033123456789
      | \d{9,15}                          # 33123456789
    )
    (?!-?\w)(?!\.\d)
    """,
    re.VERBOSE,
)
_MASKED = re.compile(r"(?:\+?\d{2}|\d{4})?…\d{0,2}")
"""What `mask_number` leaves."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def mask_number(number: str) -> str:
    """What may be shown of a telephone number: +33…89 for +33 1 23 45 67 89, and less of a short one."""
    digits = re.sub(r"\D", "", number)
    if len(digits) <= 4:
        return "…"
    if len(digits) < 8:
        return f"…{digits[-2:]}"
    if number.startswith("+"):
        return f"+{digits[:2]}…{digits[-2:]}"
    return f"{digits[: 4 if digits.startswith('00') else 2]}…{digits[-2:]}"


def mask_text(text: str) -> str:
    """A text with everything that looks like a telephone number masked."""
    return _NUMBER_LIKE.sub(lambda found: mask_number(found[0]), text)


Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Form = Literal["auto", "json", "text"]


@dataclass(frozen=True, slots=True)
class Manner:
    """How this process logs; a child whose standard error is the same logs in the same way."""

    level: Level
    form: Form
    show_numbers: bool

    @classmethod
    def now(cls) -> Manner | None:
        """As `configure` was told last; None before."""
        for handler in logging.getLogger().handlers:
            if isinstance(handler.formatter, _Formatter):
                form: Form = "json" if isinstance(handler.formatter, JsonFormatter) else "text"
                level: Any = logging.getLevelName(logging.getLogger("faxgw").level)  # Any: one of the four
                return cls(level, form, handler.formatter.show_numbers)
        return None

    def follow(self) -> None:
        """Log in this way."""
        configure(level=self.level, form=self.form, show_numbers=self.show_numbers)


def configure(
    *,
    level: Level = "INFO",
    form: Form = "auto",
    show_numbers: bool = False,
    stream: TextIO | None = None,
) -> None:
    """Log from now on in this way, instead of any earlier one.

    Args:
        level: Lowest level of faxgw's own records.
        form: `auto` writes text on a terminal, else JSON.
        show_numbers: Write telephone numbers in full.
        stream: Where to; standard error when None.
    """
    stream = stream or sys.stderr
    text = form == "text" or (form == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter(show_numbers) if text else JsonFormatter(show_numbers))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, _Formatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("faxgw").setLevel(level)
    logging.captureWarnings(True)


class _Formatter(logging.Formatter):
    """Takes a record apart into plain, bounded, masked values."""

    def __init__(self, show_numbers: bool) -> None:
        super().__init__()
        self.show_numbers = show_numbers

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        """The extra fields of a record."""
        found: dict[str, object] = {}
        for name, value in record.__dict__.items():
            if name not in _STANDARD:
                found[f"{name}_" if name in _OURS else name] = self._plain(name, value, MAX_DEPTH)
        return found

    def text(self, text: str, limit: int = MAX_TEXT) -> str:
        """A text with its numbers masked, cut to `limit` characters."""
        if len(text) > limit:
            text = f"{text[:limit]}… ({len(text)} characters)"
        return text if self.show_numbers else mask_text(text)

    def traceback(self, record: logging.LogRecord) -> str:
        """The traceback of the record's exception and its stack, or nothing."""
        parts = [self.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []
        if record.stack_info:
            parts.append(record.stack_info)
        whole = "\n".join(parts)
        return self.text(whole[-MAX_TRACEBACK:], MAX_TRACEBACK)

    def _plain(self, name: str, value: object, depth: int) -> object:
        if name in CONTENT_FIELDS:
            return WITHHELD
        match value:
            case None | bool():
                return value
            case enum.Enum():
                return self._plain(name, value.value, depth)
            case bytes() | bytearray() | memoryview():
                return f"[{len(value)} octets]"
            case float() if not math.isfinite(value):
                return str(value)
            case int() | float() if not _is_number_field(name) or self.show_numbers:
                return value
            case Mapping() if depth > 0:
                items = list(value.items())[:MAX_ITEMS]
                return {str(key): self._plain(str(key), item, depth - 1) for key, item in items}
            case Mapping() | list() | tuple() | set() | frozenset() if depth == 0:
                return f"[{len(value)} entries]"
            case list() | tuple() | set() | frozenset():
                return [self._plain(name, item, depth - 1) for item in list(value)[:MAX_ITEMS]]
            case _:
                return self._field_text(name, str(value))

    def _field_text(self, name: str, text: str) -> str:
        if name in ID_FIELDS or name.endswith("_id"):
            return text[:MAX_TEXT]
        if self.show_numbers or not _is_number_field(name):
            return self.text(text)
        if _MASKED.fullmatch(text):
            return text
        local, at, host = text[:MAX_TEXT].partition("@")
        return _DIGITS.sub(lambda found: mask_number(found[0]), local) + at + mask_text(host)


class JsonFormatter(_Formatter):
    """One JSON object per record, in one line: time, level, logger, message, the extra fields, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a JSON object; its time is UTC."""
        entry: dict[str, Any] = {  # Any: plain JSON values
            "time": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": self.text(record.getMessage()),
            **self.fields(record),
        }
        if traceback := self.traceback(record):
            entry["traceback"] = traceback
        return json.dumps(entry, ensure_ascii=False, default=str)


class TextFormatter(_Formatter):
    """One readable line per record, local time, and the traceback beneath it."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line for a person."""
        when = _time(record).astimezone().strftime("%H:%M:%S")
        name = record.name.removeprefix("faxgw.")
        fields = " ".join(f"{key}={_written(value)}" for key, value in self.fields(record).items())
        message = _escaped(self.text(record.getMessage()))
        line = f"{when} {record.levelname:<7} {name}: {message}" + (f"  {fields}" if fields else "")
        if traceback := self.traceback(record):
            line += "".join(f"\n    {_escaped(row)}" for row in traceback.splitlines())
        return line


def _is_number_field(name: str) -> bool:
    return name in NUMBER_FIELDS or name.endswith(("_number", "_e164"))


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _written(value: object) -> str:
    """A value for a person: bare when that is unmistakable, else as JSON."""
    if isinstance(value, str) and value and not re.search(r'[\s"=\\]', value):
        return _escaped(value)
    return _escaped(json.dumps(value, ensure_ascii=False, default=str))


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
