"""Bombs and damage (P-01, P-07, P-10, P-12): refused in time, by name, politely, and the next document is fine."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from typing import Any

import pypdf
import pytest
from PIL import Image

from faxgw.document import sandbox
from faxgw.document.client import PageClient
from faxgw.document.limits import Limits
from faxgw.document.types import Document, PageSettings, Reason, Refused, Rendered, RenderOptions, Walked

pytestmark = pytest.mark.asyncio(loop_scope="module")
Make = Any  # conftest's class; tests import nothing from one another

INTERNALS = ("/", "Traceback", "Error", "pdfium", "PIL", "python", "child", "signal", "None")


def pdf_objects(*objects: bytes) -> bytes:
    """A PDF of these objects; the first is the catalog."""
    out = io.BytesIO()
    out.write(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    out.write(b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start))
    return out.getvalue()


def one_page(contents: bytes, box: bytes = b"0 0 595 842", resources: bytes = b"", more: bytes = b"") -> bytes:
    return pdf_objects(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[%s]/Contents 4 0 R/Resources<<%s>>%s>>" % (box, resources, more),
        contents,
    )


def stream(data: bytes, extra: bytes = b"") -> bytes:
    return b"<</Length %d%s>>stream\n%s\nendstream" % (len(data), extra, data)


def nested_forms(levels: int) -> bytes:
    """Each form draws the next one ten times."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</XObject<</F 5 0 R>>>>>>",
        stream(b"/F Do " * 10),
    ]
    for level in range(levels):
        last = level == levels - 1
        draws = b"0 0 1 1 re f" if last else b"/F Do " * 10
        resources = b"" if last else b"/Resources<</XObject<</F %d 0 R>>>>" % (len(objects) + 2)
        objects.append(stream(draws, b"/Type/XObject/Subtype/Form/BBox[0 0 600 900]" + resources))
    return pdf_objects(*objects)


def flate_bomb() -> bytes:
    """200 MB of drawing in 200 kB."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(b"0 0 m 100 100 l S\n" * 50_000) for _ in range(222)) + packer.flush()
    return one_page(stream(data, b"/Filter/FlateDecode"))


def page_loop() -> bytes:
    return pdf_objects(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 3/Kids[3 0 R 2 0 R 3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>",
    )


def many_pages(count: int) -> bytes:
    kids = b"3 0 R " * count
    return pdf_objects(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%s]>>" % (count, kids),
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>",
    )


def encrypted() -> bytes:
    out = io.BytesIO()
    writer = pypdf.PdfWriter()
    writer.add_blank_page(595, 842)
    writer.encrypt("secret", algorithm="AES-256")
    writer.write(out)
    return out.getvalue()


def tiff(
    pages: int, width: int = 1728, height: int = 100, coding: int = 4, strip: bytes = b"\0" * 8, loop: bool = False
) -> bytes:
    """A TIFF with `pages` directories that share one strip."""
    out = bytearray(b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip)
    for page in range(pages):
        entries = [(256, width), (257, height), (258, 1), (259, coding), (262, 0), (273, 8), (277, 1), (278, height)]
        entries += [(279, len(strip))]
        directory = struct.pack("<H", len(entries))
        directory += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
        following = len(out) + len(directory) + 4
        if page == pages - 1:
            following = 8 + len(strip) if loop else 0
        out += directory + struct.pack("<I", following)
    return bytes(out)


def png(width: int, height: int) -> bytes:
    """A PNG whose header promises a size; its data are one row of zeros, packed."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


async def render(client: PageClient, make: Make, data: bytes, name: str) -> Rendered | Refused:
    result = await client.render([Document(make.fd(data), name)], RenderOptions())
    if isinstance(result, Refused):
        assert not any(word in result.public for word in INTERNALS), result.public
    else:
        result.close()
    return result


CASES: list[tuple[str, Callable[[], bytes], Reason, str]] = [
    ("locked.pdf", encrypted, Reason.ENCRYPTED, "password"),
    ("cut.pdf", lambda: one_page(stream(b""))[:150], Reason.DAMAGED, "damaged"),
    ("noise.pdf", lambda: b"%PDF-1.4\n" + bytes(range(256)) * 40, Reason.DAMAGED, "damaged"),
    ("loop.tif", lambda: tiff(2, loop=True), Reason.DAMAGED, "damaged"),
    ("cut.tif", lambda: tiff(3)[:200], Reason.DAMAGED, "damaged"),
    (
        "lies.tif",
        lambda: tiff(1).replace(struct.pack("<HHII", 279, 4, 1, 8), struct.pack("<HHII", 279, 4, 1, 10**9)),
        Reason.DAMAGED,
        "damaged",
    ),
    ("huge.tif", lambda: tiff(1, 2**31, 2**31), Reason.TOO_LARGE, "pixels"),
    ("rare.tif", lambda: tiff(1, coding=34661), Reason.UNSUPPORTED, "compression"),
    ("long.tif", lambda: tiff(10_000), Reason.TOO_MANY_PAGES, "10,000 pages; at most 500"),
    ("longer.tif", lambda: tiff(100_500), Reason.TOO_MANY_PAGES, "100,000 pages; at most 500"),
    ("long.pdf", lambda: many_pages(200_000), Reason.TOO_MANY_PAGES, "at most 500"),
    ("huge.png", lambda: png(60_000, 60_000), Reason.TOO_LARGE, "60,000 × 60,000 pixels"),
    ("wide.png", lambda: png(2**31 - 1, 1), Reason.TOO_LARGE, "pixels"),
    ("cut.png", lambda: png(5_000, 5_000), Reason.DAMAGED, "damaged"),
    ("cut.jpg", lambda: b"\xff\xd8\xff\xe0" + bytes(50), Reason.DAMAGED, "damaged"),
    ("bad.gif", lambda: b"GIF89a" + b"\xff" * 40, Reason.DAMAGED, "damaged"),
    ("long.txt", lambda: b"line\n" * 100_000, Reason.TOO_MANY_PAGES, "at most 500"),
    ("longer.txt", lambda: b"x" * 5_000_000, Reason.TOO_LARGE, "4,096 KiB"),
    ("deep.html", lambda: b"<html>" + b"<div>" * 900_000, Reason.TOO_LARGE, "4,096 KiB"),
    ("a.zip", lambda: b"PK\x03\x04" + bytes(100), Reason.UNSUPPORTED, "a ZIP archive"),
    ("a.pdf", lambda: b"MZ" + bytes(100), Reason.UNSUPPORTED, "a program"),
    ("a.ps", lambda: b"%!PS-Adobe-3.0\n", Reason.UNSUPPORTED, "PostScript"),
    ("nothing.pdf", lambda: b"", Reason.EMPTY, "empty"),
]


@pytest.mark.parametrize(("name", "data", "reason", "hint"), CASES, ids=[case[0] for case in CASES])
async def test_a_bad_document_is_refused_by_name(
    client: PageClient, make: Make, name: str, data: Callable[[], bytes], reason: Reason, hint: str
) -> None:
    document = data()
    refused = await render(client, make, document, name)
    assert isinstance(refused, Refused), refused
    assert (refused.reason, refused.document) == (reason, name)
    assert name in refused.public and hint in refused.public


@pytest.fixture(scope="module")
def strict() -> PageSettings:
    """Less time and memory than by default, so that the tests are quick; everything else is the same."""
    return PageSettings(limits=Limits(page_cpu=2, job_seconds=90.0, memory=300 * 1024 * 1024))


BOMBS: list[tuple[str, Callable[[], bytes]]] = [
    ("forms-7.pdf", lambda: nested_forms(7)),
    ("forms-10.pdf", lambda: nested_forms(10)),
    ("flate.pdf", flate_bomb),
    ("page-loop.pdf", page_loop),
    ("giant-box.pdf", lambda: one_page(stream(b"0 0 14400 14400 re f"), b"0 0 14400 14400")),
    ("absurd-box.pdf", lambda: one_page(stream(b"1 0 0 rg 0 0 9 9 re f"), b"0 0 2000000 2000000")),
    ("nan-box.pdf", lambda: one_page(stream(b""), b"0 0 nan 1e400")),
    ("no-box.pdf", lambda: one_page(stream(b""), b"0 0 0 0")),
    ("thread.pdf", lambda: one_page(stream(b"0 0 1 1 re f"), b"0 0 1 14400")),
    (
        "tiny-pattern.pdf",
        lambda: one_page(
            stream(b"/Pattern cs /P scn 0 0 595 842 re f"),
            resources=b"/Pattern<</P<</Type/Pattern/PatternType 1/PaintType 1/TilingType 1"
            b"/BBox[0 0 1 1]/XStep 0.001/YStep 0.001/Resources<<>>/Length 0>>>>",
        ),
    ),
    (
        "groups.pdf",
        lambda: one_page(
            stream(b"q /G gs 0 0 595 842 re f Q " * 100_000), resources=b"/ExtGState<</G<</ca 0.5/BM/Luminosity>>>>"
        ),
    ),
    (
        "annotations.pdf",
        lambda: one_page(
            stream(b""), more=b"/Annots[" + b"<</Type/Annot/Subtype/Square/Rect[0 0 9 9]/C[1 0 0]>>" * 50_000 + b"]"
        ),
    ),
    ("rgba.png", lambda: _flat_png(9_000, 9_000)),
]


def _flat_png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGBA", (width, height), (200, 10, 10, 128)).save(out, "PNG", compress_level=1)
    return out.getvalue()


async def test_bombs_cost_their_own_child_only(strict: PageSettings, make: Make) -> None:
    """P-07: CPU and memory per page; the renderer is killed, the reason is clear, other jobs are unaffected."""
    client = PageClient(strict)
    try:
        await client.start()
        server = client.pid
        outcomes = {}
        for name, data in BOMBS:
            outcome = await render(client, make, data(), name)
            outcomes[name] = outcome.reason if isinstance(outcome, Refused) else "rendered"
            if isinstance(outcome, Refused):
                assert outcome.document == name
                assert name in outcome.public
        assert outcomes["forms-10.pdf"] in (Reason.TOO_SLOW, Reason.TOO_LARGE, Reason.DAMAGED)
        assert outcomes["flate.pdf"] in (Reason.TOO_SLOW, Reason.TOO_LARGE, Reason.DAMAGED)
        assert outcomes["rgba.png"] is Reason.TOO_LARGE  # 567 MB of pixels do not fit into 300
        assert outcomes["giant-box.pdf"] == "rendered"  # a size is no cost: it is drawn on the fax grid
        assert isinstance(await render(client, make, make.pdf(), "good.pdf"), Rendered)
        assert client.pid == server
    finally:
        await client.close()


# Mail ---------------------------------------------------------------------------------------------------------------


def multipart(boundary: bytes, *parts: bytes, end: bool = True) -> bytes:
    head = b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n\r\n"
    return (
        head
        + b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
        + (b"--" + boundary + b"--\r\n" if end else b"")
    )


def nested(depth: int) -> bytes:
    inner = b"Content-Type: text/plain\r\n\r\nhello"
    for level in range(depth):
        inner = multipart(b"b%d" % level, inner)
    return inner


def messages(depth: int) -> bytes:
    return b"Content-Type: message/rfc822\r\n\r\n" * depth + b"\r\nhello"


MAILS: list[tuple[str, Callable[[], bytes], Reason | None]] = [
    ("100,000 parts", lambda: multipart(b"b", *[b"\r\nx"] * 100_000), Reason.TOO_MANY_PARTS),
    ("1,000,000 empty parts", lambda: multipart(b"b", *[b""] * 1_000_000), Reason.TOO_MANY_PARTS),
    ("nested 21", lambda: nested(21), Reason.TOO_MANY_PARTS),
    ("nested 20", lambda: nested(20), None),
    ("nested 10,000", lambda: nested(10_000), Reason.TOO_MANY_PARTS),
    ("500 messages", lambda: messages(500), Reason.TOO_MANY_PARTS),
    ("long boundary", lambda: multipart(b"b" * 10_000, b"\r\nx"), Reason.DAMAGED),
    ("no boundary", lambda: b"Content-Type: multipart/mixed\r\n\r\n--\r\n\r\nx", Reason.DAMAGED),
    (
        "false delimiters",
        lambda: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--bx\n" * 2_000_000,
        Reason.DAMAGED,
    ),
    ("missing end", lambda: multipart(b"b", b"\r\nhello", end=False), None),
    ("same boundary inside", lambda: multipart(b"b", multipart(b"b", b"\r\nhello"), b"\r\nworld"), None),
    ("huge header", lambda: b"X: " + b"y" * 200_000 + b"\r\n\r\nhello", Reason.TOO_LARGE),
    ("endless header", lambda: b"X: y\r\n" * 1_000_000, Reason.TOO_LARGE),
    ("external body", lambda: b"Content-Type: message/external-body; name=/etc/passwd\r\n\r\n", Reason.UNSUPPORTED),
    ("partial", lambda: b"Content-Type: message/partial; id=a; number=1\r\n\r\nx", Reason.UNSUPPORTED),
    ("base64 without end", lambda: b"Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8" + b"A" * 1_000_001, None),
    ("unknown encoding", lambda: b"Content-Transfer-Encoding: x-lies\r\n\r\nhello", None),
    ("parentheses in From", lambda: b"From: " + b"(" * 2_000 + b"\r\n\r\nhello", None),
    ("encoded words", lambda: b"Subject: " + b"=?utf-8?q?a?= " * 7_000 + b"\r\n\r\nhello", None),
    ("parameters", lambda: b"Content-Type: text/plain" + b"; a=b" * 20_000 + b"\r\n\r\nhello", None),
    ("quotes", lambda: b'Content-Type: text/plain; x="' + b"\\" * 90_000 + b"\r\n\r\nhello", None),
    ("angle brackets", lambda: b"Content-Type: text/html\r\n\r\n" + b"<" * 1_000_000 + b"hello", None),
    ("nothing", lambda: b"", Reason.EMPTY),
    ("only a header", lambda: b"Subject: x", Reason.EMPTY),
]


@pytest.mark.parametrize(("data", "reason"), [case[1:] for case in MAILS], ids=[case[0] for case in MAILS])
async def test_a_hostile_mail_is_decided_before_its_time_is_up(
    client: PageClient, make: Make, data: Callable[[], bytes], reason: Reason | None
) -> None:
    """P-01: no mail needs the whole time of a walk; one that did would be refused as too slow."""
    result = await client.walk(make.fd(data()))
    if isinstance(result, Walked):
        result.close()
        assert reason is None, reason
    else:
        assert result.reason is reason
        assert "mail" in result.public
        assert not any(word in result.public for word in INTERNALS), result.public


@pytest.mark.parametrize("parts", [100_000, 1_000_000])
async def test_a_mail_of_many_parts_costs_little(parts: int, tmp_path: Any) -> None:
    """The standard parser needs 69 s and 355 MB for the larger one; here 2 s of CPU and 150 MB are the limit."""
    mail = tmp_path / "mail"
    mail.write_bytes(multipart(b"b", *[b""] * parts))
    code = (
        "import os, sys\nfrom faxgw.document import mail, refusal, types\n"
        "try:\n    mail.walk(os.open(sys.argv[1], os.O_RDONLY), types.WalkOptions())\n"
        "except refusal.DocumentRefused as exc:\n    print(exc)\n"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(mail)], env=sandbox.environment(), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    said = process.stdout.read().decode()
    process.stdout.close()
    _pid, status, usage = os.wait4(process.pid, 0)  # noqa: ASYNC222 - its output has ended
    process.returncode = os.waitstatus_to_exitcode(status)
    refusal, peak_kib = said.splitlines()
    assert refusal == "The mail consists of more than 1,000 parts and cannot be faxed."
    assert usage.ru_utime + usage.ru_stime < 2
    assert int(peak_kib) < 150 * 1024
