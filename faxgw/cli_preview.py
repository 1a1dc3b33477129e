"""The operator's command `faxgw preview`: what a fax will look like and what it will take, before it is sent.

Documents go through page processes of the command's own, which need no running gateway, or through the page service
that the settings name; a fax that waits is asked of the gateway that has it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar  # account settings, JSON

import click

from faxgw.document.client import PageClient
from faxgw.document.types import (
    ComposeOptions,
    Document,
    Mode,
    PageFacts,
    PageSettings,
    Paper,
    Rendered,
    RenderOptions,
    Resolution,
)
from faxgw.fax.account import SETTINGS
from faxgw.fax.errors import FaxError
from faxgw.fax.header import HeaderContext
from faxgw.fax.prediction import Prediction, predict

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]
"""Runs a command's work; an error becomes one line."""
Configure = Callable[[click.Context], tuple[PageSettings, Mapping[str, Any]]]
"""The page processes and the system level of the account settings of a command."""

SLICE = 50
"""Pages composed at a time when their pictures are asked for: some 5 MB of PNG."""
MAX_NAME = 30
"""Characters of a document's name in the table."""


class NotFaxed(FaxError):
    """A document was refused; the public text says why."""

    default_temporary = False


@dataclass(frozen=True, slots=True)
class Page:
    """A composed page."""

    page: int
    """From 1."""
    document: str
    """Name of its document."""
    rows: int
    octets: int
    """As coded (T.6), header line included."""
    seconds: float
    """Of its data on the line."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a preview shall show."""

    options: RenderOptions
    header: str
    context: HeaderContext
    rate: int
    """bit/s."""
    ecm: bool


def register(group: click.Group, configure: Configure, run: Run[Any]) -> None:
    """Add the command to a group."""

    @group.command()
    @click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--resolution", type=click.Choice([each.value for each in Resolution]), help="Rows per inch.")
    @click.option("--mode", type=click.Choice([each.value for each in Mode]), help="How grey becomes black and white.")
    @click.option("--paper", type=click.Choice([each.value for each in Paper]), help="The sheet.")
    @click.option("--to", "number", default="", help="Number that the header line shall name.")
    @click.option("--png", type=click.Path(file_okay=False, path_type=Path), help="Write each page into this folder.")
    @click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
    @click.pass_context
    def preview(
        context: click.Context,
        files: Sequence[Path],
        resolution: str | None,
        mode: str | None,
        paper: str | None,
        number: str,
        png: Path | None,
        as_json: bool,
    ) -> None:
        """Show what FILES would be as a fax: pages, octets, seconds, and the very bitmaps with --png.

        What no option says is as the settings file has it.
        """
        said = {"resolution": resolution, "mode": mode, "paper": paper}
        page_settings, system = configure(context)
        values = (
            {key: each.default for key, each in SETTINGS.items()}
            | dict(system)
            | {key: value for key, value in said.items() if value is not None}
        )
        try:
            if png is not None:
                png.mkdir(parents=True, exist_ok=True)
            pages, expected = run(_preview(page_settings, files, _wanted(values, number), png))
        except OSError as exc:  # a file of the operator's, or the folder
            raise click.ClickException(f"{exc.filename or png}: {exc.strerror}") from exc
        click.echo(json.dumps(_as_json(pages, expected, values), indent=2) if as_json else _table(pages, expected))


def _wanted(values: Mapping[str, Any], number: str) -> Wanted:
    header = HeaderContext(
        when=datetime.now(UTC),
        number=number,
        csid=values["csid"],
        zone=values["time_zone"],
        language=values["language"],
    )
    options = RenderOptions(
        resolution=Resolution(values["resolution"]),
        paper=Paper(values["paper"]),
        mode=Mode(values["mode"]),
        suppress_blank=values["suppress_blank"],
    )
    return Wanted(options, values["header"], header, values["max_bit_rate"], values["ecm"])


async def _preview(
    settings: PageSettings, files: Sequence[Path], wanted: Wanted, folder: Path | None
) -> tuple[list[Page], Prediction]:
    """Render and compose the documents; write the pages' pictures."""
    client = PageClient(settings)
    try:
        with contextlib.ExitStack() as opened:
            documents = []
            for file in files:
                fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
                opened.callback(os.close, fd)
                documents.append(Document(fd, file.name, size=file.stat().st_size))
            body = await client.render(documents, wanted.options)
        if not isinstance(body, Rendered):
            raise NotFaxed(body.reason.value, public=body.public)
        try:
            composed = await _compose(client, body, wanted, folder)
        finally:
            body.close()
    finally:
        await client.close()
    expected = predict([page.octets for page in composed], wanted.rate, ecm=wanted.ecm)
    names = [files[page.document].name for page in body.pages]
    pages = [
        Page(facts.page, name, facts.rows, facts.octets, seconds)
        for facts, name, seconds in zip(composed, names, expected.page_seconds, strict=True)
    ]
    return pages, expected


async def _compose(client: PageClient, body: Rendered, wanted: Wanted, folder: Path | None) -> list[PageFacts]:
    """The composed pages; their pictures go into the folder, a slice of pages at a time."""
    facts: list[PageFacts] = []
    total = len(body.pages)
    width = max(3, len(str(total)))
    for first in range(1, total + 1, SLICE):
        last = min(first + SLICE - 1, total)
        options = ComposeOptions(wanted.context, wanted.header, first, last, pictures=folder is not None)
        composed = await client.compose(body.fd, options)
        try:
            facts += composed.pages
            if folder is not None:
                for index, page in enumerate(composed.pages):
                    (folder / f"page-{page.page:0{width}}.png").write_bytes(composed.picture(index))
        finally:
            composed.close()
    return facts


def _as_json(pages: Sequence[Page], expected: Prediction, values: Mapping[str, Any]) -> dict[str, object]:
    how = {key: values[key] for key in ("resolution", "mode", "paper", "ecm")}
    return {
        **how,
        "pages": [asdict(page) | {"seconds": round(page.seconds, 1)} for page in pages],
        "octets": expected.octets,
        "rate": expected.rate,
        "seconds": round(expected.seconds, 1),
        "billed_pages": expected.billed_pages,
        "billed_units": expected.billed_units,
    }


def _table(pages: Sequence[Page], expected: Prediction) -> str:
    names = [page.document if len(page.document) <= MAX_NAME else page.document[: MAX_NAME - 1] + "…" for page in pages]
    wide = max(len("document"), *map(len, names))
    lines = [f"page  {'document':{wide}}  rows   octets  seconds"]
    for page, name in zip(pages, names, strict=True):
        lines.append(f"{page.page:4}  {name:{wide}}  {page.rows:4}  {page.octets:7,}  {page.seconds:7.1f}")
    minutes, seconds = divmod(math.ceil(expected.seconds), 60)
    lines.append(
        f"{_count(expected.pages, 'page')}, {expected.octets:,} octets, about {minutes} min {seconds:02} s"
        f" at {expected.rate:,} bit/s; billed {_count(expected.billed_pages, 'page')},"
        f" {_count(expected.billed_units, 'unit')} of a minute"
    )
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
