"""What a status mail says of the fax's pages that go with it, in English, French and German. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faxgw.fax.report import FaxPages, PagesTold, Repaired
from faxgw.formats.outgoing_mail import one_line
from faxgw.formats.status_view import MAX_NAME, international, words_of


@dataclass(frozen=True, slots=True)
class PagesTexts:
    """One language; `{pages}` such as `3 pages`, `{number}` the recipient's."""

    told: Mapping[PagesTold, str]
    others: str
    """Of several recipients: whose pages they are."""
    no_pdf: str
    not_searchable: str
    repaired: tuple[str, str]
    """One damaged row, several: `{rows}`, `{page}`, `{document}`."""


TEXTS: Mapping[str, PagesTexts] = {
    "en": PagesTexts(
        told={
            PagesTold.SENT: "Attached: the fax as it was sent ({pages}).",
            PagesTold.TRIED: "Attached: the fax as it was made for its last call ({pages}).",
            PagesTold.PREPARED: "Attached: the pages as they were prepared ({pages}); there was no call.",
            PagesTold.TOO_LARGE: "The pages are not attached: they are too large for a mail.",
            PagesTold.GONE: "The pages are not attached: they are not kept any more.",
        },
        others="It is the one to {number}; the others differ in their header lines and cover pages.",
        no_pdf="It is a TIFF file, because no PDF could be made of it.",
        not_searchable="The PDF cannot be searched, because its text could not be read.",
        repaired=(
            "Warning: 1 damaged row was repaired on page {page} of “{document}”.",
            "Warning: {rows} damaged rows were repaired on page {page} of “{document}”.",
        ),
    ),
    "fr": PagesTexts(
        told={
            PagesTold.SENT: "Ci-joint : le fax tel qu'il a été envoyé ({pages}).",
            PagesTold.TRIED: "Ci-joint : le fax tel qu'il a été composé pour son dernier appel ({pages}).",
            PagesTold.PREPARED: "Ci-joint : les pages telles que préparées ({pages}) ; il n'y a pas eu d'appel.",
            PagesTold.TOO_LARGE: "Les pages ne sont pas jointes : elles sont trop volumineuses pour un message.",
            PagesTold.GONE: "Les pages ne sont pas jointes : elles ne sont plus conservées.",
        },
        others="C'est celui envoyé au {number} ; les autres ont une autre ligne d'en-tête et une autre page de garde.",
        no_pdf="C'est un fichier TIFF, car aucun PDF n'a pu en être fait.",
        not_searchable="Le texte du PDF ne peut pas être recherché, car il n'a pas pu être lu.",
        repaired=(
            "Attention : 1 ligne endommagée a été réparée à la page {page} de « {document} ».",
            "Attention : {rows} lignes endommagées ont été réparées à la page {page} de « {document} ».",
        ),
    ),
    "de": PagesTexts(
        told={
            PagesTold.SENT: "Im Anhang: das Fax, wie es gesendet wurde ({pages}).",
            PagesTold.TRIED: "Im Anhang: das Fax, wie es für den letzten Anruf erstellt wurde ({pages}).",
            PagesTold.PREPARED: "Im Anhang: die vorbereiteten Seiten ({pages}); es gab keinen Anruf.",
            PagesTold.TOO_LARGE: "Die Seiten sind nicht angehängt: Sie sind zu groß für eine Mail.",
            PagesTold.GONE: "Die Seiten sind nicht angehängt: Sie werden nicht mehr aufbewahrt.",
        },
        others="Es ist das an {number}; die anderen unterscheiden sich in Kopfzeile und Deckblatt.",
        no_pdf="Es ist eine TIFF-Datei, weil daraus kein PDF gemacht werden konnte.",
        not_searchable="Das PDF ist nicht durchsuchbar, weil sein Text nicht gelesen werden konnte.",
        repaired=(
            "Achtung: 1 beschädigte Zeile wurde auf Seite {page} von „{document}“ ausgebessert.",
            "Achtung: {rows} beschädigte Zeilen wurden auf Seite {page} von „{document}“ ausgebessert.",
        ),
    ),
}


def pages_sentence(pages: FaxPages, language: str) -> str:
    """What is said of the pages; empty when there is nothing to say."""
    texts, words = TEXTS.get(language, TEXTS["en"]), words_of(language)
    if pages.told is PagesTold.NOTHING:
        return ""
    said = [texts.told[pages.told].format(pages=words.count(words.pages, pages.count))]
    if pages.told in (PagesTold.TOO_LARGE, PagesTold.GONE):
        return said[0]
    if pages.recipients > 1:
        said.append(texts.others.format(number=international(pages.number)))
    if pages.wanted:
        said.append(texts.no_pdf if pages.format == "tiff" else texts.not_searchable)
    return " ".join(said)


def repaired_sentences(pages: Sequence[Repaired], language: str) -> list[str]:
    """A warning for each page that was faxed although some rows of it could not be read."""
    texts, words = TEXTS.get(language, TEXTS["en"]), words_of(language)
    return [
        texts.repaired[one.rows != 1].format(
            rows=words.whole(one.rows), page=words.whole(one.page), document=one_line(one.document, MAX_NAME) or "–"
        )
        for one in pages
    ]
