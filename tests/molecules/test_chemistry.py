"""Molecules to graphs and back."""

from __future__ import annotations

import pickle

import pytest
from rdkit import Chem

from flowsuite.molecules.chemistry import (
    REASONS,
    EncodingError,
    graph_from_mol,
    has_stereo,
    kekulised,
    largest_fragment_of,
    mol_from_graph,
    neutralized,
    read_mol,
    smiles_from_packed,
    smiles_of_graph,
)
from flowsuite.molecules.packed import PackedMolecules
from flowsuite.molecules.smiles import canonical, parse
from flowsuite.molecules.vocabulary import Vocabulary

ZINC = Vocabulary("zinc250k-charged")
PLAIN = Vocabulary("zinc250k")


def again(smiles: str, vocabulary=ZINC, **options) -> str | None:
    return smiles_of_graph(*graph_from_mol(read_mol(smiles), vocabulary, **options), vocabulary)


@pytest.mark.parametrize(
    "smiles",
    [
        "C",
        "CCO",
        "c1ccc2[nH]ccc2c1",
        "c1c[nH+]c[nH]1",
        "C[NH2+]CC(=O)[O-]",
        "C[N+](C)(C)CC#N",
        "O=[N+]([O-])c1ccncc1",
        "[C-]#[N+]CC",
        "CN=[N+]=[N-]",
        "C[S+](C)CC[S-]",
        "CS(=O)(=O)N",
        "OP(=O)(O)OC",
        "C[P+](C)(C)C",
        "C[n+]1ccccc1",
        "c1cc[o+]cc1",
        "O=c1[nH]c(=O)c2[nH]cnc2[nH]1",
        "FC(F)(F)C(Br)Cl",
        "c1ccsc1I",
        "C[C@H](N)C(=O)O",
        "F/C=C/F",
        "[NH4+]",
    ],
)
def test_constitution_comes_back(smiles):
    assert again(smiles) == canonical(smiles)


def test_graphs_are_kekulised_and_of_heavy_atoms():
    classes, bonds = graph_from_mol(read_mol("c1ccccc1O"), ZINC)
    assert [ZINC.names[k] for k in classes] == ["C"] * 6 + ["O"]
    assert sorted(kind for *_, kind in bonds) == [0, 0, 0, 0, 1, 1, 1]
    ring = {frozenset(pair) for *pair, _ in bonds}
    assert ring == {frozenset((i, (i + 1) % 6)) for i in range(6)} | {frozenset((5, 6))}
    assert all(atom.GetIsAromatic() for atom in read_mol("c1ccccc1").GetAtoms())  # the molecule itself is left alone
    mol = read_mol("c1ccccc1")
    graph_from_mol(mol, ZINC)
    assert Chem.MolToSmiles(mol) == "c1ccccc1"


@pytest.mark.parametrize(
    ("smiles", "reason", "detail"),
    [
        ("C1CC", "unparsable", ""),
        ("C(C)(C)(C)(C)C", "unparsable", ""),
        ("c1cccc1", "unparsable", ""),
        ("not a molecule", "unparsable", ""),
        ("Cé", "unparsable", ""),
        (None, "unparsable", ""),
        ("", "empty", ""),
        ("  ", "empty", ""),
        ("CC(=O)[O-].[NH4+]", "disconnected", "2 fragments"),
        ("C1CC1.C1CC1.O", "disconnected", "3 fragments"),
        ("[CH3]", "radical", "C, atom 0"),
        ("CC[NH]", "radical", "N, atom 2"),
        ("[13CH3]C", "isotope", "13C"),
        ("[2H]C", "isotope", "2H"),
        ("[H][H]", "explicit hydrogen", "atom 0"),
        ("[H+]", "explicit hydrogen", "atom 0"),
        ("C[SiH3]", "atom outside the vocabulary", "Si"),
        ("C*", "atom outside the vocabulary", "*"),
        ("C[N+2](C)C=C", "atom outside the vocabulary", "N+2"),
        ("C[Hg]C", "atom outside the vocabulary", "Hg"),
        ("C" * 40, "too large", "40 atoms, at most 38"),
        ("N->[O]C", "bond type", "dative"),
        ("C$C", "bond type", "quadruple"),
    ],
)
def test_what_cannot_be_encoded(smiles, reason, detail, capfd):
    with pytest.raises(EncodingError) as caught:
        graph_from_mol(read_mol(smiles), ZINC, max_atoms=38)
    assert (caught.value.reason, caught.value.detail) == (reason, detail) and reason in REASONS
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.reason, copy.detail, str(copy)) == (reason, detail, str(caught.value))
    assert capfd.readouterr() == ("", "")


def test_no_molecule_is_too_large_for_a_byte():
    with pytest.raises(EncodingError, match="too large: 256 atoms, at most 255"):
        graph_from_mol(read_mol("C" * 256), ZINC)
    assert len(graph_from_mol(read_mol("C" * 255), ZINC)[0]) == 255


def test_more_bonds_than_the_vocabulary_knows():
    chlorine = Chem.MolFromSmiles("CClC", sanitize=False)
    chlorine.UpdatePropertyCache(strict=False)
    with pytest.raises(EncodingError, match="valence: 2 bonds of Cl, at most 1"):
        graph_from_mol(chlorine, ZINC)


def test_charges_dropped_as_published():
    assert again("C[NH2+]CC(=O)[O-]", PLAIN, drop_charges=True) == "CNCC(=O)O"
    assert again("CC[N+](=O)[O-]", PLAIN, drop_charges=True) is None  # a nitrogen with four bonds and no charge
    with pytest.raises(EncodingError, match=r"atom outside the vocabulary: N\+"):
        again("C[NH2+]CC(=O)[O-]", PLAIN)


def test_neutralisation_and_fragments():
    assert Chem.MolToSmiles(neutralized(read_mol("C[NH2+]CC(=O)[O-]"))) == "CNCC(=O)O"
    assert Chem.MolToSmiles(neutralized(read_mol("C[N+](C)(C)C"))) == "C[N+](C)(C)C"
    assert Chem.MolToSmiles(neutralized(read_mol("C[N+](=O)[O-]"))) == "C[N+](=O)[O-]"
    assert Chem.MolToSmiles(largest_fragment_of(read_mol("Cl.CCN(CC)CC.O"))) == "CCN(CC)CC"


def test_stereo_is_seen():
    assert has_stereo(read_mol("C[C@H](N)O")) and has_stereo(read_mol("F/C=C/F"))
    assert not has_stereo(read_mol("CC(N)O")) and not has_stereo(read_mol("C[C@H](C)O"))


def test_graphs_that_rdkit_refuses(capfd):
    assert mol_from_graph([0, 0, 0], [(0, 1, 2), (1, 2, 2)], ZINC) is None
    assert mol_from_graph([], [], ZINC) is None
    assert smiles_of_graph([ZINC.names.index("F")] * 3, [(0, 1, 0), (1, 2, 0)], ZINC) is None
    assert mol_from_graph([0, 0], [(0, 1, 0), (1, 0, 0)], ZINC) is None  # the same bond twice
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("workers", [0, 2])
def test_smiles_of_packed_molecules(workers):
    smiles = ["CCO", "c1ccncc1", "C[NH3+]"] * 200
    graphs = [graph_from_mol(read_mol(each), ZINC) for each in smiles] + [([0] * 6, [(0, i, 0) for i in range(1, 6)])]
    found = smiles_from_packed(PackedMolecules.from_graphs(graphs, ZINC), workers)
    assert found == [canonical(each) for each in smiles] + [None]
    assert smiles_from_packed(PackedMolecules.from_graphs([], ZINC)) == []


def test_kekulised_molecules():
    mol = parse("c1ccncc1")
    kinds = sorted(str(bond.GetBondType()) for bond in kekulised(mol).GetBonds())
    assert kinds == ["DOUBLE"] * 3 + ["SINGLE"] * 3 and mol.GetBondWithIdx(0).GetIsAromatic()
    with pytest.raises(EncodingError, match="cannot be kekulised"):
        kekulised(Chem.MolFromSmiles("c1cccc1", sanitize=False))
