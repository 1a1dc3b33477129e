from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from faxgw.setting_types import Duration, Listener, Secret, Tls


def private_file(path: Path, content: str) -> Path:
    path.write_text(content)
    path.chmod(0o600)
    return path


MakeCertificate = Callable[[], tuple[Path, Path]]


class TestSecret:
    def test_no_way_of_printing_shows_it(self) -> None:
        secret = Secret.parse("hunter2", {})
        assert "hunter2" not in f"{secret} {secret!r} {[secret]}"
        assert secret.reveal() == "hunter2"

    def test_it_comes_from_a_file_without_its_last_line_break(self, tmp_path: Path) -> None:
        file = private_file(tmp_path / "password", "hunter2\n")
        secret = Secret.parse({"file": str(file)}, {})
        assert secret.reveal() == "hunter2"
        assert not secret.literal

    def test_it_comes_from_a_variable(self) -> None:
        assert Secret.parse({"env": "PW"}, {"PW": "hunter2"}).reveal() == "hunter2"

    def test_it_comes_from_a_systemd_credential(self, tmp_path: Path) -> None:
        private_file(tmp_path / "pw", "hunter2")
        environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
        assert Secret.parse({"credential": "pw"}, environ).reveal() == "hunter2"

    def test_a_file_that_all_may_read_is_refused(self, tmp_path: Path) -> None:
        file = private_file(tmp_path / "password", "hunter2")
        file.chmod(0o644)
        with pytest.raises(ValueError, match="every user"):
            Secret.parse({"file": str(file)}, {})

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            ("", "empty"),
            (5, "must be a text"),
            ({}, "must be a text"),
            ({"file": "/a", "env": "B"}, "must be a text"),
            ({"vault": "x"}, "a secret lies in"),
            ({"file": "relative"}, "absolute"),
            ({"file": "/does/not/exist"}, "No such file"),
            ({"env": "PW"}, "not set"),
            ({"credential": "pw"}, "CREDENTIALS_DIRECTORY"),
            ({"file": 5}, "place of a secret"),
        ],
    )
    def test_what_is_no_secret_is_refused_with_the_reason(self, value: object, why: str) -> None:
        with pytest.raises(ValueError, match=why):
            Secret.parse(value, {})

    @pytest.mark.parametrize("name", ["../other", "/etc/shadow", ".."])
    def test_a_credential_is_not_a_way_out_of_its_folder(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ValueError, match="no path"):
            Secret.parse({"credential": name}, {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    def test_equal_secrets_are_equal(self) -> None:
        assert Secret("a") == Secret("a") != Secret("b")
        assert Secret("a") != "a"
        assert len({Secret("a"), Secret("a")}) == 1


class TestListener:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [("127.0.0.1:2525", "127.0.0.1", 2525), ("[::1]:0", "::1", 0), ("localhost:65535", "localhost", 65535)],
    )
    def test_host_and_port_are_read_and_written_back(self, text: str, host: str, port: int) -> None:
        listener = Listener.parse(text)
        assert (listener.host, listener.port) == (host, port)
        assert str(listener) == text

    @pytest.mark.parametrize("text", ["", "localhost", ":25", "::1:25", "a:b", "a:65536", "a:-1", "a b:1", 25, None])
    def test_anything_else_is_refused(self, text: object) -> None:
        with pytest.raises(ValueError, match="port"):
            Listener.parse(text)


class TestDuration:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("250ms", 0.25), ("30s", 30), ("1.5s", 1.5), ("5m", 300), ("1h30m", 5400), ("2w1d", 1296000), ("0s", 0)],
    )
    def test_a_span_is_seconds_and_is_written_back(self, text: str, seconds: float) -> None:
        assert Duration.parse(text) == seconds
        assert Duration.parse(str(Duration.parse(text))) == seconds

    @pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 m", "30m1h", "5x", 5, 5.0, True, None])
    def test_a_number_without_unit_is_refused(self, text: object) -> None:
        with pytest.raises(ValueError, match="units"):
            Duration.parse(text)

    def test_it_is_written_in_the_largest_units(self) -> None:
        assert [str(Duration(s)) for s in (0, 0.25, 90, 3600, 90061)] == ["0s", "250ms", "1m30s", "1h", "1d1h1m1s"]


class TestTls:
    def test_the_context_takes_modern_tls_only(self, make_certificate: MakeCertificate) -> None:
        """RFC 9325 section 3.1.1 and 4.2."""
        certificate, key = make_certificate()
        context = Tls(certificate=certificate, key=key).server_context()
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        ciphers = {cipher["name"] for cipher in context.get_ciphers()}
        assert all(name.startswith(("TLS_", "ECDHE-")) for name in ciphers)
        assert not any("CBC" in name or name.endswith("SHA") for name in ciphers)

    def test_a_key_of_another_certificate_is_refused(self, make_certificate: MakeCertificate) -> None:
        certificate, _ = make_certificate()
        _, key = make_certificate()
        with pytest.raises(ValidationError, match="belong together"):
            Tls(certificate=certificate, key=key)

    def test_a_key_that_all_may_read_is_refused(self, make_certificate: MakeCertificate) -> None:
        certificate, key = make_certificate()
        key.chmod(0o644)
        with pytest.raises(ValidationError, match="every user"):
            Tls(certificate=certificate, key=key)

    def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(self, make_certificate: MakeCertificate) -> None:
        certificate, key = make_certificate()
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        locked = loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
        key.write_bytes(locked)
        with pytest.raises(ValidationError, match="belong together"):
            Tls(certificate=certificate, key=key)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ValidationError, match=r"none\.pem cannot be read: No such file"):
            Tls(certificate=tmp_path / "none.pem", key=tmp_path / "none.key")
