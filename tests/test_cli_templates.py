"""`faxgw template` against the operator's socket of a real store, with the real page processes behind it."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from click.testing import CliRunner, Result
from PIL import Image

from faxgw.api.control import ControlServer, Operations
from faxgw.api.templates import TemplateRoutes
from faxgw.cli import main
from faxgw.dispatch.template_desk import TemplateDesk
from faxgw.document.client import PageClient
from faxgw.fax.access import OPERATOR
from faxgw.store import accounts
from tests.api.desk import desk
from tests.formats.word_files import docx
from tests.house import House, house, house_store

__all__ = ["house", "house_store"]

pytestmark = pytest.mark.asyncio(loop_scope="session")

Faxgw = Callable[..., "asyncio.Future[Result]"]


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def pages() -> AsyncIterator[PageClient]:
    client = PageClient()
    await client.start()
    yield client
    await client.close()


@pytest_asyncio.fixture(loop_scope="session")
async def faxgw(house: House, pages: PageClient) -> AsyncIterator[Faxgw]:
    async with desk(house, lambda ground: []) as made:
        routes = TemplateRoutes(made.ground, TemplateDesk(house.seat(), pages)).control_routes(OPERATOR)
        operations = Operations(house.store, house.files, None, house.seat(), house.clock, dict, accounts=routes)  # type: ignore[arg-type]
        server = ControlServer(house.folder, operations)
        await server.start()

        def run(*words: object) -> asyncio.Future[Result]:
            arguments = ["--data", str(house.folder), "template", *map(str, words)]
            return asyncio.ensure_future(asyncio.to_thread(CliRunner().invoke, main, arguments))

        yield run
        await server.stop()


async def lines(result: asyncio.Future[Result]) -> list[str]:
    found = await result
    assert found.exit_code == 0, found.output
    return found.output.splitlines()


def letterhead(folder: Path, text_px: int = 200) -> Path:
    """A picture of a page with ink at its top."""
    page = np.full((2286, 1728), 255, np.uint8)
    page[100 : 100 + text_px, 1200:1600] = 0
    file = folder / "head.png"
    Image.fromarray(page).save(file, dpi=(204, 196))
    return file


async def test_a_letterhead_is_kept_shown_previewed_and_removed(faxgw: Faxgw, house: House, tmp_path: Path) -> None:
    file = letterhead(tmp_path)
    (said,) = await lines(faxgw("add", "overlay", "head", file, "--customer", "acme"))
    assert said == "overlay head is kept: png, 1 page"
    assert "overlay  head                             png      own" in await lines(faxgw("list", "acme"))
    assert not [line for line in await lines(faxgw("list", "beta")) if line.startswith("overlay")]
    shown = await lines(faxgw("show", "overlay", "head", "--customer", "acme"))
    assert shown[0].endswith("own") and f"{file.stat().st_size:,} octets" in shown[1]
    (said,) = await lines(faxgw("preview", "overlay", "head", tmp_path / "out", "--customer", "acme"))
    assert said == f"1 page in {tmp_path / 'out'}"
    picture = np.asarray(Image.open(tmp_path / "out" / "page-001.png").convert("L"))
    assert picture.shape[1] == 1728
    assert picture[150:250, 1250:1550].max() == 0 and picture[1000:].min() == 255
    await lines(faxgw("remove", "overlay", "head", "--customer", "acme"))
    assert (await faxgw("show", "overlay", "head", "--customer", "acme")).exit_code == 1
    audit = await house.ask(accounts.audit, "acme")
    assert [event.what for event in audit] == ["account.template.removed", "account.template.kept"]


async def test_what_cannot_be_a_letterhead_is_refused_in_words(faxgw: Faxgw, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    Image.new("L", (1728, 2286), 255).save(blank)
    two = tmp_path / "two.tif"
    Image.open(letterhead(tmp_path)).save(
        two, compression="tiff_lzw", save_all=True, append_images=[Image.open(tmp_path / "head.png")]
    )
    other = tmp_path / "other.bin"
    other.write_bytes(bytes(range(256)) * 10)
    for file, why in ((blank, "blank"), (two, "one page; this one has 2"), (other, "")):
        found = await faxgw("add", "overlay", "head", file)
        assert found.exit_code == 1 and why in found.output
    assert not [line for line in await lines(faxgw("list")) if line.startswith("overlay")]


async def test_a_word_cover_says_what_it_needs_and_is_previewed_with_it(faxgw: Faxgw, tmp_path: Path) -> None:
    """A template whose names nobody gives is refused, or said to be the recipients'."""
    file = tmp_path / "cover.docx"
    body = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in ("To ${ToName}", "Matter ${Matter}"))
    file.write_bytes(docx(body))
    refused = await faxgw("add", "cover", "letter", file)
    assert refused.exit_code == 1 and "Matter" in refused.output
    (said,) = await lines(faxgw("add", "cover", "letter", file, "--given", "Matter"))
    assert said == "cover letter is kept: docx, 1 page; recipients give Matter"
    assert (await lines(faxgw("show", "cover", "letter")))[-1] == "needs values for Matter"
    assert json.loads((await faxgw("list", "acme", "--json")).output)["templates"][0]["of"] == "everybody"
    out: list[bytes] = []
    for words in (("--value", "Matter=one"), ("--value", "Matter=a much longer matter than one"), ()):
        folder = tmp_path / str(len(out))
        await lines(faxgw("preview", "cover", "letter", folder, "--language", "de", *words))
        out.append((folder / "page-001.png").read_bytes())
    assert len(set(out)) == 3


async def test_the_shipped_designs_are_there_and_stay(faxgw: Faxgw, tmp_path: Path) -> None:
    listed = await lines(faxgw("list"))
    covers = [["cover", name, "html", "shipped"] for name in ("plain", "letter", "form")]
    assert [line.split() for line in listed] == [*covers, ["mail", "default", "toml", "shipped"]]
    await lines(faxgw("preview", "cover", "plain", tmp_path / "out", "--paper", "Letter", "--resolution", "standard"))
    assert (tmp_path / "out" / "page-001.png").stat().st_size > 5_000
    assert (await faxgw("remove", "cover", "plain")).exit_code == 1
    assert (await faxgw("preview", "cover", "nothing", tmp_path / "none")).exit_code == 1
    assert (await faxgw("add", "cover", "x", letterhead(tmp_path), "--customer", "nobody")).exit_code == 1


async def test_a_cover_that_is_none_is_refused_with_its_place(faxgw: Faxgw, tmp_path: Path) -> None:
    for name, content, why in (
        ("a.html", b"<p>\n<#macro x>", "line 2"),
        ("a.pdf", b"%PDF-1.4", "PDF"),
        ("a.rtf", b"{\\rtf1 $\\{Nobody\\}}", "Nobody"),
        ("empty", b"", "no document"),
        ("large", b"x" * 2_000_001, ""),
    ):
        (tmp_path / name).write_bytes(content)
        found = await faxgw("add", "cover", "mine", tmp_path / name)
        assert found.exit_code == 1 and why in found.output, found.output


async def test_a_letterhead_may_be_a_scan_or_a_word_document(faxgw: Faxgw, tmp_path: Path) -> None:
    scan = tmp_path / "head.tif"
    Image.open(letterhead(tmp_path)).convert("1").save(scan, compression="group4", dpi=(204, 196))
    word = tmp_path / "head.docx"
    word.write_bytes(docx("<w:p><w:r><w:t>Exemple &amp; Fils, Brest</w:t></w:r></w:p>"))
    for file, form in ((scan, "tiff"), (word, "package")):
        assert await lines(faxgw("add", "overlay", "head", file)) == [f"overlay head is kept: {form}, 1 page"]
        await lines(faxgw("preview", "overlay", "head", tmp_path / form, "--resolution", "standard"))
        picture = np.asarray(Image.open(tmp_path / form / "page-001.png").convert("L"))
        assert 0 < (picture == 0).sum() < picture.size // 10


async def test_a_folder_is_a_mail_template_and_its_mails_are_shown(faxgw: Faxgw, tmp_path: Path) -> None:
    """docs/status-mails.md: the logo, the colour and the footer of the house, page 1 in its place."""
    house = tmp_path / "house"
    house.mkdir()
    Image.new("RGB", (120, 40), "navy").save(house / "logo.png")
    (house / "mail.toml").write_text('organisation = "Clinic"\ncolour = "#aa2255"\nlogo = "logo.png"\nfooter = "Av. 1"')
    said = await lines(faxgw("add", "mail", "house", house))
    assert said == ["mail house is kept: package, every example mail is good"]
    out = tmp_path / "out"
    assert await lines(faxgw("preview", "mail", "house", out, "--language", "fr")) == [f"7 mails in {out}"]
    page = (out / "failed.fr.html").read_text()
    assert page.count("data:image/png") == 2 and "#aa2255" in page and "Av. 1" in page and "cid:" not in page
    mail = email.message_from_bytes((out / "failed.fr.eml").read_bytes(), policy=email.policy.SMTP)
    assert mail["From"].addresses[0].display_name == "Clinic"
    assert len(await lines(faxgw("preview", "mail", "default", out))) == 1
    assert (await faxgw("preview", "mail", "nothing", out)).exit_code == 1
    (house / "status.html").write_text("<p onclick='x'>${title}</p>")
    wrong = await faxgw("add", "mail", "house", house)
    assert wrong.exit_code == 1 and "status.html: <p onclick> is nothing for a mail" in wrong.output
    assert await lines(faxgw("remove", "mail", "house")) == ["mail house is removed"]
