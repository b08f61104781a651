"""GraphAF on prefix states and in lock-step beside the public code's strategies: dense copies, one molecule a time."""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rdkit import Chem, RDConfig, RDLogger
from torch import Tensor

from benchmarks.peers_molecules import BONDS, DenseGraphAF, dense_inputs
from benchmarks.table import Column, Table
from benchmarks.timing import medians, synchronize
from flowsuite.molecules.graphaf import GraphAF
from flowsuite.molecules.packed import PackedMolecules, ordered_batch, to_dense
from flowsuite.molecules.prefix import expand
from flowsuite.molecules.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[2] / "shared" / "data" / "molecules"
DATA = Path(os.environ.get("FLOWSUITE_MOLECULES", ROOT))
BATCH, LOCK_STEP, TEMPERATURE = 32, 256, 0.75
ONE_BY_ONE, DENSE = "one molecule at a time, RDKit in the loop", "dense copies (the public code's strategy)"


@dataclass
class Size:
    """A published configuration: data, vocabulary, N, W, and the widths of the network."""

    name: str
    file: str
    atoms: str
    max_atoms: int
    window: int
    layers: int
    width: int
    peer_samples: int

    def published(self, batch_norm: str = "reference") -> GraphAF:
        options = {"layers": self.layers, "hidden": self.width, "bounded": False}
        return GraphAF(
            atoms=self.atoms, max_atoms=self.max_atoms, window=self.window, stop=False, conditioner="rgcn",
            hidden=self.width, layers=3, decision="affine", decision_options=options, batch_norm=batch_norm,
        )  # fmt: skip

    def ours(self, decision: str) -> GraphAF:
        return GraphAF(atoms=self.atoms, max_atoms=self.max_atoms, window=self.window, decision=decision)


SIZES = {
    "qm9": Size("QM9", "qm9_train.smi.gz", "qm9", 9, 8, 6, 64, 24),
    "zinc": Size("ZINC250k", "zinc250k_valid.smi.gz", "zinc250k", 38, 12, 12, 128, 4),
}


def smiles_lines(size: Size) -> Iterator[str]:
    """The data set where it is at hand, else RDKit's own NCI molecules."""
    path = DATA / size.file
    path = path if path.is_file() else Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        yield from (line.split()[0] for line in lines if line.strip())


def molecules(size: Size, count: int) -> PackedMolecules:
    """The first `count` connected, uncharged molecules of a size's data that fit it."""
    RDLogger.DisableLog("rdApp.*")
    vocabulary, graphs = Vocabulary(size.atoms), []
    for smiles in smiles_lines(size):
        mol = Chem.MolFromSmiles(smiles)
        if mol is None or "." in smiles or not 2 <= mol.GetNumAtoms() <= size.max_atoms:
            continue
        Chem.Kekulize(mol, clearAromaticFlags=True)
        kinds = [vocabulary.classes.get((a.GetAtomicNum(), a.GetFormalCharge())) for a in mol.GetAtoms()]
        if None in kinds or any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()):
            continue
        bonds = [
            (b.GetBeginAtomIdx(), b.GetEndAtomIdx(), BONDS.index(b.GetBondType()))
            for b in mol.GetBonds()
            if b.GetBondType() in BONDS
        ]
        if len(bonds) == mol.GetNumBonds():
            graphs.append((kinds, bonds))
        if len(graphs) == count:
            break
    return PackedMolecules.from_graphs(graphs, vocabulary)


def valid(generated: PackedMolecules) -> int:
    """How many sanitise."""
    count = 0
    for index in range(len(generated)):
        kinds, bonds = generated.graph(index)
        mol = Chem.RWMol()
        for kind in kinds:
            number, charge = generated.vocabulary.atoms[kind]
            atom = Chem.Atom(number)
            atom.SetFormalCharge(charge)
            mol.AddAtom(atom)
        for i, j, kind in bonds:
            mol.AddBond(i, j, BONDS[kind])
        count += Chem.SanitizeMol(mol, catchErrors=True) == Chem.SANITIZE_NONE
    return count


def dense_step(peer: DenseGraphAF, atoms: Tensor, bonds: Tensor) -> Callable[[], None]:
    """A training step of the peer; the padded tensors are made beforehand."""
    optimizer = torch.optim.Adam(peer.parameters(), lr=1e-3)
    x, adjacency = dense_inputs(atoms, bonds, peer.n, len(peer.vocabulary), peer.embedding.dtype)
    j, i = peer.pairs.unbind(1)
    kinds = adjacency[:, :, i, j].mT
    edges = torch.cat((kinds, 1 - kinds.sum(2, keepdim=True)), 2)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        y_node, y_edge = (onehot + 0.9 * torch.rand_like(onehot) for onehot in (x, edges))
        (-peer.log_prob(x, adjacency, y_node, y_edge).mean()).backward()
        optimizer.step()

    return step


def our_step(flow: GraphAF, atoms: Tensor, bonds: Tensor, padded: bool = False) -> Callable[[], None]:
    """A training step of ours, prefix states included."""
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        pad_to = flow.max_atoms if padded else 0
        prefixes = expand(atoms, bonds, flow.vocabulary, flow.window, flow.stop, pad_to)
        (-flow(prefixes).mean()).backward()
        optimizer.step()

    return step


def contenders(size: Size, device: str) -> dict[str, Callable[[], Callable[[], None]]]:
    """Makers of the training step of each, all on the same molecules in the same order."""
    torch.manual_seed(0)
    packed = molecules(size, BATCH)
    atoms, bonds = (part.to(device) for part in to_dense(ordered_batch(packed, torch.arange(len(packed)), size.window)))

    def ours(flow: GraphAF, padded: bool = False) -> Callable[[], None]:
        return our_step(flow.to(device).train(), atoms, bonds, padded)

    return {
        DENSE: lambda: dense_step(DenseGraphAF(size.published()).to(device).train(), atoms, bonds),
        "flowsuite, same network, every padded decision": lambda: ours(size.published(), True),
        "flowsuite, same network, real decisions": lambda: ours(size.published("masked")),
        "flowsuite, GINE + spline": lambda: ours(size.ours("spline")),
        "flowsuite, GINE + categorical": lambda: ours(size.ours("categorical")),
    }


def high_water() -> int:
    """KiB that this process has had in memory at most: Linux's `ru_maxrss` would begin with that of the parent."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def step_memory(size: Size, name: str, device: str, threads: int) -> float:
    """MiB that a training step takes on top of what is there before it; called in a process of its own."""
    torch.set_num_threads(threads)
    step = contenders(size, device)[name]()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated() / 2**20
    before = high_water()
    step()
    return (high_water() - before) / 2**10


def memory_of(size: Size, name: str, args: argparse.Namespace) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(step_memory, (size, name, args.device, args.threads))


def training(size: Size, args: argparse.Namespace) -> Table:
    steps = {name: make() for name, make in contenders(size, args.device).items()}
    slow = {DENSE: steps.pop(DENSE)}
    rounds = max(1, min(args.rounds, 2)) if size.max_atoms > 20 else args.rounds
    times: dict[str, list[float]] = {}
    for _ in range(rounds):  # in turn; the dense step, far slower, takes part in the first rounds only
        for name, value in medians({**slow, **steps}, 1, 1).items():
            times.setdefault(name, []).append(value)
    fast = medians(steps, args.rounds, 1)
    dense = sorted(times[DENSE])[len(times[DENSE]) // 2]
    memory = {name: memory_of(size, name, args) for name in times}
    rows = []
    for name in times:
        milliseconds = dense if name == DENSE else fast[name]
        less = memory[DENSE] / max(memory[name], 1)
        rows.append([name, milliseconds, BATCH * 1e3 / milliseconds, dense / milliseconds, memory[name], less])
    columns = [
        Column("model"),
        Column("train step", "ms", ".1f"),
        Column("rate", "molecules/s", ".1f"),
        Column("speed-up", "", ".1f"),
        Column("peak memory", "MiB", ".0f"),
        Column("times less memory", "", ".1f"),
    ]
    return Table(f"{size.name} size ({size.max_atoms}/{size.window}), training, batch {BATCH}", columns, rows)


def trained(flow: GraphAF, size: Size, seconds: float, device: str) -> GraphAF:
    """After training on the data for that long: how long sampling takes depends on what is drawn."""
    packed = molecules(size, 2000)
    flow = flow.to(device).train()
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        chosen = torch.randint(len(packed), (BATCH,))
        prefixes = flow.expand(ordered_batch(packed, chosen, size.window)).to(device)
        optimizer.zero_grad(set_to_none=True)
        (-flow(prefixes).mean()).backward()
        optimizer.step()
    return flow.eval()


def rate(draw: Callable[[], tuple[int, int]]) -> tuple[float, float]:
    """`(valid molecules per second, atoms per molecule)` of one call that gives (valid molecules, atoms)."""
    synchronize()
    start = time.perf_counter()
    count, atoms = draw()
    synchronize()
    return count / (time.perf_counter() - start), atoms / max(count, 1)


def draw_one_by_one(peer: DenseGraphAF, count: int) -> tuple[int, int]:
    """One after another; redraws have noise enough for the worst case."""
    like, found, atoms = peer.embedding, 0, 0
    draws = 60 * peer.n * peer.window
    for _ in range(count):
        noise = (
            torch.randn(rows, k).to(like) * TEMPERATURE for rows, k in ((peer.n, len(peer.vocabulary)), (draws, 4))
        )
        mol = peer.sample_one(*noise)
        if Chem.SanitizeMol(mol, catchErrors=True) == Chem.SANITIZE_NONE:
            found, atoms = found + 1, atoms + mol.GetNumAtoms()
    return found, atoms


def draw_in_lock_step(flow: GraphAF, count: int) -> tuple[int, int]:
    generated = flow.sample(count, temperature=TEMPERATURE)
    return valid(generated.molecules), int(generated.molecules.sizes.sum())


def sampling(size: Size, args: argparse.Namespace) -> Table:
    """Valid molecules per second, RDKit's verdict included; the median of rounds, contenders in turn."""
    torch.manual_seed(0)
    flow = trained(size.published(), size, args.seconds, args.device)
    peer = DenseGraphAF(flow).to(args.device).eval()
    draws = {
        ONE_BY_ONE: lambda: draw_one_by_one(peer, size.peer_samples),
        f"flowsuite, same network, {LOCK_STEP} in lock-step": lambda: draw_in_lock_step(flow, LOCK_STEP),
    }
    for decision in ("spline", "categorical"):
        ours = trained(size.ours(decision), size, args.seconds, args.device)
        draws[f"flowsuite, GINE + {decision}"] = lambda ours=ours: draw_in_lock_step(ours, LOCK_STEP)
    rounds = [{name: rate(draw) for name, draw in draws.items()} for _ in range(min(args.rounds, 5))]
    middle = {name: sorted(r[name] for r in rounds)[len(rounds) // 2] for name in draws}
    rows = [[name, speed, speed / middle[ONE_BY_ONE][0], atoms] for name, (speed, atoms) in middle.items()]
    columns = [
        Column("model"),
        Column("rate", "valid molecules/s", ".1f"),
        Column("speed-up", "", ".0f"),
        Column("atoms per molecule", "", ".1f"),
    ]
    title = f"{size.name} size, sampling after {args.seconds:.0f} s of training, temperature {TEMPERATURE}"
    return Table(title, columns, rows)


def tables(args: argparse.Namespace) -> Iterator[Table]:
    for name in args.molecules:
        yield training(SIZES[name], args)
        yield sampling(SIZES[name], args)
