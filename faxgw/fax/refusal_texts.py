"""Why a document cannot be faxed, in the sender's language. Pure.

A refusal is said once, as an English template with its values; that template is the key of the same in the other
languages, as status texts have them. What is put in for {clause} is a template of its own. A template that has no
text in a language is told in English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Values = Sequence[tuple[str, str]]
"""What stands in a template's braces, by name. Numbers are digits, and grouped as the language does."""

LANGUAGES = ("en", "fr", "de")
NUMBERS = frozenset({"bad", "count", "height", "limit", "pages", "rows", "width"})
"""Names of values that are numbers."""
MAX_DIGITS = 20
_GROUP = {"en": ",", "fr": "\u202f", "de": "."}
_SUBJECT = {
    "en": ("The mail", "The document “{name}”", "Page {page} of the document “{name}”"),
    "fr": ("Le message", "Le document « {name} »", "Le document « {name} » (page {page})"),
    "de": ("Die E-Mail", "Das Dokument „{name}“", "Das Dokument „{name}“ (Seite {page})"),
}
"""How a sentence begins: about the mail as a whole, a document, a page of it."""
_MORE_THAN = {"en": "more than {pages}", "fr": "plus de {pages}", "de": "mehr als {pages}"}

SENTENCES: Mapping[str, Mapping[str, str]] = {
    "{subject} is protected by a password and cannot be opened. Please send it without protection.": {
        "fr": "{subject} est protégé par un mot de passe et ne peut pas être ouvert. Veuillez l’envoyer sans "
        "protection.",
        "de": "{subject} ist durch ein Passwort geschützt und lässt sich nicht öffnen. Bitte ohne Schutz senden.",
    },
    "{subject} is damaged and cannot be read. Please check the file and send it again.": {
        "fr": "{subject} est endommagé et illisible. Veuillez vérifier le fichier et le renvoyer.",
        "de": "{subject} ist beschädigt und nicht lesbar. Bitte prüfen Sie die Datei und senden Sie sie noch einmal.",
    },
    "{subject} is damaged: {clause}. Please check the file and send it again.": {
        "fr": "{subject} est endommagé : {clause}. Veuillez vérifier le fichier et le renvoyer.",
        "de": "{subject} ist beschädigt: {clause}. Bitte prüfen Sie die Datei und senden Sie sie noch einmal.",
    },
    "{subject} could not be read: it is damaged, or too complicated. Please print it to a new PDF and send that.": {
        "fr": "{subject} n’a pas pu être lu : il est endommagé, ou trop compliqué. Veuillez l’imprimer dans un nouveau "
        "PDF et envoyer celui-ci.",
        "de": "{subject} konnte nicht gelesen werden: beschädigt oder zu kompliziert. Bitte drucken Sie den Inhalt in "
        "ein neues PDF und senden Sie dieses.",
    },
    "{subject} is {clause} and cannot be faxed. Please send it as PDF.": {
        "fr": "{subject} est {clause} et ne peut pas être faxé. Veuillez l’envoyer en PDF.",
        "de": "{subject} ist {clause} und kann nicht gefaxt werden. Bitte als PDF senden.",
    },
    "{subject} has letters that no font of this fax gateway can print: {letters}. Please send it as PDF.": {
        "fr": "{subject} contient des lettres qu’aucune police de cette passerelle ne peut imprimer : {letters}. "
        "Veuillez l’envoyer en PDF.",
        "de": "{subject} enthält Buchstaben, die keine Schrift dieses Faxgateways drucken kann: {letters}. Bitte als "
        "PDF senden.",
    },
    "With the document “{name}” the fax would have {pages} pages; at most {limit} are allowed.": {
        "fr": "Avec le document « {name} », la télécopie aurait {pages} pages ; {limit} au plus sont permises.",
        "de": "Mit dem Dokument „{name}“ hätte das Fax {pages} Seiten; höchstens {limit} sind erlaubt.",
    },
    "{subject} cannot be faxed: {clause}.": {
        "fr": "{subject} ne peut pas être faxé : {clause}.",
        "de": "{subject} kann nicht gefaxt werden: {clause}.",
    },
    "{subject} is too complicated: it could not be converted in the time allowed. Please simplify it, or send it as a "
    "scan.": {
        "fr": "{subject} est trop compliqué : la conversion n’a pas abouti dans le temps permis. Veuillez le "
        "simplifier, ou l’envoyer numérisé.",
        "de": "{subject} ist zu kompliziert: die Umwandlung gelang nicht in der erlaubten Zeit. Bitte vereinfachen "
        "oder als Scan senden.",
    },
    "{subject} is not opened: {clause}. Please send it as PDF.": {
        "fr": "{subject} n’est pas ouvert : {clause}. Veuillez l’envoyer en PDF.",
        "de": "{subject} wird nicht geöffnet: {clause}. Bitte als PDF senden.",
    },
    "{subject} is empty: there is nothing to fax.": {
        "fr": "{subject} est vide : il n’y a rien à faxer.",
        "de": "{subject} ist leer: es gibt nichts zu faxen.",
    },
    "All pages of the fax are blank: there is nothing to fax.": {
        "fr": "Toutes les pages de la télécopie sont blanches : il n’y a rien à faxer.",
        "de": "Alle Seiten des Faxes sind leer: es gibt nichts zu faxen.",
    },
    "The fax has {count} pages; at most {limit} are allowed.": {
        "fr": "La télécopie a {count} pages ; {limit} au plus sont permises.",
        "de": "Das Fax hat {count} Seiten; höchstens {limit} sind erlaubt.",
    },
    "The mail is larger than {limit} MiB.": {
        "fr": "Le message dépasse {limit} Mio.",
        "de": "Die E-Mail ist größer als {limit} MiB.",
    },
    "The mail has {count} documents; at most {limit} can be faxed.": {
        "fr": "Le message contient {count} documents ; {limit} au plus peuvent être faxés.",
        "de": "Die E-Mail hat {count} Dokumente; höchstens {limit} können gefaxt werden.",
    },
    "The mail is encrypted or sealed (PGP or S/MIME). Please send it without encryption.": {
        "fr": "Le message est chiffré ou scellé (PGP ou S/MIME). Veuillez l’envoyer sans chiffrement.",
        "de": "Die E-Mail ist verschlüsselt oder versiegelt (PGP oder S/MIME). Bitte unverschlüsselt senden.",
    },
    "The mail is only a part of a message, or refers to one stored elsewhere.": {
        "fr": "Ce n’est qu’une partie d’un message, ou un renvoi à un message déposé ailleurs.",
        "de": "Die E-Mail ist nur ein Teil einer Nachricht oder verweist auf eine, die woanders liegt.",
    },
    "The mail consists of more than {limit} parts and cannot be faxed.": {
        "fr": "Le message se compose de plus de {limit} parties et ne peut pas être faxé.",
        "de": "Die E-Mail besteht aus mehr als {limit} Teilen und kann nicht gefaxt werden.",
    },
    "The parts of the mail are nested more than {limit} deep and cannot be faxed.": {
        "fr": "Les parties du message sont imbriquées sur plus de {limit} niveaux et ne peuvent pas être faxées.",
        "de": "Die Teile der E-Mail sind mehr als {limit}-fach verschachtelt und können nicht gefaxt werden.",
    },
    "The structure of the mail is damaged: it cannot be taken apart.": {
        "fr": "La structure du message est endommagée : il ne peut pas être décomposé.",
        "de": "Der Aufbau der E-Mail ist beschädigt: sie lässt sich nicht zerlegen.",
    },
    "A header of the mail is larger than {limit} KiB.": {
        "fr": "Un en-tête du message dépasse {limit} Kio.",
        "de": "Ein Kopf der E-Mail ist größer als {limit} KiB.",
    },
    "The mail has no attachment that could be faxed, and its text is not faxed by your settings.": {
        "fr": "Le message n’a pas de pièce jointe à faxer, et selon vos réglages son texte n’est pas faxé.",
        "de": "Die E-Mail hat keinen Anhang, der gefaxt werden könnte, und ihr Text wird nach Ihren Einstellungen "
        "nicht gefaxt.",
    },
    "The mail has no text, and its attachments are not faxed by your settings.": {
        "fr": "Le message n’a pas de texte, et selon vos réglages ses pièces jointes ne sont pas faxées.",
        "de": "Die E-Mail hat keinen Text, und ihre Anhänge werden nach Ihren Einstellungen nicht gefaxt.",
    },
    "The mail is empty: there is nothing to fax.": {
        "fr": "Le message est vide : il n’y a rien à faxer.",
        "de": "Die E-Mail ist leer: es gibt nichts zu faxen.",
    },
    "{clause} Left out: {left_out}.": {
        "fr": "{clause} Laissé de côté : {left_out}.",
        "de": "{clause} Weggelassen: {left_out}.",
    },
    "“{name}” is no merged document: those are PDF or Office documents.": {
        "fr": "« {name} » n’est pas un document de publipostage : ceux-ci sont des PDF ou des documents Office.",
        "de": "„{name}“ ist kein Seriendokument: das sind PDF- oder Office-Dokumente.",
    },
    "“{name}”, page {page}: {clause}.": {
        "fr": "« {name} », page {page} : {clause}.",
        "de": "„{name}“, Seite {page}: {clause}.",
    },
}
CLAUSES: Mapping[str, Mapping[str, str]] = {
    "its end is missing": {"fr": "il manque la fin", "de": "das Ende fehlt"},
    "{bad} of its {rows} rows cannot be read": {
        "fr": "{bad} de ses {rows} lignes sont illisibles",
        "de": "{bad} von {rows} Zeilen sind nicht lesbar",
    },
    "it has fewer pages than the {count} that it says": {
        "fr": "il a moins de pages que les {count} qu’il annonce",
        "de": "es hat weniger Seiten als die {count}, die es angibt",
    },
    "a text may have {limit} KiB, this one has {count}": {
        "fr": "un texte peut avoir {limit} Kio, celui-ci en a {count}",
        "de": "ein Text darf {limit} KiB haben, dieser hat {count}",
    },
    "it is too long for a text in its writing; please send it in parts, or as PDF": {
        "fr": "il est trop long pour un texte dans son écriture ; veuillez l’envoyer en plusieurs parties, ou en PDF",
        "de": "es ist zu lang für einen Text in seiner Schrift; bitte in Teilen oder als PDF senden",
    },
    "it has {width} × {height} pixels; at most {limit} in all are allowed": {
        "fr": "il a {width} × {height} points ; {limit} en tout au plus sont permis",
        "de": "es hat {width} × {height} Bildpunkte; insgesamt sind höchstens {limit} erlaubt",
    },
    "its parts unpack to more than {limit} MiB": {
        "fr": "ses parties décompressées dépassent {limit} Mio",
        "de": "die Teile ergeben ausgepackt mehr als {limit} MiB",
    },
    "it defines XML entities, which no Office program does": {
        "fr": "il définit des entités XML, ce que ne fait aucun programme Office",
        "de": "es definiert XML-Entitäten, was kein Office-Programm tut",
    },
    "distribution lists may have {limit} KiB": {
        "fr": "les listes de diffusion peuvent avoir {limit} Kio",
        "de": "Verteilerlisten dürfen {limit} KiB haben",
    },
    "it is too complicated and would need too much memory": {
        "fr": "il est trop compliqué et demanderait trop de mémoire",
        "de": "es ist zu kompliziert und bräuchte zu viel Speicher",
    },
    "the fax would be too large": {"fr": "la télécopie serait trop volumineuse", "de": "das Fax würde zu groß"},
    "a command begins with @@ and does not end with @@": {
        "fr": "une commande commence par @@ et ne se termine pas par @@",
        "de": "ein Befehl beginnt mit @@ und endet nicht mit @@",
    },
    "it has more than {limit} commands": {
        "fr": "elle a plus de {limit} commandes",
        "de": "sie hat mehr als {limit} Befehle",
    },
    "a TIFF file with a rare kind of compression": {
        "fr": "un fichier TIFF d’une compression rare",
        "de": "eine TIFF-Datei mit seltener Kompression",
    },
    "a RAR archive": {"fr": "une archive RAR", "de": "ein RAR-Archiv"},
    "a 7-Zip archive": {"fr": "une archive 7-Zip", "de": "ein 7-Zip-Archiv"},
    "a compressed file": {"fr": "un fichier compressé", "de": "eine komprimierte Datei"},
    "a tar archive": {"fr": "une archive tar", "de": "ein tar-Archiv"},
    "a program": {"fr": "un programme", "de": "ein Programm"},
    "a HEIC picture": {"fr": "une image HEIC", "de": "ein HEIC-Bild"},
    "an AVIF picture": {"fr": "une image AVIF", "de": "ein AVIF-Bild"},
    "a video": {"fr": "une vidéo", "de": "ein Video"},
    "a Photoshop picture": {"fr": "une image Photoshop", "de": "ein Photoshop-Bild"},
    "an icon": {"fr": "une icône", "de": "ein Symbol"},
    "a sound recording": {"fr": "un enregistrement sonore", "de": "eine Tonaufnahme"},
    "an XML file": {"fr": "un fichier XML", "de": "eine XML-Datei"},
    "an SVG drawing": {"fr": "un dessin SVG", "de": "eine SVG-Zeichnung"},
    "an Outlook winmail.dat container": {
        "fr": "un conteneur winmail.dat d’Outlook",
        "de": "ein winmail.dat-Behälter von Outlook",
    },
    "a BigTIFF picture of a rare kind": {
        "fr": "une image BigTIFF d’un genre rare",
        "de": "ein BigTIFF-Bild seltener Art",
    },
    "a Word document": {"fr": "un document Word", "de": "ein Word-Dokument"},
    "an Excel workbook": {"fr": "un classeur Excel", "de": "eine Excel-Arbeitsmappe"},
    "a PowerPoint presentation": {"fr": "une présentation PowerPoint", "de": "eine PowerPoint-Präsentation"},
    "an RTF text": {"fr": "un texte RTF", "de": "ein RTF-Text"},
    "an OpenDocument text": {"fr": "un texte OpenDocument", "de": "ein OpenDocument-Text"},
    "an OpenDocument spreadsheet": {"fr": "un classeur OpenDocument", "de": "eine OpenDocument-Tabelle"},
    "an OpenDocument presentation": {
        "fr": "une présentation OpenDocument",
        "de": "eine OpenDocument-Präsentation",
    },
    "an OpenDocument drawing": {"fr": "un dessin OpenDocument", "de": "eine OpenDocument-Zeichnung"},
    "a PostScript file": {"fr": "un fichier PostScript", "de": "eine PostScript-Datei"},
    "a PCL printer file": {"fr": "un fichier d’imprimante PCL", "de": "eine PCL-Druckdatei"},
    "a ZIP archive": {"fr": "une archive ZIP", "de": "ein ZIP-Archiv"},
    "an Outlook message": {"fr": "un message Outlook", "de": "eine Outlook-Nachricht"},
    "a compound file of an unknown kind": {
        "fr": "un fichier composé d’un type inconnu",
        "de": "eine Verbunddatei unbekannter Art",
    },
    "of an unknown kind": {"fr": "d’un type inconnu", "de": "von unbekannter Art"},
    "a message within an Outlook container": {
        "fr": "un message dans un conteneur Outlook",
        "de": "eine Nachricht in einem Outlook-Behälter",
    },
    "an object of an Outlook text": {"fr": "un objet d’un texte Outlook", "de": "ein Objekt eines Outlook-Textes"},
}
LEFT_OUT: Mapping[str, Mapping[str, str]] = {
    "signature": {"fr": "signature", "de": "Signatur"},
    "inline image": {"fr": "image du texte", "de": "Bild im Text"},
    "small image": {"fr": "petite image", "de": "kleines Bild"},
    "key": {"fr": "clé", "de": "Schlüssel"},
    "calendar entry": {"fr": "entrée d’agenda", "de": "Kalendereintrag"},
    "business card": {"fr": "carte de visite", "de": "Visitenkarte"},
    "interactive content": {"fr": "contenu interactif", "de": "interaktiver Inhalt"},
    "mail headers": {"fr": "en-têtes de message", "de": "Mail-Köpfe"},
    "delivery status": {"fr": "état de remise", "de": "Zustellstatus"},
    "Outlook formatting": {"fr": "mise en forme d’Outlook", "de": "Outlook-Formatierung"},
    "empty": {"fr": "vide", "de": "leer"},
}
"""Why a part of a mail is not faxed, as it stands behind its name."""
_LEFT_OUT = re.compile(r"“([^“”]*)” \(([^()]+)\)")
_QUOTED = {"fr": "« {} »", "de": "„{}“"}


def in_words(said: str, values: Values, language: str) -> str:
    """A refusal, for its sender; empty when it is none of those that stand here.

    What comes from a page process is not believed: only templates of this module are ever filled in.

    Args:
        said: Its English template.
        values: What stands in the braces; `name` and `page` make the subject.
        language: The sender's; one that is not known is English.
    """
    known = language if language in LANGUAGES else "en"
    clause = dict(values).get("clause", "")
    if said not in SENTENCES or (clause and clause not in CLAUSES and clause not in SENTENCES):
        return ""
    try:
        return _filled(said, values, known)
    except (KeyError, IndexError, ValueError):
        return ""  # a value is missing


def english(said: str, values: Values) -> str:
    """The same in English, of whatever template: for those who make refusals."""
    return _filled(said, values, "en")


def _filled(said: str, values: Values, language: str) -> str:
    given = {key: _number(value, language) if key in NUMBERS else value for key, value in values}
    name, page = given.get("name", ""), given.get("page", "")
    given["subject"] = _SUBJECT[language][bool(name) + bool(name and page)].format(name=name, page=page)
    if given.pop("uncounted", ""):
        given["pages"] = _MORE_THAN[language].format(pages=given["pages"])
    if language != "en" and "left_out" in given:
        given["left_out"] = _LEFT_OUT.sub(lambda one: _left_out(one[1], one[2], language), given["left_out"])
    if clause := given.get("clause"):
        given["clause"] = (CLAUSES.get(clause) or SENTENCES.get(clause, {})).get(language, clause).format(**given)
    return SENTENCES.get(said, {}).get(language, said).format(**given)


def _left_out(name: str, why: str, language: str) -> str:
    return f"{_QUOTED[language].format(name)} ({LEFT_OUT.get(why, {}).get(language, why)})"


def _number(digits: str, language: str) -> str:
    good = digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS
    return f"{int(digits):,}".replace(",", _GROUP[language]) if good else digits
