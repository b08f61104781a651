"""`flowsuite images vae evaluate`: the ELBO, and -log p(x) by importance sampling."""

from __future__ import annotations

from flowsuite.core.training.files import write_json
from flowsuite.images.vae.evaluation import evaluate
from flowsuite.images.vae.tools import dataset_of, load_vae, make_parser, positive


def main(argv: list[str]) -> int:
    parser = make_parser("evaluate", __doc__, "--data images/vae-demo --samples 1000", picture=False)
    parser.add_argument("--samples", type=positive, default=5000, help="importance samples an image (%(default)s)")
    parser.add_argument("--rows", type=positive, default=2000, help="images decoded at a time (%(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    args = parser.parse_args(argv)
    flow = load_vae(args)
    data = dataset_of(args, flow)
    options = {"batch_size": args.batch_size, "rows": args.rows, "progress": not args.quiet}
    report = evaluate(flow, data, args.samples, args.seed, **options)
    print(report.table())
    if args.json:
        write_json(args.json, report.as_dict())
    return 0
