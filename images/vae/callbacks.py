"""Early stopping that waits for the annealing."""

from __future__ import annotations

from pytorch_lightning.callbacks import EarlyStopping

from flowsuite.images.vae.module import VAEModule


class StopAfterAnnealing(EarlyStopping):
    """Stops after `patience` validations in a row without a lower `val/loss`, counted only once beta is 1
    (arXiv 1803.05649: 100 epochs).

    Args:
        patience: validations.
    """

    def __init__(self, patience: int = 100):
        super().__init__("val/loss", patience=patience, mode="min", check_on_train_epoch_end=False)

    def on_validation_end(self, trainer, pl_module):
        if not isinstance(pl_module, VAEModule):
            raise ValueError(f"StopAfterAnnealing needs a VAEModule, got {type(pl_module).__name__}")
        if pl_module.beta == 1:
            super().on_validation_end(trainer, pl_module)
