"""PointFlow's set metrics, value for value: CD, exact EMD, MMD, COV, 1-NNA, JSD and paired distances."""

import pytest
import torch

from flowsuite.pointclouds.distances import chamfer, emd, pairwise_chamfer, pairwise_emd
from flowsuite.pointclouds.metrics import evaluate_generation, metrics_from_distances
from flowsuite.pointclouds.nearest import pairwise_by_trees
from flowsuite.pointclouds.occupancy import jensen_shannon, occupancy

pytestmark = pytest.mark.reference_kind("pointcloud-metrics")
NAMES = {
    "lgan_mmd": "MMD",
    "lgan_mmd_smp": "MMD-smp",
    "lgan_cov": "COV",
    "acc": "1-NNA-{}",
    "acc_t": "1-NNA-{}-acc_t",
    "acc_f": "1-NNA-{}-acc_f",
}
PAIRS = {"sample_ref": ("samples", "references"), "ref_ref": ("references",) * 2, "sample_sample": ("samples",) * 2}


def close(ours, expected, tolerance=1e-9):
    torch.testing.assert_close(
        torch.as_tensor(ours, dtype=torch.float64), expected.double(), rtol=tolerance, atol=tolerance
    )


def our_name(theirs: str) -> str:
    """`metric/lgan_mmd-CD` and `metric/1-NN-CD-acc_t` in our names."""
    parts = theirs.removeprefix("metric/").split("-")
    if parts[0] == "1":
        return NAMES[parts[-1]].format(parts[2])
    return f"{NAMES[parts[0]]}-{parts[1]}"


def clouds(case):
    return {name: value.double() for name, value in case.input.items()}


@pytest.mark.parametrize("pair", PAIRS)
def test_distance_matrices(reference_case, pair):
    a, b = (clouds(reference_case)[name] for name in PAIRS[pair])
    symmetric = PAIRS[pair][0] == PAIRS[pair][1]
    expected_cd, expected_emd = reference_case.output[f"cd_{pair}"], reference_case.output[f"emd_{pair}"]
    close(pairwise_chamfer(a, b, symmetric, progress=False), expected_cd)
    close(pairwise_by_trees(a, b, symmetric, progress=False).chamfer, expected_cd)
    close(pairwise_emd(a, b, symmetric, progress=False), expected_emd)
    close(pairwise_chamfer(a.float(), b.float(), symmetric, progress=False), expected_cd, 1e-5)


def test_set_metrics_in_both_ways(reference_case):
    given, output = clouds(reference_case), reference_case.output
    searched = evaluate_generation(given["samples"], given["references"], progress=False)
    full = {}
    for distance in ("CD", "EMD"):
        matrices = (output[f"{distance.lower()}_{pair}"] for pair in ("sample_sample", "sample_ref", "ref_ref"))
        full |= metrics_from_distances(distance, *matrices)
    checked = [name for name in output if name.startswith("metric/")]
    assert checked
    for name in checked:
        for ours in (searched, full):
            close([ours[our_name(name)]], output[name].flatten(), 1e-6)


def test_divergence_on_every_grid(reference_case):
    given = clouds(reference_case)
    checked = [name for name in reference_case.output if name.startswith("jsd_")]
    assert checked
    for name in checked:
        resolution = int(name.removeprefix("jsd_"))
        ours = jensen_shannon(given["samples"], given["references"], resolution)
        close([ours], reference_case.output[name].flatten(), 1e-8)


def test_counts_of_every_cell(reference_case):
    for name, expected in reference_case.output.items():
        if name.startswith("grid_counts_"):
            which, resolution = name.removeprefix("grid_counts_").rsplit("_", 1)
            counts = occupancy(clouds(reference_case)[which], int(resolution))
            assert torch.equal(counts.double(), expected.double())


def test_paired_distances(reference_case):
    given = clouds(reference_case)
    close(chamfer(given["samples"], given["references"]), reference_case.output["paired_cd"])
    close(emd(given["samples"], given["references"]), reference_case.output["paired_emd"])
