"""PostScript and PCL: off unless switched on, shut in where they are."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from faxgw.document import printer, printer_host
from faxgw.document.client import PageClient
from faxgw.document.limits import Limits
from faxgw.document.office_pool import Declined, NoOffice, Why
from faxgw.document.types import Document, Kind, PageSettings, Reason, Refused, Rendered, RenderOptions, Use
from tests.document.test_hostile import INTERNALS

Make = Any  # conftest's class; tests import nothing from one another
in_module = pytest.mark.asyncio(loop_scope="module")

LETTER = b"""%!PS-Adobe-3.0
%%Pages: 2
/Helvetica findfont 40 scalefont setfont 72 700 moveto (One) show showpage
72 700 moveto (Two) show showpage
%%EOF
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[PageClient]:
    """One with PostScript switched on, in its real sandbox."""
    client = PageClient(PageSettings(postscript=Use.ON, office=Use.OFF, limits=Limits(pages=20, office_seconds=5.0)))
    await client.start()
    yield client
    await client.close()


async def render(client: PageClient, make: Make, data: bytes) -> Rendered | Refused:
    return await client.render([Document(make.fd(data), "print.ps")], RenderOptions())


@in_module
async def test_postscript_is_faxed_where_it_is_switched_on(client: PageClient, make: Make) -> None:
    for data, pages in (
        (LETTER, 2),
        (b"\x1b%-12345X@PJL ENTER LANGUAGE = POSTSCRIPT\r\n" + LETTER + b"\x1b%-12345X", 2),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n9 9 50 50 rectfill\n", 1),
    ):
        found = await render(client, make, data)
        assert isinstance(found, Rendered), found
        assert len(found.pages) == pages and all(page.black > 0 for page in found.pages)
        found.close()


@in_module
@pytest.mark.parametrize(
    ("data", "reason", "said"),
    [
        (LETTER[:120], Reason.DAMAGED, "fewer pages than the 2"),
        (b"%!PS\n/Helv findfont nonsense\n", Reason.DAMAGED, "damaged"),
        (b"%!PS\n", Reason.EMPTY, "nothing to fax"),
        (b"%!PS\n{} loop\n", Reason.TOO_SLOW, "time allowed"),
        (b"%!PS\n300 { 9 9 9 9 rectfill showpage } repeat\n", Reason.TOO_MANY_PAGES, "more than 20 pages"),
    ],
    ids=["cut off", "an error", "nothing", "a loop", "many pages"],
)
async def test_what_cannot_be_faxed_is_refused_by_name(
    client: PageClient, make: Make, data: bytes, reason: Reason, said: str
) -> None:
    found = await render(client, make, data)
    assert isinstance(found, Refused), found
    assert (found.reason, found.document) == (reason, "print.ps")
    assert said in found.public and "print.ps" in found.public
    assert not any(word in found.public for word in INTERNALS)


SPY = b"""%!PS
/Helvetica findfont 20 scalefont setfont
/mark { 0 0 500 500 rectfill } def
{ (/etc/passwd) (r) file pop mark } stopped pop
{ (/usr/share/common-licenses/BSD) (r) file pop mark } stopped pop
{ (%pipe%id) (r) file pop mark } stopped pop
{ (/tmp/faxgw-was-here) (w) file pop mark } stopped pop
{ (/etc/*) { pop mark } 100 string filenameforall } stopped pop
10 10 moveto 20 20 lineto stroke showpage
"""


@in_module
async def test_a_program_in_postscript_reads_and_starts_nothing(client: PageClient, make: Make) -> None:
    """What it reaches makes a black square; it reaches nothing, and the page says so."""
    found = await render(client, make, SPY)
    assert isinstance(found, Rendered), found
    assert found.pages[0].black < 0.01
    found.close()
    assert not Path("/tmp/faxgw-was-here").exists()  # noqa: ASYNC240


@in_module
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (LETTER, "a PostScript file"),
        (b"\x1bE\x1b&l26A Hello\f\x1bE", "a PCL printer file"),
        (b") HP-PCL XL;2;0;", "a PCL printer file"),
        (b"\x1b%-12345X@PJL ENTER LANGUAGE=PCL\r\n\x1bE", "a PCL printer file"),
    ],
)
async def test_printer_languages_are_refused_by_name_unless_switched_on(make: Make, data: bytes, said: str) -> None:
    client = PageClient()
    await client.start()
    try:
        found = await client.render([Document(make.fd(data), "print.prn")], RenderOptions())
    finally:
        await client.close()
    assert isinstance(found, Refused)
    assert found.public == f"The document “print.prn” is {said} and cannot be faxed. Please send it as PDF."


def test_what_must_be_there_and_is_not_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printer, "PROGRAMS", {Kind.POSTSCRIPT: Path("/bin/sh"), Kind.PCL: Path("/nowhere/gpcl6")})
    assert printer.chosen(Use.AUTO, Use.AUTO) == {Kind.POSTSCRIPT}
    assert printer.chosen(Use.ON, Use.OFF) == {Kind.POSTSCRIPT}
    assert printer.chosen(Use.OFF, Use.AUTO) == frozenset()
    with pytest.raises(NoOffice, match="gpcl6"):
        printer.chosen(Use.OFF, Use.ON)


def test_the_command_shuts_the_program_in() -> None:
    words = printer_host.words(Path("/usr/bin/gs"), Path("/tmp/x"), 7, crop=True)
    assert {"-dSAFER", "-dLastPage=7", "-sTempDir=/tmp/x", "-dEPSCrop"} <= set(words) and words[-1] == "-"
    assert "-dEPSCrop" not in printer_host.words(Path("/usr/bin/gs"), Path("/tmp/x"), 7, crop=False)


@pytest.mark.parametrize(("script", "why"), [("exit 3", Why.DAMAGED), ("echo no PDF", Why.DAMAGED)])
async def test_an_interpreter_that_fails_is_the_documents_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make, script: str, why: Why
) -> None:
    program = tmp_path / "gpcl6"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(printer, "PROGRAMS", {Kind.PCL: program})
    before = len(os.listdir("/proc/self/fd"))
    source = make.fd(b"\x1bE")
    with pytest.raises(Declined) as declined:
        await printer.convert(source, Kind.PCL, 5, Limits(), {Kind.PCL})
    assert declined.value.why is why
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    with pytest.raises(NoOffice):
        await printer.convert(source, Kind.PCL, 5, Limits(), ())
