"""Documents of a request: what is not handed over leaves nothing behind."""

from __future__ import annotations

import pytest

from faxgw.api.uploads import Uploads
from faxgw.formats.json_body import Blob
from faxgw.store.errors import ObjectTooLarge
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


def lying(house: House) -> int:
    """Files of documents."""
    return sum(path.is_file() for path in (house.folder / "objects").rglob("*"))


async def test_documents_are_kept_in_their_order_and_those_to_be_fetched_stay_none(house: House) -> None:
    async with Uploads(house.files, 1_000) as uploads:
        await uploads._spool(1, b"se")
        await uploads._spool(0, b"first")
        await uploads._spool(1, b"cond")
        kept = await uploads.keep([Blob(0), None, b"inline", Blob(1)])
        uploads.hand_over()
    assert [None if one is None else one.size for one in kept] == [5, None, 6, 6]


async def test_what_was_handed_over_stays_and_everything_else_goes(house: House) -> None:
    before = lying(house)
    async with Uploads(house.files, 1_000) as uploads:
        await uploads.keep([b"kept"])
        uploads.hand_over()
        await uploads._spool(0, b"never named")
    assert lying(house) == before + 1
    with pytest.raises(RuntimeError):
        async with Uploads(house.files, 1_000) as uploads:
            (stored,) = await uploads.keep([b"lost with its request"])
            assert stored is not None
            uploads.take(await house.files.keep(b"fetched"))
            await uploads.copies([stored])
            raise RuntimeError("the request broke")
    assert lying(house) == before + 1


async def test_a_copy_is_a_file_of_its_own(house: House) -> None:
    original = await house.files.keep(b"twice")
    async with Uploads(house.files, 1_000) as uploads:
        (copy,) = await uploads.copies([original])
        assert (copy.sha256, copy.size) == (original.sha256, original.size) and copy.key != original.key
    await house.files.open_read(original)


async def test_a_document_is_bounded_while_it_comes(house: House) -> None:
    with pytest.raises(ObjectTooLarge):
        async with Uploads(house.files, 10) as uploads:
            await uploads._spool(0, b"eleven octets")
