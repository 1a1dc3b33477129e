"""Where the public test data lies; tests that need it skip where it is absent."""

from pathlib import Path

import pytest

_RFC4475 = Path(__file__).resolve().parents[3] / "shared" / "data" / "rfc4475"


@pytest.fixture(scope="session")
def rfc4475() -> dict[str, bytes]:
    """The 49 torture messages of RFC 4475 by their names."""
    if not _RFC4475.is_dir():
        pytest.skip("RFC 4475 messages are not at ../shared/data/rfc4475")
    return {path.stem: path.read_bytes() for path in _RFC4475.glob("*.dat")}
