"""Links that release junk over HTTP: looking is safe, a click releases, a wrong one is nothing (features G8)."""

from __future__ import annotations

import pytest

from faxgw.api.junk_links import ASKED_AT_ONCE, ASKED_PER_SECOND, JunkLinks
from faxgw.fax import release_link
from faxgw.store import link_keys
from faxgw.store.junk import State
from tests.api.desk import desk
from tests.house import House
from tests.store.test_junk import row
from tests.store.test_junk_mail import ALICE, aside, numbers

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = b"k" * link_keys.KEY_OCTETS


async def linked(house: House) -> tuple[str, str]:
    """(fax, path of its link)."""
    await numbers(house, {"deliver_to": [ALICE], "language": "en"})
    await house.do(link_keys.obtain, link_keys.JUNK, drawn=KEY, now=house.now)
    reception = await aside(house)
    return reception, release_link.path(KEY, reception, ALICE, house.now + 60)


async def test_get_and_head_show_and_post_releases(house: House) -> None:
    reception, path = await linked(house)
    async with desk(house, lambda ground: [JunkLinks(ground).routes()]) as door:
        async with door.client.head(path) as answer:
            assert answer.status == 200
        async with door.client.get(path) as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
            assert '<form method="post">' in await answer.text()
            assert answer.headers["Referrer-Policy"] == "no-referrer" and answer.headers["Cache-Control"] == "no-store"
            assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Frame-Options"] == "DENY"
        assert (await row(house, reception)).state == State.ASIDE
        async with door.client.post(path) as answer:
            assert answer.status == 200 and "The fax is released" in await answer.text()
        assert (await row(house, reception)).state == State.RELEASED
        for ask in (door.client.get, door.client.post):
            async with ask(path) as answer:
                text = await answer.text()
                assert answer.status == 200 and "Nothing is left to do" in text and "<form" not in text
        for ask in (door.client.put, door.client.delete):
            async with ask(path) as answer:
                assert answer.status == 405


async def test_whatever_is_wrong_with_a_link_is_answered_alike(house: House) -> None:
    reception, path = await linked(house)
    over = release_link.path(KEY, reception, ALICE, house.now - 1)
    strange = release_link.path(KEY, reception, "carol@example.org", house.now + 60)
    missing = path.replace(reception, "rcv_" + "0" * 32)
    forged = release_link.path(b"f" * 32, reception, ALICE, house.now + 60)
    words = f"/junk/{reception}/%F0%9F%93%A0"
    said = set()
    async with desk(house, lambda ground: [JunkLinks(ground).routes()]) as door:
        for wrong in (over, strange, missing, forged, words, "/junk/x/y", f"/junk/%00/{'A' * 39}", path + "A"):
            for ask in (door.client.get, door.client.post):
                async with ask(wrong) as answer:
                    headers = {name: value for name, value in answer.headers.items() if name != "Date"}
                    said.add((answer.status, await answer.text(), tuple(headers.items())))
    assert len(said) == 1 and {status for status, _text, _headers in said} == {404}
    assert (await row(house, reception)).state == State.ASIDE


async def test_a_client_that_guesses_is_slowed_down(house: House) -> None:
    reception, path = await linked(house)
    async with desk(house, lambda ground: [JunkLinks(ground).routes()]) as door:
        for _ in range(ASKED_AT_ONCE):
            async with door.client.get("/junk/x/y") as answer:
                assert answer.status == 404
        for ask in (door.client.get, door.client.post):
            async with ask(path) as answer:
                assert answer.status == 429 and int(answer.headers["Retry-After"]) >= 1
        assert (await row(house, reception)).state == State.ASIDE
        door.ticks.now += 1 / ASKED_PER_SECOND
        async with door.client.post(path) as answer:
            assert answer.status == 200
    assert (await row(house, reception)).state == State.RELEASED


async def test_nothing_is_released_while_the_interfaces_are_closed(house: House) -> None:
    reception, path = await linked(house)
    async with desk(house, lambda ground: [JunkLinks(ground).routes()]) as door:
        door.ground.maintenance.reason = "Back at noon."
        async with door.client.post(path) as answer:
            assert answer.status == 503 and "Back at noon." in await answer.text()
    assert (await row(house, reception)).state == State.ASIDE
