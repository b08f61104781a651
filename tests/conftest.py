"""Every test draws from the same seeds, so that a failure repeats; `FLOWSUITE_TEST_SEED` tries others."""

import os
import random

import numpy as np
import pytest
import torch

SEED = int(os.environ.get("FLOWSUITE_TEST_SEED", "0"))


@pytest.fixture(autouse=True)
def fixed_seed():
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
