from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from crm_assets.bronze.manychat_file import read_contacts
from crm_assets.bronze.text_table import RefusedFile

SAO_PAULO = "America/Sao_Paulo"


@pytest.fixture(scope="session")
def now():
    """The fixed clock of the sample tenant."""
    return datetime(2026, 3, 15, 9, tzinfo=ZoneInfo(SAO_PAULO))


@pytest.fixture(scope="session")
def read(now):
    """Read the text or bytes of a file."""

    def read(content):
        content = content.encode() if isinstance(content, str) else content
        return read_contacts(content, timezone=SAO_PAULO, now=now)

    return read


@pytest.fixture(scope="session")
def column(read):
    """Read one cell under one header; return its value and its reject reason."""

    def column(name, header, cell):
        quoted = cell.replace('"', '""')
        file = read(f'{header};email\n"{quoted}";ana@example.com\n')
        return file.frame[name][0], (file.rejects["reason"].to_list() or [None])[0]

    return column


@pytest.fixture(scope="session")
def refusal(read):
    """Return the reason for which a file is refused."""

    def refusal(content):
        with pytest.raises(RefusedFile) as refused:
            read(content)
        assert str(refused.value) == refused.value.reason
        return refused.value.reason

    return refusal
