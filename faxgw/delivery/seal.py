"""Encryption of a received fax's documents for its target (features G5; docs/deliveries.md).

Password and certificate make a PDF that is itself encrypted with AES-256 (ISO 32000-2 sections 7.6.4 and 7.6.5), by
pyHanko; PGP makes an OpenPGP message of the whole file (RFC 4880), by GnuPG in an empty folder of its own, for a key
that is given with each call: there is no key ring that could hold another one of the same name. Only documents that
show the pages are encrypted; texts, XML and tables travel as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import secrets as random
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pyhanko.keys import load_certs_from_pemder_data
from pyhanko.pdf_utils.crypt import PubKeySecurityHandler, StandardSecurityHandler
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import PdfFileWriter, copy_into_new_writer

from faxgw.fax.errors import FaxError
from faxgw.fax.target import DOCUMENT_PASSWORD, Encryption, Target
from faxgw.formats.received_payload import FaxDocument

PDF = "application/pdf"
TIFF = "image/tiff"
PGP = "application/octet-stream"
"""Of a file that is an OpenPGP message; application/pgp-encrypted is a part of multipart/encrypted (RFC 3156)."""
GPG_SECONDS = 120.0
"""Seconds that GnuPG may take for one document."""
MAX_PASSWORD = 127
"""Octets of a PDF's password (ISO 32000-2 section 7.6.4.3.3)."""
MIN_RSA = 2_048
"""Bits."""
MAX_WORDS = 300
"""Octets of GnuPG's words that are told."""


class Unsealed(FaxError):
    """A document could not be encrypted: it does not leave."""


async def seal(documents: Sequence[FaxDocument], target: Target, secrets: Mapping[str, str]) -> list[FaxDocument]:
    """The documents as they may leave.

    Args:
        documents: As stored.
        target: Says how, and for whom.
        secrets: Of the target.

    Raises:
        Unsealed: If one could not be encrypted. Nothing of it may leave then.
    """
    how = target.encryption
    if how is Encryption.NONE:
        return list(documents)
    found = []
    for document in documents:
        if document.content_type not in (PDF, TIFF):
            found.append(document)
        elif how is Encryption.PGP:
            octets = await for_key(document.octets, target.recipient_key)
            found.append(FaxDocument(f"{document.name}.pgp", PGP, octets))
        elif document.content_type != PDF:
            raise Unsealed(f"{how.value} encrypts PDF alone, and {document.name} is none", temporary=False)
        else:
            octets = await asyncio.to_thread(seal_pdf, document.octets, target, secrets)
            found.append(FaxDocument(document.name, PDF, octets))
    return found


def seal_pdf(octets: bytes, target: Target, secrets: Mapping[str, str]) -> bytes:
    """A PDF encrypted by password or certificate; blocking. Raises Unsealed."""
    if target.encryption is Encryption.PASSWORD:
        return with_password(octets, secrets.get(DOCUMENT_PASSWORD, ""))
    return for_certificate(octets, target.recipient_key)


def with_password(octets: bytes, password: str) -> bytes:
    """The PDF, opened by a password alone: AES-256, revision 6 (ISO 32000-2 section 7.6.4); blocking.

    Raises:
        Unsealed: If the password is none, or the PDF cannot be read.
    """
    if not 0 < len(password.encode()) <= MAX_PASSWORD:
        raise Unsealed("the target has no password for its documents")
    writer = _copied(octets)
    owner = random.token_urlsafe(24)  # nobody's: permissions are not what protects a fax
    writer._assign_security_handler(StandardSecurityHandler.build_from_pw(owner, password, pdf_mac=False))
    return _written(writer)


def for_certificate(octets: bytes, certificate: str) -> bytes:
    """The PDF, opened by the holder of an RSA certificate: AES-256 (ISO 32000-2 section 7.6.5); blocking.

    Raises:
        Unsealed: If the certificate cannot be used, or the PDF cannot be read.
    """
    if fault := certificate_fault(certificate):
        raise Unsealed(fault)
    writer = _copied(octets)
    writer.output_version = (2, 0)
    (holder,) = load_certs_from_pemder_data(certificate.encode())
    handler = PubKeySecurityHandler.build_from_certs([holder], keylen_bytes=32, pdf_mac=False)
    writer._assign_security_handler(handler)
    return _written(writer)


def certificate_fault(text: str) -> str:
    """Why PDF cannot be encrypted for a certificate, PEM; empty when they can."""
    try:
        found = x509.load_pem_x509_certificate(text.encode())
        key = found.public_key()
    except (ValueError, UnicodeError):
        return "the certificate cannot be read: it must be one X.509 certificate in PEM"
    if not isinstance(key, RSAPublicKey) or key.key_size < MIN_RSA:
        return f"the certificate must be for an RSA key of {MIN_RSA} bits or more"
    with contextlib.suppress(x509.ExtensionNotFound):
        if not found.extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment:
            return "the certificate's key is not for encryption (keyEncipherment)"
    return ""


def _copied(octets: bytes) -> PdfFileWriter:
    try:
        return copy_into_new_writer(PdfFileReader(io.BytesIO(octets)))
    except (PdfError, ValueError) as exc:
        raise Unsealed(f"the PDF cannot be read: {exc}") from exc


def _written(writer: PdfFileWriter) -> bytes:
    out = io.BytesIO()
    try:
        writer.write(out)  # type: ignore[no-untyped-call]  # pyHanko types its parts one by one
    except (PdfError, ValueError) as exc:
        raise Unsealed(f"the PDF cannot be encrypted: {exc}") from exc
    return out.getvalue()


async def for_key(octets: bytes, key: str) -> bytes:
    """A file as an OpenPGP message for a public key.

    Raises:
        Unsealed: If the key cannot be used; with GnuPG's words.
    """
    folder = Path(tempfile.mkdtemp(prefix="faxgw-pgp-"))  # of mode 700, empty
    try:
        (folder / "key").write_text(key)
        return await _gpg(folder, octets, "--recipient-file", str(folder / "key"), "--output", "-", "--encrypt")
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def key_fault(key: str) -> str:
    """Why nothing can be encrypted for a public key; empty when it can."""
    try:
        await for_key(b"", key)
    except Unsealed as exc:
        return str(exc)
    return ""


async def _gpg(folder: Path, octets: bytes, *arguments: str) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            "gpg", "--batch", "--no-tty", "--quiet", "--no-options", "--no-auto-key-locate", "--disable-dirmngr",
            "--homedir", str(folder), "--trust-model", "always", "--personal-cipher-preferences", "AES256",
            "--compress-algo", "none", *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
    except FileNotFoundError as exc:
        raise Unsealed("GnuPG (gpg) is not installed") from exc
    try:
        async with asyncio.timeout(GPG_SECONDS):
            out, words = await process.communicate(octets)
    except TimeoutError as exc:
        raise Unsealed("GnuPG took too long") from exc
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or not out:
        said = " ".join(words[-MAX_WORDS:].decode("utf-8", "replace").split()).replace(str(folder), "")
        raise Unsealed(f"not encrypted for the key: {said}")
    return out
