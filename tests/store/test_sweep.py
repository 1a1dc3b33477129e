"""What the sweep of orphans asks (docs/spine.md section 5)."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from faxgw.store import schema as t
from faxgw.store import sweep
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
    asked = [mail.file.key, "tiff", "body", "document", "orphan"]
    assert await house.ask(sweep.known_keys, asked) == set(asked) - {"orphan"}
    assert await house.ask(sweep.known_keys, []) == set()
