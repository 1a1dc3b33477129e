"""What tests may do without: LibreOffice alone, and only where set-up was told to leave it out.

Everything else that tests use, `script/setup --tests` installs; what is missing then fails its test.
"""

from __future__ import annotations

import os

import pytest

needs_office = pytest.mark.skipif(
    os.environ.get("FAXGW_OFFICE") == "no", reason="FAXGW_OFFICE=no: set-up left LibreOffice out"
)
