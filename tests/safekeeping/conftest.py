import shutil

import dagster as dg
import pytest
from companies import Company


@pytest.fixture(scope="module")
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A company with something to lose; copy its home, never change it."""
    made = Company(tmp_path_factory.mktemp("company") / "home", None)
    made.sell("HP1", "HP2")
    made.decide("a")
    made.post("e1")
    made.receive("2026-03-01_0123456789ab", "nome;email\nAna;ana@example.com\n")
    return made


@pytest.fixture
def company(made, tmp_path, instance):
    shutil.copytree(made.home, tmp_path / "home")
    return Company(tmp_path / "home", instance)


@pytest.fixture
def finished(world, finished_home):
    """A world of its own that had its first round."""
    shutil.copytree(finished_home, world.home, dirs_exist_ok=True)
    return world
