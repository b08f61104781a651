"""Small sets of molecules."""

from flowsuite.molecules.metrics.records import read_records

GENERATED = ["CCO", "OCC", "c1ccccc1C(=O)NC1CC1", "C1CC", "CC(C)Cc1ccc2ccccc2c1", "C", "C[NH3+]", "O=C1CCCN1c1ccccc1"]
TEST = ["CCN", "CCO", "c1ccccc1CC(=O)NC", "O=C1CCCN1Cc1ccccc1", "c1ccc2ccccc2c1", "CC(=O)[O-]", "C1CC2CC12", "CCCCCO"]


def records(smiles, isomeric=False, filters=True):
    return [each for each in read_records(smiles, isomeric, filters)[0] if each is not None]
