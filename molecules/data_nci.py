"""Molecules that come with RDKit: nothing to download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rdkit import RDConfig

from flowsuite.molecules.data_base import Source
from flowsuite.molecules.data_files import SplitFile

NCI_ATOMS = ("C", "N", "O", "F", "S", "Cl", "Br", "N+", "O-")


class NCI(SplitFile):
    """The small ones of 5,000 molecules of the NCI's open collection, from RDKit's `Data/NCI/first_5K.smi`.

    Args:
        max_atoms: of the largest molecule.
        atoms: as in `MoleculeDataModule`.
        window: as there.
        val: validation molecules, a share or a number of those in the file.
        test: test molecules, likewise.
        kwargs: those of `SplitFile` and `MoleculeDataModule`.
    """

    def __init__(
        self,
        max_atoms: int = 16,
        atoms: Sequence[str] | str = NCI_ATOMS,
        window: int = 12,
        val: float = 0.1,
        test: float = 0.1,
        **kwargs,
    ):
        super().__init__(max_atoms=max_atoms, atoms=atoms, window=window, val=val, test=test, **kwargs)

    def sources(self):
        path = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
        if not path.is_file():
            raise FileNotFoundError(f"{path} not found: this installation of RDKit comes without its data")
        return {"train": Source(path)}
