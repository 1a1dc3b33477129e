"""Who may send: AUTH under STARTTLS, the settings of the user, wishes of the operator, an orderly stop."""

from __future__ import annotations

import asyncio
import datetime
import smtplib
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.end_to_end.world import DOMAIN, Gateway, gateway_at, mail_with, pages_of, pdf, submit

pytestmark = [pytest.mark.realtime, pytest.mark.asyncio(loop_scope="module")]

NUMBERS = "+331990000"


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for localhost; certificate and key in one folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    (folder / "key.pem").chmod(0o600)
    return folder / "cert.pem"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("access")
    make_certificate(folder)
    listener = '[[smtp.listeners]]\nlisten = "127.0.0.1:0"\n'
    tls = 'security = "starttls"\nrequire_tls = true\n\n[smtp.tls]\n'
    tls += f'certificate = "{folder}/cert.pem"\nkey = "{folder}/key.pem"\n'
    user = (
        'domains = ["{domain}"]\n[customer.settings]\nlanguage = "fr"\n[[customer.user]]\nname = "bob"\nlogin = "bob"\n'
        'password = "correct horse"\n[customer.user.settings]\nresolution = "standard"\ncsid = "+33 1 99 00 00 55"\n'
    )
    changes = {listener: listener + tls, 'domains = ["{domain}"]\n': user, 'addresses = ["{alice}"]\n': ""}
    async with gateway_at(folder, media="36000-37999", changes=changes) as running:
        yield running


def send_as_bob(gateway: Gateway, to: str, password: str = "correct horse") -> tuple[int, str, str]:
    """Code and text of the last answer, and the Message-ID."""
    mail = mail_with(pdf(1, 4), to)
    context = ssl.create_default_context(cafile=str(gateway.folder / "cert.pem"))
    with smtplib.SMTP("localhost", gateway.smtp_port, timeout=30) as client:
        client.starttls(context=context)
        try:
            client.login("bob", password)
        except smtplib.SMTPAuthenticationError as exc:
            return exc.smtp_code, str(exc.smtp_error), ""
        client.mail("bob@example.org")
        code, text = client.rcpt(to)
        if code == 250:
            code, text = client.data(mail.as_bytes())
    return code, text.decode(), str(mail["Message-ID"])


def message_of(text: str) -> str:
    return next(word for word in text.split() if word.startswith("msg_"))


async def test_a_user_who_logs_in_sends_with_his_own_settings(gateway: Gateway) -> None:
    code, text, message_id = await asyncio.to_thread(send_as_bob, gateway, f"{NUMBERS}00@{DOMAIN}")
    assert code == 250, text
    fax = (await gateway.finished(message_of(text)))["faxes"][0]
    assert fax["state"] == "sent"
    composed = pages_of(await gateway.control.tiff(fax["id"]))
    assert composed[0][0][0] == 1728
    assert 1100 < composed[0][0][1] < 1200, "standard resolution, as the user's settings say"
    record = (await gateway.records("00"))[0]
    assert record["remote_ident"] == "+33 1 99 00 00 55"
    told = await gateway.told(message_id)
    assert str(told["To"]) == "bob@example.org"
    assert "Remis" in str(told["Subject"]) or "Envoy" in str(told["Subject"]) or "Transmis" in str(told["Subject"])


async def test_a_wrong_password_and_no_encryption_are_refused(gateway: Gateway) -> None:
    code, _text, _id = await asyncio.to_thread(send_as_bob, gateway, f"{NUMBERS}00@{DOMAIN}", "wrong")
    assert code == 535

    def without_tls() -> tuple[int, str]:
        with smtplib.SMTP("127.0.0.1", gateway.smtp_port, timeout=30) as client:
            client.ehlo()
            code, text = client.mail("bob@example.org")
            return code, text.decode()

    code, text = await asyncio.to_thread(without_tls)
    assert code == 530, text


async def test_the_password_is_in_no_log(gateway: Gateway) -> None:
    await asyncio.to_thread(send_as_bob, gateway, f"{NUMBERS}10@{DOMAIN}")
    assert "correct horse" not in (gateway.folder / "log").read_text()


async def test_cancel_ends_a_call_in_progress_and_says_so(gateway: Gateway) -> None:
    """Spine section 2: a wish during a call; at its close cancel stands, with k of n."""
    code, text, message_id = await asyncio.to_thread(send_as_bob, gateway, f"{NUMBERS}40@{DOMAIN}")
    assert code == 250, text
    message = message_of(text)
    found = await gateway.until(message, lambda f: any(x["state"] == "calling" for x in f["faxes"]))
    fax = found["faxes"][0]["id"]
    program = str(Path(sys.executable).with_name("faxgw"))
    cancel = await asyncio.create_subprocess_exec(
        program, "--data", str(gateway.data), "cancel", fax, stdout=asyncio.subprocess.PIPE
    )
    out, _err = await cancel.communicate()
    assert b"ends with the call" in out
    closed = (await gateway.finished(message, within=20))["faxes"][0]
    assert closed["state"] == "cancelled"
    assert closed["pages_confirmed"] == 0
    await gateway.told(message_id)


async def test_a_held_fax_waits_for_its_release(gateway: Gateway) -> None:
    code, text, _id = await asyncio.to_thread(send_as_bob, gateway, f"{NUMBERS}10@{DOMAIN}")
    assert code == 250
    message = message_of(text)
    await gateway.until(message, lambda f: any(x["state"] == "waiting" for x in f["faxes"]))
    fax = (await gateway.control.find(message))["faxes"][0]["id"]
    assert (await gateway.control.wish(fax, "hold", "tester"))[fax] == "held"
    held = (await gateway.control.find(message))["faxes"][0]
    assert held["state"] == "held"
    await gateway.control.wish(fax, "release", "tester")
    assert (await gateway.finished(message))["faxes"][0]["state"] == "failed"


async def test_an_orderly_stop_lets_the_call_finish(tmp_path: Path) -> None:
    """Handbook rule 15: no new work, calls finish within the grace, the process ends by itself."""
    async with gateway_at(tmp_path, media="38000-38999", changes={'grace = "20s"': 'grace = "90s"'}) as gateway:
        mail = mail_with(pdf(1, 2), f"{NUMBERS}00@{DOMAIN}")
        message = await asyncio.to_thread(submit, gateway.smtp_port, mail, [f"{NUMBERS}00@{DOMAIN}"])
        await gateway.until(message, lambda f: any(a["answered_at"] for x in f["faxes"] for a in x["attempts"]))
        assert gateway.process is not None
        gateway.process.terminate()
        assert await asyncio.wait_for(gateway.process.wait(), 80) == 0
        record = (await gateway.records("00"))[0]
        assert record["pages_confirmed"] == 1
        await gateway.start()
        assert (await gateway.control.find(message))["faxes"][0]["state"] == "sent"
        await gateway.told(str(mail["Message-ID"]))


async def test_the_command_line_sends_with_progress_and_tells_the_result(gateway: Gateway) -> None:
    """Features A17: exit code 0 when sent, 1 when not."""
    document = gateway.folder / "letter.pdf"
    document.write_bytes(pdf(1, 2))
    program = str(Path(sys.executable).with_name("faxgw"))
    options = ["--data", str(gateway.data), "send"]
    runs = [
        await asyncio.create_subprocess_exec(
            program, *options, NUMBERS + suffix, str(document), "--subject", suffix, stdout=asyncio.subprocess.PIPE
        )
        for suffix in ("42", "13")
    ]
    (good, _), (bad, _) = await asyncio.gather(*(run.communicate() for run in runs))
    assert [run.returncode for run in runs] == [0, 1]
    assert b"1/1 pages" in good and b"SENT" in good
    assert b"not assigned" in bad
    shown = await asyncio.create_subprocess_exec(
        program, "--data", str(gateway.data), "settings", "--account", "acme/bob", stdout=asyncio.subprocess.PIPE
    )
    text, _err = await shown.communicate()
    assert b"user bob" in text and b"customer acme" in text
