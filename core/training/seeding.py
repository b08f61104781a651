"""Random seeds that are a function of where training stands, so that a resumed run draws what it would have drawn."""

from __future__ import annotations

import hashlib
import os


def global_seed() -> int:
    """The seed of the run, as `seed_everything` (and the command line's option of that name) left it; 0 without."""
    return int(os.environ.get("PL_GLOBAL_SEED", 0))


def fold_seed(*parts: int | str) -> int:
    """A well mixed seed in 0..2**63 - 1 from numbers and names such as `(seed, rank, "train", epoch, batch)`."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
