"""Fixtures for all tests."""

from __future__ import annotations

import datetime
import itertools
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import settings

from tests.scheduling import FileScheduling, rank

LIMITS = (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_DATA)

settings.register_profile("untimed", deadline=None)  # how long an example takes says something of the machine only
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling:
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


@pytest.fixture(autouse=True)
def limits_stay() -> Iterator[None]:
    """A limit that a test leaves behind ends the process much later, in another test."""
    before = [resource.getrlimit(what) for what in LIMITS]
    yield
    assert [resource.getrlimit(what) for what in LIMITS] == before


MakeCertificate = Callable[[], tuple[Path, Path]]
"""Writes a self-signed certificate for localhost and its key, as PEM files, the key private."""


@pytest.fixture
def make_certificate(tmp_path: Path) -> MakeCertificate:
    serial = itertools.count(1)

    def make() -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        stem = tmp_path / f"localhost-{next(serial)}"
        public, private = stem.with_suffix(".pem"), stem.with_suffix(".key")
        public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private.touch(mode=0o600)
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return public, private

    return make


@pytest.fixture(scope="session")
def house_engine() -> str:
    """On which engine a house keeps its rows; the tests of the store run on each."""
    return "sqlite"
