"""The molecule data modules, by their names in recipes: `data: class_path: flowsuite.molecules.data.NCI`."""

from flowsuite.molecules.data_base import MoleculeDataModule
from flowsuite.molecules.data_files import SmilesFile
from flowsuite.molecules.data_nci import NCI
from flowsuite.molecules.data_published import MOSES, QM9, ZINC250k

__all__ = ["MOSES", "NCI", "QM9", "MoleculeDataModule", "SmilesFile", "ZINC250k"]
