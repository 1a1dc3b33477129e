"""Files in memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faxgw.t30 import memory


def test_a_copy_lives_without_its_file(tmp_path: Path) -> None:
    path = tmp_path / "document"
    path.write_bytes(b"x" * 100_000)
    with path.open("rb") as file:
        copied = memory.copy(file.fileno())
    path.write_bytes(b"")
    assert Path(memory.name_of(copied)).read_bytes() == b"x" * 100_000
    os.close(copied)


def test_a_document_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "MAX_DOCUMENT", 10)
    path = tmp_path / "document"
    path.write_bytes(b"x" * 11)
    with path.open("rb") as file, pytest.raises(ValueError, match="11 octets"):
        memory.copy(file.fileno())


def test_a_file_of_octets_stands_at_its_beginning() -> None:
    made = memory.file_of(b"page")
    assert os.read(made, 10) == b"page"
    os.close(made)
