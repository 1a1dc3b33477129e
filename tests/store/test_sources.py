"""What a job's pages are made from."""

from __future__ import annotations

import os

import pytest
from sqlalchemy import update

from faxgw.store import schema as t
from faxgw.store import sources
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_documents_come_in_order_with_the_settings_and_where_the_pages_came_from(house: House) -> None:
    name, _faxes = await house.job(paper="Letter")
    facts = [{"rows": 2286, "octets": 9, "document": document, "page": 1} for document in (0, 1)]
    await house.change(update(t.jobs).where(t.jobs.c.id == name).values(page_facts=facts))
    found = await house.ask(sources.of_job, name)
    (document,) = found.documents
    assert (document.name, document.kind, document.charset, document.origin) == ("a.pdf", "pdf", None, "attachment")
    descriptor = await house.files.open_read(document.file)
    assert os.pread(descriptor, 100, 0) == b"%PDF document"
    os.close(descriptor)
    assert found.places == ((0, 1), (1, 1))
    assert found.settings["paper"]["value"] == "Letter"
