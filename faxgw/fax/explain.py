"""What the next call to a number will do, in sentences: made of the answer of `dispatch.explain`, which is JSON.

Also the list of destinations. Times are put into words by whoever calls: nothing here knows a zone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any  # JSON

from faxgw.fax.destination import CallRecord, Kind, T38Use
from faxgw.fax.outcome import Cause

When = Callable[[float], str]
"""Unix seconds in words."""
MAX_CALLS_SHOWN = 8
"""Calls that are listed, newest first."""

_KINDS = {
    "ordinary": "an ordinary number",
    "premium": "a premium number",
    "shared_cost": "a shared-cost number",
    "satellite": "a satellite number",
}
_WHY = {
    Kind.NO_PROPOSAL: "its far end refused our proposal of T.38",
    Kind.AUDIO_ONLY: "faxes over T.38 failed",
    Kind.EARLY_T38: "its far end took our proposal of T.38 and never made one",
    Kind.NO_ECM: "pages with error correction were not finished",
    Kind.SLOW: "the line did not bear the highest speed",
    Kind.COARSE: "its machine says it takes standard resolution only",
    Kind.PATIENT: "its machine is slow to answer",
    Kind.REST: "the number was still busy just after a call",
    Kind.ISOLATED: "call workers ended during calls to it",
}
_T38 = {
    T38Use.LATE: "T.38 is proposed by us {wait} after the answer tone, unless the far end proposes it first; when it "
    "is refused the fax goes on in the audio",
    T38Use.EARLY: "T.38 is proposed by us as soon as the answer tone is heard",
    T38Use.NEVER: "T.38 is not proposed by us; the far end's proposal would be taken",
    T38Use.AUDIO: "the fax stays in the audio; T.38 is neither proposed nor taken",
}
_OUTCOMES = {
    "ours": "T.38 by our proposal",
    "theirs": "T.38 by theirs",
    "refused": "T.38 refused",
    "useless": "T.38 agreed and of no use",
}
_PHASES = {
    "dial": "not answered",
    "answer": "after the answer",
    "negotiation": "in the negotiation",
    "page": "in a page",
}


def explain(found: Mapping[str, Any], when: When) -> str:
    """The whole explanation, several lines."""
    account, number = found["account"], found["number"]
    who = "/".join(part for part in (account["customer"], account["user"].rpartition("/")[2]) if part)
    if number is None:
        return f"“{found['typed']}” is not dialled for {who}: {found['refused']}"
    lines = [
        f"“{found['typed']}” is {number['e164']}, {_KINDS[number['kind']]} ({number['country']}). {who} may dial it."
    ]
    if not account["active"]:
        lines[0] += " But this account may not send at present."
    for title, part in (
        ("Trunk", _trunks(found, when)),
        ("On the wire", _wire(found["wire"])),
        ("Known of it", known(found["calls"], when)),
        ("The call", _call(found, when)),
        ("Now", _obstacles(found["obstacles"], when)),
    ):
        lines += ["", title, *(f"  {line}" for line in part)]
    return "\n".join(lines)


def _trunks(found: Mapping[str, Any], when: When) -> list[str]:
    if not found["trunks"]:
        named = f" of those that the account names ({found['named']})" if found["named"] else ""
        return [f"None{named} carries this number."]
    lines = []
    for place, way in enumerate(found["trunks"]):
        text = f"{way['trunk']}: " if place else f"It goes over {way['trunk']}: "
        lines.append(("then " if place else "") + text + _way(way, when))
    return lines


def _way(way: Mapping[str, Any], when: When) -> str:
    price = "" if way["cost"] is None else f", {way['cost']:g} per minute, order {way['order']}"
    reason = {
        "account": "named by the account",
        "route": f"route {way['prefix']}{price}",
        "unrouted": "no route names it; it steps in where the others fail",
    }[way["why"]]
    states = [f"{way['calls']} of {way['channels']} channels in use"]
    if way["held_until"]:
        states.append(f"held until {when(way['held_until'])} because of {way['held_why']}")
    if way["fault"]:
        states.append(f"takes no calls: {way['fault']}")
    return f"{reason}; {'; '.join(states)}."


def _wire(wire: Mapping[str, Any] | None) -> list[str]:
    if wire is None:
        return ["Nothing: there is no trunk."]
    lines = [f"INVITE {wire['request_uri']}", f"From: {wire['from']}", f"To: {wire['to']}"]
    return lines + [f"{name}: {value}" for name, value in wire["headers"]]


def known(calls: Sequence[Mapping[str, Any]], when: When) -> list[str]:
    """What was learned of a destination: a summary, and its calls, newest first."""
    records = [CallRecord.from_json(call) for call in calls]
    if not records:
        return ["Nothing: it was not called yet, or it was forgotten."]
    good = sum(record.sent for record in records)
    lines = [f"{len(records)} calls are remembered, {good} of them successful, the last one of {when(records[-1].at)}."]
    if machine := next((record for record in reversed(records) if record.resolutions), None):
        ident = f"“{machine.ident}” " if machine.ident else ""
        lines.append(
            f"Its machine {ident}takes {'/'.join(machine.resolutions)}, {'/'.join(machine.codings)}"
            + (f", and was heard {machine.dis_after:.0f} s after the answer" if machine.dis_after is not None else "")
            + f" (seen {when(machine.at)})."
        )
    return lines + [_record(record, when) for record in reversed(records[-MAX_CALLS_SHOWN:])]


def _record(record: CallRecord, when: When) -> str:
    result = "sent" if record.sent else f"{Cause(record.cause).facts.text.rstrip('.')} ({_PHASES[record.phase]})"
    parts = [_OUTCOMES.get(record.t38, ""), f"{record.bit_rate} bit/s" if record.bit_rate else ""]
    parts += ["ECM" if record.ecm else "", f"{record.ecm_retries} repeated" if record.ecm_retries else ""]
    parts.append(f"heeding {', '.join(record.measures)}" if record.measures else "")
    return "; ".join([f"{when(record.at)} on {record.trunk}: {result}", *(part for part in parts if part)])


def _call(found: Mapping[str, Any], when: When) -> list[str]:
    manner, wanted, wire = found["manner"], found["wanted"], found["wire"]
    lines = [_t38(manner, wire)]
    correction = "with error correction" if manner["ecm"] else "without error correction"
    if manner["ecm"] != wanted["ecm"]:
        correction += ", although the account wants it"
    lines.append(f"At most {manner['max_bit_rate']} bit/s, {correction}, in {manner['resolution']} resolution.")
    lines.append(f"A fax machine must be heard within {manner['patience']:g} s of the answer.")
    lines += ["It is made in a call worker of its own."] * bool(manner["isolated"])
    lines += [_measure(measure, when) for measure in found["measures"]]
    if not found["measures"]:
        lines.append("That is how every call is made: nothing that is known speaks against it.")
    return lines


def _t38(manner: Mapping[str, Any], wire: Mapping[str, Any] | None) -> str:
    if wire is not None and not wire["t38"]:
        return "The trunk has no T.38: the fax stays in the audio."
    offer, use = ("later", 0.0) if wire is None else (wire["t38_offer"], wire["t38_wait"]), T38Use(manner["t38"])
    if offer[0] == "only":
        return "T.38 is all that the first INVITE offers, as the trunk's settings say."
    if offer[0] == "first" and use in (T38Use.LATE, T38Use.EARLY):
        return "T.38 is offered beside the audio in the first INVITE, as the trunk's settings say."
    text = _T38[use].format(wait=f"{offer[1]:g} s") + "."
    return text[0].upper() + text[1:]


def _measure(measure: Mapping[str, Any], when: When) -> str:
    kind = Kind(measure["kind"])
    calls = "1 call" if measure["calls"] == 1 else f"{measure['calls']} calls"
    text = f"{kind.value}: {_WHY[kind]} ({calls}"
    text += f", the last {when(measure['last_at'])})" if measure["last_at"] else ")"
    if measure["until"] is None:
        return f"{text}; until an operator releases it."
    sooner = f" or {measure['good_calls']} more successful calls" if measure["good_calls"] else ""
    return f"{text}; better is tried again after {when(measure['until'])}{sooner}."


def _obstacles(obstacles: Sequence[Mapping[str, Any]], when: When) -> list[str]:
    if not obstacles:
        return ["Nothing stands in the way: a fax would be called at once."]
    lines = []
    for found in obstacles:
        until = f", until {when(found['until'])}" if found.get("until") else ""
        lines.append(f"{found['what'][0].upper()}{found['what'][1:]}{until}.")
    return lines


def overview(found: Mapping[str, Any], when: When) -> str:
    """The list of destinations: one line each."""
    if not found["destinations"]:
        return "no destinations"
    rows = [("NUMBER", "LAST CALL", "CALLS", "SENT", "DEPARTS IN")]
    for entry in found["destinations"]:
        records = [CallRecord.from_json(call) for call in entry["calls"]]
        sent = str(sum(record.sent for record in records))
        kinds = ", ".join(measure["kind"] for measure in entry["measures"]) or "-"
        rows.append((entry["e164"], when(entry["called_at"]), str(len(records)), sent, kinds))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join([*(row[i].ljust(widths[i]) for i in range(4)), row[4]]) for row in rows]
    more = found["count"] - len(found["destinations"])
    return "\n".join([*lines, *([f"and {more} more"] if more > 0 else [])])
