"""The operator's answers as text: pure functions of what the gateway told.

Times are shown in the machine's zone, with their offset. Nothing here asks the gateway anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any  # JSON of `api.control`

from faxgw.fax.job import FINAL
from faxgw.fax.outcome import Cause
from faxgw.formats.ladder import MAX_ENTRIES, Entry, Kind, Ladder, read, verdict
from faxgw.formats.ladder_text import text
from faxgw.logs import mask_number

BAR = 24
"""Characters of a progress bar."""
RECEIVED = "All pages were received, kept and confirmed."
"""What a call to us that went well came to."""
PHASES = {
    "planned": "about to be dialled",
    "dialling": "dialling",
    "ringing": "ringing",
    "answered": "answered",
    "t38": "answered, on T.38",
    "phase_b": "machines negotiate",
    "page": "pages",
    "closing": "closing",
}
"""Phases of a call (`CallProgress.phase`) in words."""


def _when(at: float | None) -> str:
    return "-" if at is None else datetime.fromtimestamp(at, UTC).astimezone().strftime("%d.%m. %H:%M:%S%z")


def _age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(max(0, seconds))}s"


def _words(cause: str) -> str:
    return Cause(cause).facts.text if cause else ""


def table(faxes: Sequence[Mapping[str, Any]], now: float) -> str:
    """One line a fax."""
    if not faxes:
        return "no faxes"
    rows = [("FAX", "STATE", "NUMBER", "PAGES", "DIALS", "AGE", "OWNER", "")]
    for fax in faxes:
        note = fax["reason"] or _words(fax["cause"])
        if fax["state"] == "waiting" and fax["until"] > now:
            note = f"again in {_age(fax['until'] - now)}: {note}"
        age = _age(now - fax["accepted_at"])
        rows.append(
            (fax["id"], fax["state"], fax["e164"], str(fax["pages"] or "?"), str(fax["dials"]), age, fax["owner"], note)
        )
    widths = [max(len(row[i]) for row in rows) for i in range(7)]
    return "\n".join("  ".join([*(row[i].ljust(widths[i]) for i in range(7)), row[7]]).rstrip() for row in rows)


def inbox(receptions: Sequence[Mapping[str, Any]], now: float) -> str:
    """One line a received fax."""
    if not receptions:
        return "no received faxes"
    rows = [("RECEIVED FAX", "STATE", "FROM", "TO", "PAGES", "AGE", "")]
    for fax in receptions:
        sender = fax["ident"] or fax["caller"] or "unknown"
        notes = [_words(fax["cause"])] if fax["cause"] not in ("", Cause.OK.value) else []
        notes += ["the sender may not know"] if fax["pages"] and fax["farewell"] is False else []
        row = (fax["id"], fax["state"], sender, fax["number"], str(fax["pages"]), _age(now - fax["started_at"]))
        rows.append((*row, " ".join(notes)))
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    return "\n".join("  ".join([*(row[i].ljust(widths[i]) for i in range(6)), row[6]]).rstrip() for row in rows)


def status(answer: Mapping[str, Any], now: float) -> str:
    """The gateway at a glance."""
    health = ", ".join(f"{name} {'ok' if s['ok'] else 'FAULT ' + s['detail']}" for name, s in answer["health"].items())
    lines = [
        f"faxgw {answer['version']} on node {answer['node']}, up {_age(now - answer['started_at'])}",
        f"  data     {answer['data']}",
        f"  smtp     {', '.join(answer['smtp'])}",
        f"  http     {answer['http']}",
        f"  trunks   {_trunks(answer['trunks'], answer.get('trunk_faults', {}))}",
        f"  health   {health}",
        f"  faxes    {', '.join(f'{count} {state}' for state, count in answer['faxes'].items()) or 'none open'}",
    ]
    lines += [f"  call     {_call(call, now)}" for call in answer["calls"]]
    lines += [f"  receives {_arriving(call, now)}" for call in answer["receptions"]]
    return "\n".join(lines)


def _trunks(channels: Mapping[str, int], faults: Mapping[str, str]) -> str:
    """Each trunk with its channels, or why it takes no calls."""
    told = [
        f"{name} (DOWN: {faults[name]})" if name in faults else f"{name} ({limit} channels)"
        for name, limit in channels.items()
    ]
    return ", ".join(told) or "none"


def _call(call: Mapping[str, Any], now: float) -> str:
    page = f", page {call['page']} of {call['pages']}" if call["page"] else ""
    ident = f", {call['remote_ident']}" if call["remote_ident"] else ""
    return f"{call['number']} on {call['trunk']}: {call['phase']}{page}{ident}, {_age(now - call['started_at'])}"


def _arriving(call: Mapping[str, Any], now: float) -> str:
    sender = call["remote_ident"] or call["caller"] or "unknown"
    age = _age(now - call["started_at"])
    return f"{call['number']} on {call['trunk']} from {sender}: {call['phase']}, {call['pages']} pages kept, {age}"


def final(found: Mapping[str, Any]) -> bool | None:
    """True when every fax was sent, False when all ended and one was not, None while one is open."""
    if found["job"] is None:
        return False if found["message"] and found["message"]["state"] == "refused" else None
    states = set(found.get("states") or {fax["state"] for fax in found["faxes"]})
    if found["job"]["open"] or not states <= {state.value for state in FINAL}:
        return None
    return states == {"sent"}


def progress(found: Mapping[str, Any], calls: Sequence[Mapping[str, Any]], now: float) -> str:
    """One line that says how far it is."""
    if found["job"] is None:
        return f"  message {found['message']['state']}"
    live = {call["fax"]: call for call in calls}
    parts = []
    for fax in found["faxes"]:
        call = live.get(fax["id"])
        done, n = fax["pages_confirmed"], fax["pages"]
        filled = BAR * done // n if n else 0
        bar = f"[{'#' * filled}{'.' * (BAR - filled)}] {done}/{n or '?'} pages"
        state = fax["state"] if call is None else f"{fax['state']} ({call['phase']})"
        parts.append(f"  {fax['e164']} {bar} {state}")
    return "\n".join(parts)


def detail(found: Mapping[str, Any]) -> str:
    """A fax, job, message or received fax for people."""
    lines = _reception(found) if found.get("reception") else []
    if message := found["message"]:
        lines.append(f"message {message['id']}  {message['state']}, received {_when(message['received_at'])}")
        lines.append(f"  from {message['login'] or message['sender']}  subject {message['subject']!r}")
        lines += [f"  refused: {message['reason']}"] if message["reason"] else []
    if job := found["job"]:
        lines.append(f"job {job['id']}  {job['pages'] or '?'} pages, accepted {_when(job['accepted_at'])}")
        lines += _not_faxed(job.get("left_out"))
        lines += _crowd(found)
    for fax in found["faxes"]:
        lines.append(f"fax {fax['id']}  to {fax['e164']}: {fax['state'].upper()}")
        doubt = f", page {fax['doubtful_page']} in doubt" if fax["doubtful_page"] else ""
        lines.append(f"  {fax['pages_confirmed']} of {fax['pages']} pages confirmed{doubt}, {fax['dials']} dials")
        lines += [f"  {fax['reason'] or _words(fax['cause'])}"] if fax["cause"] else []
        lines += [f"  {_expected(will)}"] if (will := fax.get("expected")) else []
        lines += [f"  {_attempt(a)}" for a in fax["attempts"]]
    return "\n".join(lines)


def _not_faxed(left_out: Mapping[str, Any] | None) -> list[str]:
    """Parts of the mail that are left out; their names are a stranger's."""
    if not left_out:
        return []
    told = [f"{part['name']!r} ({part['why'].replace('_', ' ')})" for part in left_out["parts"]]
    more = left_out["count"] - len(told)
    return [f"  not faxed: {', '.join(told)}" + (f", and {more:,} more" if more else "")]


def _crowd(found: Mapping[str, Any]) -> list[str]:
    """What became of more faxes than are shown."""
    states: Mapping[str, int] = found.get("states") or {}
    faxes, shown = sum(states.values()), len(found["faxes"])
    if faxes <= shown:
        return []
    counts = ", ".join(f"{count:,} {state}" for state, count in states.items())
    return [f"  {faxes:,} faxes: {counts}; shown: {shown:,}"]


def _expected(will: Mapping[str, Any]) -> str:
    """What the next call will take."""
    pages = f"{will['pages']} page{'' if will['pages'] == 1 else 's'}"
    billed = f"billed as {will['billed_pages']}" if will["billed_pages"] != will["pages"] else "billed so"
    takes = f"about {will['seconds']:.0f} s at {will['rate']} bit/s"
    return f"next call: {pages} ({billed}), {will['octets']:,} octets, {takes}"


def _reception(found: Mapping[str, Any]) -> list[str]:
    fax = found["reception"]
    outcome = fax["outcome"] or {}
    lines = [f"received fax {fax['id']}  from {fax['ident'] or fax['caller'] or 'unknown'}: {fax['state'].upper()}"]
    lines.append(
        f"  to {fax['number']} on {fax['trunk']}, call from {_when(fax['started_at'])} to {_when(fax['ended_at'])}"
    )
    rate = f", {outcome['bit_rate']} bit/s" if outcome.get("bit_rate") else ""
    lines.append(f"  {outcome.get('transport') or 'no media'}{rate}{' ECM' if outcome.get('ecm') else ''}")
    lines += (
        [f"  {_words(fax['cause'])} {outcome.get('detail', '')}".rstrip()] if fax["cause"] not in ("", "ok") else []
    )
    lines += ["  the last confirmation was not followed by a goodbye: the sender may not know"] * (
        fax["farewell"] is False and fax["pages"] > 0
    )
    for page in found["pages"]:
        noise = f", {page['bad_rows']} bad rows" if page["bad_rows"] else ""
        doubt = "" if page["confirmed"] else ", not confirmed to the sender"
        lines.append(f"  page {page['page']}: {page['width']} x {page['rows']}, {page['size']} octets{noise}{doubt}")
    for item in found["deliveries"]:
        told = f" ({item['detail']})" if item["detail"] else ""
        lines.append(f"  to {item['target']}: {item['state']}, {item['tries']} tries{told}")
    return lines


def _attempt(attempt: Mapping[str, Any]) -> str:
    outcome = attempt["outcome"] or {}
    rate = f", {outcome['bit_rate']} bit/s" if outcome.get("bit_rate") else ""
    ecm = " ECM" if outcome.get("ecm") else ""
    far = f", far end {outcome['remote_ident']!r}" if outcome.get("remote_ident") else ""
    pages = f"pages {attempt['first_page']}-{attempt['last_page']}, confirmed up to {attempt['confirmed']}"
    result = attempt["cause"] or attempt["mark"]
    detail_ = f" ({outcome['detail']})" if outcome.get("detail") else ""
    transport = outcome.get("transport") or "no media"
    measures = (attempt.get("manner") or {}).get("measures")
    heeded = f", heeding {', '.join(measures)}" if measures else ""
    return f"{_when(attempt['planned_at'])}  {result}: {pages}, {transport}{rate}{ecm}{far}{heeded}{detail_}"


def trace(found: Mapping[str, Any], call: str = "", limit: int | None = MAX_ENTRIES) -> str:
    """The journal, and the ladder of every call; with `call` only that attempt's ladder."""
    chosen = calls_of(found, call)
    if call and chosen:
        return "\n".join(_ladder(chosen[0], limit))
    lines = [detail(found), "", "journal"]
    for event in found["events"]:
        data = " ".join(f"{k}={v}" for k, v in event["data"].items())
        lines.append(f"  {_when(event['at'])}  {event['entity'][:20]:20}  {event['what']:22} {event['who']}  {data}")
    for traced in chosen:
        lines += ["", *_ladder(traced, limit)]
    return "\n".join(lines)


# --------------------------------------------------------------------------------------------------------- calls


@dataclass(frozen=True, slots=True)
class TracedCall:
    """One call that can be looked at."""

    id: str
    """Attempt or received fax."""
    title: str
    """Which call it is, in one line."""
    verdict: str
    """What it came to, in one sentence."""
    far_end: str
    """Who was there, as far as it is known."""
    ladder: Ladder

    def as_json(self) -> dict[str, Any]:
        """All of it, plain."""
        return {
            "call": self.id,
            "title": self.title,
            "verdict": self.verdict,
            "seconds": self.ladder.total,
            "entries": [_entry(entry) for entry in self.ladder.entries],
        }


def _entry(entry: Entry) -> dict[str, Any]:
    shown: dict[str, Any] = {"at": entry.at, "way": entry.way, "kind": entry.kind.value, "words": entry.words}
    if entry.kind is Kind.DATA:
        answer = entry.answer.value if entry.answer is not None else None
        shown |= {"until": entry.until, "page": entry.page, "octets": entry.octets, "answer": answer}
    return shown


def calls_of(found: Mapping[str, Any], call: str = "") -> list[TracedCall]:
    """The calls of what was found, oldest first; with `call`, an attempt's id or its beginning, that one only."""
    fax = found.get("reception")
    calls = [] if not fax else [_received_call(fax)]
    calls += [_placed_call(attempt) for one in found["faxes"] for attempt in one["attempts"]]
    chosen = [traced for traced in calls if call and traced.id.startswith(call.lower())]
    return chosen or calls


def _placed_call(attempt: Mapping[str, Any]) -> TracedCall:
    outcome = attempt["outcome"] or {}
    return TracedCall(
        attempt["id"],
        f"call {attempt['id']} to {attempt['number']} on {attempt['trunk']}, {_when(attempt['planned_at'])}",
        verdict(outcome, _words(attempt["cause"])),
        str(outcome.get("remote_ident") or "") or "far end",
        read(attempt["trace"], attempt["first_page"]),
    )


def _received_call(fax: Mapping[str, Any]) -> TracedCall:
    sender = fax["ident"] or fax["caller"] or "unknown"
    return TracedCall(
        fax["id"],
        f"call {fax['id']} from {sender} to {fax['number']} on {fax['trunk']}, {_when(fax['started_at'])}",
        verdict(fax["outcome"], RECEIVED if fax["cause"] == Cause.OK.value else _words(fax["cause"])),
        sender,
        read(fax["trace"]),
    )


def _ladder(call: TracedCall, limit: int | None) -> list[str]:
    if not call.ladder.entries:
        return [call.title]
    return [call.title, f"  {call.verdict}", *(f"  {line}" for line in text(call.ladder, limit))]


def calls(answer: Mapping[str, Any], *, full: bool) -> str:
    """The calls in progress, two lines each; numbers are masked unless `full`."""
    if not answer["calls"]:
        return "no calls in progress"
    return "\n".join(line for call in answer["calls"] for line in _live(call, answer["at"], full))


def _live(call: Mapping[str, Any], now: float, full: bool) -> list[str]:
    def shown(number: str) -> str:
        return number if full or not number else mask_number(number)

    far = shown(call["remote_ident"])
    if call["direction"] == "out":
        who = f"{call['fax']} to {shown(call['number'])}"
    else:
        who = f"{call['call']} from {shown(call['caller']) or 'unknown'} to {shown(call['number'])}"
    page = ""
    if call["page"]:
        page = f", page {call['page']}" + (f" of {call['pages']}" if call["pages"] else "")
    phase = PHASES.get(call["phase"], call["phase"])
    lines = [f"{who} on {call['trunk']}, {_age(now - call['started_at'])}: {phase}{page}"]
    facts = [
        {"t38": "T.38", "g711": "audio"}.get(call["transport"], ""),
        f"{call['modem']} {call['bit_rate']} bit/s".strip() if call["bit_rate"] else "",
        f"{call['encoding']} {call['resolution']}".strip(),
        "ECM" if call["ecm"] else "no ECM" if call["bit_rate"] else "",
        f"far end {far!r}" if far else "",
        f"{call['retries']} retries" if call["retries"] else "",
        f"{call['packets_recovered']} packets recovered" if call["packets_recovered"] else "",
        f"{call['packets_lost']} packets lost" if call["packets_lost"] else "",
    ]
    return [*lines, *(["    " + ", ".join(filter(None, facts))] if any(facts) else [])]
