"""`flowsuite images COMMAND`: evaluation, pictures and diagnosis of a trained image flow."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from flowsuite.core.objective import bits_per_dim
from flowsuite.core.training.files import atomic_write, check_writable
from flowsuite.core.training.model_options import QUIET, Temperatures, add_model_options, open_model
from flowsuite.core.training.pictures import enlarge, grid, write_png
from flowsuite.images import latent, metrics
from flowsuite.images.flow import ImageFlow
from flowsuite.images.inputs import as_context, open_images, take
from flowsuite.images.levels import encode_levels, has_levels

TEMPERATURES = [0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]

EXAMPLES = """\
examples:
  flowsuite images evaluate --ckpt_path best.ckpt --data images/demo --draws 8
  flowsuite images reconstruct --ckpt_path best.ckpt --data photos/ --resize --out reconstruct.png
  flowsuite images interpolate --ckpt_path best.ckpt --data a.png b.png --out between.png
  flowsuite images attribute --ckpt_path best.ckpt --data CelebA --data_args '{"attribute": "Smiling"}' --out smile.png
  flowsuite images sweep --ckpt_path best.ckpt --out temperatures.png
  flowsuite images sample-grid --ckpt_path best.ckpt --num 100 --temperature 0.8 --out samples.png
  flowsuite images diagnose --ckpt_path best.ckpt --data images/demo
"""
COMMANDS = ("evaluate", "reconstruct", "interpolate", "attribute", "sweep", "sample-grid", "diagnose", "vae")
RAW = argparse.RawDescriptionHelpFormatter


def load_flow(args: argparse.Namespace):
    """The module of a checkpoint, on the device asked for, once it is clear that the results can be written."""
    check_writable(vars(args).get("out"), vars(args).get("json"))
    from flowsuite.images.module import ImageFlowModule

    return open_model(args, ImageFlowModule, "a model of images")


def load_images(args: argparse.Namespace, flow: ImageFlow):
    return open_images(args.data, flow, args.split, args.resize, args.data_args)


def evaluate(args: argparse.Namespace) -> None:
    module = load_flow(args)
    flow = module.flow
    dataset = load_images(args, flow)
    bits = metrics.evaluate_bits(flow, dataset, args.draws, args.batch_size, args.seed, progress=not args.quiet)
    images, labels = take(dataset, list(range(min(len(dataset), args.batch_size))))
    device = flow.base.anchor.device
    error, wrong = metrics.round_trip_error(flow, images.to(device), as_context(flow, labels, args.label))
    print(bits.table())
    print(f"{'round trip, max error':<28}{error:9.2e}  ({wrong:.2%} of pixels wrong, {len(images)} images)")
    report = {**bits.as_dict(), "round_trip_error": error, "wrong_pixels": wrong}
    if args.fid:
        generator = torch.Generator(device).manual_seed(args.seed)
        report["fid"] = metrics.frechet_inception_distance(
            dataset,
            lambda n: module.generate(n, temperature=args.temperature, generator=generator),
            args.fid_samples,
            args.fid,
            args.batch_size,
            progress=not args.quiet,
        )
        report |= {"fid_samples": args.fid_samples, "fid_temperature": args.temperature}
        print(f"{'FID':<28}{report['fid']:9.2f}  ({args.fid_samples} samples at temperature {args.temperature})")
    if args.json:
        with atomic_write(args.json) as file:
            file.write((json.dumps(report, indent=2) + "\n").encode())


@torch.no_grad()
def reconstruct(args: argparse.Namespace) -> None:
    flow = load_flow(args).flow
    dataset = load_images(args, flow)
    x, labels = take(dataset, list(range(min(args.num, len(dataset)))))
    x, context = x.to(flow.base.anchor.device), as_context(flow, labels, args.label)
    shown = flow.dequantize.generate(flow.dequantize.center(x))
    back = flow.decode(flow.encode(x, context), context)
    difference = (back.int() - shown.int()).abs()
    error, wrong = metrics.round_trip_error(flow, x, context)
    save(args.out, torch.cat((shown, back, difference.clamp(0, 255).to(torch.uint8))), columns=len(x))
    print(f"rows: input at {flow.n_bits} bits, decode(encode(input)), difference")
    print(f"max error {error:.3e} of the pixel range 1, {wrong:.2%} of pixels differ")


@torch.no_grad()
def interpolate(args: argparse.Namespace) -> None:
    flow = load_flow(args).flow
    x, labels = take(load_images(args, flow), [args.first, args.second])
    x, context = x.to(flow.base.anchor.device), as_context(flow, labels, args.label)
    first, second = flow.encode(x, context)
    paths = [latent.interpolate(first, second, args.steps, spherical) for spherical in (False, True)]
    if context is not None:  # the class changes half-way
        context = context.repeat_interleave(torch.tensor([args.steps - args.steps // 2, args.steps // 2]).to(context))
        context = context.repeat(2)
    save(args.out, flow.decode(torch.cat(paths), context), columns=args.steps)
    print("rows: linear, spherical")


@torch.no_grad()
def attribute(args: argparse.Namespace) -> None:
    flow = load_flow(args).flow
    dataset = load_images(args, flow)
    direction = latent.attribute_direction(
        flow, metrics.batches(dataset, args.batch_size, "" if args.quiet else "encoding"), args.positive
    )
    x, labels = take(dataset, list(range(min(args.num, len(dataset)))))
    context = as_context(flow, labels, args.label)
    eps = flow.encode(x.to(direction.device), context)
    strengths = torch.tensor(args.strengths, device=eps.device, dtype=eps.dtype)
    moved = (eps[:, None] + strengths[None, :, None] * direction).flatten(0, 1)
    context = None if context is None else context.repeat_interleave(len(strengths))
    save(args.out, flow.decode(moved, context), columns=len(strengths))
    print(f"columns: strength {', '.join(f'{s:g}' for s in args.strengths)} along label {args.positive}")
    print(f"norm of the direction: {direction.norm():.3f}")


@torch.no_grad()
def sweep(args: argparse.Namespace) -> None:
    module = load_flow(args)
    flow, generator = module.flow, torch.Generator(module.device).manual_seed(args.seed)
    z = flow.base.sample(args.num, 1.0, generator)
    labels = module.labels(args.num, args.label, generator)
    save(args.out, torch.cat([flow.decode(t * z, labels) for t in args.temperatures]), columns=args.num)
    print(f"rows: temperature {', '.join(f'{t:g}' for t in args.temperatures)}")


@torch.no_grad()
def sample_grid(args: argparse.Namespace) -> None:
    module = load_flow(args)
    generator = torch.Generator(module.device).manual_seed(args.seed)
    samples = []
    for start in range(0, args.num, args.batch_size):
        n = min(args.batch_size, args.num - start)
        samples.append(module.generate(n, args.label, args.temperature, generator))
    save(args.out, torch.cat(samples))
    print(f"{args.num} samples at temperature {args.temperature:g}, seed {args.seed}")


@torch.no_grad()
def diagnose(args: argparse.Namespace) -> None:
    flow = load_flow(args).flow
    dataset = load_images(args, flow)
    x, labels = take(dataset, list(range(min(args.num, len(dataset)))))
    x, context = x.to(flow.base.anchor.device), as_context(flow, labels, args.label)
    torch.manual_seed(args.seed)
    if has_levels(flow):
        nats, latents = encode_levels(flow, x, context)
        bits = bits_per_dim(nats.mean(0), flow.dims).tolist()
    else:
        latents, bits = [flow.encode(x, context)], [flow.bits_per_dim(x, context).mean().item()]
    print(f"{len(x)} images; latents ought to have mean 0, std 1, skew 0, kurtosis 3 (normal base), 0.0455 beyond 2")
    print(f"{'level':<7}{'dims':>8}{f'bits/dim @{flow.n_bits}':>13}{'mean':>9}{'std':>8}{'skew':>8}{'kurt':>9}", end="")
    print(f"{'|z|>2':>9}{'|z|>4':>10}{'max':>8}")
    for i, (eps, share) in enumerate(zip(latents, bits, strict=True), 1):
        m = latent.moments(eps)
        print(f"{i:<7}{eps[0].numel():>8}{share:>13.4f}{m['mean']:>9.3f}{m['std']:>8.3f}{m['skew']:>8.3f}", end="")
        print(f"{m['kurtosis']:>9.2f}{m['beyond_2']:>9.4f}{m['beyond_4']:>10.2e}{m['max']:>8.2f}")
    error, wrong = metrics.round_trip_error(flow, x, context)
    print(f"round trip: max error {error:.2e}, {wrong:.2%} of pixels wrong")
    conditions = latent.conv1x1_conditions(flow)
    for name, condition in conditions.items():
        print(f"condition number {condition:>12.1f}  {name}")
    if conditions:
        worst = max(conditions, key=conditions.get)
        print(f"worst of {len(conditions)} 1x1 convolutions: {conditions[worst]:.1f}, {worst}")


def save(path: str, images: torch.Tensor, columns: int | None = None) -> None:
    print(write_png(path, enlarge(grid(images, columns), 384)))


def make_parser() -> argparse.ArgumentParser:
    more = f"{EXAMPLES}`flowsuite images COMMAND --help` says more."
    parser = argparse.ArgumentParser("flowsuite images", description=__doc__, epilog=more, formatter_class=RAW)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, function, what: str, data: bool, picture: bool = True) -> argparse.ArgumentParser:
        lines = [line for line in EXAMPLES.splitlines(keepends=True) if f"images {name} " in line]
        sub = commands.add_parser(
            name, help=what, description=what, epilog="examples:\n" + "".join(lines), formatter_class=RAW
        )
        sub.set_defaults(function=function)
        add_model_options(sub, "a trained image flow")
        sub.add_argument("--batch_size", type=positive, default=64, help="images at a time (%(default)s)")
        sub.add_argument("--quiet", action="store_true", help=QUIET)
        sub.add_argument("--class", dest="label", type=int, help="class, for models that are conditional on one")
        if data:
            where = "image files; or a folder, a .npz, a data module such as CIFAR10, a recipe such as images/demo"
            sub.add_argument("--data", nargs="+", required=True, metavar="DATA", help=where)
            sub.add_argument("--split", default="test", choices=("train", "val", "test"), help="of a data set (test)")
            sub.add_argument("--resize", action="store_true", help="bring image files to the model's size")
            sub.add_argument("--data_args", default="{}", metavar="JSON", help="arguments of the data module")
        if picture:
            sub.add_argument("--out", required=True, metavar="FILE.png", type=png, help="the picture to write")
        return sub

    sub = command("evaluate", evaluate, "bits/dim, by level, round-trip error, FID", data=True, picture=False)
    sub.add_argument("--draws", type=positive, default=1, help="dequantisation draws per image (%(default)s)")
    sub.add_argument("--json", metavar="FILE", help="write the figures there too")
    sub.add_argument("--fid", metavar="FEATURES.pt", help="network for FID: TorchScript, or weights of Inception-v3")
    sub.add_argument("--fid_samples", type=positive, default=50000, help="images generated for FID (%(default)s)")
    sub.add_argument("--temperature", type=float, default=1.0, help="of the samples for FID (%(default)s)")

    sub = command("reconstruct", reconstruct, "input, decode(encode(input)) and their difference", data=True)
    sub.add_argument("--num", type=positive, default=8, help="images (%(default)s)")

    sub = command("interpolate", interpolate, "from one image to another in latent space", data=True)
    sub.add_argument("--first", type=int, default=0, help="number of the first image (%(default)s)")
    sub.add_argument("--second", type=int, default=1, help="number of the second image (%(default)s)")
    sub.add_argument("--steps", type=positive, default=9, help="images on the way, ends included (%(default)s)")

    sub = command("attribute", attribute, "move images along mean(eps|label) - mean(eps|other labels)", data=True)
    sub.add_argument("--positive", type=int, default=1, help="label that has the attribute (%(default)s)")
    sub.add_argument("--num", type=positive, default=4, help="images to change (%(default)s)")
    strengths = [-1.6, -0.8, 0.0, 0.8, 1.6]
    sub.add_argument(
        "--strengths", type=float, nargs="+", default=strengths, help="multiples of the direction (-1.6 to 1.6)"
    )

    sub = command("sweep", sweep, "the same latents at several temperatures", data=False)
    sub.add_argument("--num", type=positive, default=8, help="images in a row (%(default)s)")
    sub.add_argument("--temperatures", action=Temperatures, default=TEMPERATURES, help="one row each (0 to 1)")

    sub = command("sample-grid", sample_grid, "a grid of samples", data=False)
    sub.add_argument("--num", type=positive, default=64, help="samples (%(default)s)")
    sub.add_argument("--temperature", type=float, default=0.7, help="factor on the standard latents (%(default)s)")

    commands.add_parser("vae", help="tools for variational autoencoders: flowsuite images vae --help")

    sub = command("diagnose", diagnose, "bits and latents by level, condition of 1x1 convolutions", True, False)
    sub.add_argument("--num", type=positive, default=64, help="images (%(default)s)")
    return parser


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def png(text: str) -> str:
    if Path(text).suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"must end in .png, got {text}")
    return text


def main(argv: list[str] | None = None) -> int:
    """Runs one command; errors are exceptions with a message of one line."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["vae"]:
        from flowsuite.images.vae import commands

        return commands.main(argv[1:])
    args = make_parser().parse_args(argv)
    args.function(args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
