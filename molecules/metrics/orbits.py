"""How often each atom sits in each place of the small connected subgraphs around it (graphlet orbits).

The fifteen orbits of induced connected subgraphs of two to four vertices, numbered as by Przulj (2007,
doi:10.1093/bioinformatics/btl301): 0 an edge; 1, 2 end and middle of a path of three; 3 a triangle; 4, 5 end and middle
of a path of four; 6, 7 leaf and centre of a star; 8 a square; 9, 10, 11 the vertices of degree 1, 2 and 3 of a triangle
with a tail; 12, 13 those of degree 2 and 3 of a square with a diagonal; 14 the complete graph.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

ORBITS = 15
# vertices, edges, largest degree -> degree of a vertex -> orbit
PLACES = {
    (2, 1, 1): {1: 0},
    (3, 2, 2): {1: 1, 2: 2},
    (3, 3, 2): {2: 3},
    (4, 3, 2): {1: 4, 2: 5},
    (4, 3, 3): {1: 6, 3: 7},
    (4, 4, 2): {2: 8},
    (4, 4, 3): {1: 9, 2: 10, 3: 11},
    (4, 5, 3): {2: 12, 3: 13},
    (4, 6, 3): {3: 14},
}


def connected_subsets(bonded: list[int], largest: int = 4) -> Iterator[tuple[list[int], int]]:
    """Every connected set of 2 to `largest` vertices, once, as a list and as the sum of 2^vertex (ESU, Wernicke 2006,
    doi:10.1109/TCBB.2006.51); the neighbours `bonded` of each vertex are such sums."""
    for root in range(len(bonded)):
        above = -1 << (root + 1)
        stack = [([root], 1 << root, bonded[root] & above, bonded[root] | 1 << root)]
        while stack:
            chosen, members, candidates, seen = stack.pop()
            while candidates:
                lowest = candidates & -candidates
                candidates ^= lowest
                v = lowest.bit_length() - 1
                more = [*chosen, v]
                yield more, members | lowest
                if len(more) < largest:
                    fresh = bonded[v] & above & ~seen
                    stack.append((more, members | lowest, candidates | fresh, seen | bonded[v]))


def orbit_counts(bonded: list[list[int]]) -> np.ndarray:
    """Counts (vertices, 15) of a graph given by the neighbours of each vertex."""
    neighbours = [sum(1 << other for other in others) for others in bonded]
    counts = [[0] * ORBITS for _ in bonded]
    for chosen, members in connected_subsets(neighbours):
        degrees = [(neighbours[v] & members).bit_count() for v in chosen]
        orbit = PLACES[len(chosen), sum(degrees) // 2, max(degrees)]
        for v, degree in zip(chosen, degrees, strict=True):
            counts[v][orbit[degree]] += 1
    return np.array(counts, dtype=np.float64).reshape(len(bonded), ORBITS)
