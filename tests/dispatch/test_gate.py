"""The one funnel: each refusal with its code and words, and the promise itself (docs/spine.md section 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from faxgw.dispatch.gate import GATHERED_RECIPIENTS, Gate
from faxgw.document import types as pages
from faxgw.document.client import PageClient, PagesUnavailable
from faxgw.fax.account import AccountState
from faxgw.fax.ports import MailRecipient, MailSession, MailSubmission, Principal, Receipt, Rejection
from faxgw.store import schema as t
from faxgw.store.errors import CommitUncertain, OutOfSpace, StoreBusy
from faxgw.store.passwords import Passwords
from faxgw.store.space import FreeSpace, Watermark
from tests.dispatch.doubles import Pages
from tests.house import ALICE, DOMAIN, House
from tests.statements import counted

pytestmark = pytest.mark.asyncio(loop_scope="session")

SESSION = MailSession("198.51.100.7", True, "", "submission")
WHO = Principal("acme", "", "", ALICE, "address")
SMALL = Watermark(1000, render_budget=0, percent=0)


@pytest.fixture(scope="module")
def cheap() -> PasswordHasher:
    """A hasher with the least work, for tests that hash often."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def gate(house: House, cheap: PasswordHasher) -> Gate:
    return Gate(house.seat({"area_code": "1"}), SMALL, Passwords(house.clock, cheap))


def refused(answer: object, code: int, enhanced: str, words: str) -> None:
    assert isinstance(answer, Rejection), answer
    assert (answer.code, answer.enhanced) == (code, enhanced)
    assert words in answer.text


# --------------------------------------------------------------------------------------------------------- logins


async def with_password(house: House, cheap: PasswordHasher, **values: Any) -> None:
    await house.change(update(t.logins).values(password=cheap.hash("secret")))
    if values:
        await house.change(update(t.users).values(**values))


async def test_a_login_is_checked_by_its_password(house: House, gate: Gate, cheap: PasswordHasher) -> None:
    await with_password(house, cheap)
    assert await gate.authenticate("bert", "secret", SESSION)
    assert not await gate.authenticate("bert", "wrong", SESSION)
    assert not await gate.authenticate("nobody", "secret", SESSION)


@pytest.mark.parametrize("state, good", [("outbound_suspended", True), ("suspended", False), ("ended", False)])
async def test_a_suspended_user_does_not_log_in(
    house: House, gate: Gate, cheap: PasswordHasher, state: str, good: bool
) -> None:
    await with_password(house, cheap, state=state)
    assert await gate.authenticate("bert", "secret", SESSION) == good


async def test_a_password_is_never_logged(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    await gate.authenticate("nobody", "hunter2", SESSION)
    assert "hunter2" not in caplog.text + str([r.__dict__ for r in caplog.records])


# -------------------------------------------------------------------------------------------------------- senders


async def test_who_somebody_is(gate: Gate) -> None:
    """Spine section 1: the AUTH login, else the authorised envelope sender, else the network."""
    login = replace(SESSION, login="bert")
    assert await gate.sender(login, "any@example.com") == Principal(
        "acme", "acme/bert", "bert", "any@example.com", "auth"
    )
    assert await gate.sender(replace(SESSION, peer="127.0.0.1"), ALICE) == WHO
    refused(await gate.sender(SESSION, ALICE), 451, "4.3.0", "cannot be proven at present")  # a stranger, and no DNS
    inside = replace(SESSION, peer="192.0.2.9")
    assert await gate.sender(inside, "x@nowhere.test") == Principal("acme", "", "", "x@nowhere.test", "network")


async def test_a_forbidden_sender_is_refused_with_the_reason(gate: Gate) -> None:
    refused(await gate.sender(SESSION, "eve@evil.test"), 550, "5.7.1", "eve@evil.test is not authorised")
    refused(await gate.sender(SESSION, ""), 550, "5.7.1", "automatic replies")
    refused(await gate.sender(replace(SESSION, login="gone"), ALICE), 550, "5.7.1", "no longer known")
    refused(await gate.sender(SESSION, "e\r\nve@evil.test"), 550, "5.7.1", "e??ve@evil.test")


@pytest.mark.parametrize("state", ["outbound_suspended", "suspended", "ended"])
async def test_a_suspended_customer_may_not_send(house: House, gate: Gate, state: str) -> None:
    await house.change(update(t.customers).values(state=AccountState(state)))
    refused(await gate.sender(SESSION, ALICE), 550, "5.7.1", "may not send faxes at present")
    refused(await gate.recipient(SESSION, WHO, f"0188000001@{DOMAIN}"), 550, "5.7.1", "may not send faxes")
    mail = await house.mail("+33188000001")
    refused(await gate.submit_mail(mail), 550, "5.7.1", "may not send faxes")


async def test_a_user_that_does_not_exist_may_not_send(gate: Gate) -> None:
    ghost = replace(WHO, user="acme/ghost")
    refused(await gate.recipient(SESSION, ghost, f"0188000001@{DOMAIN}"), 550, "5.7.1", "may not send faxes")


# ----------------------------------------------------------------------------------------------------- recipients


async def test_a_recipient_is_read_by_the_settings_in_force(gate: Gate) -> None:
    answer = await gate.recipient(SESSION, WHO, f"FAX=01 99 00 00 01/T33S=12@{DOMAIN.upper()}")
    assert isinstance(answer, MailRecipient)
    assert (answer.number_e164, answer.sub_address, answer.customer) == ("+33199000001", "12", "acme")


@pytest.mark.parametrize(
    "address, enhanced, words",
    [
        ("0199000001@elsewhere.test", "5.7.1", "elsewhere.test is not a fax domain"),
        ("0199000001", "5.7.1", "is not a fax domain"),
        ("0199000001@fax.example.net", "5.7.1", "not authorised to send to fax.example.net"),
        (f"@{DOMAIN}", "5.1.3", "no number"),
        (f"alice@{DOMAIN}", "5.1.3", "not a telephone number"),
        (f"+3319@{DOMAIN}", "5.1.3", "too short"),
        (f"112@{DOMAIN}", "5.1.3", "Emergency numbers"),
        (f"0899000000@{DOMAIN}", "5.1.3", "premium"),
    ],
)
async def test_a_recipient_that_cannot_be_faxed_is_refused_with_the_reason(
    gate: Gate, address: str, enhanced: str, words: str
) -> None:
    refused(await gate.recipient(SESSION, WHO, address), 550, enhanced, words)


# ----------------------------------------------------------------------------------------------------------- room


@pytest.mark.parametrize("free, octets, full", [(5000, 0, False), (5000, 4000, True), (10, 0, True)])
async def test_below_the_watermark_nothing_is_accepted(
    house: House, gate: Gate, monkeypatch: pytest.MonkeyPatch, free: int, octets: int, full: bool
) -> None:
    async def space() -> FreeSpace:
        return FreeSpace(free, 10_000, None)

    monkeypatch.setattr(house.files, "free_space", space)
    answer = await gate.room_for(octets)
    if full:
        refused(answer, 452, "4.3.1", "no storage space")
    else:
        assert answer is None


# ---------------------------------------------------------------------------------------------------- the promise


def lies(house: House, key: str) -> bool:
    return (house.folder / key).exists()


async def test_the_promise_is_one_transaction_and_the_file_stays(house: House, gate: Gate) -> None:
    mail = await house.mail("+33188000001", "+33188000002")
    assert await gate.submit_mail(mail) == Receipt(mail.message)
    assert lies(house, mail.file.key)
    assert await house.events(mail.message) == ["message.received"]


async def test_a_duplicate_names_the_first_and_its_file_goes(house: House, gate: Gate) -> None:
    first, again = await house.mail("+33188000001"), await house.mail("+33188000001")
    await gate.submit_mail(first)
    assert await gate.submit_mail(again) == Receipt(first.message, duplicate_of=first.message)
    assert (lies(house, first.file.key), lies(house, again.file.key)) == (True, False)


async def test_mails_of_one_moment_are_committed_together(
    house: House, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    mails = [await house.mail("+33188000001", message_id=f"<{n}@example.org>") for n in range(5)]
    many = await house.mail(
        *(f"+3318800{n:04}" for n in range(GATHERED_RECIPIENTS + 1)), message_id="<many@example.org>"
    )
    run, units = house.store.run, []

    async def counted(unit: Callable[..., Any]) -> Any:
        units.append(unit)
        return await run(unit)

    monkeypatch.setattr(house.store, "run", counted)
    answers = await asyncio.gather(*map(gate.submit_mail, [*mails, many]))
    assert answers == [Receipt(mail.message) for mail in [*mails, many]]
    assert len(units) == 2  # the five, and the one with many recipients


async def test_a_mail_that_cannot_be_committed_keeps_no_other_from_it(house: House, gate: Gate) -> None:
    good = [await house.mail("+33188000001", message_id=f"<{n}@example.org>") for n in range(3)]
    bad = replace(good[1], subject="a lone half: \ud800")
    found = await asyncio.gather(*map(gate.submit_mail, [good[0], bad, good[2]]), return_exceptions=True)
    assert found[0] == Receipt(good[0].message) and found[2] == Receipt(good[2].message)
    assert isinstance(found[1], UnicodeEncodeError)
    assert len(await house.rows(select(t.messages))) == 2


async def test_too_many_recipients_and_none_are_refused(house: House, gate: Gate) -> None:
    await house.change(update(t.customers).values(settings={"max_recipients": 1}))
    mail = await house.mail("+33188000001", "+33188000002")
    refused(
        await gate.submit_mail(mail),
        550,
        "5.5.3",
        "Nothing was sent. The fax has 2 recipients; the limit of this account is 1.",
    )
    assert not lies(house, mail.file.key)
    refused(await gate.submit_mail(await house.mail()), 554, "5.5.1", "no valid recipient")


def failing(house: House, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    async def run(unit: Callable[..., Any]) -> Any:
        raise error

    monkeypatch.setattr(house.store, "run", run)


async def test_an_uncertain_commit_is_451_and_the_file_stays(
    house: House, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spine section 5, step 4: the retry is linked, or the sweep finds no row."""
    mail = await house.mail("+33188000001")
    failing(house, monkeypatch, CommitUncertain("power"))
    refused(await gate.submit_mail(mail), 451, "4.3.0", "try again")
    assert lies(house, mail.file.key)


@pytest.mark.parametrize("error, code", [(StoreBusy("lock"), 451), (OutOfSpace("full"), 452)])
async def test_a_commit_that_did_not_happen_is_refused_for_now_and_the_file_goes(
    house: House, gate: Gate, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    mail = await house.mail("+33188000001")
    failing(house, monkeypatch, error)
    answer = await gate.submit_mail(mail)
    assert isinstance(answer, Rejection) and answer.code == code
    assert not lies(house, mail.file.key)


async def test_a_retry_after_an_uncertain_commit_that_was_durable_is_linked(house: House, gate: Gate) -> None:
    lost = await house.mail("+33188000001")
    await house.accept(lost)
    retry = await house.mail("+33188000001")
    assert await gate.submit_mail(retry) == Receipt(lost.message, duplicate_of=lost.message)


async def test_the_promise_costs_as_many_statements_for_a_thousand_recipients_as_for_twenty(
    house: House, gate: Gate
) -> None:
    """Spine section 5, step 4: the handler needs less than 1 s, even for the longest recipient list."""
    await house.change(update(t.customers).values(settings={"max_recipients": 1000}))
    statements: list[int] = []
    for many in (20, 20, 1000):  # the first also asks what is remembered from then on
        mail = await house.mail(*(f"+331990{n:05}" for n in range(many)), message_id=f"<{len(statements)}@example.org>")
        with counted() as found:
            assert await gate.submit_mail(mail) == Receipt(mail.message)
        statements.append(len(found))
    assert statements[2] == statements[1] < 30


# ------------------------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize(
    "subject, enhanced, words",
    [
        ("Offer @@resolution=ultra@@", "5.6.0", "Nothing was sent. Subject: Command “resolution”: must be one of"),
        ("Offer @@express", "5.6.0", "does not end with @@"),
        ("Offer @@express@@", "5.7.1", "Express faxes are not open to this account."),
    ],
)
async def test_a_wrong_command_is_refused_before_the_promise(
    house: House, gate: Gate, subject: str, enhanced: str, words: str
) -> None:
    """Features A6: 550 with the reason, and nothing is sent."""
    await house.change(update(t.customers).values(settings={"may_express": False}))
    mail = replace(await house.mail("+33199000001"), subject=subject)
    refused(await gate.submit_mail(mail), 550, enhanced, words)
    assert not lies(house, mail.file.key)


async def test_a_cover_page_that_is_not_there_is_told_before_the_promise(house: House, gate: Gate) -> None:
    mail = replace(await house.mail("+33199000001"), subject="Offer @@cover=Nobody's@@")
    refused(await gate.submit_mail(mail), 550, "5.6.0", "Nobody's")
    assert not lies(house, mail.file.key)


async def test_a_reply_of_smtp_is_in_one_language_and_in_ascii(house: House, gate: Gate) -> None:
    """RFC 5321 section 4.2: what an account's language adds to ASCII would come out as question marks."""
    await house.change(update(t.customers).values(settings={"language": "fr"}))
    for command in ("cover=Nobody's",):
        mail = replace(await house.mail("+33199000001"), subject=f"Offre @@{command}@@")
        refused(await gate.submit_mail(mail), 550, "5.6.0", "There is no cover page “Nobody's”.")


async def test_right_commands_are_promised(house: House, gate: Gate) -> None:
    mail = replace(await house.mail("+33199000001"), subject="Offer @@express; ref=4711@@")
    assert await gate.submit_mail(mail) == Receipt(mail.message)


# ------------------------------------------------------------------------------------------------ distribution lists


def with_pages(house: House, cheap: PasswordHasher, *walks: Any) -> Gate:
    return Gate(house.seat(), SMALL, Passwords(house.clock, cheap), cast(PageClient, Pages(list(walks))))


def lists(*texts: str) -> pages.Walked:
    return pages.Walked((), lists=texts)


async def listed_mail(house: House, *numbers: str, listed: bool = True) -> MailSubmission:
    """A mail to its distribution list, and to numbers."""
    mail = await house.mail(*numbers)
    place = MailRecipient(f"list@{DOMAIN}", "distribution-list", "", "", "acme", list_name="distribution-list.txt")
    return replace(mail, recipients=(place, *mail.recipients), listed=listed)


@pytest.mark.parametrize("local", ["distribution-list", "LIST", '"List"'])
async def test_a_mail_may_be_addressed_to_its_list(gate: Gate, local: str) -> None:
    """Features A5."""
    answer = await gate.recipient(SESSION, WHO, f"{local}@{DOMAIN}")
    assert isinstance(answer, MailRecipient)
    assert (answer.number_typed, answer.number_e164, answer.list_name) == (
        "distribution-list", "", "distribution-list.txt",
    )  # fmt: skip


async def test_an_account_may_have_no_lists_and_no_merged_documents(house: House, gate: Gate) -> None:
    await house.change(update(t.customers).values(settings={"max_list": 0, "max_merged": 0}))
    refused(await gate.recipient(SESSION, WHO, f"list@{DOMAIN}"), 550, "5.7.1", "Distribution lists are not open")
    refused(await gate.recipient(SESSION, WHO, f"merge@{DOMAIN}"), 550, "5.7.1", "Merged documents are not open")
    answer = await gate.recipient(SESSION, WHO, f"+33199000001@{DOMAIN}")
    assert isinstance(answer, MailRecipient) and not answer.list_name


async def test_a_good_list_is_promised(house: House, cheap: PasswordHasher) -> None:
    gate = with_pages(house, cheap, lists("+33199000001,Anna\n+33199000002\n"))
    mail = await listed_mail(house)
    assert await gate.submit_mail(mail) == Receipt(mail.message)


@pytest.mark.parametrize(
    "walked, settings, enhanced, words",
    [
        (lists(), {}, "5.6.0", "has no attachment distribution-list.txt"),
        (lists("\n# nobody"), {}, "5.6.0", "distribution-list.txt names nobody."),
        (lists("+33199000001\nAnna"), {}, "5.6.0", "distribution-list.txt, line 2: “Anna” is not a telephone number."),
        (lists("0199000001\n0899000000\n112"), {}, "5.6.0", "line 2: “0899000000” is a premium number"),
        (lists("0199000001\n" * 4), {"max_list": 3}, "5.5.3", "distribution-list.txt has more than 3 recipients."),
        (lists("0199000001\n0199000002"), {"max_recipients": 1}, "5.5.3", "The fax has 2 recipients; the limit of"),
        (
            pages.Refused(pages.Reason.TOO_LARGE, "“distribution-list.txt” cannot be faxed: too large."),
            {}, "5.6.0", "too large",
        ),
    ],
)  # fmt: skip
async def test_a_wrong_list_is_refused_before_the_promise(
    house: House, cheap: PasswordHasher, walked: Any, settings: dict[str, Any], enhanced: str, words: str
) -> None:
    await house.change(update(t.customers).values(settings=settings))
    mail = await listed_mail(house, listed=False)
    answer = await with_pages(house, cheap, walked).submit_mail(mail)
    refused(answer, 550, enhanced, words)
    assert str(answer).startswith(f"550 {enhanced} Nothing was sent. ")
    assert not lies(house, mail.file.key)


async def test_a_list_counts_against_the_day(house: House, cheap: PasswordHasher) -> None:
    await house.change(update(t.customers).values(settings={"faxes_per_day": 2}))
    gate = with_pages(house, cheap, lists("+33199000001\n+33199000002\n+33199000003"))
    refused(await gate.submit_mail(await listed_mail(house)), 452, "4.2.2", "At most 2 faxes")


@pytest.mark.parametrize("client", [Pages([PagesUnavailable("died")]), None])
async def test_a_list_that_cannot_be_read_now_is_to_come_again(
    house: House, cheap: PasswordHasher, client: Pages | None
) -> None:
    gate = Gate(house.seat(), SMALL, Passwords(house.clock, cheap), cast(PageClient, client))
    answer = await gate.submit_mail(await listed_mail(house))
    assert isinstance(answer, Rejection) and (answer.code, answer.enhanced) == (451, "4.3.0")


async def test_a_name_in_a_text_is_no_list(house: House, cheap: PasswordHasher) -> None:
    mail = replace(await house.mail("+33199000001"), listed=True)
    assert await with_pages(house, cheap, lists()).submit_mail(mail) == Receipt(mail.message)


async def test_a_merged_document_goes_to_no_other_recipient(house: House, gate: Gate) -> None:
    mail = await house.mail("+33199000001")
    merge = MailRecipient(f"merge@{DOMAIN}", "merge", "", "", "acme")
    both = replace(mail, recipients=(merge, *mail.recipients))
    refused(await gate.submit_mail(both), 550, "5.5.3", "A mail to merge has no other recipient.")


# --------------------------------------------------------------------------------------------------- entitlements


async def test_mail_that_was_not_booked_is_refused_at_rcpt(house: House, gate: Gate) -> None:
    await house.change(update(t.customers).values(settings={"interfaces": ["rest"]}))
    refused(await gate.recipient(SESSION, WHO, f"+33199000001@{DOMAIN}"), 550, "5.7.1", "not open")


async def test_more_than_a_days_faxes_come_again_tomorrow(house: House, gate: Gate) -> None:
    await house.change(update(t.customers).values(settings={"faxes_per_day": 1}))
    refused(await gate.submit_mail(await house.mail("+33199000001", "+33199000002")), 452, "4.2.2", "At most 1 faxes")
    assert isinstance(await gate.submit_mail(await house.mail("+33199000001")), Receipt)
