"""`faxgw preview` as an operator types it: real page processes, no gateway."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from faxgw import cli
from faxgw.cli import main

CONFIG = """
[settings.values]
csid = "+49 89 1234"
resolution = "standard"
max_bit_rate = 9600
"""
Preview = Callable[..., Result]


@pytest.fixture
def preview(tmp_path: Path) -> Preview:
    """Runs the command with a settings file."""
    config = tmp_path / "faxgw.toml"
    config.write_text(CONFIG)

    def run(*words: object) -> Result:
        return CliRunner().invoke(main, ["--config", str(config), "preview", *map(str, words)])

    return run


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """A text of two pages."""
    file = tmp_path / "letter.txt"
    file.write_text("\n".join(f"Line {number} of a long letter." for number in range(80)))
    return file


def objects(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def test_it_says_what_a_fax_will_take(preview: Preview, letter: Path) -> None:
    """The settings file decides what no option says: resolution, rate."""
    found = objects(preview(letter, "--json"))
    assert [(page["page"], page["document"]) for page in found["pages"]] == [(1, "letter.txt"), (2, "letter.txt")]
    assert (found["resolution"], found["rate"], found["billed_pages"]) == ("standard", 9600, 2)
    assert found["octets"] == sum(page["octets"] for page in found["pages"])
    assert found["seconds"] > sum(page["seconds"] for page in found["pages"]) > 8 * found["octets"] / 9600
    fine = objects(preview(letter, "--json", "--resolution", "fine"))
    assert fine["octets"] > found["octets"]
    assert fine["pages"][0]["rows"] == 2 * found["pages"][0]["rows"]


def test_it_writes_the_composed_pages(preview: Preview, letter: Path, tmp_path: Path) -> None:
    """With the header line of the settings: its band is the only thing that a number to show changes."""
    folders = [tmp_path / "a" / "b", tmp_path / "c"]
    for folder, number in zip(folders, ("+331", "+332222"), strict=True):
        assert preview(letter, "--png", folder, "--to", number, "--paper", "Letter").exit_code == 0
        assert sorted(file.name for file in folder.iterdir()) == ["page-001.png", "page-002.png"]
    first, second = (np.asarray(Image.open(io.BytesIO((folder / "page-002.png").read_bytes()))) for folder in folders)
    assert first.shape == second.shape == (2238, 1728)
    band = 34  # 16 rows at 98 per inch, in square pixels
    assert (first[:band] != second[:band]).any()
    assert (first[band:] == second[band:]).all()


def mail(folder: Path) -> Path:
    """With a text of one page, a document of two, and a business card."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "ann@example.org", "+33199000001@fax.example.org", "Offer"
    message.set_content("Please find our offer attached.")
    rows = "\n".join(f"Line {number} of a long letter." for number in range(80))
    message.add_attachment(rows, filename="offer.txt")
    message.add_attachment("BEGIN:VCARD\r\nEND:VCARD\r\n", subtype="vcard", filename="anna.vcf")
    file = folder / "Offer.EML"
    file.write_bytes(message.as_bytes())
    return file


def test_a_mail_is_taken_apart_as_the_gateway_does(preview: Preview, letter: Path, tmp_path: Path) -> None:
    found = objects(preview(mail(tmp_path), letter, "--json"))
    names = ["mail text", "offer.txt", "offer.txt", "letter.txt", "letter.txt"]
    assert [page["document"] for page in found["pages"]] == names
    assert found["left_out"] == [{"mail": "Offer.EML", "name": "anna.vcf", "why": "business card"}]
    lines = preview(mail(tmp_path)).output.splitlines()
    assert lines[-1] == "not faxed of Offer.EML: anna.vcf (business card)"
    assert [line.split()[1] for line in lines[1:4]] == ["mail", "offer.txt", "offer.txt"]
    assert objects(preview(letter, "--json"))["left_out"] == []


def test_the_settings_say_what_of_a_mail_is_faxed(preview: Preview, tmp_path: Path) -> None:
    file = mail(tmp_path)
    (tmp_path / "faxgw.toml").write_text(CONFIG + "body_only = true\n")
    found = objects(preview(file, "--json"))
    assert [page["document"] for page in found["pages"]] == ["mail text"]
    assert [one["name"] for one in found["left_out"]] == ["anna.vcf", "offer.txt"]
    (tmp_path / "faxgw.toml").write_text(CONFIG + "attachments_only = true\n")
    assert {page["document"] for page in objects(preview(file, "--json"))["pages"]} == {"offer.txt"}


def test_a_mail_that_the_gateway_would_refuse_is_refused_in_the_same_words(preview: Preview, tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "nothing"
    message.set_content(" ")
    (tmp_path / "empty.eml").write_bytes(message.as_bytes())
    result = preview(tmp_path / "empty.eml")
    assert result.exit_code != 0 and "The mail is empty: there is nothing to fax." in result.output


def test_a_line_for_each_page_and_one_for_all(preview: Preview, letter: Path, tmp_path: Path) -> None:
    other = tmp_path / "a document with a rather long name, indeed.txt"
    other.write_text("One line.")
    result = preview(letter, other)
    lines = result.output.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["page", "document"], ["1", "letter.txt"], ["2", "letter.txt"]]
    assert lines[3].startswith("   3  a document with a rather long… ")
    assert lines[4].startswith("3 pages, ") and "at 9,600 bit/s; billed 3 pages, 1 unit of" in lines[4]


def test_a_document_that_cannot_be_faxed_is_refused_with_its_reason(preview: Preview, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\nnothing")
    result = preview(broken)
    assert result.exit_code == 1
    assert "broken.pdf" in result.output and "damaged" in result.output


def test_a_folder_that_cannot_be_written_is_named(preview: Preview, letter: Path) -> None:
    result = preview(letter, "--png", letter / "below")
    assert result.exit_code == 1
    assert "letter.txt" in result.output and "Not a directory" in result.output


FAX = "FN00000000000000000001"
QUEUED: dict[str, Any] = {
    "fax": FAX, "state": "ready", "attempt": "", "as": "it would go out now", "composed_at": 1_795_000_000.0,
    "resolution": "standard", "first_page": 2, "faxes": 3,
    "pages": [{"page": page, "rows": 1143, "octets": 9000 * page, "seconds": 5.3 * page} for page in (1, 2)],
    "expected": {
        "pages": 1, "octets": 18_000, "rate": 9600, "seconds": 70.2, "billed_pages": 2, "billed_units": 2,
        "known": "this far end",
    },
}  # fmt: skip


class Queue:
    """A gateway that has one fax."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, int]] = []

    async def preview(self, ident: str) -> dict[str, Any]:
        assert ident == FAX
        return QUEUED

    async def preview_page(self, ident: str, page: int) -> bytes:
        self.shown.append((ident, page))
        return b"\x89PNG %d" % page


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    made = Queue()
    monkeypatch.setattr(cli, "_control", lambda context: made)
    return made


@pytest.mark.usefixtures("queue")
def test_a_fax_of_the_queue_is_asked_of_the_gateway(preview: Preview) -> None:
    lines = preview(FAX).output.splitlines()
    assert lines[0] == f"{FAX}, the first of 3 (ready), standard, as it would go out now"
    assert lines[3] == "   2  1143   18,000     10.6"
    assert lines[4] == (
        "1 page from page 2, 18,000 octets, about 1 min 11 s at 9,600 bit/s (as this far end took it); billed 2 pages"
    )
    assert objects(preview(FAX, "--json")) == QUEUED


def test_its_pages_are_written_as_they_go_over_the_line(preview: Preview, queue: Queue, tmp_path: Path) -> None:
    assert preview(FAX, "--png", tmp_path / "shown").exit_code == 0
    assert (tmp_path / "shown" / "page-002.png").read_bytes() == b"\x89PNG 2"
    assert queue.shown == [(FAX, 1), (FAX, 2)]


@pytest.mark.usefixtures("queue")
def test_a_file_that_is_missing_is_no_fax(preview: Preview, tmp_path: Path) -> None:
    for name in (tmp_path / "letter.pdf", "letter.pdf"):
        found = preview(name)
        assert found.exit_code == 1 and f"{name}: there is no such file" in found.output


def test_a_file_with_the_name_of_a_fax_is_a_file(
    preview: Preview, letter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(letter.parent)
    letter.rename(letter.parent / FAX)
    assert objects(preview(FAX, "--json"))["pages"][0]["document"] == FAX


def test_a_letterhead_stands_on_the_pages_that_are_said(preview: Preview, letter: Path, tmp_path: Path) -> None:
    """As it will go out; a document of two pages is no letterhead."""
    page = np.full((2286, 1728), 255, np.uint8)
    page[2100:2200, 100:1600] = 0
    head = tmp_path / "head.png"
    Image.fromarray(page).save(head, dpi=(204, 196))
    assert preview(letter, "--png", tmp_path / "out", "--overlay", head, "--overlay-mode", "last_page").exit_code == 0
    first, second = (np.asarray(Image.open(tmp_path / "out" / f"page-00{number}.png")) for number in (1, 2))
    foot = slice(2220, 2260)  # in square pixels
    assert not second[foot, 200:1500].any() and first[foot, 200:1500].any()
    refused = preview(letter, "--overlay", letter)
    assert refused.exit_code == 1 and "one page" in refused.output
