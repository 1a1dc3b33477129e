"""What is wrong with a sender's numbers, commands and lists, in his language. Pure.

A fault is said once, as an English template with its values; the template is the key of the same in the other
languages, as in `fax.refusal_texts`, which does this for documents. A value may be a fault of its own, or several. A
template without a text in a language is told in English.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from faxgw.fax.errors import Refused

TEXTS: Mapping[str, Mapping[str, str]] = {
    # ---------------------------------------------------------------------------------------------------- numbers
    "The number is too long.": {"fr": "Le numéro est trop long.", "de": "Die Nummer ist zu lang."},
    "“{typed}” is not a telephone number.": {
        "fr": "« {typed} » n’est pas un numéro de téléphone.",
        "de": "„{typed}“ ist keine Telefonnummer.",
    },
    "Emergency numbers are never dialled.": {
        "fr": "Les numéros d’urgence ne sont jamais composés.",
        "de": "Notrufnummern werden nie gewählt.",
    },
    "“{typed}” cannot be dialled: {why}.": {
        "fr": "« {typed} » ne peut pas être composé : {why}.",
        "de": "„{typed}“ kann nicht gewählt werden: {why}.",
    },
    "it is not a number of any plan": {
        "fr": "ce numéro n’existe dans aucun plan de numérotation",
        "de": "eine solche Nummer gibt es in keinem Rufnummernplan",
    },
    "its country code does not exist": {
        "fr": "son indicatif de pays n’existe pas",
        "de": "ihre Landesvorwahl gibt es nicht",
    },
    "it is too short": {"fr": "il est trop court", "de": "sie ist zu kurz"},
    "it is too long": {"fr": "il est trop long", "de": "sie ist zu lang"},
    "it has a wrong length": {"fr": "il n’a pas la bonne longueur", "de": "sie hat eine falsche Länge"},
    "“{typed}” is a special service number; these are never dialled.": {
        "fr": "« {typed} » est un numéro de service spécial ; ceux-ci ne sont jamais composés.",
        "de": "„{typed}“ ist die Nummer eines Sonderdienstes; solche werden nie gewählt.",
    },
    "“{typed}” is a {kind} number, which is not open here.": {
        "fr": "« {typed} » est un numéro de la catégorie « {kind} », qui n’est pas ouverte ici.",
        "de": "„{typed}“ ist eine Nummer der Art „{kind}“, die hier nicht freigegeben ist.",
    },
    "Faxes to “{typed}” ({region}) are not open here.": {
        "fr": "Les télécopies vers « {typed} » ({region}) ne sont pas ouvertes ici.",
        "de": "Faxe an „{typed}“ ({region}) sind hier nicht freigegeben.",
    },
    "This account is a sandbox: it calls simulated machines only, whose numbers begin with {prefix}.": {
        "fr": "Ce compte est un bac à sable : il n’appelle que des machines simulées, dont les numéros commencent par "
        "{prefix}.",
        "de": "Dieses Konto ist ein Testkonto: es ruft nur simulierte Geräte an, deren Nummern mit {prefix} beginnen.",
    },
    # --------------------------------------------------------------------------------------------------- settings
    "must be a printable text of at most {limit} characters": {
        "fr": "doit être un texte imprimable de {limit} caractères au plus",
        "de": "muss ein druckbarer Text von höchstens {limit} Zeichen sein",
    },
    "must be one of {words}": {"fr": "doit être l’un de {words}", "de": "muss eines von {words} sein"},
    "must have at most 20 characters of + 0-9 and space (ITU-T T.30 section 5.3.6.2.4)": {
        "fr": "doit avoir au plus 20 caractères parmi +, 0 à 9 et l’espace (UIT-T T.30, paragraphe 5.3.6.2.4)",
        "de": "darf höchstens 20 Zeichen haben, nur +, 0 bis 9 und Leerzeichen (ITU-T T.30, Abschnitt 5.3.6.2.4)",
    },
    # --------------------------------------------------------------------------------------------------- commands
    "A command begins with @@ and does not end with @@.": {
        "fr": "Une commande commence par @@ et ne se termine pas par @@.",
        "de": "Ein Befehl beginnt mit @@ und endet nicht mit @@.",
    },
    "There are more than {limit} commands.": {
        "fr": "Il y a plus de {limit} commandes.",
        "de": "Es sind mehr als {limit} Befehle.",
    },
    "There is no command “{item}”. Commands are: {commands}.": {
        "fr": "Il n’y a pas de commande « {item} ». Les commandes sont : {commands}.",
        "de": "Einen Befehl „{item}“ gibt es nicht. Befehle sind: {commands}.",
    },
    "The command “{name}” is given twice.": {
        "fr": "La commande « {name} » est donnée deux fois.",
        "de": "Der Befehl „{name}“ steht zweimal da.",
    },
    "The command “{name}” is not open to this account.": {
        "fr": "La commande « {name} » n’est pas ouverte à ce compte.",
        "de": "Der Befehl „{name}“ ist für dieses Konto nicht freigegeben.",
    },
    "The command “{name}” needs a value: {name}=….": {
        "fr": "Il manque une valeur à la commande « {name} » : {name}=….",
        "de": "Dem Befehl „{name}“ fehlt ein Wert: {name}=….",
    },
    "There is no command between @@ and @@.": {
        "fr": "Il n’y a pas de commande entre @@ et @@.",
        "de": "Zwischen @@ und @@ steht kein Befehl.",
    },
    "A quotation mark in “{run}” is not closed.": {
        "fr": "Un guillemet n’est pas fermé dans « {run} ».",
        "de": "In „{run}“ fehlt ein schließendes Anführungszeichen.",
    },
    "Express faxes are not open to this account.": {
        "fr": "Les télécopies express ne sont pas ouvertes à ce compte.",
        "de": "Expressfaxe sind für dieses Konto nicht freigegeben.",
    },
    "Command “{name}”: {fault}.": {
        "fr": "Commande « {name} » : {fault}.",
        "de": "Befehl „{name}“: {fault}.",
    },
    "Command “{name}”: {fault}, not “{value}”.": {
        "fr": "Commande « {name} » : {fault}, et non « {value} ».",
        "de": "Befehl „{name}“: {fault}, nicht „{value}“.",
    },
    "must be a whole number from {low} to {high}": {
        "fr": "doit être un nombre entier de {low} à {high}",
        "de": "muss eine ganze Zahl von {low} bis {high} sein",
    },
    "must be a time such as 18:30, 2026-11-23 08:00 or +2h": {
        "fr": "doit être une heure telle que 18:30, 2026-11-23 08:00 ou +2h",
        "de": "muss eine Zeit sein wie 18:30, 2026-11-23 08:00 oder +2h",
    },
    "at most {limit} days ahead": {"fr": "{limit} jours à l’avance au plus", "de": "höchstens {limit} Tage voraus"},
    "this time has passed, or lies before “earliest”": {
        "fr": "cette heure est passée, ou précède « earliest »",
        "de": "dieser Zeitpunkt ist vorbei oder liegt vor „earliest“",
    },
    # ----------------------------------------------------------------------------------------------- header lines
    "Faxes of this account must have a header line that satisfies the policy {policy} ({law}); theirs does not: "
    "{faults}.": {
        "fr": "Les télécopies de ce compte doivent porter un en-tête conforme à la règle {policy} ({law}) ; le leur ne "
        "l’est pas : {faults}.",
        "de": "Faxe dieses Kontos müssen eine Kopfzeile haben, die der Regel {policy} genügt ({law}); diese genügt "
        "nicht: {faults}.",
    },
    "it is switched off": {"fr": "il est désactivé", "de": "sie ist ausgeschaltet"},
    "it does not print the date (day, month and year, such as %d.%m.%Y)": {
        "fr": "il n’imprime pas la date (jour, mois et année, par exemple %d.%m.%Y)",
        "de": "sie druckt das Datum nicht (Tag, Monat und Jahr, wie %d.%m.%Y)",
    },
    "it does not print the time (%H:%M, or %I:%M %p)": {
        "fr": "il n’imprime pas l’heure (%H:%M, ou %I:%M %p)",
        "de": "sie druckt die Uhrzeit nicht (%H:%M oder %I:%M %p)",
    },
    "the name of who sends is not known (setting caller_name)": {
        "fr": "le nom de l’expéditeur n’est pas connu (réglage caller_name)",
        "de": "der Name des Absenders ist nicht bekannt (Einstellung caller_name)",
    },
    "it does not print the name of who sends ({name})": {
        "fr": "il n’imprime pas le nom de l’expéditeur ({name})",
        "de": "sie druckt den Namen des Absenders nicht ({name})",
    },
    "it does not print a telephone number of the sender that is charged as an ordinary call": {
        "fr": "il n’imprime pas un numéro de téléphone de l’expéditeur au tarif d’un appel ordinaire",
        "de": "sie druckt keine Telefonnummer des Absenders, die wie ein gewöhnlicher Anruf kostet",
    },
    "it does not print a telephone number of the sender that is charged as an ordinary call, or a mail address": {
        "fr": "il n’imprime pas un numéro de téléphone de l’expéditeur au tarif d’un appel ordinaire, ni une adresse "
        "de courriel",
        "de": "sie druckt weder eine Telefonnummer des Absenders, die wie ein gewöhnlicher Anruf kostet, noch eine "
        "Mailadresse",
    },
    "a line of it has {length} characters; beyond {limit} it may be cut off": {
        "fr": "une ligne a {length} caractères ; au-delà de {limit}, elle peut être coupée",
        "de": "eine Zeile hat {length} Zeichen; was über {limit} hinausgeht, kann abgeschnitten werden",
    },
    # ------------------------------------------------------------------------------------------- merged documents
    "“{name}” has no fax number on its first page, such as @@+33123456789@@.": {
        "fr": "« {name} » n’a pas de numéro de fax sur sa première page, tel que @@+33123456789@@.",
        "de": "„{name}“ hat keine Faxnummer auf der ersten Seite, etwa @@+33123456789@@.",
    },
    "“{name}”, page {page}: {fault}": {
        "fr": "« {name} », page {page} : {fault}",
        "de": "„{name}“, Seite {page}: {fault}",
    },
    "commands stand on the page with the number.": {
        "fr": "les commandes figurent sur la page du numéro.",
        "de": "Befehle stehen auf der Seite mit der Nummer.",
    },
    "The mail has no attachment that could be a merged document.": {
        "fr": "Le message n’a pas de pièce jointe qui puisse être un document de publipostage.",
        "de": "Die E-Mail hat keinen Anhang, der ein Seriendokument sein könnte.",
    },
    "The mail has more than {limit} merged faxes.": {
        "fr": "Le message contient plus de {limit} télécopies de publipostage.",
        "de": "Die E-Mail enthält mehr als {limit} Serienfaxe.",
    },
    # ----------------------------------------------------------------------------------------- distribution lists
    "The mail is addressed to its distribution list and has no attachment {name}.": {
        "fr": "Le message est adressé à sa liste de diffusion et n’a pas de pièce jointe {name}.",
        "de": "Die E-Mail ist an ihre Verteilerliste gerichtet und hat keinen Anhang {name}.",
    },
    "Distribution lists are not open to this account.": {
        "fr": "Les listes de diffusion ne sont pas ouvertes à ce compte.",
        "de": "Verteilerlisten sind für dieses Konto nicht freigegeben.",
    },
    "{name} has more than {limit} recipients.": {
        "fr": "{name} a plus de {limit} destinataires.",
        "de": "{name} hat mehr als {limit} Empfänger.",
    },
    "{name} names nobody.": {"fr": "{name} ne nomme personne.", "de": "{name} nennt niemanden."},
    "{name}, {faults}.": {"fr": "{name}, {faults}.", "de": "{name}, {faults}."},
    "{name}, {faults}; and {more} more lines.": {
        "fr": "{name}, {faults} ; et {more} autres lignes.",
        "de": "{name}, {faults}; und {more} weitere Zeilen.",
    },
    "line {line}: {fault}": {"fr": "ligne {line} : {fault}", "de": "Zeile {line}: {fault}"},
    "the number is too long": {"fr": "le numéro est trop long", "de": "die Nummer ist zu lang"},
    "the personal text is too long": {
        "fr": "le texte personnel est trop long",
        "de": "der persönliche Text ist zu lang",
    },
    # ------------------------------------------------------------------------------------------------- the account
    "The fax has {count} recipients; the limit of this account is {limit}.": {
        "fr": "La télécopie a {count} destinataires ; la limite de ce compte est de {limit}.",
        "de": "Das Fax hat {count} Empfänger; die Grenze dieses Kontos ist {limit}.",
    },
    "At most {limit} faxes are accepted from this account in 24 hours.": {
        "fr": "{limit} télécopies au plus sont acceptées de ce compte en 24 heures.",
        "de": "Von diesem Konto werden in 24 Stunden höchstens {limit} Faxe angenommen.",
    },
    "At most {limit} pages are accepted from this account in 24 hours.": {
        "fr": "{limit} pages au plus sont acceptées de ce compte en 24 heures.",
        "de": "Von diesem Konto werden in 24 Stunden höchstens {limit} Seiten angenommen.",
    },
    "The gateway could not process this mail.": {
        "fr": "La passerelle n’a pas pu traiter ce message.",
        "de": "Das Gateway konnte diese E-Mail nicht verarbeiten.",
    },
}
"""What is told, by its English template."""


@dataclass(frozen=True, slots=True)
class Said:
    """One fault."""

    text: str
    """English template: a sentence, or a clause of one."""
    values: Mapping[str, str | int | Said | tuple[Said, ...]] = field(default_factory=dict)
    """What stands in its braces; several faults stand one behind the other, with semicolons between them."""

    def told(self, language: str = "en") -> str:
        """The fault in words.

        Args:
            language: `en`, `fr` or `de`; another one is English.
        """
        texts = TEXTS.get(self.text, {})
        return texts.get(language, self.text).format(**{name: _put(one, language) for name, one in self.values.items()})


def _put(value: str | int | Said | tuple[Said, ...], language: str) -> str:
    if isinstance(value, Said):
        return value.told(language)
    if isinstance(value, tuple):
        return (" ; " if language == "fr" else "; ").join(one.told(language).rstrip(".") for one in value)
    return str(value)


class NumberRefused(Refused):
    """A number that is not dialled.

    Args:
        detail: For the log only.
        said: What the sender is told.
    """

    def __init__(self, detail: str, said: Said) -> None:
        super().__init__(detail, public=said.told())
        self.said = said


class Unfit(ValueError):
    """A value that a setting cannot have.

    Args:
        said: Continues "The setting …".
    """

    def __init__(self, said: Said) -> None:
        super().__init__(said.told())
        self.said = said
