"""The SFTP server with the clients that people have: OpenSSH's sftp, lftp, curl."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.house import House, house, house_store
from tests.intake.files_world import PDF, FilesWorld, files_world, job_xml

__all__ = ["house", "house_store"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="session")
def house_engine() -> str:
    return "sqlite"


async def until_jobs(world: FilesWorld, count: int) -> None:
    async with asyncio.timeout(10):
        while len(await world.jobs()) < count:  # noqa: ASYNC110 - the collector tells nobody
            await asyncio.sleep(0.01)


async def test_a_job_that_openssh_puts_becomes_a_fax(house: House, tmp_path: Path) -> None:
    async with files_world(house, tmp_path, serve=True) as world:
        await world.login("erp")
        await world.key("erp")
        (tmp_path / "letter.pdf").write_bytes(PDF)
        (tmp_path / "job1.xml").write_bytes(job_xml())
        status, said = await world.sftp(f"cd in\nput {tmp_path}/letter.pdf\nput {tmp_path}/job1.xml\n")
        assert status == 0, said
        await until_jobs(world, 1)
        (job,) = await world.jobs()
        assert (job.customer, job.owner, job.subject) == ("acme", "login:erp", "order 5")
