"""Encrypted documents, opened by programs of other makes: gpg, qpdf, Poppler, PDFium, OpenSSL."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import io
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pypdf import PdfReader
from reportlab.pdfgen.canvas import Canvas

from faxgw.delivery.folder import FolderWay
from faxgw.delivery.seal import Unsealed, certificate_fault, for_certificate, for_key, key_fault, seal, with_password
from faxgw.fax.target import Encryption, Format, Target, TargetKind
from faxgw.formats.received_payload import FaxDocument
from tests.delivery.consignments import delivered, target


def made_pdf() -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, pageCompression=0)
    for page in (1, 2):
        canvas.drawString(100, 700, f"Confidential page {page}")
        canvas.showPage()
    canvas.save()
    return out.getvalue()


PDF = made_pdf()


def run(*command: str, input_: bytes = b"") -> bytes:
    return subprocess.run(command, input=input_, capture_output=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("password", ["secret", "Schlüssel 1 €", "x" * 32])
def test_a_password_opens_the_pdf_with_qpdf_poppler_and_pdfium(tmp_path: Path, password: str) -> None:
    sealed = with_password(PDF, password)
    assert b"Confidential" not in sealed
    (tmp_path / "fax.pdf").write_bytes(sealed)
    shown = run("qpdf", f"--password={password}", "--show-encryption", str(tmp_path / "fax.pdf")).decode()
    assert "R = 6" in shown
    assert "AESv3" in shown
    run("qpdf", f"--password={password}", "--decrypt", str(tmp_path / "fax.pdf"), str(tmp_path / "open.pdf"))
    run("qpdf", "--check", str(tmp_path / "open.pdf"))
    text = run("pdftotext", "-upw", password, str(tmp_path / "fax.pdf"), "-").decode()
    assert text.split("\f")[:2] == ["Confidential page 1\n\n", "Confidential page 2\n\n"]
    document = pypdfium2.PdfDocument(sealed, password=password)
    assert len(document) == 2
    document.close()
    with pytest.raises(pypdfium2.PdfiumError):
        pypdfium2.PdfDocument(sealed, password="wrong")


@pytest.mark.parametrize("password", ["", "€" * 43])
def test_a_password_that_pdf_cannot_have_is_refused(password: str) -> None:
    with pytest.raises(Unsealed):
        with_password(PDF, password)


def certificate(bits: int = 2048, usage: bool = True, curve: bool = False) -> tuple[str, bytes]:
    key: Any = ec.generate_private_key(ec.SECP256R1()) if curve else rsa.generate_private_key(65537, bits)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Fax desk")])
    now = datetime.datetime.now(datetime.UTC)
    found = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.KeyUsage(True, False, usage, *[False] * 6), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return found.public_bytes(serialization.Encoding.PEM).decode(), private


def test_a_certificates_holder_opens_the_pdf_with_openssl_and_the_standard(tmp_path: Path) -> None:
    """ISO 32000-2 section 7.6.5.3: the key is SHA-256 of the seed and the recipients' envelopes."""
    public, private = certificate()
    sealed = for_certificate(PDF, public)
    assert b"Confidential" not in sealed
    (tmp_path / "key.pem").write_bytes(private)
    trailer = _trailer(sealed)
    envelope = trailer["recipients"]
    (tmp_path / "envelope").write_bytes(envelope)
    opened = run(
        "openssl", "cms", "-decrypt", "-inform", "DER", "-in", str(tmp_path / "envelope"), "-inkey",
        str(tmp_path / "key.pem"),
    )  # fmt: skip
    assert len(opened) == 24
    key = hashlib.sha256(opened[:20] + envelope).digest()
    texts = [_aes(key, stream) for stream in trailer["streams"]]
    assert any(b"Confidential page 1" in text for text in texts)
    assert any(b"Confidential page 2" in text for text in texts)


def _trailer(sealed: bytes) -> dict[str, Any]:
    """What a reader that knows nothing of keys sees: the envelope, and the streams as they are."""
    for mark in (b"/Filter /Adobe.PubSec", b"/SubFilter /adbe.pkcs7.s5", b"/V 5", b"/CFM /AESV3"):
        assert mark in sealed
    found = re.search(rb"/Recipients\s*\[?\s*<([0-9A-Fa-f\s]+)>", sealed)
    assert found is not None
    streams = [part.split(b"endstream")[0].rstrip(b"\r\n") for part in re.split(rb"stream\r?\n", sealed)[1:]]
    return {"recipients": bytes.fromhex(found[1].decode()), "streams": [s for s in streams if len(s) >= 32]}


def _aes(key: bytes, stream: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES256(key), modes.CBC(stream[:16])).decryptor()
    return decryptor.update(stream[16 : len(stream) // 16 * 16])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("none", "cannot be read"),
        (certificate(1024)[0], "2048 bits"),
        (certificate(curve=True)[0], "RSA"),
        (certificate(usage=False)[0], "keyEncipherment"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_refused_before_anything_leaves(text: str, word: str) -> None:
    assert word in certificate_fault(text)
    with pytest.raises(Unsealed, match=word):
        for_certificate(PDF, text)


@pytest.fixture(scope="module")
def gpg(tmp_path_factory: pytest.TempPathFactory) -> tuple[Callable[..., bytes], str]:
    """Somebody's key ring, and its public key."""
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)

    def command(*arguments: str, input_: bytes = b"") -> bytes:
        return run("gpg", "--batch", "--homedir", str(home), "--pinentry-mode", "loopback", "--passphrase", "",
                   *arguments, input_=input_)  # fmt: skip

    command("--quick-generate-key", "Fax desk <desk@example.org>", "rsa2048", "default", "never")
    fingerprint = command("--list-keys", "--with-colons").decode().split("fpr:::::::::")[1].split(":")[0]
    command("--quick-add-key", fingerprint, "rsa2048", "encr")
    return command, command("--armor", "--export").decode()


async def test_the_holder_of_the_key_opens_a_tiff_and_a_pdf_with_gpg(gpg: tuple[Callable[..., bytes], str]) -> None:
    command, key = gpg
    assert await key_fault(key) == ""
    to = target(
        TargetKind.FOLDER, "/x", encryption=Encryption.PGP, recipient_key=key,
        formats=(Format.TIFF, Format.PDF, Format.TEXT),
    )  # fmt: skip
    documents = [
        FaxDocument("fax.tiff", "image/tiff", b"II*\0" + bytes(1000)),
        FaxDocument("fax.pdf", "application/pdf", PDF),
        FaxDocument("fax.txt", "text/plain", b"text"),
    ]
    sealed = await seal(documents, to, {})
    assert [one.name for one in sealed] == ["fax.tiff.pgp", "fax.pdf.pgp", "fax.txt"]
    assert sealed[2] == documents[2]  # what was read travels as it is, and the documents say so
    for before, after in zip(documents[:2], sealed[:2], strict=True):
        assert await asyncio.to_thread(command, "--decrypt", input_=after.octets) == before.octets
    packets = await asyncio.to_thread(command, "--list-packets", "--verbose", input_=sealed[0].octets)
    assert b"encrypted data packet" in packets


@pytest.mark.parametrize(
    "key", ["none", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n"]
)
async def test_a_key_that_is_none_is_refused_and_nothing_leaves(key: str, tmp_path: Path) -> None:
    assert "not encrypted for the key" in await key_fault(key)
    to = target(TargetKind.FOLDER, str(tmp_path), encryption=Encryption.PGP, recipient_key=key)
    result = await delivered(FolderWay([tmp_path]), to, octets=PDF)
    assert (result.delivered, result.permanent) == (False, False)
    assert "not encrypted" in result.detail
    assert os.listdir(tmp_path) == []


async def test_a_gpg_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def missing(*arguments: object, **options: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(asyncio, "create_subprocess_exec", missing)
    with pytest.raises(Unsealed, match="not installed"):
        await for_key(b"x", "key")


async def test_a_pdf_for_a_password_lies_there_encrypted(tmp_path: Path) -> None:
    secrets = {"document_password": "secret"}
    to = target(TargetKind.FOLDER, str(tmp_path), secrets, encryption=Encryption.PASSWORD, params={"sidecars": "idx"})
    assert (await delivered(FolderWay([tmp_path]), to, secrets, octets=PDF)).delivered
    pdf, beside = sorted(os.listdir(tmp_path), reverse=True)
    assert (pdf[-4:], beside[-4:]) == (".pdf", ".idx")
    reader = PdfReader(io.BytesIO((tmp_path / pdf).read_bytes()))
    assert reader.is_encrypted
    assert reader.decrypt("secret")


async def test_what_cannot_be_encrypted_that_way_never_leaves(tmp_path: Path) -> None:
    to = Target("t", "acme", "t", TargetKind.FOLDER, "/x", encryption=Encryption.PASSWORD)
    with pytest.raises(Unsealed) as caught:
        await seal([FaxDocument("fax-1.tiff", "image/tiff", b"II*\0")], to, {"document_password": "secret"})
    assert not caught.value.temporary
    with pytest.raises(Unsealed):
        await seal([FaxDocument("fax.pdf", "application/pdf", b"no PDF")], to, {"document_password": "secret"})
