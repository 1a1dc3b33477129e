"""`faxgw send --server`: by the native API, as any program would."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result
from sqlalchemy import select, update

from faxgw.cli import main
from faxgw.store import schema as t
from tests.api.v1.world import PDF, Native, native
from tests.house import House, house, house_store
from tests.patience import PATIENCE_S

__all__ = ["house", "house_store"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def api(house: House):  # type: ignore[no-untyped-def]
    async with native(house) as made:
        yield made


async def run(api: Native, letter: Path, *words: str) -> Result:
    """The command in a thread, for it has a client of its own that waits."""
    token = api.auth["Authorization"].split()[1]
    environment = {"FAXGW_SERVER": str(api.desk.client._base_url), "FAXGW_TOKEN": token}
    return await asyncio.to_thread(
        CliRunner().invoke, main, ["send", *words, "+33199000001", str(letter)], env=environment
    )


async def test_a_fax_is_sent_to_a_gateway_elsewhere(api: Native, tmp_path: Path) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(PDF)
    done = await run(api, letter, "--no-wait", "--to", "+33112")
    (job,) = await api.house.rows(select(t.jobs))
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == f"accepted as {job.id}" and "cannot be dialled" in done.output
    assert job.subject == "letter.pdf"


async def test_the_outcome_is_shown_and_is_the_exit_code(api: Native, tmp_path: Path) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(PDF)
    waiting = asyncio.create_task(run(api, letter, "--subject", "A letter"))
    async with asyncio.timeout(PATIENCE_S):
        while not (faxes := await api.house.rows(select(t.faxes))):  # noqa: ASYNC110  # the command's thread
            await asyncio.sleep(0.05)
    await api.post(f"/faxes/{faxes[0].id}/cancel")
    done = await waiting
    assert done.exit_code == 1 and "cancelled, 0 of 0 pages" in done.output, done.output


async def test_a_refusal_is_one_line(api: Native, tmp_path: Path) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(PDF)
    await api.house.change(update(t.customers).values(state="suspended"))
    done = await run(api, letter)
    assert done.exit_code == 1 and done.output.strip() == "Error: This account is suspended."
