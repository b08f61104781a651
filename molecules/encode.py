"""Files of molecules to packed graphs, in several processes, with a report of what was left out and what was lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.training.numpy_files import load_npz
from flowsuite.molecules.chemistry import LARGEST, EncodingError
from flowsuite.molecules.encoder import Encoded, Encoder, Preparation, count_atoms
from flowsuite.molecules.encoding_report import EncodingReport, Tally
from flowsuite.molecules.mapping import bar
from flowsuite.molecules.packed import PackedMolecules
from flowsuite.molecules.processes import in_processes
from flowsuite.molecules.properties import PROPERTIES, property_function
from flowsuite.molecules.readers import Record, read_records
from flowsuite.molecules.vocabulary import ELEMENTS, Vocabulary, atom_name
from flowsuite.molecules.windows import fitting_window

CHUNK = 500  # records sent to a worker at a time


@dataclass
class EncodedMolecules:
    """Encoded data.

    Attributes:
        packed: the graphs.
        smiles: canonical, without stereochemistry, of the graphs, see `Encoded`.
        records: (M,) number of the record, from 0, that each comes from.
        report: what happened.
    """

    packed: PackedMolecules
    smiles: list[str]
    records: Tensor
    report: EncodingReport

    def save(self, path: str | Path) -> None:
        """Writes an .npz that `PackedMolecules.load` reads too."""
        text = np.frombuffer("\n".join(self.smiles).encode(), np.uint8)
        self.packed.save(
            Path(path), smiles=text, records=self.records.numpy(), report=np.array(self.report.to_json(), dtype=str)
        )

    @classmethod
    def load(cls, path: str | Path) -> EncodedMolecules:
        """Reads what `save` wrote."""
        arrays = load_npz(path)
        packed = PackedMolecules.from_arrays(arrays, path)
        missing = {"smiles", "records", "report"} - set(arrays)
        if missing:
            raise ValueError(f"{path} holds no {', '.join(sorted(missing))}: encode the molecules again")
        try:
            report = EncodingReport.from_json(str(arrays["report"]))
            smiles = arrays["smiles"].tobytes().decode().split("\n") if len(packed) else []
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            what = type(error).__name__
            raise ValueError(f"{path}: its report or SMILES cannot be read ({what}: {error})") from None
        records = arrays["records"]
        fits = records.dtype == np.int64 and records.shape == (len(packed),) and len(smiles) == len(packed)
        if not fits or (len(records) and not 0 <= records.min() <= records.max() < report.total):
            raise ValueError(f"{path}: its molecules, SMILES and records do not belong together")
        return cls(packed, smiles, torch.from_numpy(records), report)


def encode_records(
    records: Iterable[Record],
    vocabulary: Vocabulary,
    max_atoms: int = 0,
    window: int = 12,
    *,
    on_error: str = "skip",
    neutralize: bool = False,
    largest_fragment: bool = False,
    drop_charges: bool = False,
    properties: Sequence[str] = (),
    check_every: int = 1,
    workers: int = 0,
    progress: str = "",
    source: str = "data",
) -> EncodedMolecules:
    """Graphs of records.

    Args:
        records: see `read_records`.
        vocabulary: of the atoms; what has others is left out.
        max_atoms: what has more heavy atoms is left out; 0: 255.
        window: W, what has (almost) no breadth-first order in which all bonds span at most W places is left out.
        on_error: "skip" leaves out and counts what cannot be encoded, "stop" raises.
        neutralize, largest_fragment, drop_charges: see `Preparation`.
        properties: names of columns of the data, or else of `PROPERTIES`, to keep with each molecule.
        check_every: decode every so many-th molecule again; 0: none.
        workers: processes; 0 for this one.
        progress: what the progress bar says; none if empty.
        source: name of the data, for messages.

    Raises:
        ValueError: a wrong option, nothing could be encoded, or with "stop" a molecule could not.
    """
    if on_error not in ("skip", "stop"):
        raise ValueError(f'on_error must be "skip" or "stop", got {on_error!r}')
    if not 0 <= max_atoms <= LARGEST or window < 1 or check_every < 0:
        raise ValueError(
            f"expected max_atoms from 0 to {LARGEST}, window >= 1 and check_every >= 0, "
            f"got {max_atoms}, {window}, {check_every}"
        )
    records = iter(records)
    ahead = list(islice(records, CHUNK))
    wanted = resolve(properties, dict.fromkeys(chain.from_iterable(each.properties for each in ahead)), source)
    preparation = Preparation(neutralize, largest_fragment, drop_charges)
    encoder = Encoder(vocabulary, max_atoms, preparation, wanted, check_every)
    report = EncodingReport(source, vocabulary.names, window=window)
    kept, lines = collect(encoder, chain(ahead, records), report, on_error, workers, progress)
    packed = pack([each for _, each in kept], encoder)
    fits, report.misfits = fitting_window(packed, window)
    for i in (~fits).nonzero()[:, 0].tolist():
        refuse(report, on_error, lines[i], EncodingError("window", f"no order within {window} places"))
    chosen = fits.nonzero()[:, 0]
    packed, kept, lines = packed[chosen], [kept[i] for i in chosen.tolist()], [lines[i] for i in chosen.tolist()]
    summarize(report, [each for _, each in kept], lines, packed)
    if not kept:
        raise ValueError(f"no molecule to train on: {report.summary()}{first_examples(report)}")
    return EncodedMolecules(packed, [e.smiles for _, e in kept], torch.tensor([n for n, _ in kept]), report)


def resolve(names: Sequence[str], given: Collection[str], source: str) -> tuple[tuple[str, bool], ...]:
    """Whether each property stands in the data, which has those `given`, or is to be computed."""
    for name in names:
        if name not in given and name not in PROPERTIES:
            columns = f"; {source} has {', '.join(given)}" if given else ""
            try:
                property_function(name)
            except ValueError as error:
                raise ValueError(f"{error}{columns}") from None
    return tuple((name, name in given) for name in names)


def pack(encoded: Sequence[Encoded], encoder: Encoder) -> PackedMolecules:
    """The graphs end to end, with their properties."""
    names = [name for name, _ in encoder.properties]
    values = torch.tensor([each.properties for each in encoded]).reshape(len(encoded), len(names))
    graphs = (
        (np.frombuffer(each.atoms, np.uint8), np.frombuffer(each.bonds, np.uint8).reshape(-1, 3)) for each in encoded
    )
    return PackedMolecules.from_graphs(graphs, encoder.vocabulary, values, names)


def in_chunks(work: Callable, records: Iterable[Record], workers: int) -> Iterator[tuple[list[Record], Any]]:
    """`(records, work((number of the first, records)))` chunk by chunk; in this process if there is only one."""
    records = iter(records)
    ahead = [list(islice(records, CHUNK)), list(islice(records, CHUNK))]
    chunks = chain(ahead, iter(lambda: list(islice(records, CHUNK)), []))
    held: list[list[Record]] = []

    def numbered() -> Iterator[tuple[int, list[Record]]]:
        first = 0
        for chunk in chunks:
            held.append(chunk)
            yield first, chunk
            first += len(chunk)

    for result in in_processes(work, numbered(), workers if ahead[1] else min(workers, 0)):
        yield held.pop(0), result


def collect(encoder, records, report, on_error, workers, progress) -> tuple[list, list[tuple[int, str]]]:
    """`(number of the record, Encoded)` of all that can be encoded, and `(line, SMILES as written)` of each."""
    kept, lines = [], []
    outcomes = in_chunks(encoder.encode_chunk, records, workers)
    computed = {name for name, given in encoder.properties if not given}
    with closing(outcomes), bar(progress, None) as advance:
        for chunk, found in outcomes:
            for record, outcome in zip(chunk, found, strict=True):
                if late := computed & record.properties.keys():
                    name = min(late)
                    raise ValueError(f"{report.source}, line {record.line}: {name} stands here but not further up")
                if isinstance(outcome, EncodingError):
                    refuse(report, on_error, (record.line, record.smiles), outcome)
                else:
                    kept.append((report.total, outcome))
                    lines.append((record.line, record.smiles))
                report.total += 1
            advance(len(chunk))
    return kept, lines


def refuse(report: EncodingReport, on_error: str, line: tuple[int, str | None], error: EncodingError) -> None:
    if on_error == "stop":
        raise ValueError(f"{report.source}, line {line[0]}: {line[1] or '(nothing)'}: {error}")
    report.skip(error.reason, *line, error.detail)


def summarize(report: EncodingReport, kept: list, lines: list[tuple[int, str]], packed: PackedMolecules) -> None:
    """The counts of what was encoded."""
    for each, (line, smiles) in zip(kept, lines, strict=True):
        for loss in each.losses:
            report.losses.setdefault(loss, Tally()).add(line, smiles)
        if each.again != "":
            report.check(line, smiles, each.molecule, each.again)
    report.encoded = len(kept)
    report.distinct = len({each.smiles for each in kept})
    sizes, counts = packed.sizes.unique(return_counts=True)
    report.sizes = dict(zip(sizes.tolist(), counts.tolist(), strict=True))


def first_examples(report: EncodingReport) -> str:
    found = [tally.examples[0] for _, tally in report.by_count(report.skipped)[:1] if tally.examples]
    return "".join(f"; first: line {line}: {smiles} {detail}".rstrip() for line, smiles, detail in found)


def collect_vocabulary(
    records: Iterable[Record],
    min_share: float = 1e-4,
    max_atoms: int = 0,
    preparation: Preparation | None = None,
    workers: int = 0,
    progress: str = "",
) -> tuple[Vocabulary, list[tuple[str, int]]]:
    """The atom classes of the data, the most frequent first, and `(class, molecules with it)` of those left out.

    Args:
        records: see `read_records`.
        min_share: classes that fewer of the molecules have are left out, as are elements nothing is known about.
        max_atoms, preparation: as when the records are encoded.
        workers, progress: see `encode_records`.
    """
    counts, total = Counter(), 0
    outcomes = in_chunks(partial(count_atoms, preparation or Preparation(), max_atoms), records, workers)
    with closing(outcomes), bar(progress, None) as advance:
        for chunk, (found, molecules) in outcomes:
            counts.update(found)
            total += molecules
            advance(len(chunk))
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    known = [atom for atom, count in ordered if atom[0] in ELEMENTS and count >= min_share * total]
    if not known:
        raise ValueError("an automatic vocabulary needs at least one molecule that can be encoded, got none")
    dropped = [(atom_name(*atom), count) for atom, count in ordered if atom not in set(known)]
    return Vocabulary([atom_name(*atom) for atom in known]), dropped


def encode_file(
    path: str | Path,
    vocabulary: Vocabulary | Sequence[str] | str = "auto",
    max_atoms: int = 0,
    window: int = 12,
    *,
    column: str | None = None,
    layout: str | None = None,
    where: tuple[str, str] | None = None,
    min_share: float = 1e-4,
    **options,
) -> EncodedMolecules:
    """Graphs of the molecules of a file.

    Args:
        path, column, layout, where: see `read_records`.
        vocabulary: class names, a preset, or "auto": the classes in the data, see `collect_vocabulary`.
        max_atoms, window, options: see `encode_records`.
        min_share: of "auto".
    """
    read = partial(read_records, path, column, layout, where)
    dropped: list[tuple[str, int]] = []
    if vocabulary == "auto":
        flags = {key: options.get(key, False) for key in ("neutralize", "largest_fragment", "drop_charges")}
        told = options.get("progress", "") and "atom classes"
        workers = options.get("workers", 0)
        vocabulary, dropped = collect_vocabulary(read(), min_share, max_atoms, Preparation(**flags), workers, told)
    elif not isinstance(vocabulary, Vocabulary):
        vocabulary = Vocabulary(vocabulary)
    encoded = encode_records(read(), vocabulary, max_atoms, window, source=str(path), **options)
    encoded.report.dropped_atoms = dropped
    return encoded
