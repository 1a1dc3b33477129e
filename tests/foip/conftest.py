"""Where the torture messages of RFC 4475 lie, if the one who runs the tests has them."""

import os
from pathlib import Path

import pytest

FOLDER = "FAXGW_RFC4475"
"""The variable that names the folder of the .dat files; the RFC's archive (appendix A) has them."""


@pytest.fixture(scope="session")
def rfc4475() -> dict[str, bytes]:
    """The 49 torture messages of RFC 4475 by their names."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        pytest.skip(f"{FOLDER} names no folder with the messages of RFC 4475")
    return {path.stem: path.read_bytes() for path in Path(folder).glob("*.dat")}
