"""A dozen documents such as offices send, made here: nobody's data, and the same pixels each time."""

from __future__ import annotations

import io
import math
import random
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.pdfgen.canvas import Canvas

from tests.document import office_files
from tests.gallery import words

SANS = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"


@dataclass(frozen=True, slots=True)
class Sample:
    """One document of the gallery."""

    name: str
    """Of its files."""
    title: str
    file: str
    """The document's own name; a mail is taken apart first."""
    about: str
    """What it is, and what is hard about it."""
    make: Callable[[], bytes]


def letter() -> bytes:
    """A letter of a law firm: serif text, hairlines, a signature."""
    out = io.BytesIO()
    page = Canvas(out, pagesize=A4, invariant=1)
    page.setFont("Times-Bold", 20)
    page.drawCentredString(297, 780, "HARGREAVE & LIND")
    page.setFont("Times-Italic", 10)
    page.drawCentredString(297, 765, "Solicitors and Notaries since 1894")
    page.setLineWidth(0.4)
    page.line(60, 756, 535, 756)
    page.setFont("Times-Roman", 8)
    page.drawCentredString(297, 745, "12 Chancery Row · London WC2A 1QQ · Telephone 020 7946 0123 · Fax 020 7946 0124")
    page.setFont("Times-Roman", 11.5)
    for at, line in enumerate(words.ADDRESS):
        page.drawString(72, 700 - 14 * at, line)
    page.drawRightString(523, 630, "21 November 2026")
    page.setFont("Times-Bold", 11.5)
    page.drawString(72, 596, "Your reference: HK/4471 — Lease of 3 Harbour Street, first floor")
    page.setFont("Times-Roman", 11.5)
    y = 572.0
    for paragraph in words.LETTER:
        for line in _wrapped(paragraph, lambda text: page.stringWidth(text, "Times-Roman", 11.5), 451):
            page.drawString(72, y, line)
            y -= 15
        y -= 8
    page.setLineWidth(1.1)
    path = page.beginPath()
    path.moveTo(80, y - 30)
    for step in range(7):
        x = 80 + 20 * step
        path.curveTo(x + 4, y + 10 - 4 * step, x + 14, y - 60 + 5 * step, x + 20, y - 26 + 3 * (step % 2))
    page.drawPath(path)
    page.drawString(72, y - 62, "Margaret Lind, Partner")
    page.save()
    return out.getvalue()


def invoice() -> bytes:
    """White on a dark band, tinted rows, coloured figures, grey small print."""
    out = io.BytesIO()
    page = Canvas(out, pagesize=A4, invariant=1)
    page.setFillColor(colors.HexColor("#1f4e79"))
    page.rect(0, 770, 595, 72, stroke=0, fill=1)
    page.setFillColor(colors.white)
    page.setFont("Helvetica-Bold", 24)
    page.drawString(50, 797, "Brightwater Supplies")
    page.setFont("Helvetica", 10)
    page.drawRightString(545, 800, "Invoice 2026-10482")
    page.setFillColor(colors.black)
    for at, line in enumerate(words.ADDRESS):
        page.drawString(50, 735 - 13 * at, line)
    page.drawRightString(545, 735, "Date: 21 Nov 2026")
    page.drawRightString(545, 722, "Due: 21 Dec 2026")
    y, total = 640, 0.0
    page.setFillColor(colors.HexColor("#1f4e79"))
    page.setFont("Helvetica-Bold", 10)
    for x, head in ((54, "Item"), (300, "Quantity"), (390, "Price"), (490, "Amount")):
        page.drawString(x, y, head)
    for row, (item, count, price) in enumerate(words.ITEMS):
        y -= 20
        if row % 2 == 0:
            page.setFillColor(colors.HexColor("#e3ecf5"))
            page.rect(50, y - 6, 495, 20, stroke=0, fill=1)
        page.setFillColor(colors.black)
        page.setFont("Helvetica", 10)
        page.drawString(54, y, item)
        page.drawRightString(340, y, str(count))
        page.drawRightString(425, y, f"{price:,.2f}")
        page.drawRightString(541, y, f"{count * price:,.2f}")
        total += count * price
    page.line(50, y - 12, 545, y - 12)
    for at, (what, amount) in enumerate((("Net", total), ("VAT 20 %", total / 5), ("Total GBP", total * 1.2))):
        page.setFont("Helvetica-Bold" if at == 2 else "Helvetica", 10 + 2 * (at == 2))
        page.setFillColor(colors.HexColor("#c00000") if at == 2 else colors.black)
        page.drawRightString(425, y - 32 - 18 * at, what)
        page.drawRightString(541, y - 32 - 18 * at, f"{amount:,.2f}")
    page.setFillColor(colors.HexColor("#707070"))
    page.setFont("Helvetica", 7)
    for at, line in enumerate(words.SMALL_PRINT):
        page.drawString(50, 80 - 10 * at, line)
    page.save()
    return out.getvalue()


def table() -> bytes:
    """A wide table of small figures on a landscape page."""
    out, source = io.BytesIO(), random.Random(3)
    wide = landscape(A4)
    page = Canvas(out, pagesize=wide, invariant=1)
    page.setFont("Helvetica-Bold", 13)
    page.drawString(40, 555, "Stock movements by depot, weeks 36 to 47")
    widths = [90] + [56] * 12
    x = 40.0
    page.setFont("Helvetica-Bold", 8)
    for at, width in enumerate(widths):
        page.drawString(x + 3, 530, "Depot" if at == 0 else f"Week {35 + at}")
        x += width
    for row in range(30):
        y = 514 - 15 * row
        if row % 2:
            page.setFillColor(colors.Color(0.91, 0.91, 0.91))
            page.rect(40, y - 4, sum(widths), 15, stroke=0, fill=1)
            page.setFillColor(colors.black)
        page.setFont("Helvetica", 8)
        page.drawString(43, y, words.TOWNS[row % len(words.TOWNS)] + (" II" if row >= len(words.TOWNS) else ""))
        for column in range(12):
            page.drawRightString(40 + 90 + 56 * (column + 1) - 4, y, f"{source.randrange(-900, 9000):,}")
    page.setLineWidth(0.3)
    x = 40.0
    for width in (*widths, 0):
        page.line(x, 541, x, 514 - 15 * 29 - 4)
        x += width
    page.save()
    return out.getvalue()


def lab_report() -> bytes:
    """Plain text in columns, as laboratory systems write it."""
    return words.LAB_REPORT.encode()


def picture(width: int, height: int) -> Image.Image:
    """A landscape: sky, sun, three ranges of hills, water with a glitter, film grain."""
    source = np.random.default_rng(5)
    y, x = np.mgrid[0:height, 0:width] / height
    grey = 235 - 110 * y
    grey += 90 * np.exp(-((x - 1.05) ** 2 + (y - 0.22) ** 2) / 0.01)
    for base, tall, shade, waves in ((0.45, 0.10, 150, 5), (0.55, 0.08, 105, 9), (0.63, 0.06, 60, 14)):
        ridge = base - tall * (np.sin(waves * x) * 0.5 + 0.5 * np.sin(2.7 * waves * x + 1) * 0.5)
        ridge -= 0.004 * np.sin(90 * x + base * 60)
        inside = (y > ridge) & (y < 0.7)
        grey = np.where(inside, shade + 60 * (y - ridge) / 0.3, grey)
    water = y >= 0.7
    glitter = 60 * np.exp(-((x - 1.05) ** 2) / 0.02) * (np.sin(400 * y * (1 + 0.2 * np.sin(9 * x))) > 0.2)
    grey = np.where(water, 150 - 160 * (y - 0.7) + glitter, grey)
    grey = grey + source.normal(0, 5, grey.shape)
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8))


def photo() -> bytes:
    """A photograph of three megapixels."""
    out = io.BytesIO()
    picture(2000, 1500).save(out, "JPEG", quality=88)
    return out.getvalue()


def scanned_form() -> bytes:
    """A paper form filled in by hand and scanned askew at 200 dpi: grey paper, a shadow at the fold, specks."""
    source = np.random.default_rng(8)
    sheet = Image.new("L", (1654, 2339), 246)
    draw = ImageDraw.Draw(sheet)
    draw.text((120, 110), "Request for reimbursement", 20, ImageFont.truetype(SANS, 52))
    draw.text((120, 185), "Please fill in with a dark pen. Fields marked * are required.", 40, _font(26))
    for at, (label, written) in enumerate(words.FIELDS):
        top = 270 + 130 * at
        draw.text((120, top), label, 30, _font(28))
        draw.rectangle((120, top + 40, 1530, top + 100), outline=70, width=2)
        _handwriting(draw, written, 150, top + 92, source)
    for at, label in enumerate(("First claim", "Receipts enclosed", "Paid in another currency")):
        left = 120 + 480 * at
        draw.rectangle((left, 1600, left + 36, 1636), outline=40, width=3)
        draw.text((left + 52, 1600), label, 30, _font(28))
        if at < 2:
            draw.line((left + 5, 1612, left + 16, 1632, left + 46, 1584), fill=45, width=5)
    draw.text((120, 1720), "Signature *", 30, _font(28))
    draw.line((120, 1880, 900, 1880), fill=60, width=2)
    curve = [(180 + 4 * t, 1840 - 60 * math.sin(t / 7) * math.exp(-t / 160) - t / 6) for t in range(140)]
    draw.line(curve, fill=50, width=5)
    turned = sheet.rotate(1.3, Image.Resampling.BICUBIC, fillcolor=232).filter(ImageFilter.GaussianBlur(0.7))
    grey = np.asarray(turned, dtype=np.float64)
    x = np.linspace(0, 1, grey.shape[1])
    grey = grey - 26 * x**3 - 38 * np.exp(-(((np.linspace(0, 1, grey.shape[0]) - 0.5) / 0.006) ** 2))[:, None]
    grey = grey + source.normal(0, 6, grey.shape)
    for _ in range(160):
        row, column = source.integers(0, 2330), source.integers(0, 1650)
        grey[row : row + source.integers(1, 4), column : column + source.integers(1, 4)] -= 120
    out = io.BytesIO()
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=80, dpi=(200, 200))
    return out.getvalue()


def mail() -> bytes:
    """An HTML mail with a picture in its text."""
    message = EmailMessage()
    message["From"], message["Subject"] = "office@example.org", "Harbour open day"
    message.set_content("Please see the HTML part.")
    message.add_alternative(words.MAIL, subtype="html")
    out = io.BytesIO()
    picture(900, 500).save(out, "JPEG", quality=85)
    related = message.get_payload()[1]  # type: ignore[index]
    related.add_related(out.getvalue(), "image", "jpeg", cid="<view@example.org>")  # type: ignore[union-attr]
    return message.as_bytes()


def spreadsheet() -> bytes:
    """An Excel workbook: a budget of twelve months."""
    source = random.Random(4)
    rows: list[Sequence[object]] = [["Cost centre", *words.MONTHS, "Total"]]
    for name in words.COSTS:
        months = [round(source.uniform(200, 9000), 2) for _ in words.MONTHS]
        rows.append([name, *months, round(sum(months), 2)])
    columns = '<cols><col min="1" max="1" width="24" customWidth="1"/></cols>'
    return office_files.xlsx(rows, columns)


def slide() -> bytes:
    """A PowerPoint slide: white on dark, bullets, a bar chart of plain shapes."""
    shapes = [_box(0, 0, 9144000, 1150000, "1F3864"), _text(350000, 230000, 8400000, 3200, "FFFFFF", ["Third quarter"])]
    shapes.append(_text(350000, 1500000, 4300000, 2000, "000000", [f"• {line}" for line in words.BULLETS]))
    for at, (share, colour) in enumerate(((0.4, "9DC3E6"), (0.55, "5B9BD5"), (0.7, "2E75B6"), (0.95, "C55A11"))):
        tall = int(3600000 * share)
        shapes.append(_box(5100000 + 900000 * at, 5900000 - tall, 700000, tall, colour))
        shapes.append(_text(5080000 + 900000 * at, 5950000, 800000, 1400, "404040", [f"Q{at % 4 + 1}"]))
    name = "ppt/slides/slide1.xml"
    return _edited(office_files.pptx("PLACE"), name, "</p:spTree>", "".join(shapes) + "</p:spTree>", drop="PLACE")


def contract() -> bytes:
    """A Word document in French: headings, justified text, accents, ligatures, guillemets, a table to sign in."""
    body = [_heading(words.CONTRACT_TITLE)]
    for title, paragraphs in words.CONTRACT:
        body.append(
            office_files.paragraph("")
            .replace("<w:r>", "<w:r><w:rPr><w:b/></w:rPr>")
            .replace("></w:t>", f">{title}</w:t>")
        )
        body += [office_files.paragraph(text, '<w:pPr><w:jc w:val="both"/></w:pPr>') for text in paragraphs]
    cells = "".join(
        f'<w:tc><w:tcPr><w:tcW w:w="4600" w:type="dxa"/></w:tcPr>{office_files.paragraph(who)}'
        f"{office_files.paragraph('')}"
        f"{office_files.paragraph(words.READ)}</w:tc>"
        for who in ("Pour le bailleur", "Pour le preneur")
    )
    edges = "".join(f'<w:{edge} w:val="single" w:sz="4"/>' for edge in ("top", "left", "bottom", "right", "insideV"))
    body.append(f"<w:tbl><w:tblPr><w:tblBorders>{edges}</w:tblBorders></w:tblPr><w:tr>{cells}</w:tr></w:tbl>")
    body.append(office_files.paragraph(""))
    body.append(
        '<w:sectPr><w:pgSz w:w="11906" w:h="16838"/>'
        '<w:pgMar w:top="1134" w:right="1134" w:bottom="1134" w:left="1134"/></w:sectPr>'
    )
    return office_files.package(office_files.docx_parts("".join(body)))


def right_to_left() -> bytes:
    """Hebrew and Arabic, with Latin words and figures inside, and a table that begins at the right."""
    return words.RIGHT_TO_LEFT.encode()


def receipt() -> bytes:
    """A till receipt of 80 mm: narrow and long."""
    lines = words.RECEIPT
    height = 13 * len(lines) + 110
    out = io.BytesIO()
    page = Canvas(out, pagesize=(226, height), invariant=1)
    page.setFont("Courier-Bold", 15)
    page.drawCentredString(113, height - 30, "MARKET HALL 7")
    page.setFont("Courier", 9)
    for at, line in enumerate(lines):
        page.drawString(12, height - 56 - 13 * at, line)
    source, x = random.Random(6), 30.0
    while x < 190:
        width = source.choice((1, 1, 2, 3))
        page.rect(x, 12, width, 30, stroke=0, fill=1)
        x += width + source.choice((1, 1, 2))
    page.save()
    return out.getvalue()


SAMPLES = (
    Sample("letter", "Letter", "letter.pdf", "PDF: serif text, hairlines, a drawn signature", letter),
    Sample("invoice", "Invoice", "invoice.pdf", "PDF: white on a dark band, tinted rows, red and grey text", invoice),
    Sample("table", "Table", "table.pdf", "PDF, landscape: 8 point figures on alternating tints", table),
    Sample("lab-report", "Laboratory report", "report.txt", "plain text in columns, UTF-8", lab_report),
    Sample("photo", "Photograph", "photo.jpg", "JPEG of three megapixels", photo),
    Sample("form", "Scanned form", "form.jpg", "JPEG of a scan: askew, grey paper, noise, handwriting", scanned_form),
    Sample("mail", "E-mail", "mail.eml", "HTML mail with a picture in its text", mail),
    Sample("spreadsheet", "Spreadsheet", "budget.xlsx", "Excel: fourteen columns", spreadsheet),
    Sample("slide", "Slide", "slide.pptx", "PowerPoint: white on dark, bullets, bars", slide),
    Sample("contract", "Contract in French", "contrat.docx", "Word: justified text with accents, a table", contract),
    Sample("right-to-left", "Right to left", "rtl.html", "HTML: Hebrew and Arabic with Latin words", right_to_left),
    Sample("receipt", "Till receipt", "receipt.pdf", "PDF of 80 mm by 32 cm", receipt),
)


def _wrapped(text: str, width: Callable[[str], float], limit: float) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if width(longer) <= limit:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(SANS, size)


def _handwriting(draw: ImageDraw.ImageDraw, text: str, x: float, base: float, source: np.random.Generator) -> None:
    """Letters of an oblique face, each a little off its line."""
    font = ImageFont.truetype(SANS.replace("Sans.ttf", "Serif-Italic.ttf"), 40)
    for letter_ in text:
        draw.text((x, base - 46 + source.normal(0, 2)), letter_, 55, font)
        x += font.getlength(letter_) + source.normal(1, 1)


def _heading(text: str) -> str:
    return (
        '<w:p><w:pPr><w:jc w:val="center"/></w:pPr><w:r><w:rPr><w:b/><w:sz w:val="30"/></w:rPr>'
        f"<w:t>{text}</w:t></w:r></w:p>"
    )


def _box(x: int, y: int, wide: int, tall: int, colour: str) -> str:
    return (
        '<p:sp><p:nvSpPr><p:cNvPr id="9" name="Box"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr><a:xfrm>'
        f'<a:off x="{x}" y="{y}"/><a:ext cx="{wide}" cy="{tall}"/></a:xfrm><a:prstGeom prst="rect"/>'
        f'<a:solidFill><a:srgbClr val="{colour}"/></a:solidFill></p:spPr></p:sp>'
    )


def _text(x: int, y: int, wide: int, size: int, colour: str, lines: Sequence[str]) -> str:
    said = "".join(
        f'<a:p><a:r><a:rPr sz="{size}"><a:solidFill><a:srgbClr val="{colour}"/></a:solidFill></a:rPr>'
        f"<a:t>{line}</a:t></a:r></a:p>"
        for line in lines
    )
    return (
        '<p:sp><p:nvSpPr><p:cNvPr id="8" name="Text"/><p:cNvSpPr txBox="1"/><p:nvPr/></p:nvSpPr><p:spPr><a:xfrm>'
        f'<a:off x="{x}" y="{y}"/><a:ext cx="{wide}" cy="600000"/></a:xfrm><a:prstGeom prst="rect"/></p:spPr>'
        f"<p:txBody><a:bodyPr/>{said}</p:txBody></p:sp>"
    )


def _edited(package: bytes, part: str, old: str, new: str, *, drop: str) -> bytes:
    """An Office file with one of its parts changed."""
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        parts: dict[str, bytes | str] = {name: archive.read(name) for name in archive.namelist()}
    text = parts[part]
    assert isinstance(text, bytes)
    parts[part] = text.decode().replace(drop, "").replace(old, new)
    return office_files.package(parts)
