"""The gateway on PostgreSQL: a fax all the way, the server lost during the call and back, a second node refused."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.end_to_end.world import DOMAIN, Gateway, gateway_at, mail_with, pages_of, pdf, submit
from tests.postgres import Server, server

pytestmark = [pytest.mark.realtime, pytest.mark.asyncio(loop_scope="module")]

GOOD = f"+33199000000@{DOMAIN}"


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    """A server of this module's own: it is killed here."""
    with server() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(database: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    url = database.url(database.create())
    changes = {"[log]\n": f'[database]\nurl = "{url}"\n\n[log]\n'}
    async with gateway_at(tmp_path_factory.mktemp("postgresql"), media="41000-42999", changes=changes) as running:
        yield running


async def test_a_fax_goes_all_the_way_though_the_server_is_lost_during_the_call_and_comes_back(
    gateway: Gateway, database: Server
) -> None:
    """Spine section 5: database gone: no plan, no gate; what happened is committed when it returns. A second dial may
    be needed where the gate found no database."""
    mail = mail_with(pdf(2, 3), GOOD)
    message = await asyncio.to_thread(submit, gateway.smtp_port, mail, [GOOD])
    await gateway.until(message, lambda f: any(x["state"] == "calling" for x in f["faxes"]))
    await asyncio.to_thread(database.kill)
    assert gateway.process is not None
    await asyncio.to_thread(database.start)
    assert gateway.process.returncode is None, "the gateway outlives its database"
    fax = (await gateway.finished(message))["faxes"][0]
    assert (fax["state"], fax["pages_confirmed"]) == ("sent", 2)
    record = (await gateway.records("00", fax["dials"]))[-1]
    assert gateway.pages_received(record) == pages_of(await gateway.control.tiff(fax["id"]))
    await gateway.told(str(mail["Message-ID"]))


async def test_a_second_node_on_the_same_database_does_not_start(gateway: Gateway) -> None:
    """Its documents would lie in another folder."""
    text = gateway.config.read_text()
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "faxgw.toml"
        other.write_text(
            text.replace("[node]\n", '[node]\nname = "other"\n').replace(str(gateway.data), folder + "/data")
        )
        second = Gateway(Path(folder))
        second.config = other
        with pytest.raises(AssertionError, match="in use by another gateway"):
            await second.start()
        assert second.process is not None
        assert await second.process.wait() == 1
