import shutil

import pytest
from tenacity.wait import wait_none


@pytest.fixture
def quick(monkeypatch, sandbox):
    """Retries without delay, and a vendor whose minute passes at once."""
    from crm_resources.hotmart import HotmartClient

    monkeypatch.setattr(sandbox.sandbox, "_minute", 0.05)
    monkeypatch.setitem(HotmartClient.__init__.__kwdefaults__, "backoff", wait_none())


@pytest.fixture
def finished(world, finished_home):
    """A world of its own that had its first round."""
    shutil.copytree(finished_home, world.home, dirs_exist_ok=True)
    return world


@pytest.fixture
def small(world, quick):
    """A world that reads two months only, so that a round of Hotmart is quick."""
    world.table = {**world.table, "hotmart": {"start_date": "2026-02-01"}}
    return world
