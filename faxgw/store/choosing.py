"""What is asked about a received fax that is to be routed: its facts, the rules that apply, and what they name.

Reading only. Deciding is `fax.routing_rule`'s business, writing the deliveries `store.routing`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any  # settings
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from faxgw.fax.account import Effective, from_snapshot
from faxgw.fax.number import dialled_forms
from faxgw.fax.reading import Readings, ReadingState
from faxgw.fax.reception import ReceptionState, Why
from faxgw.fax.routing_rule import OWNER, RULE_WAIT, Decision, Facts, Rule
from faxgw.fax.target import Target, mailbox
from faxgw.store import directory, readings, register, rules, targets
from faxgw.store import schema as t
from faxgw.store.receptions import row_of


@dataclass(frozen=True, slots=True)
class Question:
    """A fax that is to be routed."""

    customer: str
    settings: Effective
    rules: tuple[Rule, ...]
    facts: Facts
    read_pages: int = 0
    """Pages whose reading is over, one way or the other."""
    wait_until: float = 0.0
    """Unix seconds up to which rules may wait for reading."""


@dataclass(frozen=True, slots=True)
class Onward:
    """One delivery that is to be written."""

    target: Target
    why: Why = Why.OWNER
    rule: str = ""
    """Name of the rule that wants it; empty: the simple way."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Where a fax goes."""

    onward: tuple[Onward, ...]
    missing: tuple[str, ...] = ()
    """Targets that rules name and that are not there, or switched off."""


def question(conn: Connection, reception: str, *, with_rules: bool = True) -> Question:
    """What is to be asked about a stored fax. Raises Stale when there is none, Refused when a rule cannot be read."""
    row = row_of(conn, reception)
    settings = from_snapshot(row.settings)
    read = readings.of(conn, reception)
    pages = select(func.max(t.reception_pages.c.at)).where(t.reception_pages.c.reception == reception)
    last = conn.execute(pages).scalar() or row.started_at
    facts = Facts(
        number=row.number,
        caller=_caller(row.caller, settings),
        csid=row.ident,
        sub_address=row.sub_address,
        at=datetime.fromtimestamp(row.started_at, ZoneInfo(settings["time_zone"])),
        pages=row.pages,
        complete=row.state != ReceptionState.PARTIAL.value,
        junk=conn.execute(select(t.junk.c.score).where(t.junk.c.reception == reception)).scalar() or 0,
    )
    return Question(
        row.customer,
        settings,
        tuple(rules.applying(conn, row.customer, row.number)) if with_rules else (),
        with_readings(facts, read),
        sum(page.state is not ReadingState.WAITING for page in read.pages),
        last + RULE_WAIT,
    )


def hypothetical(
    conn: Connection, system: Mapping[str, object], number: str, facts: Facts, caller: str
) -> Question | None:
    """What would be asked about a fax to a number; None when it is none of ours.

    Args:
        conn: A connection.
        system: Settings of the system level.
        number: As somebody writes it, E.164.
        facts: What is assumed of the fax; its number, caller and time's zone are put in here.
        caller: The caller's number as a trunk would give it.
    """
    found = register.find(conn, [number])
    entry = directory.number(conn, system, [number])
    if found is None or entry is None:
        return None
    at = facts.at.astimezone(ZoneInfo(entry.settings["time_zone"])) if facts.at.tzinfo else facts.at
    asked = replace(facts, number=number, caller=_caller(caller, entry.settings), at=at)
    return Question(entry.customer, entry.settings, tuple(rules.applying(conn, entry.customer, number)), asked)


def with_readings(facts: Facts, read: Readings) -> Facts:
    """The facts with what was read so far."""
    return replace(
        facts,
        texts=tuple(page.text for page in read.read),
        barcodes=tuple((code.kind, code.text) for _page, code in read.barcodes),
        waiting=bool(read.waiting),
        missing=bool(read.waiting or read.missing),
    )


def _caller(caller: str, settings: Effective) -> tuple[str, ...]:
    """E.164 forms of a caller's number; none of what is no number."""
    return tuple(form for form in dialled_forms(caller, settings["country"]) if form.startswith("+"))


def answer(conn: Connection, asked: Question, decision: Decision) -> Answer:
    """Where a fax goes by a decision: the rules' targets, else the number's mailboxes, else the fallback mailbox.

    Args:
        conn: A connection.
        asked: The question.
        decision: What the rules say; it does not wait.
    """
    found: dict[str, Onward] = {}
    missing: list[str] = []
    for rule in decision.rules:
        for name in rule.actions.deliver:
            if name == OWNER:
                _owner(asked.settings, found, rule.name)
                continue
            target = _mailbox(name, asked.settings) if "@" in name else targets.find(conn, asked.customer, name)
            if target is None or not target.active:
                missing.append(name)
                continue
            found.setdefault(target.id, Onward(target, Why.OWNER, rule.name))
    if not found:
        _owner(asked.settings, found, "")
    if not found:
        found[""] = Onward(_mailbox(asked.settings["fallback_mailbox"], asked.settings), Why.NO_OWNER)
    return Answer(tuple(found.values()), tuple(dict.fromkeys(missing)))


def _owner(settings: Effective, found: dict[str, Onward], rule: str) -> None:
    for address in settings["deliver_to"]:
        target = _mailbox(address, settings)
        found.setdefault(target.id, Onward(target, Why.OWNER, rule))


def _mailbox(address: str, settings: Effective) -> Target:
    """A mailbox that no target was made for: PDF, with its text where the number's faxes are read."""
    return replace(mailbox(address), searchable=settings["ocr"])


def told(asked: Question, decision: Decision, found: Answer) -> dict[str, Any]:
    """What the row of a reception keeps of its routing."""
    return {
        "rules": [rule.name for rule in decision.rules],
        "tags": list(decision.tags),
        "language": decision.language,
        "reply": decision.reply,
        "extracted": dict(decision.extracted),
        "unread": list(decision.unread),
        "missing": list(found.missing),
        "steps": steps(decision),
    }


def steps(decision: Decision) -> Sequence[Mapping[str, str]]:
    """The rules that were asked, for people."""
    return [
        {
            "rule": step.rule.name,
            "level": step.rule.level.value,
            "scope": step.rule.scope,
            "verdict": step.verdict.value,
            "why": step.why,
        }
        for step in decision.steps
    ]
