"""Official GraphAF weights: densities in both modes, conditions, inverse steps, and whole samplings draw by draw."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from flowsuite.core.training import cli
from flowsuite.core.training.checkpoint import load_module
from flowsuite.molecules.graphaf import GraphAF
from flowsuite.molecules.noise import GivenNoise
from flowsuite.molecules.prefix import Prefixes, Steps, expand
from flowsuite.molecules.reference import from_reference
from flowsuite.molecules.rgcn import Encoded
from flowsuite.molecules.sampler import Generated, Sampler
from flowsuite.molecules.vocabulary import BOND_NAMES
from tests.reference.checking import Check

pytestmark = pytest.mark.reference_kind("graphaf", "graphaf-sampling")
TOLERANCE = 1e-9


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def model(case) -> GraphAF:
    return from_reference("graphaf", case.param, case.config)


def dense(case) -> tuple[Tensor, Tensor]:
    """`(atoms, bond orders)` of the case's clean graphs, as `PackedMolecules.dense` gives them."""
    x, adjacency = case.input["x_onehot"], case.input["adj"]
    atoms = torch.where(x.sum(2) > 0, x.argmax(2), -1)
    kinds = adjacency[:, : len(BOND_NAMES)] * (1 - torch.eye(x.shape[1]))
    orders = torch.arange(1, len(BOND_NAMES) + 1, dtype=torch.float64)
    return atoms, torch.einsum("k,bkij->bij", orders, (kinds > 0.5).double()).to(torch.uint8)


def prefixes_of(case, flow: GraphAF) -> Prefixes:
    """Every decision of the case, those about padding too."""
    atoms, bonds = dense(case)
    n = int(case.input["mol_size"].max())
    return expand(atoms[:, :n], bonds[:, :n, :n], flow.vocabulary, flow.window, stop=False, pad_to=flow.max_atoms)


def per_molecule(prefixes: Prefixes, steps: Steps, terms: Tensor) -> Tensor:
    return torch.zeros(prefixes.molecules).index_add(0, steps.molecule, terms)


def check_density(case, flow: GraphAF, check: Check, prefix: str) -> None:
    """Latents, log-determinants, likelihoods and the loss, from one pass of the conditioner."""
    prefixes = prefixes_of(case, flow)
    encoded = flow.encode_states(prefixes)
    total, dims = 0.0, 0
    for name, (decision, steps) in zip(("node", "edge"), flow.decisions(prefixes), strict=True):
        u = case.input[f"u_{name}"].reshape(-1, decision.classes)
        y = decision.dequantize(steps.target, u)
        given = case.input["x_deq" if name == "node" else "adj_deq"]
        torch.testing.assert_close(y.reshape(given.shape), given, rtol=0, atol=1e-12)
        z, ladj = decision.transform(decision.prepare(encoded, steps), y)
        loglik = per_molecule(prefixes, steps, decision.log_density(z, ladj))
        check(f"{prefix}z_{name}", z)
        check(f"{prefix}logdet_{name}", per_molecule(prefixes, steps, ladj))
        check(f"{prefix}loglik_{name}", loglik)
        total, dims = total + loglik, dims + u.numel() // prefixes.molecules
    check(f"{prefix}loglik", total)
    check(f"{prefix}reference_loss", 1 - total.mean() / dims, 1e-7)  # the reference's pi is in single precision


def conditions(encoded: Encoded, prefixes: Prefixes) -> tuple[Tensor, Tensor]:
    """`(g (node steps, d), [h_j; h_i; g] (edge steps, 3 d))`."""
    atoms, edges = torch.cat((encoded.atoms, encoded.padding[None])), prefixes.edges
    edge = torch.cat((atoms[edges.earlier], atoms[edges.newest], encoded.graphs[edges.state]), dim=1)
    return encoded.graphs[prefixes.atoms.state], edge


def subset(steps: Steps, rows: Tensor) -> Steps:
    return Steps(*(None if value is None else value[rows] for value in vars(steps).values()))


def decoded(flow: GraphAF, prefixes: Prefixes, kind: str, step: Tensor, eps: Tensor) -> Tensor:
    """Values for noise `eps` at some steps of molecule 0, whose steps come first. `eps` has the temperature in it."""
    decision, steps = flow.decisions(prefixes)[kind == "edge"]
    params = decision.prepare(flow.encode_states(prefixes), subset(steps, step))
    return decision.invert(params, eps)


def test_every_array(reference_case):
    case, flow = reference_case, model(reference_case)
    check = Check(case, TOLERANCE)
    check_density(case, flow, check, "")
    prefixes = prefixes_of(case, flow)
    node, edge = conditions(flow.encode_states(prefixes), prefixes)
    check("cond_node", node)
    check("cond_edge_mol0", edge[prefixes.edges.molecule == 0])
    for kind in ("node", "edge"):
        step, eps = case.input[f"inverse_{kind}_step"], case.input[f"inverse_{kind}_eps"]
        check(f"inverse_{kind}", decoded(flow, prefixes, kind, step, eps))
    if check.wants("inverse_node_padded_plus3"):
        check("inverse_node_padded_plus3", inverse_with_more_rows(case))
    if check.wants("gen_step"):
        check_sampling(case, flow, check)
    if check.wants("train_z_node"):
        check_density(case, flow.train(), check, "train_")
    if check.wants("train_running_mean_after"):
        check("train_running_mean_after", flow.conditioner.norm.running_mean)
        check("train_running_var_after", flow.conditioner.norm.running_var)
    check.finish()


def inverse_with_more_rows(case) -> Tensor:
    """The second of the `inverse_node` steps, in the same model with three rows more."""
    flow = model(case)
    flow.conditioner.max_atoms = flow.max_atoms = flow.max_atoms + 3
    prefixes = prefixes_of(case, flow)
    return decoded(flow, prefixes, "node", case.input["inverse_node_step"][1:2], case.input["inverse_node_eps"][1:2])


@dataclass
class Draw:
    """One decision of a sampler: which, from what latent, and what came out."""

    place: tuple[int, int, int, int]
    latent: Tensor
    value: Tensor


class Recorder(GivenNoise):
    """Given noise that writes down every draw under (molecule, newest atom, number of the draw), -1 for the atom
    itself. Bonds drawn ahead and never used are overwritten by the draw that is used, or come after the last one."""

    def __init__(self, flow: GraphAF, atoms: Tensor, edges: Tensor):
        super().__init__(atoms, edges)
        self.found: dict[tuple[int, int], Draw] = {}
        self.keys: list[tuple[int, int]] = []
        self.places: list[tuple[int, int, int, int]] = []
        for decision in (flow.atom_decision, flow.edge_decision):
            decision.decode = self._recording(decision.decode)

    def atoms(self, rows, place):
        self.keys = [(m, -1 - p) for m, p in zip(rows.tolist(), place.tolist(), strict=True)]
        self.places = [(m, 0, -1, -1) for m in rows.tolist()]
        return super().atoms(rows, place)

    def edges(self, rows, new, to, draw):
        lists = [part.tolist() for part in (rows, new, to, draw)]
        self.keys = [(m, d) for m, _, _, d in zip(*lists, strict=True)]
        self.places = [(m, 1, j, i) for m, i, j, _ in zip(*lists, strict=True)]
        return super().edges(rows, new, to, draw)

    def _recording(self, decode):
        def run(params, noise, temperature):
            value = decode(params, noise, temperature)
            for row, (key, place) in enumerate(zip(self.keys, self.places, strict=True)):
                self.found[key] = Draw(place, noise[row] * temperature, value[row])
            return value

        return run

    def used(self, molecule: int, atoms: int, bonds: int) -> list[Draw]:
        """Each atom, followed by the draws of its bonds."""
        draws = [self.found[molecule, draw] for draw in range(bonds)]
        ordered = []
        for place in range(atoms):
            ordered += [self.found[molecule, -1 - place], *(draw for draw in draws if draw.place[3] == place)]
        return ordered


def check_sampling(case, flow: GraphAF, check: Check) -> None:
    how = case.config["generate"]
    recorder = Recorder(flow, case.input["gen_node_noise"], case.input["gen_edge_noise"])
    sampler = Sampler(
        flow, how["num"], temperature=how["temperature"], max_atoms=how["max_atoms"], noise=recorder, check=True
    )
    got = sampler.run()
    attempted = got.molecules.sizes + got.unattached.long()
    draws = [
        draw
        for molecule, used in enumerate(torch.stack((attempted, sampler.draws), 1).tolist())
        for draw in recorder.used(molecule, *used)
    ]
    width = case.output["gen_value"].shape[1]
    check("gen_num_atoms", got.molecules.sizes)
    check("gen_pure_valid", (got.rejected == 0).float())
    check("gen_draws_used", torch.stack((attempted, sampler.draws), 1))
    check("gen_step", torch.tensor([draw.place for draw in draws]))
    for name, rows in (("gen_latent", [d.latent for d in draws]), ("gen_value", [d.value for d in draws])):
        pads = [torch.nn.functional.pad(row, (0, width - row.shape[0]), value=torch.nan) for row in rows]
        ours, theirs = torch.stack(pads), case.output[name]
        assert torch.equal(ours.isnan(), theirs.isnan())
        torch.testing.assert_close(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
        check.seen.add(name)
    assert smiles_of(got, flow) == case.config["gen_smiles_canonical"]


def smiles_of(generated: Generated, flow: GraphAF) -> list[str]:
    """Canonical SMILES, built here with RDKit alone."""
    from rdkit import Chem

    kinds = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)
    found = []
    for index in range(len(generated)):
        atoms, bonds = generated.molecules.graph(index)
        mol = Chem.RWMol()
        for atom in atoms:
            mol.AddAtom(Chem.Atom(flow.vocabulary.atoms[atom][0]))
        for i, j, kind in bonds:
            mol.AddBond(i, j, kinds[kind])
        Chem.SanitizeMol(mol)
        found.append(Chem.MolToSmiles(mol))
    return found


@pytest.mark.parametrize("keys", ["all", "official"])
def test_import(reference_case, keys, tmp_path):
    """The official options alone will do: sizes are read from the masks among the weights."""
    case = reference_case
    config = case.config["config"] if keys == "official" else case.config
    weights, options, out = (tmp_path / name for name in ("w.npz", "c.json", "model.ckpt"))
    np.savez(weights, **{name: np.asarray(value) for name, value in case.param.items()})
    options.write_text(json.dumps(config))
    assert cli.main(["import", "graphaf", str(weights), "--config", str(options), "--out", str(out)]) == 0
    flow, expected = load_module(out).flow, model(case)
    assert flow.vocabulary == expected.vocabulary
    assert (flow.max_atoms, flow.window) == (expected.max_atoms, expected.window)
    assert (expected.max_atoms, expected.window) == (case.config["max_size"], case.config["edge_unroll"])
    for (name, ours), (other, theirs) in zip(flow.state_dict().items(), expected.state_dict().items(), strict=True):
        assert name == other
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    check = Check(case, TOLERANCE)
    check_density(case, flow.eval(), check, "")
