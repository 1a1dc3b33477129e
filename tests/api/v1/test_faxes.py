"""The collection of faxes: sent, listed, looked at, cancelled, sent again."""

from __future__ import annotations

import pytest

from tests.api.v1.world import FAR, Native, fax

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_fax_is_sent_and_looked_at(api: Native) -> None:
    accepted = await api.send(fax(reference="invoice 7", cost_centre="A1", subject="Hello"))
    (one,) = accepted["faxes"]
    assert (one["state"], one["number"], accepted["count"]) == ("accepted", FAR, 1)
    seen = await api.get(f"/faxes/{one['id']}")
    assert (seen["direction"], seen["state"], seen["final"]) == ("out", "accepted", False)
    assert (seen["reference"], seen["cost_centre"], seen["subject"]) == ("invoice 7", "A1", "Hello")
    assert (seen["number"], seen["job"], seen["pages"]) == (FAR, accepted["job"], None)
    assert await api.get(f"/jobs/{accepted['job']}") == {
        "id": accepted["job"],
        "created_at": accepted["created_at"],
        "finished_at": None,
        "user": "",
        "subject": "Hello",
        "reference": "invoice 7",
        "resend_of": None,
        "count": 1,
        "states": {"accepted": 1},
    }
