"""What the documents say exists: links, paths, commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOP = [path for path in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md") if (ROOT / path).exists()]
DOCUMENTS = sorted([*TOP, *(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))])
"""Every document; the README is missing only until it is written."""

NORMATIVE = {"docs/architecture.md", "docs/spine.md"}
"""They describe the whole house, also what is still to be built; their links are checked, not the paths they name."""

_LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_TOP_LEVEL = r"(?:faxgw|tests|docs|config|script|systemd|bench|\.ci)/"
_PATH = re.compile(rf"{_TOP_LEVEL}[\w./-]*[\w/]")


def prose(document: str) -> str:
    """The text without its code blocks."""
    return _FENCE.sub("", (ROOT / document).read_text())


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_leads_somewhere(document: str) -> None:
    for target in _LINK.findall(prose(document)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / document).parent / path if path else ROOT / document
        assert file.exists(), f"{document} links to {target}"
        assert ROOT in file.resolve().parents, f"{document} links out of the project: {target}"
        assert not anchor or anchor in anchors(file), f"{document} links to a heading that is not there: {target}"


@pytest.mark.parametrize("document", [document for document in DOCUMENTS if document not in NORMATIVE])
def test_every_path_that_is_named_exists(document: str) -> None:
    for code in _CODE.findall(prose(document)):
        for named in _PATH.findall(code) if re.match(_TOP_LEVEL, code) else []:
            assert (ROOT / named).exists(), f"{document} names {named}"


def commands(document: str) -> list[list[str]]:
    """The commands of the console blocks: what stands behind a `$`, up to a pipe or operator."""
    found = []
    for language, block in _FENCE.findall((ROOT / document).read_text()):
        if language == "console":
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                if line.startswith(("$ ", "# ")):
                    words = shlex.split(line[2:], comments=True)
                    stop = next((i for i, word in enumerate(words) if word in {"|", "&&", ";", ">", "&"}), len(words))
                    found.append(words[:stop])
    return found


@pytest.mark.parametrize("document", TOP)
def test_every_command_that_is_shown_exists(document: str) -> None:
    for words in commands(document):
        program = words[0]
        if program.startswith(("script/", ".ci/", "./")):
            assert (ROOT / program).stat().st_mode & 0o111, f"{document}: {program} cannot be run"
        elif Path(program).name == "faxgw":
            shown = subprocess.run(
                [Path(sys.executable).with_name("faxgw"), *words[1:2], "--help"],
                capture_output=True,
                text=True,
                check=False,
            )
            assert shown.returncode == 0, f"{document}: {' '.join(words)}: {shown.stderr}"


def test_every_script_can_be_run() -> None:
    for folder in ("script", ".ci"):
        for path in (ROOT / folder).iterdir():
            assert path.stat().st_mode & 0o111 == 0o111, path
            assert path.read_text().startswith("#!/usr/bin/env bash\n#"), path
            assert "set -euo pipefail" in path.read_text(), path
