import duckdb
import pytest
from bronze_samples import Bronze, Inbox

from crm_assets.resources import MIGRATIONS


@pytest.fixture
def connection():
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'America/Sao_Paulo'")
        for script in sorted(MIGRATIONS.glob("*.sql")):
            con.execute(script.read_text())
        yield con


@pytest.fixture
def bronze(connection):
    return Bronze(connection)


@pytest.fixture
def inbox(tmp_path):
    return Inbox(tmp_path)


@pytest.fixture
def dev_inbox(tmp_path):
    return Inbox(tmp_path, "dev")
