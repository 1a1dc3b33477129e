"""The operator's commands on what is kept: `purge`, `holds`, `audit`, `archive`, `junk` (docs/archive.md)."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any  # JSON

import click

from faxgw.client import Control

Run = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a command's work; an error becomes one line."""
Connect = Callable[[click.Context], Control]
"""The gateway of a command."""

_json = click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
_customer = click.option("--customer", default="", help="Of this customer alone.")
_since = click.option("--since", default="", help="From this day or time on: 2026-11-01.")
_until = click.option("--until", default="", help="Before this day or time.")


class Asker:
    """Asks the gateway for a command."""

    def __init__(self, connect: Connect, run: Run) -> None:
        self._connect = connect
        self._run = run

    def __call__(
        self, method: str, *path: str, query: Mapping[str, str] | None = None, body: object = None
    ) -> Mapping[str, Any]:
        """One request; `who` is the user of this machine."""
        control = self._connect(click.get_current_context())
        asked = {"who": getpass.getuser(), **{key: value for key, value in (query or {}).items() if value}}
        found: Mapping[str, Any] = self._run(control.admin(method, *path, query=asked, body=body))
        return found

    def export(self, query: Mapping[str, str], target: Path) -> int:
        """Write an export to a file as it comes; its octets."""
        control = self._connect(click.get_current_context())
        octets: int = self._run(control.export({key: value for key, value in query.items() if value}, target))
        return octets


def register(group: click.Group, connect: Connect, run: Run) -> None:
    """Add the commands to a group."""
    ask = Asker(connect, run)
    _add_purge(group, ask)
    _add_holds(group, ask)
    _add_audit(group, ask)
    _add_archive(group, ask)
    _add_junk(group, ask)


def _add_purge(group: click.Group, ask: Asker) -> None:
    @group.command()
    @click.option("--dry-run", is_flag=True, help="Only say what would go.")
    @_json
    def purge(dry_run: bool, as_json: bool) -> None:
        """Purge now what may no longer be kept; the gateway does so by itself every quarter of an hour."""
        found = ask("GET" if dry_run else "POST", "purge")
        if as_json:
            click.echo(json.dumps(found, indent=2))
        elif dry_run:
            for one in found["due"]:
                held = f"  held: {one['held']}" if one["held"] else ""
                click.echo(f"{one['entity']}  {one['customer']}  {one['step']}  due {when(one['since'])}{held}")
            click.echo(f"{len(found['due'])} faxes are due.")
        else:
            click.echo(
                f"Documents of {found['documents']} faxes and {found['faxes']} faxes were purged: {found['files']} "
                f"files, {found['rows']} rows. {found['held']} are held."
            )


def _add_holds(group: click.Group, ask: Asker) -> None:
    @group.group()
    def holds() -> None:
        """Legal holds: what they name is not purged until they are lifted."""

    @holds.command("list")
    @click.option("--all", "everything", is_flag=True, help="Lifted ones too.")
    @_json
    def list_(everything: bool, as_json: bool) -> None:
        """List them, newest first."""
        found = ask("GET", "holds", query={"all": "1" if everything else ""})["holds"]
        if as_json:
            click.echo(json.dumps(found, indent=2))
            return
        for one in found:
            names = [one[name] for name in ("customer", "number", "entity") if one[name]]
            names += [f"{name} {when(one[name])}" for name in ("since", "until") if one[name] is not None]
            lifted = f"  lifted {when(one['lifted_at'])}: {one['lifted_why']}" if one["lifted_at"] else ""
            click.echo(f"{one['id']}  {', '.join(names)}  {one['reason']}  by {one['set_by']}{lifted}")

    @holds.command("set")
    @click.argument("reason")
    @_customer
    @click.option("--number", default="", help="To, from or at this number: +33199000001.")
    @click.option("--fax", default="", help="This fax, job or received fax.")
    @_since
    @_until
    def set_(reason: str, customer: str, number: str, fax: str, since: str, until: str) -> None:
        """Hold what all the options name, for REASON."""
        body = {"reason": reason, "customer": customer, "number": number, "entity": fax, "since": since, "until": until}
        click.echo(f"{ask('POST', 'holds', body=body)['id']} is in force")

    @holds.command()
    @click.argument("hold")
    @click.argument("reason")
    def lift(hold: str, reason: str) -> None:
        """Lift HOLD, for REASON."""
        click.echo(f"{ask('POST', 'holds', hold, 'lift', body={'reason': reason})['lifted']} is lifted")


def _add_audit(group: click.Group, ask: Asker) -> None:
    @group.group()
    def audit() -> None:
        """Who changed and who read what, in a chain that shows every gap."""

    @audit.command()
    @click.option(
        "--anchors",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File of anchors kept elsewhere.",
    )
    @click.option("--anchor", "given", multiple=True, help="An anchor, NUMBER:HASH.")
    def verify(anchors: Path | None, given: Sequence[str]) -> None:
        """Check the whole chain; exit code 1 when it is broken."""
        text = "\n".join([*([anchors.read_text()] if anchors else []), *given])
        found = ask("POST", "audit", "verify", body=text.encode())
        if found["ok"]:
            click.echo(f"{found['checked']} records hold.")
            return
        broken = found["broken"]
        click.echo(f"BROKEN: record {broken['serial']} {broken['why']}. {found['checked']} records before it hold.")
        sys.exit(1)

    @audit.command("list")
    @click.option("--fax", default="", help="Of this fax, job or received fax.")
    @click.option("--who", default="", help="By this login, token or user: login:alice, user:root.")
    @_customer
    @_since
    @_until
    @click.option("--limit", default=100, show_default=True, help="Records at most, the newest.")
    @_json
    def list_(fax: str, who: str, customer: str, since: str, until: str, limit: int, as_json: bool) -> None:
        """List records, oldest first."""
        query = {"fax": fax, "who_did": who, "customer": customer, "since": since, "until": until}
        found = ask("GET", "audit", query={**query, "limit": str(limit), "newest": "1"})["records"]
        if as_json:
            click.echo(json.dumps(found, indent=2))
            return
        for one in found:
            facts = "" if one["data"] == "{}" else f"  {one['data']}"
            click.echo(
                f"{one['serial']}  {when(one['at'])}  {one['who']}  {one['way']}  {one['what']}  {one['entity']}{facts}"
            )

    @audit.command()
    @click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
    @_customer
    @_since
    @_until
    def export(file: Path, customer: str, since: str, until: str) -> None:
        """Write records to FILE, one JSON object a line."""
        query, after, count = {"customer": customer, "since": since, "until": until}, 0, 0
        with file.open("x") as out:
            while found := ask("GET", "audit", query={**query, "after": str(after), "limit": "500"})["records"]:
                for one in found:
                    out.write(json.dumps(one) + "\n")
                after, count = found[-1]["serial"], count + len(found)
        click.echo(f"{count} records written to {file}")

    @audit.command()
    def anchor() -> None:
        """Print number and hash of the newest record, to be kept elsewhere."""
        click.echo(ask("GET", "audit", "anchor")["anchor"])


def _add_archive(group: click.Group, ask: Asker) -> None:
    @group.group()
    def archive() -> None:
        """Faxes sent and received that are kept: found, and exported with their documents."""

    @archive.command()
    @_customer
    @click.option("--number", default="", help="To, from or at this number.")
    @click.option("--reference", default="", help="A part of the reference, subject or id.")
    @click.option("--text", default="", help="A part of what was read on received pages.")
    @_since
    @_until
    @click.option("--limit", default=100, show_default=True, help="Faxes at most.")
    @_json
    def search(
        customer: str, number: str, reference: str, text: str, since: str, until: str, limit: int, as_json: bool
    ) -> None:
        """Find faxes, oldest first."""
        query = _query(customer, number, reference, text, since, until)
        found = ask("GET", "archive", query={**query, "limit": str(limit)})["faxes"]
        if as_json:
            click.echo(json.dumps(found, indent=2))
            return
        for one in found:
            other = one["caller"] if one["direction"] == "received" else one["number"]
            words = f"{one['direction']}  {other or 'unknown'}  {one['state']}  {one['pages']} pages"
            click.echo(f"{one['id']}  {when(one['at'])}  {words}  {', '.join(one['documents']) or 'purged'}")

    @archive.command()
    @click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
    @_customer
    @click.option("--number", default="", help="To, from or at this number.")
    @click.option("--reference", default="", help="A part of the reference, subject or id.")
    @_since
    @_until
    def export(file: Path, customer: str, number: str, reference: str, since: str, until: str) -> None:
        """Write documents, metadata and hashes to FILE, a ZIP file."""
        octets = ask.export(_query(customer, number, reference, "", since, until), file)
        click.echo(f"{octets} octets written to {file}")


def _query(customer: str, number: str, reference: str, text: str, since: str, until: str) -> dict[str, str]:
    return {
        "customer": customer,
        "number": number,
        "reference": reference,
        "text": text,
        "since": since,
        "until": until,
    }


def _add_junk(group: click.Group, ask: Asker) -> None:
    @group.group()
    def junk() -> None:
        """Received faxes that look like junk: listed, delivered after all, or kept undelivered."""

    @junk.command("list")
    @click.option("--all", "everything", is_flag=True, help="Every fax that was judged.")
    @_customer
    @_json
    def list_(everything: bool, customer: str, as_json: bool) -> None:
        """List those set aside, newest first, with the reasons."""
        found = ask("GET", "junk", query={"all": "1" if everything else "", "customer": customer})["faxes"]
        if as_json:
            click.echo(json.dumps(found, indent=2))
            return
        for one in found:
            why = ", ".join(f"{signal} {points:+d}" for signal, points, _detail in one["reasons"])
            copy = f"  copy of {one['duplicate_of']}" if one["duplicate_of"] else ""
            sender = one["caller"] or one["ident"] or "unknown"
            click.echo(
                f"{one['reception']}  {when(one['started_at'])}  {sender}  {one['state']}  {one['score']}: {why}{copy}"
            )

    for name, verdict, words in (
        ("good", "good", "FAX is no junk: deliver it if it was set aside, and trust its sender."),
        ("bad", "junk", "FAX is junk: keep it undelivered if it was set aside, and distrust its sender."),
    ):
        _add_verdict(junk, ask, name, verdict, words)


def _add_verdict(group: click.Group, ask: Asker, name: str, verdict: str, words: str) -> None:
    @group.command(name, help=words)
    @click.argument("fax")
    def command(fax: str) -> None:
        click.echo(f"{fax}: {ask('POST', 'junk', fax, verdict)['state']}")


def when(at: float) -> str:
    """A time in the zone of this machine."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%d.%m.%Y %H:%M%z")
