"""Letterheads on pages: black that wins, in composed files too."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from faxgw.document import bitmap
from faxgw.document.client import PageClient, PagesDamaged
from faxgw.document.overlay import lay
from faxgw.document.types import ComposeOptions, Document, Overlay, Paper, Rendered, RenderOptions, Resolution
from faxgw.fax.header import HeaderContext
from faxgw.fax.overlay import OverlayMode

FINE, STANDARD = Resolution.FINE, Resolution.STANDARD


def sheet(rows: int, *black: tuple[int, int]) -> bitmap.Bits:
    bits = bitmap.white(rows)
    for row, octet in black:
        bits[row, octet] = 0xF0
    return bits


def test_black_wins_and_neither_is_changed() -> None:
    page, head = sheet(4, (0, 0), (3, 3)), sheet(4, (0, 1), (1, 0))
    laid = lay(page, head, FINE, FINE)
    assert np.array_equal(laid, sheet(4, (0, 0), (3, 3), (0, 1), (1, 0)))
    assert np.array_equal(page, sheet(4, (0, 0), (3, 3)))


@pytest.mark.parametrize("rows", [2, 6])
def test_the_page_keeps_its_length(rows: int) -> None:
    assert len(lay(sheet(4), sheet(rows, (1, 0)), FINE, FINE)) == 4


def test_a_letterhead_of_the_other_resolution_is_rescaled() -> None:
    assert np.array_equal(lay(sheet(2), sheet(4, (3, 0)), STANDARD, FINE), sheet(2, (1, 0)))
    assert np.array_equal(lay(sheet(4), sheet(2, (1, 0)), FINE, STANDARD), sheet(4, (2, 0), (3, 0)))


A4 = (595.28, 841.89)
CONTEXT = HeaderContext(datetime(2026, 11, 21, 20, 10, tzinfo=UTC), "+33123456789")


async def rendered(client: PageClient, make: Any, resolution: Resolution, *sizes: tuple[float, float]) -> Rendered:
    found = await client.render([Document(make.fd(make.pdf(*sizes)), "a.pdf")], RenderOptions(resolution, Paper.A4))
    assert isinstance(found, Rendered)
    return found


async def letterhead(client: PageClient, make: Any, resolution: Resolution) -> Rendered:
    """A letterhead with ink at its top and its foot."""

    def draw(canvas: Any, number: int) -> None:
        canvas.setFont("Helvetica-Bold", 20)
        canvas.drawString(300, 780, "Exemple & Fils")
        canvas.drawString(60, 30, "Capital 10 000")

    found = await client.render([Document(make.fd(make.pdf(A4, draw=draw)), "l.pdf")], RenderOptions(resolution))
    assert isinstance(found, Rendered)
    return found


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "mode, borne",
    [
        (OverlayMode.ALL_PAGES, {1, 2, 3}),
        (OverlayMode.NO_OVERLAY, set()),
        (OverlayMode.FIRST_PAGE, {1}),
        (OverlayMode.LAST_PAGE, {3}),
        (OverlayMode.ALL_BUT_FIRST_PAGE, {2, 3}),
        (OverlayMode.ALL_BUT_LAST_PAGE, {1, 2}),
        (OverlayMode.ALL_BUT_FIRST_AND_LAST_PAGE, {2}),
        (OverlayMode.FIRST_FILE, {1, 2}),
    ],
)
async def test_the_pages_of_a_mode_bear_the_letterhead_and_no_others(
    client: PageClient, make: Any, mode: OverlayMode, borne: set[int]
) -> None:
    body, head = await rendered(client, make, FINE, A4, A4, A4), await letterhead(client, make, FINE)
    composed = await client.compose(body.fd, ComposeOptions(CONTEXT, overlay=Overlay(head.fd, mode, first_file=2)))
    (ink,) = make.pages(head.fd)
    for number, (before, after) in enumerate(zip(make.pages(body.fd), make.pages(composed.fd), strict=True), 1):
        wanted = before | ink if number in borne else before
        assert np.array_equal(after, wanted), number
    for result in (body, head, composed):
        result.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("drawn_for", [FINE, STANDARD])
async def test_a_resumed_fax_at_standard_keeps_its_letterhead(
    client: PageClient, make: Any, drawn_for: Resolution
) -> None:
    """spine 2: page k stays page k; the last page is the last although the file begins at the second."""
    body, head = await rendered(client, make, FINE, A4, A4, A4), await letterhead(client, make, drawn_for)
    options = ComposeOptions(
        CONTEXT,
        "%r%P/%T",
        first_page=2,
        resolution=STANDARD,
        overlay=Overlay(head.fd, OverlayMode.LAST_PAGE),
    )
    composed = await client.compose(body.fd, options)
    (ink,) = make.pages(head.fd)
    ink = bitmap.halve_rows(ink) if drawn_for is FINE else ink
    second, third = (bitmap.halve_rows(page) for page in make.pages(body.fd)[1:])
    made = make.pages(composed.fd)
    assert np.array_equal(made[0][16:], second[16:])
    assert np.array_equal(made[1][16:], (third | ink)[16:])
    assert made[1][:16].any(), "the header line is there too"
    for result in (body, head, composed):
        result.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_damaged_letterhead_is_never_left_out_silently(client: PageClient, make: Any) -> None:
    body = await rendered(client, make, FINE, A4)
    for octets in (b"junk", b""):
        with pytest.raises(PagesDamaged):
            overlay = Overlay(make.fd(octets), OverlayMode.ALL_PAGES)
            await client.compose(body.fd, ComposeOptions(CONTEXT, overlay=overlay))
    body.close()
