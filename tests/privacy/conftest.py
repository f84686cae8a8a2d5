import shutil

import pytest


@pytest.fixture
def finished(world, finished_home):
    """A world of its own that had its first round."""
    shutil.copytree(finished_home, world.home, dirs_exist_ok=True)
    return world
