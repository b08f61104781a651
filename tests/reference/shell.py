"""A reference case on its way through the shell."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from flowsuite.core.training import cli


def imported(case, folder: Path) -> Path:
    """The checkpoint that `flowsuite import` makes of the weights and the configuration of a case."""
    weights, config, out = (folder / name for name in ("weights.pt", "config.json", "model.ckpt"))
    torch.save(case.param, weights)
    config.write_text(json.dumps(case.config["config"]))
    assert cli.main(["import", case.kind, str(weights), "--config", str(config), "--out", str(out)]) == 0
    return out
