"""What the sweep of orphans asks (docs/spine.md section 5)."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from faxgw.fax.ports import StoredFile
from faxgw.store import renditions, sweep
from faxgw.store import schema as t
from faxgw.store.renditions import Kind, Rendition
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_objects_of_mails_documents_bodies_and_attempts_are_known(house: House) -> None:
    mail = await house.mail("+33199000001")
    await house.accept(mail)
    fax = await house.ready_fax("+33199000002")
    await house.plan(fax)
    await house.change(update(t.attempt_faxes).values(tiff_key="tiff"))
    await house.change(update(t.jobs).values(body_key="body"))
    await house.change(update(t.job_documents).values(key="document"))
    job = (await house.rows(select(t.jobs.c.id)))[0].id
    made = Rendition(Kind.COVER, "fine", StoredFile("cover", "", 0), 1, 1, fax)
    await house.do(renditions.keep, job, [made])
    asked = [mail.file.key, "tiff", "body", "document", "cover", "orphan"]
    assert await house.ask(sweep.known_keys, asked) == set(asked) - {"orphan"}
    assert await house.ask(sweep.known_keys, []) == set()
