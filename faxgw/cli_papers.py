"""The operator's commands `faxgw paper` (letters of authority and consents of numbers) and `faxgw maintenance`."""

from __future__ import annotations

import getpass
import json
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

_customer = click.argument("customer")
_number = click.argument("number")
_json = click.option("--json", "as_json", is_flag=True, help="Machine-readable.")


def register(group: click.Group, connect: Connect, run: Run) -> None:
    """Add the commands to a group."""

    def ask(
        method: str, *path: str, query: Sequence[tuple[str, str]] = (), body: bytes | None = None
    ) -> Mapping[str, Any]:
        control = connect(click.get_current_context())
        asked = [("who", getpass.getuser()), *query]
        found: Mapping[str, Any] = run(control.admin(method, *path, query=asked, body=body))
        return found

    @group.group()
    def paper() -> None:
        """Papers of numbers: letters of authority, and consents to show a number as the caller's."""

    @group.command()
    @click.argument("reason", required=False)
    @click.option("--over", is_flag=True, help="Open again.")
    def maintenance(reason: str | None, over: bool) -> None:
        """Tell programs 503 with this REASON until it is over; faxes go on, and mail is taken. Without either: look."""
        control = connect(click.get_current_context())
        now = run(control.maintenance("" if over else reason))
        click.echo(f"maintenance: {now}" if now else "open")

    _add_looks(paper, ask)
    _add_changes(paper, ask)

    @paper.command()
    @_customer
    @_number
    @click.argument("ident")
    @click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
    def fetch(customer: str, number: str, ident: str, file: Path) -> None:
        """Write a paper into a file."""
        control = connect(click.get_current_context())
        octets = run(control.example("customers", customer, "numbers", number, "papers", ident, query=[]))
        file.write_bytes(octets)
        click.echo(f"{file}: {len(octets)} octets")


def _add_looks(group: click.Group, ask: Callable[..., Mapping[str, Any]]) -> None:
    @group.command("list")
    @_customer
    @_number
    @_json
    def list_(customer: str, number: str, as_json: bool) -> None:
        """Papers of a number, oldest first."""
        _print(ask("GET", "customers", customer, "numbers", number, "papers"), as_json)

    @group.command()
    @click.option("--days", default=30, show_default=True, type=click.IntRange(0, 3650), help="Within so many days.")
    @_json
    def ending(days: int, as_json: bool) -> None:
        """Papers of all customers that end soon, or have ended."""
        _print(ask("GET", "papers", query=[("days", str(days))]), as_json)


def _add_changes(group: click.Group, ask: Callable[..., Mapping[str, Any]]) -> None:
    @group.command()
    @_customer
    @_number
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--kind", required=True, type=click.Choice(["authority", "consent"]), help="What it is.")
    @click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Day on which it ends; without it never.")
    def add(customer: str, number: str, file: Path, kind: str, until: datetime | None) -> None:
        """Keep a paper: PDF, PNG, JPEG or TIFF. A consent opens the number as caller number until it ends."""
        query = [("kind", kind), ("name", file.name)]
        query += [("until", str(until.replace(tzinfo=UTC).timestamp()))] if until else []
        made = ask("POST", "customers", customer, "numbers", number, "papers", query=query, body=file.read_bytes())
        click.echo(f"{made['id']}: {kind} of {number}")

    @group.command()
    @_customer
    @_number
    @click.argument("ident")
    def remove(customer: str, number: str, ident: str) -> None:
        """Remove a paper; with its last consent the number is closed as caller number."""
        ask("DELETE", "customers", customer, "numbers", number, "papers", ident)
        click.echo(f"{ident} is removed")


def _print(found: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found["papers"], indent=2))
        return
    for row in found["papers"]:
        end = "no end" if row["until"] is None else f"until {datetime.fromtimestamp(row['until'], UTC):%Y-%m-%d}"
        click.echo(f"{row['id']}  {row['customer']} {row['number']}  {row['kind']}, {end}  {row['name']}")
