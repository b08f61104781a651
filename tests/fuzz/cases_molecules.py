"""The readers of `flowsuite.molecules`."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tarfile
from pathlib import Path

import torch

from flowsuite.molecules.data_published import read_rows
from flowsuite.molecules.encode import EncodedMolecules, encode_file
from flowsuite.molecules.packed import PackedMolecules
from flowsuite.molecules.readers import read_records
from flowsuite.molecules.sampler import Generated
from flowsuite.molecules.samples import load_part, save_part
from tests.fuzz.harness import Reader, write
from tests.molecules.small import ATOMS

LINES = "SMILES name\nCCO 1\nc1ccccc1 2\nC[N+](C)(C)C 3\n"
CSV = 'smiles,logP,qed\n"CCO\n",0.5,0.4\nc1ccccc1,2.1,0.44\n'
ETHANOL = (
    "3\ngdb 1\t1.0\t2.0\t3.0\t0.5\t6.3\t-0.3\t0.08\t0.4\t19.0\t0.02\t-76.4\t-76.4\t-76.4\t-76.4\t6.0\n"
    "O\t0.0\t0.0\t0.1\t-0.7\nH\t0.0\t0.76\t-0.5\t0.3\nH\t0.0\t-0.76\t-0.5\t0.3\n1600.0\t3800.0\t3900.0\nO\tO\n"
    "InChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n"
)
WATER = "3\nwater\nO 0.0 0.0 0.1\nH 0.0 0.76 -0.5\nH 0.0 -0.76 -0.5\n"


def records(path: Path) -> list:
    """All records; the graph of what was read is for the encoder, which counts what it cannot use."""
    return [(record.line, record.smiles) for record in read_records(path)]


def write_sdf(path: Path) -> None:
    from rdkit import Chem

    with Chem.SDWriter(str(path)) as writer:
        for smiles, value in (("CCO", 1.5), ("c1ccccc1", -2.0)):
            mol = Chem.MolFromSmiles(smiles)
            Chem.rdDepictor.Compute2DCoords(mol)
            mol.SetProp("mu", str(value))
            writer.write(mol)


def write_tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for name, text in (("a.xyz", ETHANOL), ("b.xyz", WATER)):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def encode(path: Path) -> EncodedMolecules:
    return encode_file(path, ATOMS, max_atoms=12, window=8, workers=0, progress=False)


def write_encoded(path: Path) -> None:
    source = path.with_name("source.smi")
    source.write_text(LINES)
    encode(source).save(path)


def write_part(path: Path) -> None:
    source = path.with_name("source.smi")
    source.write_text(LINES)
    molecules = encode(source).packed
    flags = torch.zeros(len(molecules), dtype=torch.long)
    save_part(Generated(molecules, flags, flags), path.parent, 0)


READERS = [
    Reader("smi", "a.smi", write(LINES), records),
    Reader("smi gz", "a.smi.gz", write(gzip.compress(LINES.encode())), records),
    Reader("smi bz2", "a.smi.bz2", write(bz2.compress(LINES.encode())), records),
    Reader("plogp first", "a.smi_logp", write("-8.2,CCO\n-1e1,CC\n"), records),
    Reader("plogp behind", "a.logP-SA", write("CCO -1.5\nCC 2\n"), records),
    Reader("csv", "a.csv", write(CSV), records),
    Reader("tsv", "a.tsv", write("smiles\tx\nCCO\t1\n"), records),
    Reader("sdf", "a.sdf", write_sdf, records),
    Reader("xyz", "a.xyz", write(WATER), records),
    Reader("xyz of QM9", "a.xyz", write(ETHANOL), records),
    Reader("xyz in a tar", "a.xyz.tar", write_tar, records),
    Reader("rows", "valid_idx.json", write(json.dumps({"valid_idxs": ["1", "3"]})), lambda path: read_rows(path, 9)),
    Reader("encode", "a.smi", write(LINES), encode, share=0.5),
    Reader("encoded", "a.npz", write_encoded, EncodedMolecules.load),
    Reader("packed", "a.npz", write_encoded, PackedMolecules.load),
    Reader("samples", "molecules_000000.npz", write_part, lambda path: load_part(path.parent, 0)),
    Reader("flags of samples", "flags_000000.npz", write_part, lambda path: load_part(path.parent, 0)),
]
