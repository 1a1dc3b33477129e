"""What machines were told, measured against the database and against one another (docs/spine.md sections 5 and 10).

M1  what was acknowledged to a program is one job, with one fax to each number;
M2  what a program was told of its job is so, and final;
M3  a status push comes at least once for each job that asked for it, always under one id, and tells the truth;
M4  each event of a customer's faxes comes to its webhook at least once, under one id and in one form, signed;
M5  each job file has one result, which is never written over, and nothing else is told of it but duplicates.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any  # rows, JSON
from xml.etree import ElementTree

from sqlalchemy import select

from faxgw.fax.job import FINAL, FaxState
from faxgw.store import schema as t
from tests.faults.checker import Violation, reader
from tests.faults.ledger import load_of
from tests.faults.machine_listener import Heard

FILES = ("sftp", "ftp", "folder")
"""Programs whose jobs come as files."""

WANTED = ("job.accepted", "job.finished", *(f"fax.{state}" for state in sorted(FINAL)))
"""Events that webhooks are told of."""


class _Books:
    """The database and the programs' ledger, read once."""

    def __init__(self, url: str, lines: Sequence[Mapping[str, Any]]) -> None:
        database = reader(url)
        try:
            with database.connect() as conn:
                self.jobs = {row.id: row for row in conn.execute(select(t.jobs))}
                self.faxes = list(conn.execute(select(t.faxes)))
                self.events = list(conn.execute(select(t.events).where(t.events.c.what.in_(WANTED))))
                self.hooks = list(conn.execute(select(t.webhooks)))
        finally:
            database.dispose()
        self.loads: dict[int, Mapping[str, Any]] = {line["load"]: line for line in lines if line["what"] == "load"}
        self.accepted = {line["load"]: line["job"] for line in lines if line["what"] == "accepted"}
        self.told = {line["load"]: line["told"] for line in lines if line["what"] == "told"}
        self.results: dict[int, set[str]] = defaultdict(set)
        for line in lines:
            if line["what"] == "result":
                self.results[line["load"]].add(line["octets"])
        self.again = {line["load"]: line["job"] for line in lines if line["what"] == "again"}
        self._by_job: dict[str, list[Any]] = defaultdict(list)
        for fax in self.faxes:
            self._by_job[fax.job].append(fax)
        self.by_load: dict[int, list[str]] = defaultdict(list)
        """Jobs of each load, oldest first; there is more than one where those before it have failed as a whole."""
        for job in sorted(self.jobs.values(), key=lambda job: job.accepted_at):
            named = [load for load in (load_of(job.reference), load_of(job.subject)) if load is not None]
            if named:
                self.by_load[named[0]].append(job.id)

    def faxes_of(self, number: int) -> list[Any]:
        """The faxes of the job that a load became."""
        return [fax for job in self.by_load[number][-1:] for fax in self._by_job[job]]

    def failed(self, job: str) -> bool:
        """Whether nothing of a job was sent, or may have been: it may be sent again."""
        return all(fax.state == FaxState.FAILED for fax in self._by_job[job])


def check(
    url: str, ledger: Sequence[Mapping[str, Any]], heard: Sequence[Heard], results: Mapping[str, bytes]
) -> list[Violation]:
    """Every violation; the world has to be over.

    Args:
        url: Of the database.
        ledger: What programs wrote down.
        heard: What came to the listener.
        results: Octets of every result file, by its path.
    """
    books = _Books(url, ledger)
    return [
        *_accepted(books),
        *_told(books),
        *_pushed(books, heard),
        *_events(books, heard),
        *_results(books, results),
    ]


def _accepted(books: _Books) -> Iterator[Violation]:
    for number, load in books.loads.items():
        if number not in books.accepted:
            yield Violation("M1", f"load {number} by {load['by']} was never acknowledged")
            continue
        jobs, promised = books.by_load[number], {books.accepted[number], books.again.get(number, "")} - {""}
        if not jobs or not promised <= set(jobs) or not all(books.failed(job) for job in jobs[:-1]):
            text = f"load {number} by {load['by']}, acknowledged as {sorted(promised) or 'a file'}, is {jobs}"
            yield Violation("M1", text)
        faxes = books.faxes_of(number)
        numbers = sorted(fax.numbers[0]["e164"] for fax in faxes)
        if numbers != sorted(load["to"]):
            yield Violation("M1", f"load {number} by {load['by']} went to {numbers}, not {load['to']}")


def _is_true(status: str, state: str) -> bool:
    """Whether a vendor's status says what a fax's state is."""
    if state == FaxState.SENT:
        return status == "OK"
    if state == FaxState.UNKNOWN:
        return status == "EOD_FAILED"
    return state in FINAL and status not in ("OK", "PENDING")


def _told(books: _Books) -> Iterator[Violation]:
    for number, load in books.loads.items():
        told = books.told.get(number)
        if told is None:
            yield Violation("M2", f"the {load['by']} program of load {number} was not told")
            continue
        yield from _compared(books, number, told, f"the {load['by']} program")


def _compared(books: _Books, number: int, told: Mapping[str, str], who: str) -> Iterator[Violation]:
    states = {fax.numbers[0]["e164"]: fax.state for fax in books.faxes_of(number)}
    for recipient, state in states.items():
        if not _is_true(told.get(recipient, "nothing"), state):
            text = f"load {number} to {recipient} is {state}; {who} was told {told.get(recipient, 'nothing')}"
            yield Violation("M2", text)


def _pushed(books: _Books, heard: Sequence[Heard]) -> Iterator[Violation]:
    pushes: dict[int | None, list[Heard]] = defaultdict(list)
    for one in heard:
        if one.path.startswith("/push/"):
            pushes[load_of(one.path.rpartition("/")[2])].append(one)
    for number, load in books.loads.items():
        if load["by"] != "rest":
            continue
        if not any(one.answered for one in pushes[number]):
            yield Violation("M3", f"the report of load {number} was not pushed")
        if len({one.ident for one in pushes[number]}) > 1:
            yield Violation("M3", f"the report of load {number} was pushed as {[h.ident for h in pushes[number]]}")
        for one in pushes[number]:
            found = [each for each in ElementTree.fromstring(one.body).iter() if _local(each) == "faxRecipient"]
            told = {_text(each, "number"): _text(each, "status") for each in found}
            yield from _compared(books, number, told, "the pushed-to program")


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ElementTree.Element, name: str) -> str:
    return next((each.text or "" for each in element if _local(each) == name), "")


def _events(books: _Books, heard: Sequence[Heard]) -> Iterator[Violation]:
    for hook in books.hooks:
        path = "/" + hook.url.partition("//")[2].partition("/")[2]
        ids, bodies, answered = defaultdict[str, set[str]](set), defaultdict[str, set[bytes]](set), set[str]()
        for one in heard:
            if one.path != path:
                continue
            event = json.loads(one.body)["data"]["event"]
            ids[event].add(one.ident)
            bodies[one.ident].add(one.body)
            if one.answered:
                answered.add(event)
            if not one.signed:
                yield Violation("M4", f"event {event} came with a signature that is not right")
        jobs = {job.id for job in books.jobs.values() if job.customer == hook.customer and _sees(hook, job)}
        wanted = {str(row.serial): row for row in books.events if row.job in jobs}
        for serial, row in wanted.items():
            if serial not in answered:
                yield Violation("M4", f"{row.what} of {row.entity} (event {serial}) never came to the webhook")
            if len(ids[serial]) > 1:
                yield Violation("M4", f"event {serial} came under the ids {sorted(ids[serial])}")
        for serial in ids.keys() - wanted.keys():
            yield Violation("M4", f"event {serial} came to {hook.url}, whose customer has none such")
        for ident, forms in bodies.items():
            if len(forms) > 1:
                yield Violation("M4", f"{ident} came in {len(forms)} forms")


def _sees(hook: Any, job: Any) -> bool:
    return not hook.user or hook.user == job.user


def _results(books: _Books, results: Mapping[str, bytes]) -> Iterator[Violation]:
    lying: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    for path, octets in results.items():
        name = path.rpartition("/")[2]
        lying[name].append((path, octets))
        if name.startswith("err-") and b"duplicate" not in octets:
            yield Violation("M5", f"{path} says {octets.decode()[-300:]}")
    for number, load in books.loads.items():
        if load["by"] not in FILES:
            continue
        found = lying[f"rep-load-{number}.xml"]
        if len(found) != 1:
            yield Violation("M5", f"load {number} by {load['by']} has {len(found)} results")
        elif books.results[number] != {found[0][1].decode()}:
            yield Violation("M5", f"the result of load {number} was written over: {books.results[number]}, {found}")
