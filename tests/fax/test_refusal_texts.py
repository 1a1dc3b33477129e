"""Refusals of documents in the sender's language: all of them, whole, and nothing that a page process makes up."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from faxgw.document import refusal, sniff
from faxgw.document.types import Reason, Refused
from faxgw.fax import refusal_texts
from faxgw.fax.refusal_texts import CLAUSES, LEFT_OUT, SENTENCES, in_words

RECEIVED = ("received.py", "tiff_out.py")
"""They make documents of received faxes, whose senders are not ours to be told."""
SOURCES = sorted(path for path in Path(refusal.__file__).parent.glob("*.py") if path.name not in RECEIVED)
BRACES = re.compile(r"\{(\w+)\}")
MAKERS = {
    "damaged": ("how", 2), "too_large": ("what", 1), "unsafe": ("why", 1), "unsupported": ("what", 1),
    "mail": ("said", 1), "empty": ("said", 0), "merged": ("said", 1),
}  # fmt: skip
"""Functions of `refusal` that are given words: the name and the place of these."""


@pytest.mark.parametrize("table", [SENTENCES, CLAUSES, LEFT_OUT])
def test_every_text_stands_in_every_language_with_the_same_values(table: dict[str, dict[str, str]]) -> None:
    for said, texts in table.items():
        assert set(texts) == {"fr", "de"}, said
        for text in texts.values():
            assert set(BRACES.findall(text)) == set(BRACES.findall(said)), text
            assert text.endswith(".") == said.endswith("."), text


def _words() -> set[str]:
    """Every word that the page processes give to `refusal`, out of their source."""
    found: set[str] = set()
    for source in SOURCES:
        tree = ast.parse(source.read_text())
        texts = {
            target.id: node.value.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
            for target in node.targets
            if isinstance(target, ast.Name) and target.id in ("what", "said")
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if not isinstance(node.func.value, ast.Name) or node.func.value.id != "refusal":
                continue
            name, place = MAKERS.get(node.func.attr, ("", 0))
            given = [word.value for word in node.keywords if word.arg == name] + node.args[place : place + 1]
            for one in given if name else ():
                if isinstance(one, ast.Name):
                    found |= {texts[one.id]} if one.id in texts else set()
                assert not isinstance(one, ast.JoinedStr), f"{source.name}:{one.lineno}: values stand beside the words"
                if isinstance(one, ast.Constant) and isinstance(one.value, str):
                    found.add(one.value)
    return found


def test_every_word_that_a_document_is_refused_with_is_known() -> None:
    known = {*SENTENCES, *CLAUSES}
    assert _words() - known == set()
    assert len(_words()) > 15, "the test finds them"
    assert set(sniff.NAMES.values()) <= known


def test_every_kind_of_file_that_is_not_faxed_has_a_name() -> None:
    tree = ast.parse(Path(sniff.__file__).read_text())
    named = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match(r"(an?|of an) ", node.value)
    }
    assert len(named) > 25 and named <= set(CLAUSES)


@pytest.mark.parametrize(
    ("made", "english", "french", "german"),
    [
        (
            refusal.damaged("a.tif", 3, "{bad} of its {rows} rows cannot be read", bad=1200, rows=2286),
            "Page 3 of the document “a.tif” is damaged: 1,200 of its 2,286 rows cannot be read. Please check the file "
            "and send it again.",
            "Le document « a.tif » (page 3) est endommagé : 1\u202f200 de ses 2\u202f286 lignes sont illisibles. "
            "Veuillez vérifier le fichier et le renvoyer.",
            "Das Dokument „a.tif“ (Seite 3) ist beschädigt: 1.200 von 2.286 Zeilen sind nicht lesbar. Bitte prüfen Sie "
            "die Datei und senden Sie sie noch einmal.",
        ),
        (
            refusal.unsupported("a {b}.zip", "a ZIP archive"),
            "The document “a {b}.zip” is a ZIP archive and cannot be faxed. Please send it as PDF.",
            "Le document « a {b}.zip » est une archive ZIP et ne peut pas être faxé. Veuillez l’envoyer en PDF.",
            "Das Dokument „a {b}.zip“ ist ein ZIP-Archiv und kann nicht gefaxt werden. Bitte als PDF senden.",
        ),
        (
            refusal.too_many_pages("a.pdf", 1500, 1000, counted=False),
            "With the document “a.pdf” the fax would have more than 1,500 pages; at most 1,000 are allowed.",
            "Avec le document « a.pdf », la télécopie aurait plus de 1\u202f500 pages ; 1\u202f000 au plus sont "
            "permises.",
            "Mit dem Dokument „a.pdf“ hätte das Fax mehr als 1.500 Seiten; höchstens 1.000 sind erlaubt.",
        ),
        (
            refusal.empty(
                "{clause} Left out: {left_out}.", clause="The mail is empty: there is nothing to fax.",
                left_out="“logo.png” (inline image), “smime.p7s” (signature), “x” (y)",
            ),
            "The mail is empty: there is nothing to fax. Left out: “logo.png” (inline image), “smime.p7s” (signature), "
            "“x” (y).",
            "Le message est vide : il n’y a rien à faxer. Laissé de côté : « logo.png » (image du texte), "
            "« smime.p7s » (signature), « x » (y).",
            "Die E-Mail ist leer: es gibt nichts zu faxen. Weggelassen: „logo.png“ (Bild im Text), „smime.p7s“ "
            "(Signatur), „x“ (y).",
        ),
        (
            refusal.encrypted("a.pdf"),
            "The document “a.pdf” is protected by a password and cannot be opened. Please send it without protection.",
            "Le document « a.pdf » est protégé par un mot de passe et ne peut pas être ouvert. Veuillez l’envoyer sans "
            "protection.",
            "Das Dokument „a.pdf“ ist durch ein Passwort geschützt und lässt sich nicht öffnen. Bitte ohne Schutz "
            "senden.",
        ),
    ],
)  # fmt: skip
def test_a_refusal_in_three_languages(made: refusal.DocumentRefused, english: str, french: str, german: str) -> None:
    refused = made.refused
    assert refused.public == english
    told = [refused.told(language) for language in ("en", "fr", "de", "xx")]
    assert told == [english, french, german, english]


def test_what_a_page_process_makes_up_is_never_filled_in() -> None:
    """It may have been taken over by its document: a template of its own could ask for anything."""
    for said, values in (
        ("{subject.__class__}", ()),
        ("{subject:>999999999}", ()),
        ("{subject} is {clause} and cannot be faxed. Please send it as PDF.", (("clause", "{name:>99999999}"),)),
        ("{subject} is {clause} and cannot be faxed. Please send it as PDF.", ()),
        ("The mail is larger than {limit} MiB.", ()),
    ):
        assert in_words(said, values, "fr") == ""
        assert Refused(Reason.DAMAGED, "Broken.", said=said, values=values).told("fr") == "Broken."
    assert in_words("The mail is larger than {limit} MiB.", (("limit", "9" * 5000),), "de").count("9") == 5000
    assert refusal_texts.in_words("", (), "fr") == ""
