"""LibreOffice by itself, outside the sandbox of the page server: what it opens, what it may not, and what ends it."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pypdf
import pytest
import pytest_asyncio

from faxgw.document import office_pool
from faxgw.document.limits import Limits
from faxgw.document.office_pool import Declined, OfficePool, Why
from faxgw.document.types import Kind
from tests.document import office_files as files
from tests.patience import PATIENCE_S
from tests.tools import needs_office

pytestmark = [
    needs_office,
    pytest.mark.asyncio(loop_scope="module"),
]
LIMITS = Limits()
CANARY = Path("/usr/share/common-licenses/BSD")
"""A file that LibreOffice could read, and whose words must not come into a document."""
CANARY_WORDS = "Regents of the University"


class Pool:
    """An office pool, and what it makes as text."""

    def __init__(self, pool: OfficePool) -> None:
        self.pool = pool

    async def pdf(self, data: bytes, kind: Kind, pages: int = 100, limits: Limits = LIMITS) -> pypdf.PdfReader:
        source = os.memfd_create("document")
        try:
            os.write(source, data)
            made = await self.pool.convert(source, kind, pages, limits)
        finally:
            os.close(source)
        with os.fdopen(made, "rb") as file:
            return pypdf.PdfReader(io.BytesIO(file.read()))

    async def texts(self, data: bytes, kind: Kind, limits: Limits = LIMITS) -> list[str]:
        return [page.extract_text() for page in (await self.pdf(data, kind, limits=limits)).pages]

    @property
    def office(self) -> office_pool._Office:
        """The one that is warm."""
        (office,) = self.pool.offices
        return office


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    made = OfficePool()
    yield Pool(made)
    await made.close()


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (files.docx("Hello", "\f", "World"), Kind.DOCX, ["Hello", "World"]),
        (files.odt("Hello World"), Kind.ODT, ["Hello World"]),
        (files.rtf("Hello", "\f", "World"), Kind.RTF, ["Hello", "World"]),
        (files.xlsx([["Hello", 12.5]]), Kind.XLSX, ["Hello"]),
        (files.ods([["Hello", "World"]]), Kind.ODS, ["Hello"]),
        (files.pptx("Hello", "World"), Kind.PPTX, ["Hello", "World"]),
        (files.odp("Hello", "World"), Kind.ODP, ["Hello", "World"]),
    ],
    ids=lambda value: value.value if isinstance(value, Kind) else "",
)
async def test_each_kind_becomes_its_pages(pool: Pool, data: bytes, kind: Kind, said: list[str]) -> None:
    found = await pool.texts(data, kind)
    assert len(found) == len(said)
    assert all(word in page for word, page in zip(said, found, strict=True))


async def test_hidden_and_empty_sheets_are_not_printed(pool: Pool) -> None:
    sheets = {"A": files.sheet([["seen"]]), "B": files.sheet([["secret"]]), "C": files.sheet([])}
    (page,) = await pool.texts(files.package(files.xlsx_parts(sheets, hidden=["B"])), Kind.XLSX)
    assert "seen" in page and "secret" not in page


@pytest.mark.parametrize(("columns", "pages", "turned"), [(6, 1, False), (12, 1, False), (18, 1, True), (60, 2, True)])
async def test_wide_tables_are_shrunk_then_turned_then_cut(pool: Pool, columns: int, pages: int, turned: bool) -> None:
    """Never below the scale at which 10 point are 4.5."""
    found = await pool.pdf(files.xlsx([[f"column {at}" for at in range(columns)]] * 20), Kind.XLSX)
    assert len(found.pages) == pages
    box = found.pages[0].mediabox
    assert (box.width > box.height) is turned


async def test_no_more_pages_are_made_than_wanted(pool: Pool) -> None:
    found = await pool.pdf(files.docx(*["x", "\f"] * 30), Kind.DOCX, pages=4)
    assert len(found.pages) == 4


async def test_a_macro_does_not_run(pool: Pool) -> None:
    """P-13: bound to opening, it would write over the text and write a file."""
    proof = Path("/tmp/faxgw-macro-ran")
    proof.unlink(missing_ok=True)  # noqa: ASYNC240
    module = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<script:module xmlns:script="http://openoffice.org/2000/script" '
        'script:name="M" script:language="StarBasic">Sub Go\n ThisComponent.Text.String = "MACRO RAN"\n'
        f'Open "{proof}" For Output As #1\nClose #1\nEnd Sub\n</script:module>'
    )
    library = (
        '<library:library xmlns:library="http://openoffice.org/2000/library" library:name="Standard" '
        'library:readonly="false" library:passwordprotected="false">'
        '<library:element library:name="M"/></library:library>'
    )
    libraries = (
        '<library:libraries xmlns:library="http://openoffice.org/2000/library" '
        'xmlns:xlink="http://www.w3.org/1999/xlink"><library:library library:name="Standard" library:link="false"/>'
        "</library:libraries>"
    )
    body = (
        '<office:scripts><office:event-listeners><script:event-listener script:language="ooo:script" '
        'script:event-name="dom:load" '
        'xlink:href="vnd.sun.star.script:Standard.M.Go?language=Basic&amp;location=document" '
        'xlink:type="simple"/></office:event-listeners></office:scripts>'
        "<office:body><office:text><text:p>calm</text:p></office:text></office:body>"
    )
    extra = {"Basic/script-lc.xml": libraries, "Basic/Standard/script-lb.xml": library, "Basic/Standard/M.xml": module}
    parts = files.odf_parts("text", body, dict.fromkeys(extra, "text/xml")) | extra
    assert await pool.texts(files.package(parts, stored="mimetype"), Kind.ODT) == ["calm"]
    assert not proof.exists()  # noqa: ASYNC240


class Listener:
    """Counts who connects on loopback."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def _count(self) -> None:
        while True:
            connection, _address = self.socket.accept()
            last = connection.recv(4) == b"end."
            connection.close()
            if last:
                return
            self.connections += 1

    def close(self) -> int:
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"end.")
        self._thread.join()
        self.socket.close()
        return self.connections


def fetching(port: int) -> list[tuple[bytes, Kind]]:
    """Documents that want something of somewhere else: pictures, objects, sections, templates, data."""
    url = f"http://127.0.0.1:{port}/x"
    image = f'<draw:frame svg:width="5cm" svg:height="5cm"><draw:image xlink:href="{url}.png"/></draw:frame>'
    ole = f'<draw:frame svg:width="5cm" svg:height="5cm"><draw:object-ole xlink:href="{url}.odt"/></draw:frame>'
    section = '<text:section text:name="s"><text:section-source xlink:href="{}"/><text:p>old</text:p></text:section>'
    template = files.docx_parts(files.paragraph("calm"))
    template["word/settings.xml"] = (
        '<w:settings xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:r="http://schemas.'
        'openxmlformats.org/officeDocument/2006/relationships"><w:attachedTemplate r:id="rId1"/></w:settings>'
    )
    template["word/_rels/settings.xml.rels"] = files.relations([("rId1", "attachedTemplate", f"{url}.dotm", True)])
    template["word/_rels/document.xml.rels"] = files.relations([("rId1", "settings", "settings.xml", False)])
    field = '<w:p><w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>INCLUDETEXT "{}"</w:instrText></w:r>'
    field += '<w:r><w:fldChar w:fldCharType="end"/></w:r></w:p>'
    service = files.sheet([["calm"]]).replace(
        "</sheetData>", f'<row r="2"><c r="A2"><f>WEBSERVICE("{url}")</f></c></row></sheetData>'
    )
    shown = files.docx_parts(
        files.paragraph("calm")
        + '<w:p><w:r><w:drawing><wp:inline xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/'
        'wordprocessingDrawing"><wp:extent cx="900000" cy="900000"/><a:graphic xmlns:a="http://schemas.openxmlformats'
        '.org/drawingml/2006/main"><a:graphicData uri="http://schemas.openxmlformats.org/drawingml/2006/picture">'
        '<pic:pic xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"><pic:blipFill>'
        '<a:blip r:link="rId7"/></pic:blipFill><pic:spPr/></pic:pic></a:graphicData></a:graphic></wp:inline>'
        "</w:drawing></w:r></w:p>",
        [("rId7", "image", f"{url}.png", True), ("rId8", "oleObject", f"{url}.docx", True)],
    )
    dde = files.sheet([["calm"]]).replace(
        "</sheetData>",
        f'<row r="2"><c r="A2"><f>[1]!x</f></c><c r="B2"><f>IMAGE("{url}")</f></c></row></sheetData>',
    )
    linked = files.xlsx_parts({"A": dde})
    linked["xl/externalLinks/externalLink1.xml"] = (
        '<externalLink xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        '<ddeLink ddeService="cmd" ddeTopic="/c calc"><ddeItems><ddeItem name="x"/></ddeItems></ddeLink></externalLink>'
    )
    table = (
        f'<table:table table:name="Linked"><table:table-source xlink:type="simple" xlink:href="{url}.csv" '
        'table:filter-name="Text - txt - csv (StarCalc)"/><table:table-row><table:table-cell><text:p>calm</text:p>'
        "</table:table-cell></table:table-row></table:table>"
    )
    ods = files.odf_parts("spreadsheet", f"<office:body><office:spreadsheet>{table}</office:spreadsheet></office:body>")
    drawn = (
        '<office:body><office:drawing><draw:page draw:name="a"><draw:frame svg:x="2cm" svg:y="2cm" svg:width="9cm" '
        f'svg:height="9cm"><draw:image xlink:href="{url}.svg"/></draw:frame><draw:frame svg:x="2cm" svg:y="12cm" '
        'svg:width="9cm" svg:height="2cm"><draw:text-box><text:p>calm</text:p></draw:text-box></draw:frame>'
        "</draw:page></office:drawing></office:body>"
    )
    words = [each.encode() + b"\0" for each in ("Word.Document.8", f"{url}.doc", "")]
    named = b"".join(len(each).to_bytes(4, "little") + each for each in words)
    ole1 = bytes.fromhex("0105000001000000") + named + bytes(12)  # LinkedObject ([MS-OLEDS] section 2.2.6)
    rtf_object = (
        f"{{\\object\\objautlink\\objupdate{{\\*\\objclass Word.Document.8}}{{\\*\\objdata {ole1.hex()}}}"
        "{\\result calm}}"
    )
    return [
        (files.package(shown), Kind.DOCX),
        (files.package(linked), Kind.XLSX),
        (files.package(ods, stored="mimetype"), Kind.ODS),
        (files.package(files.odf_parts("graphics", drawn), stored="mimetype"), Kind.ODG),
        (files.rtf("calm", rtf_object), Kind.RTF),
        (files.rtf(f"{{\\*\\template {url}.dot}}calm"), Kind.RTF),
        (files.odt("calm", image), Kind.ODT),
        (files.odt("calm", ole), Kind.ODT),
        (files.odt("calm", more=section.format(url)), Kind.ODT),
        (files.odt("calm", more=section.format(CANARY.as_uri())), Kind.ODT),
        (files.package(template), Kind.DOCX),
        (files.package(files.docx_parts(files.paragraph("calm") + field.format(CANARY))), Kind.DOCX),
        (files.package(files.xlsx_parts({"A": service})), Kind.XLSX),
        (files.rtf("calm", f'{{\\field{{\\*\\fldinst INCLUDEPICTURE "{url}.png"}}}}'), Kind.RTF),
    ]


async def test_nothing_is_fetched(pool: Pool) -> None:
    """P-13: no connection, no octet of a file that the document names. Seccomp alone holds here, without a sandbox."""
    listener = Listener()
    try:
        for data, kind in fetching(listener.port):
            text = "".join(await pool.texts(data, kind))
            assert "calm" in text
            assert CANARY_WORDS not in text
    finally:
        connections = listener.close()
    assert connections == 0
    assert CANARY_WORDS in CANARY.read_text()  # noqa: ASYNC240


async def test_an_object_that_lies_costs_its_libreoffice_only(pool: Pool) -> None:
    """Read as an object, these octets want gigabytes: the limit decides, and the next document is fine."""
    lie = "".join(f"{octet:02x}" for octet in b"http://127.0.0.1:9/x")
    rtf = files.rtf(f"{{\\object\\objautlink{{\\*\\objclass Word.Document.8}}{{\\*\\objdata {lie}}}{{\\result calm}}}}")
    with pytest.raises(Declined) as declined:
        await pool.texts(rtf, Kind.RTF, Limits(office_memory=700 * 1024 * 1024))
    assert declined.value.why is Why.MEMORY
    assert await pool.texts(files.docx("Hello"), Kind.DOCX) == ["Hello"]


async def test_random_octets_are_damaged_not_text(pool: Pool) -> None:
    """LibreOffice alone makes a thousand pages of them: its guess is not asked."""
    with pytest.raises(Declined) as declined:
        await pool.texts(b"PK\x03\x04" + bytes(range(256)) * 100, Kind.DOCX)
    assert declined.value.why is Why.DAMAGED


async def test_one_that_is_killed_loses_nothing(pool: Pool) -> None:
    """The document is done again in a fresh one."""
    await pool.texts(files.docx("warm"), Kind.DOCX)
    first = pool.office.pid
    work = asyncio.create_task(pool.texts(files.docx(*["Hello World"] * 20_000), Kind.DOCX))
    await asyncio.sleep(0)  # the request is on its way
    os.kill(first, signal.SIGKILL)
    assert "Hello" in (await work)[0]
    assert pool.office.pid != first


async def test_one_that_takes_too_long_is_ended_and_the_next_is_served(pool: Pool) -> None:
    slow = Limits(office_seconds=0.01)
    with pytest.raises(Declined) as declined:
        await pool.texts(files.docx(*["Hello World"] * 60_000), Kind.DOCX, slow)
    assert declined.value.why is Why.SLOW
    assert not pool.pool.offices
    assert await pool.texts(files.docx("Hello"), Kind.DOCX) == ["Hello"]


async def test_one_that_eats_too_much_is_ended(pool: Pool) -> None:
    with pytest.raises(Declined) as declined:
        await pool.texts(files.docx(*["Hello World"] * 60_000), Kind.DOCX, Limits(office_memory=1))
    assert declined.value.why is Why.MEMORY


async def test_a_worn_one_is_replaced(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    await pool.texts(files.docx("Hello"), Kind.DOCX)
    monkeypatch.setattr(office_pool, "MAX_DOCUMENTS", 1)
    await pool.texts(files.docx("Hello"), Kind.DOCX)
    assert not pool.pool.offices


async def test_it_leaves_nothing_behind(pool: Pool) -> None:
    await pool.texts(files.docx("Hello"), Kind.DOCX)
    office = pool.office
    kept = {path.name for path in office._folder.iterdir()}
    assert kept <= {"profile", "tmp", ".cache", ".config"}
    await pool.pool._end(office)
    assert not office._folder.exists()
    async with asyncio.timeout(PATIENCE_S):  # it is the host's child, and killed with it a moment later
        while Path(f"/proc/{office.pid}/exe").exists():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)
