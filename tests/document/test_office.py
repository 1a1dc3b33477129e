"""Office documents through the gateway's client: accepted, refused by name and reason, and nobody else is held up."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from faxgw.document import office
from faxgw.document.client import PageClient
from faxgw.document.limits import Limits
from faxgw.document.types import (
    Conversion,
    Document,
    Ending,
    Kind,
    PageSettings,
    Reason,
    Refused,
    Rendered,
    Use,
    Walked,
)
from faxgw.metrics import Metrics
from faxgw.observing import Counting
from tests.document import office_files as files
from tests.document.conftest import Make
from tests.document.test_ole import compound
from tests.tools import needs_office

in_module = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[PageClient]:
    client = PageClient(PageSettings(limits=Limits(pages=20)))
    await client.start()
    yield client
    await client.close()


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, bytes]:
    """Documents of the old formats, made by LibreOffice of new ones."""
    folder = tmp_path_factory.mktemp("old")
    made: dict[Kind, bytes] = {}
    for name, data, kind in (
        ("a.docx", files.docx("Hello", "\f", "World"), Kind.DOC),
        ("b.xlsx", files.xlsx([["Hello", 1]]), Kind.XLS),
        ("c.pptx", files.pptx("Hello", "World"), Kind.PPT),
    ):
        (folder / name).write_bytes(data)
        words = ["soffice", f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless"]
        words += ["--convert-to", kind.value, "--outdir", str(folder), str(folder / name)]
        subprocess.run(words, check=True, capture_output=True, timeout=100)
        made[kind] = Path(folder / name).with_suffix(f".{kind.value}").read_bytes()
    return made


async def refused(client: PageClient, make: Make, data: bytes, name: str = "letter.docx") -> Refused:
    found = await client.render([Document(make.fd(data), name)])
    assert isinstance(found, Refused)
    assert name in found.public
    return found


@needs_office
@in_module
async def test_old_formats_are_faxed(client: PageClient, make: Make, old: dict[Kind, bytes]) -> None:
    for kind, pages in ((Kind.DOC, 2), (Kind.XLS, 1), (Kind.PPT, 2)):
        found = await client.render([Document(make.fd(old[kind]), f"a.{kind.value}")])
        assert isinstance(found, Rendered), found
        assert len(found.pages) == pages
        assert all(page.black > 0 for page in found.pages)
        found.close()


@needs_office
@in_module
async def test_an_old_document_that_is_cut_off_is_refused(
    client: PageClient, make: Make, old: dict[Kind, bytes]
) -> None:
    data = old[Kind.DOC]
    assert (await refused(client, make, data[: len(data) // 2])).reason is Reason.DAMAGED


@needs_office
@in_module
async def test_a_mail_with_an_office_document_is_faxed(client: PageClient, make: Make) -> None:
    message = make.mail("Hello")
    message.add_attachment(files.docx("a"), maintype="application", subtype="octet-stream", filename="letter.docx")
    walked = await client.walk(make.fd(bytes(message)))
    assert isinstance(walked, Walked)
    assert [document.kind for document in walked.documents] == [Kind.TEXT, Kind.DOCX]
    found = await client.render(walked.documents)
    walked.close()
    assert isinstance(found, Rendered)
    assert [page.document for page in found.pages] == [0, 1]
    found.close()


CUT = files.docx("Hello" * 300)


@needs_office
@in_module
@pytest.mark.parametrize(
    ("data", "reason", "said"),
    [
        (CUT[: len(CUT) // 2], Reason.DAMAGED, "damaged"),
        (b"PK\x03\x04" + bytes(range(256)) * 40, Reason.UNSUPPORTED, "a ZIP archive"),
        (bytes(range(256)) * 40, Reason.UNSUPPORTED, "of an unknown kind"),
        (b"MZ" + bytes(500), Reason.UNSUPPORTED, "a program"),
        (files.rtf("Hello")[:-1], Reason.DAMAGED, "damaged"),
        (compound({"EncryptedPackage": bytes(6000)}), Reason.ENCRYPTED, "password"),
        (files.docx(*["x", "\f"] * 30), Reason.TOO_MANY_PAGES, "more than 20 pages"),
        (files.docx(*["x", "\f"] * 5_000), Reason.TOO_MANY_PAGES, "more than 20 pages"),
        (files.package({"[Content_Types].xml": "", "word/document.xml": bytes(3 * 10**8)}), Reason.TOO_LARGE, "unpack"),
        (
            files.package({"[Content_Types].xml": "", "word/document.xml": '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'}),
            Reason.UNSAFE,
            "entities",
        ),
        (files.package({"[Content_Types].xml": "", "word/document.xml": "<a"}), Reason.DAMAGED, "damaged"),
    ],
)  # fmt: skip
async def test_what_cannot_be_faxed_is_refused_by_name_and_reason(
    client: PageClient, make: Make, data: bytes, reason: Reason, said: str
) -> None:
    found = await refused(client, make, data)
    assert found.reason is reason
    assert said in found.public


@needs_office
@in_module
async def test_one_that_hangs_holds_up_no_pdf(make: Make) -> None:
    """P-13: other documents of the machine on time."""
    client = PageClient(PageSettings(children=1, limits=Limits(office_seconds=6.0)))
    await client.start()
    try:
        rows = files.xlsx([[at, at * 2, "text"] for at in range(150_000)])
        slow = [asyncio.create_task(client.render([Document(make.fd(rows), f"{n}.xlsx")])) for n in range(4)]
        await asyncio.sleep(0)
        found = await client.render([Document(make.fd(make.pdf()), "a.pdf")])
        assert isinstance(found, Rendered)
        assert not any(task.done() for task in slow)
        found.close()
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
    finally:
        await client.close()


@needs_office
async def test_conversions_and_starts_are_told_to_the_operator(make: Make) -> None:
    """One start for several documents; what was declined is told as such."""
    told: list[Conversion] = []
    client = PageClient(PageSettings(), told.append)
    await client.start()
    try:
        for _ in range(2):
            found = await client.render([Document(make.fd(files.docx("a")), "a.docx")])
            assert isinstance(found, Rendered)
            found.close()
        await refused(client, make, files.package({"[Content_Types].xml": "", "word/document.xml": "<a"}))
    finally:
        await client.close()
    assert [(each.kind, each.ending) for each in told] == [
        (Kind.DOCX, Ending.MADE),
        (Kind.DOCX, Ending.MADE),
        (Kind.DOCX, Ending.DECLINED),
    ]
    assert [each.started for each in told] == [1, 0, 0]
    assert all(each.seconds > 0 for each in told)
    metrics = Metrics()
    for each in told:
        Counting(metrics).conversion(each)
    said = (await metrics.render()).decode()
    assert 'faxgw_conversion_seconds_count{format="docx",result="made"} 2.0' in said
    assert "faxgw_office_starts_total 1.0" in said


async def test_without_libreoffice_its_documents_are_refused(make: Make) -> None:
    client = PageClient(PageSettings(office=Use.OFF))
    await client.start()
    try:
        found = await refused(client, make, files.docx("a"))
    finally:
        await client.close()
    assert found.reason is Reason.UNSUPPORTED
    assert found.public == "The document “letter.docx” is a Word document and cannot be faxed. Please send it as PDF."


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (rb"{\rtf1 a}", True),
        (rb"{\rtf1 {a} \} b}", True),
        (b"{\\rtf1 \\bin3 }}}}", True),
        (rb"{\rtf1 {a} ", False),
        (rb"{\rtf1 \}", False),
    ],
)
def test_an_rtf_text_is_whole_when_its_groups_are_closed(data: bytes, whole: bool) -> None:
    assert office.rtf_is_whole(data) is whole
