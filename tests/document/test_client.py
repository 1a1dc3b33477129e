"""The page processes through the client, in their real sandbox: mail and documents in, attempts out."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from faxgw.document import bitmap, tiff
from faxgw.document import client as client_module
from faxgw.document.client import PageClient, PagesDamaged, PagesUnavailable, charged_to
from faxgw.document.limits import Limits
from faxgw.document.types import (
    ComposeOptions,
    Document,
    Kind,
    PageSettings,
    Paper,
    Progress,
    Reason,
    Refused,
    Rendered,
    RenderOptions,
    Resolution,
    Sandbox,
    Walked,
    WalkOptions,
)
from faxgw.fax.header import HeaderContext
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")

A4 = (595.28, 841.89)
LANDSCAPE = (841.89, 595.28)
A5 = (419.53, 595.28)
LETTER = (612.0, 792.0)
A3 = (841.89, 1190.55)
CONTEXT = HeaderContext(datetime(2026, 11, 21, 20, 10, tzinfo=UTC), "+33123456789", "+49 89 555")
Make = Any  # conftest's class; tests import nothing from one another


async def rendered(client: PageClient, options: RenderOptions, *documents: Document) -> Rendered:
    result = await client.render(documents, options)
    assert isinstance(result, Rendered), result
    return result


async def test_a_mail_with_a_pdf_becomes_an_attempts_file(client: PageClient, make: Make) -> None:
    """The whole way: walk, render, compose."""
    mail = make.mail("Please see attached.")
    mail.add_attachment(make.pdf(A4, A4), maintype="application", subtype="pdf", filename="invoice.pdf")
    walked = await client.walk(make.fd(mail.as_bytes()))
    assert isinstance(walked, Walked)
    assert [(d.name, d.kind) for d in walked.documents] == [("mail text", Kind.TEXT), ("invoice.pdf", Kind.PDF)]
    body = await rendered(client, RenderOptions(), *walked.documents)
    walked.close()
    assert [(page.document, page.page) for page in body.pages] == [(0, 1), (1, 1), (1, 2)]
    composed = await client.compose(body.fd, ComposeOptions(CONTEXT, "%d.%m.%Y %H:%M %C%r%P/%T"))
    body_pages, pages = make.pages(body.fd), make.pages(composed.fd)
    assert len(pages) == 3
    for before, after in zip(body_pages, pages, strict=True):
        assert len(before) == len(after)
        assert (before[32:] == after[32:]).all()
        assert not before[:32].any() and after[:32].any()
    body.close()
    composed.close()


async def test_libtiff_and_pillow_read_the_file_as_a_fax(client: PageClient, make: Make) -> None:
    """transport.md F.3: G4, 1728, exact 204x196, all pages alike."""
    body = await rendered(client, RenderOptions(), Document(make.fd(make.pdf(A4, LANDSCAPE)), "a.pdf"))
    with os.fdopen(os.dup(body.fd), "rb") as file, Image.open(file) as image:
        for page in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(page)
            assert image.size == (1728, 2286)
            assert image.info["compression"] == "group4"
            assert image.info["dpi"] == (204, 196)
            assert image.tag_v2[262] == 0 and image.tag_v2[278] == 2286  # type: ignore[attr-defined]
        assert image.n_frames == 2  # type: ignore[attr-defined]
    body.close()


@pytest.mark.parametrize(
    ("paper", "resolution", "rows"),
    [
        (Paper.A4, Resolution.FINE, 2286),
        (Paper.A4, Resolution.STANDARD, 1143),
        (Paper.LETTER, Resolution.FINE, 2150),
        (Paper.LEGAL, Resolution.STANDARD, 1369),
    ],
)
async def test_pages_have_the_papers_length(
    client: PageClient, make: Make, paper: Paper, resolution: Resolution, rows: int
) -> None:
    options = RenderOptions(paper=paper, resolution=resolution)
    body = await rendered(client, options, Document(make.fd(make.pdf(A4)), "a.pdf"))
    assert [(page.width, page.rows) for page in body.pages] == [(1728, rows)]
    assert body.resolution is resolution
    assert len(make.pages(body.fd)[0]) == rows
    body.close()


async def test_mixed_sizes_and_orientations_are_fitted_page_by_page(client: PageClient, make: Make) -> None:
    """A frame drawn 20 pt inside each page's edge lies inside the fax page, upright or turned."""

    def frame(canvas: Canvas, number: int) -> None:
        width, height = sizes[number - 1]
        canvas.setLineWidth(2)
        canvas.rect(20, 20, width - 40, height - 40)

    sizes = (A4, LANDSCAPE, A5, LETTER, A3)
    body = await rendered(client, RenderOptions(), Document(make.fd(make.pdf(*sizes, draw=frame)), "mixed.pdf"))
    extents = []
    for bits in make.pages(body.fd):
        black = bitmap.unpack(bits)
        rows, columns = np.flatnonzero(black.any(axis=1)), np.flatnonzero(black.any(axis=0))
        extents.append((columns[-1] - columns[0], rows[-1] - rows[0]))
    inside_a4 = (1688 - 2 * 20 * 25.4 / 72 * 1728 / 215, 2287 - 2 * 20 * 25.4 / 72 * 7.7)
    for index in (0, 1):  # landscape is turned: the same extent as portrait
        assert extents[index] == pytest.approx(inside_a4, abs=12)
    assert extents[2] == pytest.approx((1190 - 113, 1617 - 109), abs=12)  # A5 keeps its size
    assert extents[4] == pytest.approx((1688 - 80, 2286 - 77), abs=14)  # A3 is made smaller
    body.close()


async def test_documents_follow_one_another_in_order_with_progress(client: PageClient, make: Make) -> None:
    seen: list[Progress] = []
    documents = [
        Document(make.fd(make.pdf(A4, A4)), "one.pdf"),
        Document(make.fd(b"two\n"), "two.txt"),
        Document(make.fd(make.image(make.pattern(300, 200))), "three.png"),
    ]
    body = await client.render(documents, RenderOptions(thumbnail_px=200), seen.append)
    assert isinstance(body, Rendered)
    assert [(page.document, page.page) for page in body.pages] == [(0, 1), (0, 2), (1, 1), (2, 1)]
    assert seen == [Progress(0, 1, 2), Progress(0, 2, 2), Progress(1, 1, 1), Progress(2, 1, 1)]
    assert all(0 < page.black < 0.2 and page.octets > 0 for page in body.pages)
    assert body.thumbnail_fd is not None
    with os.fdopen(os.dup(body.thumbnail_fd), "rb") as file, Image.open(io.BytesIO(file.read())) as image:
        assert (image.format, image.width) == ("PNG", 200)
        assert image.height == pytest.approx(200 * 297 / 215, abs=3)
    body.close()


async def test_blank_pages_are_left_out_on_request(client: PageClient, make: Make) -> None:
    def every_second(canvas: Canvas, number: int) -> None:
        if number % 2:
            canvas.drawString(100, 400, f"{number}")

    document = Document(make.fd(make.pdf(A4, A4, A4, draw=every_second)), "gaps.pdf")
    kept = await rendered(client, RenderOptions(), document)
    assert len(kept.pages) == 3
    body = await rendered(client, RenderOptions(suppress_blank=True), document)
    assert [page.page for page in body.pages] == [1, 3]
    only_blank = Document(make.fd(make.pdf(A4, draw=lambda canvas, number: None)), "blank.pdf")
    refused = await client.render([only_blank], RenderOptions(suppress_blank=True))
    assert isinstance(refused, Refused) and refused.reason is Reason.EMPTY
    kept.close()
    body.close()


async def test_a_composition_can_start_at_a_page_and_mark_it(client: PageClient, make: Make) -> None:
    """spine 2: page k stays page k of n; a doubtful page sent again is marked."""
    body = await rendered(client, RenderOptions(), Document(make.fd(make.pdf(A4, A4, A4)), "a.pdf"))
    options = ComposeOptions(CONTEXT, "%r%P/%T", first_page=2, marked=(2,))
    composed = await client.compose(body.fd, options)
    assert [page.page for page in composed.pages] == [2, 3]
    plain = await client.compose(body.fd, ComposeOptions(CONTEXT, "%r%P/%T", first_page=2))
    body_pages, marked, unmarked = make.pages(body.fd), make.pages(composed.fd), make.pages(plain.fd)
    assert (marked[0][80:] == body_pages[1][80:]).all()
    assert marked[0][32:80].any() and not unmarked[0][32:80].any()
    assert (marked[0][:32] == unmarked[0][:32]).all()
    assert (marked[1] == unmarked[1]).all()
    for result in (body, composed, plain):
        result.close()


async def test_a_fine_body_can_be_composed_at_standard(client: PageClient, make: Make) -> None:
    """Rescaled, never renumbered or split; no stroke is lost."""
    body = await rendered(client, RenderOptions(), Document(make.fd(make.pdf(A4, A4)), "a.pdf"))
    composed = await client.compose(body.fd, ComposeOptions(CONTEXT, "%r%P/%T", resolution=Resolution.STANDARD))
    assert composed.resolution is Resolution.STANDARD
    assert [(page.rows, page.page) for page in composed.pages] == [(1143, 1), (1143, 2)]
    for fine, standard in zip(make.pages(body.fd), make.pages(composed.fd), strict=True):
        assert (standard[16:] == (fine[0::2] | fine[1::2])[16:]).all()
    body.close()
    composed.close()


async def test_a_damaged_body_is_not_composed(client: PageClient, make: Make) -> None:
    """transport.md F.3: libspandsp would report success for a truncated file."""
    body = await rendered(client, RenderOptions(), Document(make.fd(make.pdf(A4, A4)), "a.pdf"))
    whole = os.pread(body.fd, 1 << 20, 0)
    for data in (whole[: len(whole) - 10], whole[:100], b"junk", b""):
        with pytest.raises(PagesDamaged):
            await client.compose(make.fd(data), ComposeOptions(CONTEXT))
    for first, last in ((0, 1), (3, 3), (2, 1), (1, 3)):
        with pytest.raises(PagesDamaged):
            await client.compose(body.fd, ComposeOptions(CONTEXT, first_page=first, last_page=last))
    body.close()


async def test_an_empty_mail_is_refused(client: PageClient, make: Make) -> None:
    refused = await client.walk(make.fd(make.mail("  \n ").as_bytes()), WalkOptions())
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.public) == (Reason.EMPTY, "The mail is empty: there is nothing to fax.")


async def test_a_dead_server_is_replaced_and_its_requests_fail_as_ours(make: Make) -> None:
    client = PageClient()
    try:
        await client.start()
        many = Document(make.fd(make.pdf(*[A4] * 300)), "long.pdf")
        begun = asyncio.Event()
        request = asyncio.create_task(client.render([many], RenderOptions(), lambda at: begun.set()))
        await begun.wait()
        assert client.pid is not None
        os.kill(client.pid, signal.SIGKILL)
        with pytest.raises(PagesUnavailable) as error:
            await request
        assert error.value.temporary
        body = await rendered(client, RenderOptions(), Document(make.fd(make.pdf(A4)), "a.pdf"))
        assert len(body.pages) == 1
        body.close()
    finally:
        await client.close()


async def test_closing_ends_every_process(make: Make) -> None:
    client = PageClient()
    await client.start()
    assert client.pid is not None
    server = psutil.Process(client.pid)
    many = Document(make.fd(make.pdf(*[A4] * 300)), "long.pdf")
    begun = asyncio.Event()
    request = asyncio.create_task(client.render([many], RenderOptions(), lambda at: begun.set()))
    await begun.wait()
    family = [server, *server.children(recursive=True)]
    assert len(family) >= 3  # launcher, server, child
    await client.close()
    with pytest.raises(PagesUnavailable):
        await request
    _gone, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
    assert not alive
    with pytest.raises(PagesUnavailable):
        await client.start()


async def test_whoever_starts_a_gateway_reads_why_its_page_processes_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that a document could not be converted, and that it will be tried again."""
    monkeypatch.setattr(client_module, "START_SECONDS", 0.0)
    client = PageClient()
    with pytest.raises(PagesUnavailable) as told:
        await client.start()
    await client.close()
    assert told.value.public == "The page processes do not start: the page server did not become ready."


async def test_a_cancelled_request_ends_its_child(client: PageClient, make: Make) -> None:
    assert client.pid is not None
    launcher = psutil.Process(client.pid)
    idle = len(launcher.children(recursive=True))
    many = Document(make.fd(make.pdf(*[A4] * 400)), "long.pdf")
    begun = asyncio.Event()
    request = asyncio.create_task(client.render([many], RenderOptions(), lambda at: begun.set()))
    await begun.wait()
    family = launcher.children(recursive=True)
    assert len(family) == idle + 1
    max(family, key=lambda process: process.create_time()).suspend()  # it comes to no end of its own
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    async with asyncio.timeout(PATIENCE_S):
        while len(launcher.children(recursive=True)) > idle:  # noqa: ASYNC110 - another process's end
            await asyncio.sleep(0.02)


async def test_descriptors_do_not_pile_up(client: PageClient, make: Make) -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    document = Document(make.fd(make.pdf(A4)), "a.pdf")
    bad = make.fd(b"%PDF-1.7 nothing")
    mail = make.fd(make.mail("Hello").as_bytes())
    before = opened()
    for _ in range(5):
        (await rendered(client, RenderOptions(thumbnail_px=100), document)).close()
        assert isinstance(await client.render([Document(bad, "bad.pdf")]), Refused)
        walked = await client.walk(mail)
        assert isinstance(walked, Walked)
        walked.close()
    assert opened() == before


async def test_requests_beyond_the_places_wait(client: PageClient, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at a time: a third is asked for when one has ended, and a composition has a place of its own."""
    body = await rendered(client, RenderOptions(), Document(make.fd(make.pdf(A4)), "a.pdf"))
    asked, in_work, beside = client._request, {"render": 0, "compose": 0}, list[tuple[int, int]]()

    async def counted(fields: Any, *more: Any) -> Any:
        in_work[fields["type"]] += 1
        beside.append((in_work["render"], in_work["compose"]))
        try:
            return await asked(fields, *more)
        finally:
            in_work[fields["type"]] -= 1

    monkeypatch.setattr(client, "_request", counted)

    async def one(name: str) -> None:
        (await rendered(client, RenderOptions(), Document(make.fd(make.pdf(*[A4] * 3)), name))).close()

    async with asyncio.TaskGroup() as group:
        for name in ("a", "b", "c", "d"):
            group.create_task(one(name))
        composing = group.create_task(client.compose(body.fd, ComposeOptions(CONTEXT)))
    assert client.settings.children == 2
    assert beside[:3] == [(1, 0), (2, 0), (2, 1)]
    assert len(beside) == 5 and max(renders for renders, _compositions in beside) == 2
    composing.result().close()
    body.close()


async def test_a_customers_letter_does_not_wait_for_all_the_documents_of_another(
    client: PageClient, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The letter comes last, and is asked for as soon as one of the documents in work has ended."""
    asked, order = client._request, list[int]()

    async def noted(fields: Any, descriptors: Any, *more: Any) -> Any:
        order.append(os.fstat(descriptors[0]).st_ino)
        return await asked(fields, descriptors, *more)

    monkeypatch.setattr(client, "_request", noted)
    letter = make.fd(make.pdf(A4))

    async def one(customer: str, fd: int) -> None:
        with charged_to(customer):
            (await rendered(client, RenderOptions(), Document(fd, "a.pdf"))).close()

    async with asyncio.TaskGroup() as group:
        for _n in range(6):
            group.create_task(one("large", make.fd(make.pdf(*[A4] * 4))))
        group.create_task(one("small", letter))
    assert order.index(os.fstat(letter).st_ino) == 2


async def test_limits_are_settings(make: Make) -> None:
    client = PageClient(PageSettings(sandbox=Sandbox.NONE, limits=Limits(pages=2)))
    try:
        refused = await client.render([Document(make.fd(make.pdf(A4, A4, A4)), "three.pdf")])
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.TOO_MANY_PAGES
        assert refused.public == ("With the document “three.pdf” the fax would have 3 pages; at most 2 are allowed.")
    finally:
        await client.close()


async def test_a_file_that_differs_from_its_facts_is_not_taken(client: PageClient, make: Make) -> None:
    """A converter's word is not taken: the client reads the file's frame itself."""
    from faxgw.document import client as module

    body = await rendered(client, RenderOptions(), Document(make.fd(make.pdf(A4)), "a.pdf"))
    data = bytearray(os.pread(body.fd, 1 << 20, 0))
    data[tiff.read(body.fd)[0].offset - 20 : tiff.read(body.fd)[0].offset] = bytes(20)
    forged = Rendered(make.fd(bytes(data)), body.pages, body.resolution)
    with pytest.raises(PagesUnavailable):
        module._check(Rendered(os.dup(forged.fd), body.pages, body.resolution), body.pages)
    with pytest.raises(PagesUnavailable):
        module._check(Rendered(os.dup(body.fd), body.pages * 2, body.resolution), body.pages * 2)
    module._check(body, body.pages)
    body.close()


async def test_the_daemons_side_loads_no_converter() -> None:
    """architecture: the converters are unreachable from the daemon."""
    code = "import sys, faxgw.document.client; print(sorted({'PIL', 'numpy', 'pypdfium2'} & set(sys.modules)))"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    said, _errors = await process.communicate()
    assert said == b"[]\n"
