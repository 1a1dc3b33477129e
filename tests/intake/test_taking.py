"""Taking files: all of them or none, and found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from faxgw.intake.shelf import Shelf
from faxgw.intake.taking import Take, found, take


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def test_what_was_taken_is_found_again_until_it_is_forgotten(tmp_path: Path, work: Path) -> None:
    with Shelf(tmp_path / "in") as inbox:
        inbox.put("job1.xml", b"<a/>")
        inbox.put("a.pdf", b"%PDF")
        taken = take(Take.JOB, inbox, work, "job1.xml", ["a.pdf"])
        assert inbox.entries() == [] and found(work, inbox) == [taken]
        assert (taken.kind, taken.cause, taken.parts) == (Take.JOB, "job1.xml", ("a.pdf",))
        assert taken.read_cause(100) == b"<a/>"
        taken.forget()
        assert found(work, inbox) == [] and list(work.iterdir()) == []
        taken.forget()


def test_when_a_part_is_gone_the_others_are_put_back(tmp_path: Path, work: Path) -> None:
    with Shelf(tmp_path / "in") as inbox:
        inbox.put("job1.xml", b"<a/>")
        inbox.put("a.pdf", b"%PDF")
        with pytest.raises(FileNotFoundError):
            take(Take.JOB, inbox, work, "job1.xml", ["a.pdf", "b.pdf"])
        assert [entry.name for entry in inbox.entries()] == ["a.pdf", "job1.xml"] and list(work.iterdir()) == []


def test_what_was_sent_again_meanwhile_is_not_written_over(tmp_path: Path, work: Path) -> None:
    with Shelf(tmp_path / "in") as inbox:
        inbox.put("a.pdf", b"new")
        moving = work / ("j" + "0" * 32 + ".new")
        moving.mkdir()
        (moving / "1.a.pdf").write_bytes(b"old")
        assert found(work, inbox) == []
        assert inbox.read("a.pdf", 10) == b"new" and list(work.iterdir()) == []


def test_the_rest_of_a_removal_is_removed_and_strange_names_are_left_alone(tmp_path: Path, work: Path) -> None:
    with Shelf(tmp_path / "in") as inbox:
        rest = work / ("j" + "1" * 32)
        rest.mkdir()
        (rest / "1.a.pdf").write_bytes(b"x")
        (work / "strange").mkdir()
        assert found(work, inbox) == []
        assert [path.name for path in work.iterdir()] == ["strange"] and inbox.entries() == []


def test_what_was_moved_whole_is_not_mixed_with_what_was_laid_down_since(tmp_path: Path, work: Path) -> None:
    """The document of the same name is another's by now; the job has its own."""
    with Shelf(tmp_path / "in") as inbox:
        inbox.put("a.pdf", b"another's")
        moving = work / ("j" + "0" * 32 + ".new")
        moving.mkdir()
        (moving / "1.a.pdf").write_bytes(b"its own")
        (moving / "0.job1.xml").write_bytes(b"<a/>")
        (taken,) = found(work, inbox)
        assert (taken.id, taken.cause, taken.parts) == ("j" + "0" * 32, "job1.xml", ("a.pdf",))
        assert inbox.read("a.pdf", 10) == b"another's"
        with Shelf(taken.folder) as shelf:
            assert shelf.read("1.a.pdf", 10) == b"its own"
