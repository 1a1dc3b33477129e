"""Runs a SOAP client of the open world (zeep) against the served description, and prints what it returned as JSON.

    .venv-sdk/bin/python tests/sdk/drive_soap.py '{"wsdl": …, "login": …, "password": …, "port": "Soap11", "do": […]}'

`do` is a list of steps: the name of an operation and its arguments, `{"file": path}` standing for a file's octets.
What it returns stands in the list that is printed, or its fault.
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import Any

import zeep
from zeep.helpers import serialize_object


def value(given: Any) -> Any:
    if isinstance(given, dict):
        if set(given) == {"file"}:
            return Path(given["file"]).read_bytes()
        return {key: value(item) for key, item in given.items()}
    return [value(item) for item in given] if isinstance(given, list) else given


def plain(found: Any) -> Any:
    return found.isoformat() if isinstance(found, datetime.datetime) else str(found)


def main() -> None:
    given = json.loads(sys.argv[1])
    client = zeep.Client(given["wsdl"])
    service = client.bind("FaxolutionService", given["port"])
    found = []
    for name, arguments in given["do"]:
        try:
            who = {"username": given["login"], "password": given["password"]}
            found.append(serialize_object(getattr(service, name)(**who, **value(arguments)), dict))
        except zeep.exceptions.Fault as fault:
            found.append({"fault": fault.message, "code": str(fault.code)})
    sys.stdout.write(json.dumps(found, default=plain) + "\n")


main()
