"""Office documents with a password, made by LibreOffice itself; and that none sees anything of the one before it."""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from faxgw.document import office_pool, sandbox
from faxgw.document.client import PageClient
from faxgw.document.limits import Limits
from faxgw.document.office_pool import FILTERS, OfficePool
from faxgw.document.types import Document, Kind, PageSettings, Reason, Refused, RenderOptions
from tests.document import office_files as files
from tests.tools import needs_office

Make = Any  # conftest's class; tests import nothing from one another
pytestmark = [
    needs_office,
    pytest.mark.asyncio(loop_scope="module"),
]
SOURCES = {
    Kind.DOCX: (files.docx("secret"), (Kind.DOCX, Kind.DOC, Kind.ODT)),
    Kind.XLSX: (files.xlsx([["secret", 1]]), (Kind.XLSX, Kind.XLS, Kind.ODS)),
    Kind.PPTX: (files.pptx("secret"), (Kind.PPTX, Kind.ODP)),
}
KINDS = [kind for _source, kinds in SOURCES.values() for kind in kinds]


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, bytes]:
    """One document of each kind that opens with "secret" only."""
    folder = tmp_path_factory.mktemp("protected")
    words = []
    for source, (data, kinds) in SOURCES.items():
        (folder / source.value).write_bytes(data)
        for kind in kinds:
            words += [str(folder / source.value), FILTERS[source].name]
            words += [str(folder / f"made.{kind.value}"), FILTERS[kind].name, "secret"]
    (folder / "office").mkdir()
    script = Path(__file__).with_name("office_make.py")
    command = [str(office_pool.PYTHON), "-P", str(script), str(folder / "office"), *words]
    subprocess.run(command, check=True, capture_output=True, timeout=100, env=sandbox.environment())
    return {kind: (folder / f"made.{kind.value}").read_bytes() for kind in KINDS}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[PageClient]:
    client = PageClient(PageSettings())
    await client.start()
    yield client
    await client.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_one_with_a_password_is_refused_as_such(
    client: PageClient, make: Make, protected: dict[Kind, bytes], kind: Kind
) -> None:
    """P-13; never "damaged", which would make its sender look for another fault."""
    name = f"contract.{kind.value}"
    found = await client.render([Document(make.fd(protected[kind]), name)], RenderOptions())
    assert isinstance(found, Refused), found
    assert found.reason is Reason.ENCRYPTED
    assert found.public == (
        f"The document “{name}” is protected by a password and cannot be opened. Please send it without protection."
    )


CANARY = "Zanzibar-canary-4711"


def holding(folder: Path, word: str) -> list[Path]:
    """Files with a word in them, plainly or packed."""
    found = []
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        data = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                data += b"".join(archive.read(each) for each in archive.namelist())
        if word.encode() in data or word.encode("utf-16-le") in data:
            found.append(path)
    return found


async def test_nothing_of_a_document_is_left_for_the_next() -> None:
    """P-13: one profile serves many senders, so nothing of a document may stay in it."""
    pool = OfficePool()
    try:
        for data, kind in (
            (files.docx(CANARY), Kind.DOCX),
            (files.xlsx([[CANARY, 1]]), Kind.XLSX),
            (files.pptx(CANARY), Kind.PPTX),
            (files.odt(CANARY), Kind.ODT),
            (files.rtf(CANARY), Kind.RTF),
        ):
            source = os.memfd_create("document")
            try:
                os.write(source, data)
                os.close(await pool.convert(source, kind, 5, Limits()))
            finally:
                os.close(source)
            (office,) = pool.offices
            folder = office._folder
            assert holding(folder, "registry"), "the search itself finds nothing"
            assert holding(folder, CANARY) == []
    finally:
        await pool.close()
