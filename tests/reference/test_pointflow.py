"""PointFlow against stevenygd/PointFlow: every array of every case."""

import json
import math

import numpy as np
import pytest
import torch

from flowsuite.core.layers.continuous import CNF, record_solves
from flowsuite.core.nets.mlp_field import MLPField
from flowsuite.core.training import cli
from flowsuite.core.training.checkpoint import load_module
from flowsuite.pointclouds import PointFlowModule, from_reference
from flowsuite.pointclouds.reference import convert_reference
from tests.reference.checking import Check, numbered

pytestmark = pytest.mark.reference_kind("pointflow")
LOG_2PI = math.log(2 * math.pi)


def latent_with_probes(flow, z, probes):
    """`(w, log|det|)` of the latent flow with given probes."""
    total, probes = 0, list(probes)
    for layer in flow.latent.transform:
        if isinstance(layer, CNF):
            solution = layer.solve(z, divergence="hutchinson", probe=probes.pop(0))
            z, ladj = solution.z, solution.ladj
        else:
            z, ladj = layer(z)
        total = total + ladj
    return z, total


def check_latent(check, flow, z, inputs):
    w, ladj = latent_with_probes(flow, z, numbered(inputs, "latent_probe_block"))
    log_pz = flow.latent.base.log_prob(w) + ladj
    check("w", w)
    check("delta_log_pw", -ladj)
    check("log_pz", log_pz)
    zdim = z.shape[1]
    check("log_pz_reference", log_pz - 0.5 * zdim * (zdim - 1) * LOG_2PI)
    check("prior_nats_per_dim", -log_pz.mean() / zdim)
    check("prior_nats_per_dim_reference", -log_pz.mean() / zdim + 0.5 * (zdim - 1) * LOG_2PI)
    return log_pz


def check_points(check, flow, x, z, inputs):
    probes = numbered(inputs, "point_probe_block")
    with record_solves() as log:
        y, ladj = flow.point_cnf.points(x, z, divergence="hutchinson", probes=probes)
    each = flow.log_prob_points(x, z, divergence="hutchinson", probes=probes)
    log_px, points = each.sum(1), each.shape[1]
    check("y", y)
    check("delta_log_py_points", -ladj)
    check("log_px_points", each)
    check("log_px", log_px)
    check("log_px_reference", log_px - 0.5 * 3 * 2 * points * LOG_2PI)
    check("recon_nats_per_dim", -log_px.mean() / (3 * points))
    check("recon_nats_per_dim_reference", -log_px.mean() / (3 * points) + LOG_2PI)
    for divergence in ("exact", "brute_force"):
        check("delta_log_py_points_exact_trace", -flow.point_cnf.points(x, z, divergence=divergence)[1])
    if check.output.get("nfe_point") is not None:
        ours, theirs = log.nfe_forward, float(check.output["nfe_point"])
        assert ours == theirs if check.tolerance == 1e-10 else ours <= 2 * theirs, f"{ours} evaluations, not {theirs}"
        check.seen.add("nfe_point")
    return log_px


def check_gradients(check, flow, loss, case):
    """The converter itself says which parameter of ours is which of theirs."""
    ours = dict(flow.named_parameters())
    gradients = dict(zip(ours, torch.autograd.grad(loss, list(ours.values()), allow_unused=True), strict=True))
    tags = {name: torch.full(np.shape(value), float(i)) for i, (name, value) in enumerate(case.param.items())}
    tagged = convert_reference("pointflow", tags, case.config)[2]
    names = list(case.param)
    pieces = {}  # their name -> our gradients, in the order of the columns
    for name in sorted(ours, key=lambda name: "hyper_bias" not in name):
        pieces.setdefault(names[int(tagged[name].flatten()[0])], []).append(gradients[name])
    for name in [name for name in check.output if name.startswith("grad/")]:
        found = pieces[name.removeprefix("grad/")]
        found = [torch.zeros_like(check.output[name]) if g is None else g for g in found]
        check(name, found[0] if len(found) == 1 else torch.cat(found, 1), tolerance=10 * check.tolerance)


def check_generation(check, flow, z, inputs):
    with torch.no_grad():
        check("reconstruct_x", flow.decode(z.detach(), noise=inputs["y_noise"]), tolerance=10 * check.tolerance)
        if check.wants("sample_z"):
            z = flow.latent.decode(inputs["w_noise"])
            check("sample_z", z)
        check("sample_x", flow.decode(z.detach(), noise=inputs["y_noise"]), tolerance=10 * check.tolerance)


@pytest.fixture
def detached_times(monkeypatch):
    """The public code detaches the time inside its field, so that the gradient of the end time lacks what comes by the
    times of the stages: 3e-4 of it in these cases, and nothing in the limit of small steps."""
    maps = MLPField._maps
    monkeypatch.setattr(MLPField, "_maps", lambda self, t, x, condition: maps(self, t.detach(), x, condition))


def test_pointflow(reference_case, detached_times):
    case, config, inputs = reference_case, reference_case.config["config"], reference_case.input
    tolerance = config.get("tol")
    check = Check(case, 1e-10 if tolerance is None else max(1e-8, 100 * tolerance))
    flow = from_reference("pointflow", case.param, case.config)
    posterior = flow.posterior(inputs["x"])
    check("mu", posterior.mean)
    if check.wants("logvar"):
        check("logvar", posterior.log_var)
    z = posterior.sample(inputs.get("eps"))
    check("z", z)
    loss = -config["recon_weight"] * check_points(check, flow, inputs["x"], z, inputs).mean()
    if flow.latent is not None:
        entropy = posterior.entropy()
        check("entropy", entropy)
        loss = loss - config["prior_weight"] * check_latent(check, flow, z, inputs).mean()
        loss = loss - config["entropy_weight"] * entropy.mean()
    check("loss", loss)
    check_gradients(check, flow, loss, case)
    check_generation(check, flow, z, inputs)
    check.finish()


def test_single_precision(reference_case):
    case, inputs = reference_case, reference_case.input
    flow = from_reference("pointflow", case.param, case.config).float()
    z, probes = case.output["z"].float(), [p.float() for p in numbered(inputs, "point_probe_block")]
    ours = flow.log_prob_points(inputs["x"].float(), z, divergence="hutchinson", probes=probes)
    torch.testing.assert_close(ours.double(), case.output["log_px_points"][..., 0], rtol=1e-4, atol=1e-3)


def test_import(reference_case, tmp_path):
    """`flowsuite import`: weights on disk to a checkpoint that loads and decodes."""
    case, out = reference_case, tmp_path / "model.ckpt"
    np.savez(tmp_path / "weights.npz", **{name: np.asarray(value) for name, value in case.param.items()})
    (tmp_path / "config.json").write_text(json.dumps(case.config))
    files = [str(tmp_path / "weights.npz"), "--config", str(tmp_path / "config.json"), "--out", str(out)]
    assert cli.main(["import", "pointflow", *files]) == 0
    module = load_module(out)
    assert isinstance(module, PointFlowModule)
    expected = from_reference("pointflow", case.param, case.config).state_dict()
    for name, value in module.flow.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
    with torch.no_grad():
        decoded = module.flow.decode(case.output["z"], noise=case.input["y_noise"])
    torch.testing.assert_close(decoded, case.output["reconstruct_x"], rtol=1e-6, atol=1e-6)
