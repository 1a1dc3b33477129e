"""The operator's command `faxgw preview`: what a fax will look like and what it will take, before it is sent.

Documents go through page processes of the command's own, which need no running gateway, or through the page service
that the settings name; a fax that waits is asked of the gateway that has it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar  # account settings, JSON

import click

from faxgw.client import Control
from faxgw.document.client import PageClient
from faxgw.document.types import (
    ComposeOptions,
    Document,
    Mode,
    Overlay,
    PageFacts,
    PageSettings,
    Paper,
    Rendered,
    RenderOptions,
    Resolution,
    Walked,
    WalkOptions,
)
from faxgw.fax.account import SETTINGS
from faxgw.fax.errors import FaxError
from faxgw.fax.header import HeaderContext
from faxgw.fax.overlay import OverlayMode
from faxgw.fax.prediction import Prediction, predict
from faxgw.fax.report import MAX_LEFT_OUT_NAME
from faxgw.formats.outgoing_mail import one_line

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]
"""Runs a command's work; an error becomes one line."""
Configure = Callable[[click.Context], tuple[PageSettings, Mapping[str, Any]]]
"""The page processes and the system level of the account settings of a command."""

SLICE = 50
"""Pages composed at a time when their pictures are asked for: some 5 MB of PNG."""
_ID = re.compile(r"(?:F[A-Z0-9]{5,21}|msg_[0-9a-f-]{8,36})", re.IGNORECASE)
"""A fax, job or message, or the beginning of its id."""
MAX_NAME = 30
"""Characters of a document's name in the table."""
MAIL = ".eml"
"""How the name of a file ends that is a mail: it is taken apart as one that comes in."""


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
    letterhead: Path | None = None
    """The document laid over the pages."""
    overlay_mode: OverlayMode = OverlayMode.ALL_PAGES
    walk: WalkOptions | None = None
    """How mails are taken apart; None: they are no mails."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A part of a mail that its sender would be told not to be faxed."""

    mail: str
    """The mail's file."""
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What a preview found."""

    pages: list[Page]
    expected: Prediction
    missing: list[Missing]


@dataclass(frozen=True, slots=True)
class Taken:
    """Documents in their order, mails taken apart."""

    documents: list[Document]
    missing: list[Missing]


def register(
    group: click.Group, configure: Configure, run: Run[Any], control_of: Callable[[click.Context], Control]
) -> None:
    """Add the command to a group."""

    @group.command()
    @click.argument("what", nargs=-1, required=True, metavar="FILES | FAX")
    @click.option("--resolution", type=click.Choice([each.value for each in Resolution]), help="Rows per inch.")
    @click.option("--mode", type=click.Choice([each.value for each in Mode]), help="How grey becomes black and white.")
    @click.option("--paper", type=click.Choice([each.value for each in Paper]), help="The sheet.")
    @click.option("--to", "number", default="", help="Number that the header line shall name.")
    @click.option(
        "--overlay", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A letterhead for the pages."
    )
    @click.option("--overlay-mode", type=click.Choice([each.value for each in OverlayMode]), help="Which of them.")
    @click.option("--png", type=click.Path(file_okay=False, path_type=Path), help="Write each page into this folder.")
    @click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
    @click.pass_context
    def preview(
        context: click.Context,
        what: Sequence[str],
        resolution: str | None,
        mode: str | None,
        paper: str | None,
        number: str,
        overlay: Path | None,
        overlay_mode: str | None,
        png: Path | None,
        as_json: bool,
    ) -> None:
        """Show what FILES would be as a fax: pages, octets, seconds, and the very bitmaps with --png.

        What no option says is as the settings file has it. A mail (.eml) is taken apart as one that comes in; commands
        in its subject are not followed. With the id of a FAX or job of the queue, the gateway shows its pages: as they
        were sent, or as they would go out now.
        """
        if len(what) == 1 and _ID.fullmatch(what[0]) and not Path(what[0]).exists():
            _show_queued(control_of(context), run, what[0], png, as_json)
            return
        files = [Path(name) for name in what]
        for file in files:
            if not file.is_file():
                raise click.ClickException(f"{file}: there is no such file")
        said = {"resolution": resolution, "mode": mode, "paper": paper, "overlay_mode": overlay_mode}
        page_settings, system = configure(context)
        values = (
            {key: each.default for key, each in SETTINGS.items()}
            | dict(system)
            | {key: value for key, value in said.items() if value is not None}
        )
        try:
            if png is not None:
                png.mkdir(parents=True, exist_ok=True)
            shown: Shown = run(_preview(page_settings, files, _wanted(values, number, overlay), png))
        except OSError as exc:  # a file of the operator's, or the folder
            raise click.ClickException(f"{exc.filename or png}: {exc.strerror}") from exc
        click.echo(json.dumps(_as_json(shown, values), indent=2) if as_json else _table(shown))


def _show_queued(control: Control, run: Run[Any], ident: str, folder: Path | None, as_json: bool) -> None:
    """A fax that the gateway has."""
    found = run(control.preview(ident))
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            run(_fetch(control, found["fax"], [page["page"] for page in found["pages"]], folder))
    except OSError as exc:
        raise click.ClickException(f"{exc.filename or folder}: {exc.strerror}") from exc
    click.echo(json.dumps(found, indent=2) if as_json else queued(found))


async def _fetch(control: Control, fax: str, pages: Sequence[int], folder: Path) -> None:
    width = max(3, len(str(max(pages, default=1))))
    for page in pages:
        picture = await control.preview_page(fax, page)
        (folder / f"page-{page:0{width}}.png").write_bytes(picture)


def queued(found: Mapping[str, Any]) -> str:
    """A fax of the queue in a table."""
    expected, sent = found["expected"], found["attempt"]
    others = f", the first of {found['faxes']}" if found["faxes"] > 1 else ""
    when = datetime.fromtimestamp(found["composed_at"], UTC).strftime("%Y-%m-%d %H:%M UTC")
    how = f"as composed for {sent} at {when}" if sent else "as it would go out now"
    lines = [f"{found['fax']}{others} ({found['state']}), {found['resolution']}, {how}", "page  rows   octets  seconds"]
    lines += [f"{p['page']:4}  {p['rows']:4}  {p['octets']:7,}  {p['seconds']:7.1f}" for p in found["pages"]]
    minutes, seconds = divmod(math.ceil(expected["seconds"]), 60)
    rate = "as this far end took it" if expected["known"] == "this far end" else "nothing is known of the far end"
    lines.append(
        f"{_count(expected['pages'], 'page')} from page {found['first_page']}, {expected['octets']:,} octets, about"
        f" {minutes} min {seconds:02} s at {expected['rate']:,} bit/s ({rate});"
        f" billed {_count(expected['billed_pages'], 'page')}"
    )
    return "\n".join(lines)


def _wanted(values: Mapping[str, Any], number: str, letterhead: Path | None) -> Wanted:
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
    overlay_mode = OverlayMode(values["overlay_mode"])
    walk = WalkOptions(
        attachments_only=values["attachments_only"],
        body_only=values["body_only"],
        ignore_inline_images=values["ignore_inline_images"],
        min_image_px=values["min_image_px"],
        list_name=values["list_name"] if values["max_list"] else "",
    )
    return Wanted(
        options, values["header"], header, values["max_bit_rate"], values["ecm"], letterhead, overlay_mode, walk
    )


async def _preview(settings: PageSettings, files: Sequence[Path], wanted: Wanted, folder: Path | None) -> Shown:
    """Render and compose the documents; write the pages' pictures."""
    client = PageClient(settings)
    try:
        async with _taken(client, files, wanted.walk) as taken:
            body = await _render(client, taken.documents, wanted.options)
        try:
            async with _overlay(client, wanted, body) as overlay:
                composed = await _compose(client, body, wanted, overlay, folder)
        finally:
            body.close()
    finally:
        await client.close()
    expected = predict([page.octets for page in composed], wanted.rate, ecm=wanted.ecm)
    names = [taken.documents[page.document].name for page in body.pages]
    pages = [
        Page(facts.page, name, facts.rows, facts.octets, seconds)
        for facts, name, seconds in zip(composed, names, expected.page_seconds, strict=True)
    ]
    return Shown(pages, expected, taken.missing)


@contextlib.asynccontextmanager
async def _taken(client: PageClient, files: Sequence[Path], walk: WalkOptions | None) -> AsyncIterator[Taken]:
    """The files as documents, open until the end of the context.

    Args:
        client: The page processes.
        files: What was named.
        walk: How mails are taken apart; None: they are no mails.
    """
    taken = Taken([], [])
    with contextlib.ExitStack() as opened:
        for file in files:
            fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            opened.callback(os.close, fd)
            if walk is None or file.suffix.lower() != MAIL:
                taken.documents.append(Document(fd, file.name, size=file.stat().st_size))
                continue
            walked = await client.walk(fd, walk)
            if not isinstance(walked, Walked):
                raise NotFaxed(walked.reason.value, public=walked.public)
            opened.callback(walked.close)
            taken.documents.extend(walked.documents)
            missed = [each for each in walked.ignored if each.missed]
            taken.missing.extend(
                Missing(file.name, one_line(each.name, MAX_LEFT_OUT_NAME), each.why) for each in missed
            )
        yield taken


async def _render(client: PageClient, documents: Sequence[Document], options: RenderOptions) -> Rendered:
    body = await client.render(documents, options)
    if not isinstance(body, Rendered):
        raise NotFaxed(body.reason.value, public=body.public)
    return body


@contextlib.asynccontextmanager
async def _overlay(client: PageClient, wanted: Wanted, body: Rendered) -> AsyncIterator[Overlay | None]:
    """The letterhead, rendered, until the end of the context."""
    if wanted.letterhead is None:
        yield None
        return
    async with _taken(client, [wanted.letterhead], None) as taken:
        letterhead = await _render(client, taken.documents, wanted.options)
    try:
        if len(letterhead.pages) != 1:
            public = f"A letterhead has one page; {wanted.letterhead.name} has {len(letterhead.pages)}."
            raise NotFaxed("letterhead", public=public)
        first = sum(page.document == 0 for page in body.pages)
        yield Overlay(letterhead.fd, wanted.overlay_mode, first)
    finally:
        letterhead.close()


async def _compose(
    client: PageClient, body: Rendered, wanted: Wanted, overlay: Overlay | None, folder: Path | None
) -> list[PageFacts]:
    """The composed pages; their pictures go into the folder, a slice of pages at a time."""
    facts: list[PageFacts] = []
    total = len(body.pages)
    width = max(3, len(str(total)))
    for first in range(1, total + 1, SLICE):
        last = min(first + SLICE - 1, total)
        pictures = folder is not None
        options = ComposeOptions(wanted.context, wanted.header, first, last, pictures=pictures, overlay=overlay)
        composed = await client.compose(body.fd, options)
        try:
            facts += composed.pages
            if folder is not None:
                for index, page in enumerate(composed.pages):
                    (folder / f"page-{page.page:0{width}}.png").write_bytes(composed.picture(index))
        finally:
            composed.close()
    return facts


def _as_json(shown: Shown, values: Mapping[str, Any]) -> dict[str, object]:
    expected = shown.expected
    how = {key: values[key] for key in ("resolution", "mode", "paper", "ecm")}
    return {
        **how,
        "pages": [asdict(page) | {"seconds": round(page.seconds, 1)} for page in shown.pages],
        "left_out": [asdict(each) for each in shown.missing],
        "octets": expected.octets,
        "rate": expected.rate,
        "seconds": round(expected.seconds, 1),
        "billed_pages": expected.billed_pages,
        "billed_units": expected.billed_units,
    }


def _table(shown: Shown) -> str:
    pages, expected = shown.pages, shown.expected
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
    lines += [f"not faxed of {each.mail}: {each.name} ({each.why})" for each in shown.missing]
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
