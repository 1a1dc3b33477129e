"""Targets: what each kind takes, which documents can be encrypted how, and what file names come of templates."""

import json
from dataclasses import replace

import pytest

from faxgw.fax.target import (
    FILE_NAME_FIELDS,
    PARAMS,
    Encryption,
    Format,
    Target,
    TargetDefect,
    TargetKind,
    check,
    file_name,
    file_name_faults,
    from_snapshot,
    mailbox,
)

HOST_KEY = "SHA256:" + "A" * 43
GOOD = {
    TargetKind.MAIL: Target("t", "acme", "office", TargetKind.MAIL, "office@example.org"),
    TargetKind.SFTP: Target(
        "t", "acme", "crm", TargetKind.SFTP, "files.example.org:2222", {"user": "fax", "host_key": HOST_KEY}
    ),
    TargetKind.FTP: Target("t", "acme", "ftp", TargetKind.FTP, "[2001:db8::1]:21", {"user": "fax", "tls": "explicit"}),
    TargetKind.WEBHOOK: Target("t", "acme", "hook", TargetKind.WEBHOOK, "https://e.org/in", {"mode": "json"}),
    TargetKind.PULL: Target("t", "acme", "erp", TargetKind.PULL, "erp"),
    TargetKind.PICKUP: Target("t", "acme", "pick", TargetKind.PICKUP, "acme-files"),
    TargetKind.FOLDER: Target("t", "", "share", TargetKind.FOLDER, "/srv/faxes/acme"),
    TargetKind.PRINT: Target("t", "acme", "desk", TargetKind.PRINT, "ipps://printer.example.org/ipp/print"),
}


def faults(target: Target) -> str:
    with pytest.raises(TargetDefect) as caught:
        check(target)
    return "; ".join(caught.value.faults)


@pytest.mark.parametrize("kind", list(TargetKind))
def test_each_kind_has_a_form_that_is_good_and_survives_the_outbox(kind: TargetKind) -> None:
    check(GOOD[kind])
    assert from_snapshot(json.loads(json.dumps(GOOD[kind].snapshot()))) == GOOD[kind]
    assert kind in PARAMS
    assert len(kind.parcel) <= 24


@pytest.mark.parametrize(
    ("kind", "address", "says"),
    [
        (TargetKind.MAIL, "office", "must be a mail address"),
        (TargetKind.MAIL, "a@b, c@d", "must be a mail address"),
        (TargetKind.SFTP, "files.example.org/folder", "must be a host"),
        (TargetKind.SFTP, "files.example.org:70000", "at most 65535"),
        (TargetKind.FTP, "ftp://files.example.org", "must be a host"),
        (TargetKind.WEBHOOK, "ftp://e.org", "must be a URL"),
        (TargetKind.WEBHOOK, "https://user:secret@e.org/", "without a login"),
        (TargetKind.WEBHOOK, "https://[half/", "must be a URL"),
        (TargetKind.WEBHOOK, "https://e.org:99999/", "must be a URL"),
        (TargetKind.PRINT, "http://printer/", "must be a URL"),
        (TargetKind.PULL, "a topic", "must be a topic"),
        (TargetKind.FOLDER, "faxes", "must be an absolute path"),
        (TargetKind.FOLDER, "/srv/faxes/../other", "without .."),
        (TargetKind.PICKUP, "", "must be the login"),
    ],
)
def test_an_address_that_is_none_is_refused(kind: TargetKind, address: str, says: str) -> None:
    assert says in faults(replace(GOOD[kind], address=address))


def test_a_parameter_of_another_kind_is_refused_and_the_known_ones_are_named() -> None:
    assert "printers" not in faults(replace(GOOD[TargetKind.SFTP], params={"copies": "2"}))
    assert "copies: sftp targets have no such parameter (they have user, host_key" in faults(
        replace(GOOD[TargetKind.SFTP], params={"user": "fax", "host_key": HOST_KEY, "copies": "2"})
    )


def test_an_sftp_server_is_never_trusted_without_its_key() -> None:
    assert "host_key: sftp targets need it" in faults(replace(GOOD[TargetKind.SFTP], params={"user": "fax"}))
    assert "fingerprints" in faults(replace(GOOD[TargetKind.SFTP], params={"user": "fax", "host_key": "any"}))


def test_every_fault_is_told_at_once() -> None:
    bad = replace(GOOD[TargetKind.FTP], name="Owner", address="", params={"tls": "maybe"}, formats=())
    told = faults(bad)
    assert all(key in told for key in ("name:", "address:", "tls:", "user:", "formats:"))


def test_owner_is_no_name_for_a_target() -> None:
    assert "mailboxes of the number" in faults(replace(GOOD[TargetKind.MAIL], name="owner"))


KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----"


@pytest.mark.parametrize(
    ("kind", "formats", "how", "key", "says"),
    [
        (TargetKind.SFTP, (Format.PDF,), Encryption.PGP, KEY, ""),
        (TargetKind.SFTP, (Format.TIFF, Format.XML), Encryption.PGP, KEY, ""),
        (TargetKind.SFTP, (Format.PDF, Format.TEXT), Encryption.CERTIFICATE, KEY, ""),
        (TargetKind.SFTP, (Format.PDF_A,), Encryption.PGP, KEY, "PDF/A forbids it"),
        (TargetKind.SFTP, (Format.PDF_A,), Encryption.CERTIFICATE, KEY, "PDF/A forbids it"),
        (TargetKind.SFTP, (Format.TIFF,), Encryption.CERTIFICATE, KEY, "for pdf alone"),
        (TargetKind.SFTP, (Format.XLSX,), Encryption.PGP, KEY, "none of the formats is encrypted"),
        (TargetKind.SFTP, (Format.PDF,), Encryption.PGP, "", "recipient_key: pgp needs it"),
        (TargetKind.SFTP, (Format.PDF,), Encryption.NONE, KEY, "nothing is encrypted for it"),
        (TargetKind.MAIL, (Format.PDF,), Encryption.PGP, KEY, "mail targets cannot have pgp"),
        (TargetKind.MAIL, (Format.PDF,), Encryption.PASSWORD, "", "document_password: the encryption needs it"),
        (TargetKind.PRINT, (Format.PDF,), Encryption.CERTIFICATE, KEY, "print targets cannot have certificate"),
    ],
)
def test_encryption_that_cannot_work_is_refused_when_it_is_configured(
    kind: TargetKind, formats: tuple[Format, ...], how: Encryption, key: str, says: str
) -> None:
    target = replace(GOOD[kind], formats=formats, encryption=how, recipient_key=key)
    if says:
        assert says in faults(target)
    else:
        check(target)


def test_a_password_is_for_pdf_and_is_kept_as_a_secret() -> None:
    target = replace(GOOD[TargetKind.MAIL], encryption=Encryption.PASSWORD, secrets=("document_password",))
    check(target)
    assert "for pdf alone" in faults(replace(target, formats=(Format.TIFF_G4,)))
    assert "no secret of that name" in faults(replace(target, encryption=Encryption.NONE))
    assert "a password needs none" in faults(replace(target, recipient_key=KEY))


def test_a_target_waits_for_reading_only_when_its_documents_say_what_was_read() -> None:
    plain = GOOD[TargetKind.MAIL]
    assert not plain.needs_reading
    assert not replace(plain, formats=(Format.PDF_A, Format.TIFF)).needs_reading
    assert replace(plain, searchable=True).needs_reading
    assert replace(plain, formats=(Format.PDF, Format.XML)).needs_reading
    assert "only pdf and pdf/a" in faults(replace(plain, formats=(Format.TIFF,), searchable=True))


def test_printers_are_sent_pages_in_one_file() -> None:
    assert "printers are sent" in faults(replace(GOOD[TargetKind.PRINT], formats=(Format.TEXT,)))
    assert "printers are sent" in faults(replace(GOOD[TargetKind.PRINT], formats=(Format.TIFF_PAGES,)))


def test_a_mail_address_is_a_target_without_being_made_one() -> None:
    target = mailbox("office@example.org")
    assert (target.kind, target.address, target.formats) == (TargetKind.MAIL, "office@example.org", (Format.PDF,))
    assert from_snapshot(target.snapshot()) == target


@pytest.mark.parametrize("template", ["", "{account}-{date}-{time}-{status}-{id}", "fax {pages} p", "{tags}"])
def test_templates_of_file_names_that_are_good(template: str) -> None:
    assert file_name_faults(template) == []


@pytest.mark.parametrize("template", ["{user}", "a{", "{{id}}", "a/b", "..\\b", "a\nb", "x" * 201, "{id:>400}"])
def test_templates_of_file_names_that_are_none(template: str) -> None:
    assert file_name_faults(template)


def test_what_strangers_write_makes_no_path_and_hides_no_file() -> None:
    values = dict.fromkeys(FILE_NAME_FIELDS, "x") | {"csid": "../../etc/passwd\0", "caller": "", "id": "rcv_1"}
    assert file_name("{csid}", values) == "etc_passwd"
    assert file_name(".{caller}.", values) == "fax"
    assert file_name("{id} von {csid}", values) == "rcv_1_von_.._.._etc_passwd"
    assert len(file_name("{csid}", values | {"csid": "é" + "9" * 5000})) <= 200
