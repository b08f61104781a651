"""Molecules as tables of integers of one size, and as the numbers that a one-shot flow maps."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Batch

from flowsuite.core.numerics import at_least_float32
from flowsuite.core.transform import Transform
from flowsuite.molecules.packed import to_dense
from flowsuite.molecules.vocabulary import NO_BOND

BOND_CHANNELS = NO_BOND + 1


def table_of(batch: Batch, max_atoms: int) -> Tensor:
    """A PyG batch as (B, N, 1 + N) int16: column 0 is the atom's class, -1 for none, column 1 + j the order of the bond
    to atom j, 0 for none. The order of atoms is kept, places without an atom come last."""
    atoms, bonds = to_dense(batch)
    missing = max_atoms - atoms.shape[1]
    if missing < 0:
        raise ValueError(f"a molecule of {atoms.shape[1]} atoms, the model's largest is {max_atoms}")
    atoms = F.pad(atoms, (0, missing), value=-1)
    bonds = F.pad(bonds, (0, missing, 0, missing))
    return torch.cat((atoms[:, :, None].to(torch.int16), bonds.to(torch.int16)), dim=2)


def split_table(x: Tensor) -> tuple[Tensor, Tensor]:
    """`(atoms (B, N), bond orders (B, N, N))`, int64."""
    x = x.long()
    return x[:, :, 0], x[:, :, 1:]


def split_numbers(y: Tensor, max_atoms: int) -> tuple[Tensor, Tensor]:
    """Flat numbers (B, D) as `bonds (B, 4, N, N)`, `atoms (B, N, A + 1)`."""
    of_bonds = BOND_CHANNELS * max_atoms**2
    bonds, atoms = y[:, :of_bonds], y[:, of_bonds:]
    return bonds.unflatten(1, (BOND_CHANNELS, max_atoms, max_atoms)), atoms.unflatten(1, (max_atoms, -1))


def bond_scores(y: Tensor) -> Tensor:
    """Symmetrised (B, 4, N, N): the two numbers of each pair of atoms averaged (arXiv 2006.10137, section 4.4)."""
    return (y + y.mT) / 2


def bond_classes(y: Tensor) -> Tensor:
    """(B, 4, N, N) to the class (B, N, N) of every pair of atoms, the argmax of its scores; the diagonal is no bond."""
    classes = bond_scores(y).argmax(1)
    eye = torch.eye(classes.shape[1], dtype=torch.bool, device=y.device)
    return classes.masked_fill(eye, NO_BOND)


class GraphDequantize(Transform):
    """A table (B, N, 1 + N) as one-hot numbers with noise: `y = onehot + c u`, `u ~ U[0, 1)`, flat (B, D).

    `D = 4 N^2 + N (A + 1)`: the bonds (4, N, N), single, double, triple, none, both triangles and the diagonal with
    noise of their own; then the atoms (N, A + 1), whose last class is "no atom". Not a bijection: `ladj = D log c`, so
    that `log p(y) + ladj` is a sample of a lower bound of the log-probability of the table. The inverse takes the
    argmax, of bonds after they have been symmetrised; it undoes `forward` exactly, as c < 1.

    Args:
        max_atoms: N.
        classes: A, atom classes.
        noise: c, 0.6 in the published code (arXiv 2006.10137).
    """

    bijective = False

    def __init__(self, max_atoms: int, classes: int, noise: float = 0.6):
        super().__init__()
        if not 0 < noise < 1:
            raise ValueError(f"noise must be between 0 and 1, got {noise}")
        self.max_atoms, self.classes, self.noise = max_atoms, classes, noise
        self.dims = BOND_CHANNELS * max_atoms**2 + max_atoms * (classes + 1)
        self.register_buffer("anchor", torch.zeros(()), persistent=False)  # carries the dtype to work in

    def extra_repr(self) -> str:
        return f"max_atoms={self.max_atoms}, classes={self.classes}, noise={self.noise}"

    def check(self, x: Tensor) -> None:
        n = self.max_atoms
        if not isinstance(x, Tensor) or x.ndim != 3 or x.shape[1:] != (n, n + 1) or x.is_floating_point():
            got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"expected molecules as integers (B, {n}, {n + 1}), see `MoFlow.expand`, got {got}")

    def onehot(self, x: Tensor) -> Tensor:
        """(B, D) zeros and ones."""
        self.check(x)
        atoms, orders = split_table(x)
        bonds = F.one_hot((orders - 1) % BOND_CHANNELS, BOND_CHANNELS).movedim(-1, 1)
        atoms = F.one_hot(atoms % (self.classes + 1), self.classes + 1)  # -1 is the last class
        return torch.cat((bonds.flatten(1), atoms.flatten(1)), dim=1).to(self.anchor.dtype)

    def center(self, x: Tensor) -> Tensor:
        """`y` with `u = 1/2`: no noise, so that encode-decode round trips are exact."""
        return at_least_float32(self.onehot(x)) + self.noise / 2

    def forward(self, x, context=None):
        y = at_least_float32(self.onehot(x))
        return y + self.noise * torch.rand_like(y), self._ladj(y)

    def generate(self, z, context=None):
        bonds, atoms = split_numbers(z, self.max_atoms)
        orders = (bond_classes(bonds) + 1) % BOND_CHANNELS
        chosen = atoms.argmax(2)
        chosen = chosen.masked_fill(chosen == self.classes, -1)
        return torch.cat((chosen[:, :, None], orders), dim=2).to(torch.int16)

    def inverse(self, z, context=None):
        return self.generate(z), -self._ladj(z)

    def _ladj(self, y: Tensor) -> Tensor:
        return at_least_float32(y).new_full((y.shape[0],), self.dims * math.log(self.noise))
