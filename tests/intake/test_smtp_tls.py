"""Certificate and key in memory: what fits is held and used, what does not is an error, and nothing shows the key."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from faxgw.intake.smtp_tls import MAX_PEM, Pair, context_of
from faxgw.settings import Tls
from tests.conftest import MakeCertificate


@pytest.fixture
def tls(make_certificate: MakeCertificate) -> Tls:
    certificate, key = make_certificate()
    return Tls(certificate=certificate, key=key)


def test_a_pair_that_was_read_needs_its_files_no_more(tls: Tls) -> None:
    pair = Pair.read(tls)
    tls.certificate.unlink()
    tls.key.unlink()
    assert isinstance(pair.context(), ssl.SSLContext)
    again = Pair.of(pair.row())
    assert again == pair
    assert again.context().options & ssl.OP_NO_RENEGOTIATION


def test_it_passes_as_files_for_as_long_as_they_are_needed(tls: Tls) -> None:
    """The settings find no fault with them: nobody else can read the key."""
    with Pair.read(tls).as_files() as files:
        read = Tls(certificate=files.certificate, key=files.key)
        assert context_of(read).options & ssl.OP_NO_RENEGOTIATION
    assert not files.key.exists()


def test_what_does_not_fit_is_an_error(tls: Tls, make_certificate: MakeCertificate) -> None:
    _other, key = make_certificate()
    for wrong in (
        Tls.model_construct(certificate=tls.certificate, key=key),
        Tls.model_construct(certificate=tls.key, key=tls.key),
        Tls.model_construct(certificate=tls.certificate, key=Path("/nowhere")),
    ):
        with pytest.raises(OSError, match=r"."):
            Pair.read(wrong)


def test_a_file_without_end_is_not_read_to_its_end(tls: Tls) -> None:
    with tls.key.open("ab") as file:
        file.write(b"#" * MAX_PEM)
    with pytest.raises(OSError, match="more than"):
        Pair.read(tls)


def test_letters_of_any_kind_between_the_lines_pass(tls: Tls) -> None:
    tls.certificate.write_bytes("Müller & Söhne\n".encode("latin-1") + tls.certificate.read_bytes())
    pair = Pair.read(tls)
    assert Pair.of(pair.row()) == pair


@pytest.mark.parametrize("row", [["one"], ["one", "two", "three"], ["\u20ac", "key"]])
def test_what_is_no_pair_is_told_from_one(row: list[str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Pair.of(row)


def test_the_key_stands_in_no_log(tls: Tls) -> None:
    assert "PRIVATE" not in repr(Pair.read(tls))
