"""`flowsuite pointclouds probe`: accuracy of a linear SVM on the shape codes of labelled clouds (ModelNet protocol)."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.pointclouds.normalize import check_normalization
from flowsuite.pointclouds.reconstruction_metrics import linear_probe
from flowsuite.pointclouds.tools import batches, data_module, load_model, make_parser


def codes(flow, dataset, size: int, what: str) -> tuple[Tensor, Tensor]:
    """Codes (B, zdim) of all clouds of a set, and their labels (B,)."""
    found = [
        (flow.encode(b["points"]).cpu(), b["label"].cpu()) for b in batches(dataset, size, flow.mean.device, None, what)
    ]
    return tuple(torch.cat(part) for part in zip(*found, strict=True))


@torch.no_grad()
def main(argv: list[str]) -> int:
    parser = make_parser("probe", __doc__, '--data ModelNetPC15k --data_args \'{"root": "data"}\'', picture=False)
    args = parser.parse_args(argv)
    flow = load_model(args).flow
    data = data_module(args.data, args.data_args)
    check_normalization(data, flow.mean, flow.std)
    # Evaluation items of the training shapes: their codes must not depend on what points were drawn.
    train = data.evaluation_items("train")
    sets = (("training shapes", train), ("test shapes", data.dataset("test")))
    found = [codes(flow, dataset, args.batch_size, "" if args.quiet else what) for what, dataset in sets]
    accuracy = linear_probe(*found[0], *found[1])
    classes = len(found[0][1].unique())
    print(f"linear SVM on codes: {accuracy:.2%} of {len(found[1][1])} test shapes, {classes} classes")
    return 0
