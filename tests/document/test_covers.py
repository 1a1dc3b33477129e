"""The shipped designs as pages: one each, black on white, few octets, in every language and on every paper."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

import pytest

from faxgw.document import tiff
from faxgw.document.client import PageClient
from faxgw.document.types import Document, Kind, Paper, Rendered, RenderOptions, Resolution
from faxgw.formats.cover_values import CoverFacts, sample, values
from faxgw.formats.covers import read
from tests.document.conftest import Make

pytestmark = pytest.mark.asyncio(loop_scope="module")

DESIGNS = ("plain", "letter", "form")
MAX_OCTETS = {Resolution.FINE: 12_000, Resolution.STANDARD: 8_500}
"""Of a page: 6.7 s and 4.7 s at 14,400 bit/s."""


def filled(design: str, facts: CoverFacts) -> bytes:
    content = (resources.files("faxgw.document") / "covers" / f"{design}.html").read_bytes()
    return read("html", content).fill(values(facts))


@pytest.mark.parametrize("paper", list(Paper))
@pytest.mark.parametrize("resolution", [Resolution.FINE, Resolution.STANDARD])
async def test_each_design_is_one_page_of_few_octets(
    client: PageClient, make: Make, paper: Paper, resolution: Resolution
) -> None:
    pages = [filled(design, sample(language, paper.value)) for design in DESIGNS for language in ("en", "fr", "de")]
    documents = [Document(make.fd(octets), f"cover {n}", Kind.HTML, "utf-8") for n, octets in enumerate(pages)]
    rendered = await client.render(documents, RenderOptions(resolution, paper))
    assert isinstance(rendered, Rendered)
    assert [page.document for page in rendered.pages] == list(range(len(pages)))
    assert all(page.octets <= MAX_OCTETS[resolution] and page.black < 0.05 for page in rendered.pages)
    rendered.close()


@pytest.mark.parametrize("design", DESIGNS)
async def test_a_long_message_goes_on_and_the_notice_stands_on_the_first_page(
    client: PageClient, make: Make, design: str
) -> None:
    facts = replace(sample("en"), comment="\n".join(f"Line {n} of a long message." for n in range(120)))
    both = [filled(design, facts), filled(design, facts).replace(b"destroy it", b"")]
    found = []
    for octets in both:
        rendered = await client.render([Document(make.fd(octets), "cover", Kind.HTML, "utf-8")])
        assert isinstance(rendered, Rendered)
        found.append(make.pages(rendered.fd))
        assert len(tiff.read(rendered.fd)) > 1
        rendered.close()
    differs = [bool((a != b).any()) if a.shape == b.shape else True for a, b in zip(*found, strict=True)]
    assert differs[0] and not any(differs[1:])


@pytest.mark.parametrize("design", DESIGNS)
async def test_where_nothing_is_known_nothing_is_invented(client: PageClient, make: Make, design: str) -> None:
    facts = replace(
        sample("fr"), properties={}, company="", csid="", comment="", subject="", reference="", sender="erp"
    )
    octets = filled(design, facts)
    assert octets.count(b"+33 1 99 00 12 34") >= 1 and b"None" not in octets and "· <".encode() not in octets
    rendered = await client.render([Document(make.fd(octets), "cover", Kind.HTML, "utf-8")])
    assert isinstance(rendered, Rendered) and len(rendered.pages) == 1
    rendered.close()
