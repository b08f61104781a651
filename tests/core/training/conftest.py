import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def own_environment():
    """Seeds and versions that a run leaves in the environment end with the test."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
