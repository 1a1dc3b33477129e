"""What is wrong with numbers, commands and lists, in three languages: every fault that is said has its texts."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import faxgw
from faxgw.fax.account import resolve
from faxgw.fax.fault_texts import TEXTS, NumberRefused, Said
from faxgw.fax.number import DialPlan, parse_number
from faxgw.formats.job_commands import CommandFault, read_commands

BRACES = re.compile(r"\{(\w+)\}")
OTHERS_WORDS = {"{mistake}", "{fault}"}
"""Texts that only pass on what somebody else says, in English."""


def said_in_source() -> set[str]:
    """The templates of all faults in the source."""
    found: set[str] = set()
    for source in Path(faxgw.__file__).parent.rglob("*.py"):
        text = source.read_text()
        if "fault_texts import" not in text:
            continue
        tree = ast.parse(text)
        named = {
            target.id: node.value.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name) and isinstance(node.value.value, str)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
                continue
            place = {"Said": 0, "_refused": 1}.get(node.func.id)
            if place is None or source.name == "fault_texts.py" or len(node.args) <= place:
                continue
            for one in ast.walk(node.args[place]):
                if isinstance(one, ast.Constant) and isinstance(one.value, str):
                    found.add(one.value)
                elif isinstance(one, ast.Name) and one.id in named:
                    found.add(named[one.id])
    return found


def test_every_text_stands_in_every_language_with_the_same_values() -> None:
    for said, texts in TEXTS.items():
        assert set(texts) == {"fr", "de"}, said
        for text in texts.values():
            assert set(BRACES.findall(text)) == set(BRACES.findall(said)), text
            assert text.endswith(".") == said.endswith("."), text


def test_every_fault_that_is_said_is_known() -> None:
    found = said_in_source()
    assert len(found) > 40, "the test finds them"
    half = "it does not print a telephone number of the sender that is charged as an ordinary call"
    assert {one for one in found if not one.startswith(half)} - set(TEXTS) - OTHERS_WORDS == set()


@pytest.mark.parametrize(
    ("typed", "german"),
    [
        ("Anna", "„Anna“ ist keine Telefonnummer."),
        ("112", "Notrufnummern werden nie gewählt."),
        ("+4930", "„+4930“ kann nicht gewählt werden: sie ist zu kurz."),
        ("+999 1234567", "„+999 1234567“ kann nicht gewählt werden: ihre Landesvorwahl gibt es nicht."),
        ("+33899123456", "„+33899123456“ ist eine Nummer der Art „premium“, die hier nicht freigegeben ist."),
        ("1" * 200, "Die Nummer ist zu lang."),
    ],
)
def test_a_number_is_refused_in_the_senders_language(typed: str, german: str) -> None:
    with pytest.raises(NumberRefused) as caught:
        parse_number(typed, DialPlan("FR"))
    assert caught.value.said.told("de") == german
    assert caught.value.said.told() == caught.value.public == caught.value.said.told("nl")


@pytest.mark.parametrize(
    "subject",
    [
        "@@resolutoin=fine@@", "@@resolution@@", "@@res=fine; res=low@@", "@@express", "@@ @@", '@@ref="open@@',
        "@@resolution=ultra@@", "@@csid=abc@@", "@@cost=" + "x" * 81 + "@@", "@@retries=12@@", "@@at=yesterday@@",
        "@@at=+32d@@", "@@latest=2026-11-01@@", "@@ref=" + "x" * 81 + "@@", "@@paper=A3@@", "@@mode=sepia@@",
        "@@priority=urgent@@", "@@cover=" + "x" * 201 + "@@", "@@header=" + "x" * 401 + "@@",
    ],
)  # fmt: skip
def test_no_wrong_command_is_told_half_in_english(subject: str) -> None:
    with pytest.raises(CommandFault) as caught:
        read_commands(subject, resolve([]), now=1_795_000_000.0)

    def texts(said: Said) -> list[str]:
        parts = [one for value in said.values.values() for one in (value if isinstance(value, tuple) else (value,))]
        return [said.text, *(text for one in parts if isinstance(one, Said) for text in texts(one))]

    assert all(text in TEXTS for text in texts(caught.value.said))
    assert len({caught.value.said.told(language) for language in ("en", "fr", "de")}) == 3


def test_several_faults_stand_one_behind_the_other() -> None:
    lines = (
        Said("line {line}: {fault}", {"line": 2, "fault": Said("Emergency numbers are never dialled.")}),
        Said("line {line}: {fault}", {"line": 7, "fault": Said("the number is too long")}),
    )
    fault = Said("{name}, {faults}.", {"name": "list.txt", "faults": lines})
    assert fault.told() == "list.txt, line 2: Emergency numbers are never dialled; line 7: the number is too long."
    assert fault.told("de") == "list.txt, Zeile 2: Notrufnummern werden nie gewählt; Zeile 7: die Nummer ist zu lang."


def test_braces_of_strangers_are_not_filled_in() -> None:
    assert Said("“{typed}” is not a telephone number.", {"typed": "{kind} {0}"}).told("fr") == (
        "« {kind} {0} » n’est pas un numéro de téléphone."
    )
