"""Tables as CSV files."""

from flowsuite.molecules.csv_files import write_csv


def test_rows_with_their_header(tmp_path):
    path = tmp_path / "new" / "a.csv"
    write_csv(path, [{"smiles": "CC", "qed": 1 / 3, "atoms": 2}, {"smiles": "", "qed": "", "atoms": 12345678}])
    assert path.read_bytes() == b"smiles,qed,atoms\nCC,0.333333,2\n,,12345678\n"
    write_csv(tmp_path / "none.csv", [])
    assert not (tmp_path / "none.csv").exists()
