"""Rules for received faxes as people and programs write them, checked: JSON, and tables of the settings file.

Every fault is told at once, with its key. What passes here can be decided with; nothing is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any  # JSON

from faxgw.fax.pattern import PatternDefect, pattern
from faxgw.fax.reading import Symbology
from faxgw.fax.routing_rule import (
    ANONYMOUS,
    MAX_EXTRACTIONS,
    MAX_VALUES,
    OWNER,
    Actions,
    Conditions,
    Extraction,
    Rule,
    Source,
    window,
)


class RuleDefect(ValueError):
    """What is wrong with a rule, every fault a sentence that names its key."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


def to_json(rule: Rule) -> dict[str, Any]:
    """What a rule says, JSON-able; what is as by default is left out."""
    wants = {f.name: _plain(getattr(rule.conditions, f.name)) for f in fields(Conditions)}
    actions = rule.actions
    does: dict[str, Any] = {
        "deliver": list(actions.deliver),
        "tags": list(actions.tags),
        "language": actions.language,
        "reply": actions.reply,
        "extract": [
            {"name": one.name, "pattern": one.pattern, "source": one.source.value, "every": one.every}
            for one in actions.extract
        ],
    }
    return {
        "when": {key: value for key, value in wants.items() if value},
        "then": {key: value for key, value in does.items() if value},
        "stop": rule.stop,
    }


def _plain(value: Any) -> Any:
    return [str(one) for one in value] if isinstance(value, tuple) else value


_LISTS = frozenset({"number", "caller", "csid", "sub_address", "barcode", "barcode_kind", "text", "times"})
"""Conditions that are lists of texts."""
_NUMBERS: Mapping[str, int] = {"pages_min": 1_000, "pages_max": 1_000, "junk_min": 100}
"""Conditions that are numbers, and their greatest values."""


def from_json(data: Mapping[str, Any]) -> tuple[Conditions, Actions, bool]:
    """Conditions, actions and `stop` of what `to_json` gives or people write; a single text stands for a list of one.

    Raises:
        RuleDefect: If it is no rule, with every fault.
    """
    faults: list[str] = [f"{key}: there is no such key" for key in sorted(set(data) - {"when", "then", "stop"})]
    when, then, stop = data.get("when", {}), data.get("then", {}), data.get("stop", True)
    if not isinstance(when, Mapping) or not isinstance(then, Mapping) or not isinstance(stop, bool):
        raise RuleDefect([*faults, "when and then must be tables, stop true or false"])
    conditions, actions = _conditions(when, faults), _actions(then, faults)
    if not faults and actions == Actions():
        faults.append("then: the rule does nothing; stop alone is no action")
    if faults:
        raise RuleDefect(faults)
    return conditions, actions, stop


def _conditions(when: Mapping[str, Any], faults: list[str]) -> Conditions:
    values: dict[str, Any] = {}
    for key, value in when.items():
        try:
            values[key] = _condition(key, value)
        except ValueError as exc:
            faults.append(f"when.{key}: {exc}")
    if not faults and 0 < values.get("pages_max", 0) < values.get("pages_min", 0):
        faults.append("when.pages_max: is less than pages_min")
    return Conditions() if faults else Conditions(**values)


def _condition(key: str, value: Any) -> Any:
    if key in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _NUMBERS[key]:
            raise ValueError(f"must be a whole number from 0 to {_NUMBERS[key]}")
        return value
    if key == "result":
        if value not in ("", "complete", "partial"):
            raise ValueError("must be complete or partial")
        return value
    if key not in _LISTS:
        known = ", ".join(f.name for f in fields(Conditions))
        raise ValueError(f"there is no such condition; there are {known}")
    return tuple(_checked(key, one) for one in _texts(value))


def _texts(value: Any) -> tuple[str, ...]:
    given = (value,) if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) and one for one in given):
        raise ValueError("must be a text or a list of texts")
    if len(given) > MAX_VALUES:
        raise ValueError(f"must be at most {MAX_VALUES}")
    return tuple(dict.fromkeys(given))


def _checked(key: str, one: str) -> Any:
    """A value of a condition that is a list, in its proper type."""
    if key in ("number", "caller"):
        _check_number(key, one)
    elif key == "barcode_kind":
        if one not in tuple(Symbology):
            raise ValueError("must be some of " + ", ".join(Symbology))
        return Symbology(one)
    elif key == "times":
        window(one)
    else:
        pattern(one)
    return one


def _check_number(key: str, one: str) -> None:
    if key == "caller" and one == ANONYMOUS:
        return
    first, dash, last = one.partition("-")
    if dash and re.fullmatch(r"\+[0-9]{3,15}", first) and re.fullmatch(r"\+[0-9]{3,15}", last):
        if len(first) != len(last) or first > last:
            raise ValueError(f"{one}: a range has two numbers of the same length, the smaller first")
        return
    if re.fullmatch(r"\+[0-9]{1,15}\*?", one) is None:
        raise ValueError(f"{one[:40]}: must be a number in international form, a beginning +3319*, or a range")


_LANGUAGES = ("", "en", "fr", "de")


def _actions(then: Mapping[str, Any], faults: list[str]) -> Actions:
    values: dict[str, Any] = {}
    for key, value in then.items():
        try:
            values[key] = _action(key, value)
        except ValueError as exc:
            faults.append(f"then.{key}: {exc}")
    return Actions() if faults else Actions(**values)


def _action(key: str, value: Any) -> Any:
    match key:
        case "deliver":
            return tuple(_target(one) for one in _texts(value))
        case "tags":
            return tuple(_tag(one) for one in _texts(value))
        case "language" if value in _LANGUAGES:
            return value
        case "language":
            raise ValueError("must be en, fr or de")
        case "reply" if isinstance(value, str) and len(value) <= 200 and value.isprintable():
            return value
        case "reply":
            raise ValueError("must be a template's name, or none")
        case "extract" if isinstance(value, list | tuple) and len(value) <= MAX_EXTRACTIONS:
            return tuple(_extraction(one) for one in value)
        case "extract":
            raise ValueError(f"must be a list of at most {MAX_EXTRACTIONS}")
    raise ValueError("there is no such action; there are deliver, tags, language, reply, extract")


def _target(one: str) -> str:
    if len(one) > 320 or re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}|[^\s@<>]{1,64}@[^\s@<>]{1,255}", one) is None:
        raise ValueError(f"{one[:80]}: must be a target's name, a mail address or {OWNER}")
    return one


def _tag(one: str) -> str:
    if re.fullmatch(r"[^\W_][\w .:+-]{0,39}", one) is None:
        raise ValueError(f"{one[:40]}: a tag has 1 to 40 letters, digits, spaces and . : + _ -")
    return one


def _extraction(one: Any) -> Extraction:
    known = {"name", "pattern", "source", "every"}
    if not isinstance(one, Mapping) or set(one) - known or not {"name", "pattern"} <= set(one):
        raise ValueError("each has a name and a pattern, and may have source and every")
    name, source, every = one["name"], one.get("source", Source.TEXT), one.get("every", False)
    if not isinstance(name, str) or re.fullmatch(r"[A-Za-z_][\w-]{0,39}", name, re.ASCII) is None:
        raise ValueError("a name has 1 to 40 letters, digits, _ and -")
    if source not in tuple(Source) or not isinstance(every, bool) or not isinstance(one["pattern"], str):
        raise ValueError(f"{name}: source is text or barcode, every true or false")
    try:
        names = pattern(one["pattern"]).names
    except PatternDefect as exc:
        raise ValueError(f"{name}: {exc}") from exc
    if not names:
        raise ValueError(f"{name}: the expression names no group, such as /Order (?P<order>[0-9]+)/")
    return Extraction(name, one["pattern"], Source(source), every)
