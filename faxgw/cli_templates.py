"""The operator's command `faxgw template`: covers, overlays and mails that the running gateway keeps.

What they may hold: docs/templates.md, docs/status-mails.md.
"""

from __future__ import annotations

import getpass
import io
import json
import sys
import zipfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any  # JSON

import click

from faxgw.client import Control
from faxgw.formats.mail_examples import EXAMPLES, page_of

Run = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a command's work; an error becomes one line."""
Connect = Callable[[click.Context], Control]
"""The gateway of a command."""
KINDS = click.Choice(["cover", "overlay", "mail"])
MAX_FILES = 100
"""Files of a folder that is made a package."""

_WHEN = (1980, 1, 1, 0, 0, 0)
"""Of every file of a package: the same folder is the same package."""

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

    def mail(self, customer: str, name: str, query: Sequence[tuple[str, str]]) -> bytes:
        """An example mail of a mail template."""
        control = self._connect(click.get_current_context())
        octets: bytes = self._run(control.example(*_path(customer), "mail", name, "example", query=query))
        return octets


def register(group: click.Group, connect: Connect, run: Run) -> None:
    """Add the commands to a group."""
    ask = Asker(connect, run)

    @group.group()
    def template() -> None:
        """Templates of cover pages, overlays (letterheads) and status mails: list, show, add, remove, preview."""

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
    @click.argument("file", type=click.Path(exists=True, allow_dash=True, path_type=Path))
    @_customer
    @click.option(
        "--given", multiple=True, metavar="NAME", help="A value that recipients bring along; may be repeated."
    )
    @_json
    def add(kind: str, name: str, file: Path, customer: str, given: Sequence[str], as_json: bool) -> None:
        """Keep FILE as the template NAME, in place of one of that name (- for standard input).

        A cover is HTML, DOCX or RTF; an overlay is one page of PDF, TIFF, PNG, DOCX or whatever else is faxed; a mail
        is a folder with mail.toml, a ZIP of it, or mail.toml alone. It is filled with example values and rendered
        first: what is wrong with it is told here.
        """
        found = ask("PUT", customer, kind, name, body=_content(file), query=[("given", each) for each in given])
        needs = f"; recipients give {', '.join(found['needs'])}" if found["needs"] else ""
        pages = "every example mail is good" if kind == "mail" else _pages(found["pages"])
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
        """Write a template with example values into FOLDER.

        The pages of a cover or overlay as PNG, the very pixels of a fax; example mails of a mail template, each as
        .eml for a mail program and as .html for a browser (the shipped mails are called default).
        """
        if kind == "mail":
            click.echo(f"{_mails(ask, customer, name, folder, how['language'])} mails in {folder}")
            return
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
        click.echo(f"{_pages(pages)} in {folder}")


def _pages(count: int) -> str:
    return f"{count} page{'' if count == 1 else 's'}"


def _mails(ask: Asker, customer: str, name: str, folder: Path, language: str) -> int:
    """Write every example of a mail template; how many there are."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for example in EXAMPLES:
            octets = ask.mail(customer, name, query=[("example", example), ("language", language)])
            (folder / f"{example}.{language}.eml").write_bytes(octets)
            (folder / f"{example}.{language}.html").write_text(page_of(octets), encoding="utf-8")
    except OSError as exc:
        raise click.ClickException(f"{exc.filename or folder}: {exc.strerror}") from exc
    return len(EXAMPLES)


def _content(file: Path) -> bytes:
    """What a file holds, or standard input, or the package of a folder's files."""
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        if not file.is_dir():
            return file.read_bytes()
        found = sorted(each for each in file.iterdir() if each.is_file() and not each.name.startswith("."))
        if len(found) > MAX_FILES:
            raise click.ClickException(f"{file}: more than {MAX_FILES} files")
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for each in found:
                archive.writestr(zipfile.ZipInfo(each.name, _WHEN), each.read_bytes(), zipfile.ZIP_DEFLATED)
        return out.getvalue()
    except OSError as exc:
        raise click.ClickException(f"{exc.filename or file}: {exc.strerror}") from exc


def _path(customer: str) -> tuple[str, ...]:
    return ("customers", customer, "templates") if customer else ("templates",)


def _line(row: Mapping[str, Any]) -> str:
    owner = {"customer": "own", "everybody": "everybody's"}.get(row["of"], row["of"])
    return f"{row['kind']:8} {row['name']:32} {row['format']:8} {owner}"
