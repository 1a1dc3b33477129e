"""Identifiers (spine section 1)."""

import re
import secrets
import uuid

from hypothesis import given
from hypothesis import strategies as st

from faxgw.fax import ids


@given(st.binary(min_size=16, max_size=16))
def test_ids_have_the_vendors_form_and_job_and_fax_ids_never_meet(entropy: bytes) -> None:
    assert re.fullmatch(r"F[A-MO-Z0-9][A-Z0-9]{20}", ids.job_id(entropy))
    assert re.fullmatch(r"FN[A-Z0-9]{20}", ids.fax_id(entropy))


def test_a_uuid7_is_one_and_sorts_by_time() -> None:
    """RFC 9562 section 5.7."""
    first, second = (ids.uuid7(t, secrets.token_bytes(16)) for t in (1_700_000_000.0, 1_700_000_000.002))
    assert first.version == 7 and first.variant == uuid.RFC_4122
    assert first < second
    assert first.int >> 80 == 1_700_000_000_000


def test_a_prefixed_id_is_unique() -> None:
    assert len({ids.prefixed("msg", 1.0, secrets.token_bytes(16)) for _ in range(1000)}) == 1000
