"""The operator's command `faxgw template`: cover pages and overlays that the running gateway keeps.

What they may hold: docs/templates.md.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO  # Any: JSON

import click

from faxgw.client import Control

Run = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a command's work; an error becomes one line."""
Connect = Callable[[click.Context], Control]
"""The gateway of a command."""
KINDS = click.Choice(["cover", "overlay"])

_kind = click.argument("kind", type=KINDS)
_name = click.argument("name")
_customer = click.option("--customer", default="", help="Whose; without it everybody's.")
_json = click.option("--json", "as_json", is_flag=True, help="Machine-readable.")


class Asker:
    """Asks the templates interface for a command."""

    def __init__(self, connect: Connect, run: Run) -> None:
        self._connect = connect
        self._run = run

    def __call__(
        self, method: str, customer: str, *path: str, body: bytes | None = None, query: Sequence[tuple[str, str]] = ()
    ) -> Mapping[str, Any]:
        """One request; `who` is the user of this machine."""
        control = self._connect(click.get_current_context())
        asked = [("who", getpass.getuser()), *query]
        found: Mapping[str, Any] = self._run(control.admin(method, *_path(customer), *path, query=asked, body=body))
        return found

    def page(self, customer: str, *path: str, query: Sequence[tuple[str, str]]) -> tuple[bytes, int]:
        """A page of a preview, and how many there are."""
        control = self._connect(click.get_current_context())
        found: tuple[bytes, int] = self._run(control.page(*_path(customer), *path, "preview", query=query))
        return found


def register(group: click.Group, connect: Connect, run: Run) -> None:
    """Add the commands to a group."""
    ask = Asker(connect, run)

    @group.group()
    def template() -> None:
        """Templates of cover pages and overlays (letterheads): list, show, add, remove, preview."""

    _add_looks(template, ask)
    _add_changes(template, ask)
    _add_preview(template, ask)


def _add_looks(group: click.Group, ask: Asker) -> None:
    @group.command("list")
    @click.argument("customer", required=False, default="")
    @_json
    def list_(customer: str, as_json: bool) -> None:
        """List what jobs of CUSTOMER may name; without CUSTOMER, what everybody's may."""
        found = ask("GET", customer)
        click.echo(json.dumps(found, indent=2) if as_json else "\n".join(map(_line, found["templates"])))

    @group.command()
    @_kind
    @_name
    @_customer
    @_json
    def show(kind: str, name: str, customer: str, as_json: bool) -> None:
        """Show a template: whose it is, and the values that it needs."""
        found = ask("GET", customer, kind, name)
        if as_json:
            click.echo(json.dumps(found, indent=2))
            return
        lines = [_line(found)]
        if found["changed_at"]:
            at = datetime.fromtimestamp(found["changed_at"], UTC).strftime("%Y-%m-%d %H:%M UTC")
            lines.append(f"kept {at} by {found['changed_by']}, {found['size']:,} octets, SHA-256 {found['sha256']}")
        if found["needs"]:
            lines.append(f"needs values for {', '.join(found['needs'])}")
        click.echo("\n".join(lines))


def _add_changes(group: click.Group, ask: Asker) -> None:
    @group.command()
    @_kind
    @_name
    @click.argument("file", type=click.File("rb"))
    @_customer
    @click.option(
        "--given", multiple=True, metavar="NAME", help="A value that recipients bring along; may be repeated."
    )
    @_json
    def add(kind: str, name: str, file: BinaryIO, customer: str, given: Sequence[str], as_json: bool) -> None:
        """Keep FILE as the template NAME, in place of one of that name (- for standard input).

        A cover is HTML, DOCX or RTF; an overlay is one page of PDF, TIFF, PNG, DOCX or whatever else is faxed. It is
        rendered with example values first: what is wrong with it is told here.
        """
        found = ask("PUT", customer, kind, name, body=file.read(), query=[("given", each) for each in given])
        needs = f"; recipients give {', '.join(found['needs'])}" if found["needs"] else ""
        pages = f"{found['pages']} page{'' if found['pages'] == 1 else 's'}"
        click.echo(
            json.dumps(found, indent=2) if as_json else f"{kind} {name} is kept: {found['format']}, {pages}{needs}"
        )

    @group.command()
    @_kind
    @_name
    @_customer
    def remove(kind: str, name: str, customer: str) -> None:
        """Remove a template; jobs that have their pages already are not touched."""
        ask("DELETE", customer, kind, name)
        click.echo(f"{kind} {name} is removed")


def _add_preview(group: click.Group, ask: Asker) -> None:
    @group.command()
    @_kind
    @_name
    @click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
    @_customer
    @click.option("--language", type=click.Choice(["en", "fr", "de"]), default="en", show_default=True)
    @click.option("--paper", type=click.Choice(["A4", "Letter", "Legal"]), default="A4", show_default=True)
    @click.option(
        "--resolution", type=click.Choice(["standard", "fine", "superfine"]), default="fine", show_default=True
    )
    @click.option("--value", "given", multiple=True, metavar="NAME=TEXT", help="A value to show; may be repeated.")
    def preview(kind: str, name: str, folder: Path, customer: str, given: Sequence[str], **how: str) -> None:
        """Write the pages of a template with example values into FOLDER, as PNG: the very pixels of a fax."""
        query = [*how.items(), *(("value", each) for each in given)]
        page, pages = 0, 1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            while page < pages:
                page += 1
                png, pages = ask.page(customer, kind, name, query=[*query, ("page", str(page))])
                (folder / f"page-{page:03}.png").write_bytes(png)
        except OSError as exc:
            raise click.ClickException(f"{exc.filename or folder}: {exc.strerror}") from exc
        click.echo(f"{pages} page{'' if pages == 1 else 's'} in {folder}")


def _path(customer: str) -> tuple[str, ...]:
    return ("customers", customer, "templates") if customer else ("templates",)


def _line(row: Mapping[str, Any]) -> str:
    owner = {"customer": "own", "everybody": "everybody's"}.get(row["of"], row["of"])
    return f"{row['kind']:8} {row['name']:32} {row['format']:8} {owner}"
