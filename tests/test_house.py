"""The house is in order: every module has a test of its own name, or a line here that says where it is tested."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE, TESTS = ROOT / "faxgw", ROOT / "tests"
NO_MODULES = frozenset({"__init__", "__main__"})

ANOTHER_NAME: Mapping[str, Mapping[str, str]] = {
    "It is a piece of a server: what it does is what the server's clients see.": {
        "api/retarus_body": "api/test_retarus_bad_input",
        "api/vendor_jobs": "api/test_retarus",
        "api/v1/calls": "api/v1/test_faxes",
        "api/v1/sending": "api/v1/test_faxes",
        "api/v1/templates": "api/v1/test_matrix",
        "api/v1/native": "api/test_openapi",
        "api/received": "api/test_control",
        "api/restored": "api/test_control",
        "intake/ftp_session": "intake/test_ftp",
        "intake/sftp_session": "intake/test_sftp",
        "intake/smtp": "intake/test_smtp_session",
        "intake/smtp_link": "intake/test_smtp_session",
        "intake/smtp_room": "intake/test_smtp_session",
        "intake/smtp_process": "intake/test_smtp_processes",
        "intake/plain_files": "intake/test_folder",
        "intake/result_files": "intake/test_job_files",
        "document/server": "document/test_service",
        "document/received_client": "document/test_received",
        "document/convert": "document/test_converters",
        "document/printer_host": "document/test_printer",
        "t30/audio": "t30/test_call",
        "t30/t38": "t30/test_call",
        "t30/terminal": "t30/test_call",
        "line/commits": "line/test_incoming",
        "line/outgoing": "line/test_call",
        "dispatch/seat": "dispatch/test_worker",
        "dispatch/hooks": "store/test_webhook_feed",
        "dispatch/renderer": "dispatch/test_worker",
        "dispatch/documents": "dispatch/test_worker",
        "dispatch/consigning": "dispatch/test_inbound_rules",
        "dispatch/replying": "dispatch/test_inbound_rules",
        "document/build": "test_compiled",
        "store/build": "test_compiled",
        "t30/build": "test_compiled",
        "daemon": "end_to_end/test_outbound",
        "observing": "test_metrics",
        "tables": "test_settings",
        "rig": "end_to_end/test_learning",
        "selftest": "systemd/test_confined",
        "cli_store": "end_to_end/test_restore",
    },
    "It is read or written by one other module alone, and tested with it.": {
        "document/bitmap": "document/test_halftone",
        "document/header": "document/test_compose",
        "document/fonts": "document/test_text",
        "document/mime": "document/test_mail",
        "document/sniff": "document/test_text",
        "document/pdf": "document/test_converters",
        "document/pdf_out": "document/test_received",
        "document/refusal": "document/test_converters",
        "document/faults": "document/test_places",
        "document/limits": "document/test_hostile",
        "formats/cause_texts": "formats/test_status_mail",
        "formats/received_texts": "formats/test_received_mail",
        "formats/soap_wsdl": "formats/test_soap_answers",
        "formats/status_texts": "formats/test_status_mail",
        "formats/status_view": "formats/test_status_mail",
        "formats/xml_tree": "formats/test_xml_job",
        "foip/stack": "foip/test_call",
    },
    "It holds values, settings or ports: those who use it test what they mean.": {
        "api/admin_answers": "api/test_admin_schema",
        "api/admin_models": "api/test_admin",
        "api/answers": "api/test_http",
        "api/settings": "api/test_retarus",
        "api/v1/fax_models": "api/v1/test_bad_input",
        "intake/folder_settings": "intake/test_folder",
        "intake/ftp_settings": "intake/test_ftp",
        "intake/sftp_settings": "intake/test_sftp",
        "intake/smtp_settings": "intake/test_smtp_limits",
        "fax/errors": "fax/test_job",
        "fax/ports": "dispatch/test_worker",
        "fax/preview": "api/test_previews",
        "fax/received_document": "document/test_received_kinds",
        "fax/report": "fax/test_dsn",
        "fax/submission": "store/test_submission",
        "foip/errors": "foip/test_uri",
        "foip/events": "foip/test_session",
        "line/facts": "line/test_tally",
        "line/ports": "line/test_trunk",
    },
    "It is a folder of the store's rows that other units of work are made with.": {
        "store/archive": "store/test_backup",
        "store/archive_book": "dispatch/test_archive_export",
        "store/choosing": "store/test_routing",
        "store/credentials": "store/test_accounts",
        "store/durable": "store/test_power_cut",
        "store/envelope": "store/test_late",
        "store/errors": "store/test_disk_full",
        "store/holds": "store/test_purge",
        "store/locks": "store/test_migrate",
        "store/pushed": "delivery/test_push",
        "store/pushes": "delivery/test_push",
        "store/replies": "store/test_routing",
        "store/report_book": "api/test_retarus",
        "store/routing_seed": "parts/test_routing",
        "store/scrub": "store/test_purge",
        "store/session": "store/test_postgres",
        "store/synchronise": "intake/test_directory_import",
        "store/unit": "store/test_engine",
    },
    "It is the far machine of other tests, or a piece of it.": {
        "simulator/behaviour": "simulator/test_manners",
        "simulator/callers": "simulator/test_zoo",
        "simulator/leg": "simulator/test_program",
        "simulator/machines": "simulator/test_zoo",
        "simulator/manner": "simulator/test_twist",
        "simulator/odd_leg": "simulator/test_program",
        "simulator/ports": "simulator/test_scripted",
        "simulator/receiving": "simulator/test_machine",
        "simulator/sending": "simulator/test_machine",
        "simulator/voice": "t30/test_speech",
    },
}
"""Why a module has no test of its own name → module: where it is tested."""
WHERE = {module: test for lines in ANOTHER_NAME.values() for module, test in lines.items()}


def modules() -> list[str]:
    """Every module, by its path below the package."""
    found = []
    for path in sorted(CODE.rglob("*.py")):
        below = path.relative_to(CODE)
        if path.stem not in NO_MODULES and "migrations" not in below.parts:
            found.append(below.with_suffix("").as_posix())
    return found


def own_tests(module: str) -> list[Path]:
    """Where its test may stand: by its name, or by the name of the package whose piece it is."""
    folder, _, name = module.rpartition("/")
    above, _, package = folder.rpartition("/")
    places = [TESTS / folder / f"test_{name}.py"]
    return [*places, TESTS / above / f"test_{package}.py"] if above else places


@pytest.mark.parametrize("module", modules())
def test_a_module_has_a_test_of_its_own_name_or_is_said_to_be_tested_elsewhere(module: str) -> None:
    where = WHERE.get(module)
    own = any(path.exists() for path in own_tests(module))
    assert own or where is not None, f"write tests/{module.rpartition('/')[0]}/test_{module.rpartition('/')[2]}.py"


@pytest.mark.parametrize("module", sorted(WHERE))
def test_what_is_said_to_be_tested_elsewhere_is_there_and_the_test_too(module: str) -> None:
    assert (CODE / f"{module}.py").exists(), "the module is gone: its line goes too"
    assert (TESTS / f"{WHERE[module]}.py").exists(), WHERE[module]


def test_no_module_is_said_to_be_tested_in_two_places() -> None:
    assert len(WHERE) == sum(map(len, ANOTHER_NAME.values()))


@pytest.mark.parametrize("module", [one for one in modules() if not one.startswith("simulator/")])
def test_a_module_is_no_longer_than_anybody_reads(module: str) -> None:
    """The house rule: 80 to 400 lines; at 600 it is split along its concepts."""
    assert len((CODE / f"{module}.py").read_text().splitlines()) <= 600
