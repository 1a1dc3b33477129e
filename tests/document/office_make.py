"""Has LibreOffice store documents in other formats, with and without a password; runs under Debian's own Python.

`python3 office_make.py FOLDER SOURCE FILTER TARGET FILTER PASSWORD …`: of SOURCE, opened by its filter, a TARGET is
made with the other; five words a document.
"""

from __future__ import annotations

import sys
from pathlib import Path

from faxgw.document import office_host


def _named(office: office_host.Office, name: str, value: str) -> object:
    made = office._uno.createUnoStruct("com.sun.star.beans.NamedValue")
    made.Name, made.Value = name, value
    return made


def main() -> None:
    folder, *words = sys.argv[1:]
    office = office_host.Office(Path(folder), 1536 * 1024 * 1024, 256 * 1024 * 1024)
    try:
        for at in range(0, len(words), 5):
            source, opened_by, target, stored_by, password = words[at : at + 5]
            model = office._open(Path(source), opened_by, office_host._questions(office._uno))
            wanted: dict[str, object] = {"FilterName": stored_by}
            if password:
                wanted["Password"] = password
                if "2007" in stored_by:
                    named = [_named(office, *each) for each in (("CryptoType", "Standard"), ("OOXPassword", password))]
                    wanted["EncryptionData"] = office._uno.Any("[]com.sun.star.beans.NamedValue", tuple(named))
                    del wanted["Password"]
            model.storeToURL(Path(target).as_uri(), office._properties(wanted))
            model.close(False)
    finally:
        office.close()


if __name__ == "__main__":
    main()
