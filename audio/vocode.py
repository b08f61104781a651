"""`flowsuite vocode`: audio files, or mel spectrograms, to speech by a trained vocoder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from torch import Tensor

from flowsuite.audio.command_model import add_model, add_sound, load_synthesizer, parse_spec
from flowsuite.audio.comparison import Comparison
from flowsuite.audio.sources import KINDS, Source, SourceReader, list_sources
from flowsuite.audio.synthesis import Synthesizer
from flowsuite.audio.vocode_files import ON_ERROR, Bulk, Job, plan
from flowsuite.core.training.files import check_writable
from flowsuite.core.training.model_options import QUIET
from flowsuite.core.wording import plural

EXAMPLES = """\
examples:
  flowsuite vocode speech.wav --ckpt_path best.ckpt --out copy.wav --spectrogram      analyse, synthesise
  flowsuite vocode recordings/ --ckpt_path best.ckpt --out copies --metrics --baseline --on_error skip
  flowsuite vocode predicted.npy --ckpt_path best.ckpt --out said.wav --temperature 0.8 --denoise 0.1
  flowsuite vocode mels/ --spec B0 --ckpt_path best.ckpt --out said                   mels of another toolchain
  flowsuite vocode mels/ --spec '{"scale": "htk", "log": "log10"}' --ckpt_path best.ckpt --out said
Mels are .npy, .npz or .pt of one clip each, (bands, frames) or (frames, bands). Results are mono 16-bit WAV at the rate
of the model; a run that was interrupted goes on where it was. The exit code is 1 if a file failed.
"""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "flowsuite vocode",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("inputs", nargs="+", type=Path, metavar="FILE|FOLDER", help="audio files, mels, folders of one or the other")
    add("--out", type=Path, required=True, help="folder, or for one file a name ending in .wav")
    add_model(parser)
    add_sound(parser)
    add("--only", choices=KINDS, help="of a folder that holds both audio and mels")
    spec = "what the mels were made with: A0, B0, ..., or as JSON what differs from the model's; they are converted"
    add("--spec", metavar="SPEC", help=spec)
    add("--no_check", action="store_true", help="take mels that do not look like speech in those settings")
    add("--resample", action="store_true", help="convert audio of another rate instead of refusing it")
    add("--batch_seconds", type=float, metavar="S", help="audio synthesised in one go (60 on a GPU, 8 on a CPU)")
    add("--overwrite", action="store_true", help="make files anew that are already there")
    add("--on_error", choices=ON_ERROR, default="stop", help="at a file that cannot be used (%(default)s)")
    add("--spectrogram", action="store_true", help="a picture beside each result, with the recording above it")
    add("--metrics", action="store_true", help="print how near the results are to the recordings")
    add("--baseline", action="store_true", help="with --metrics: Griffin-Lim's figures too")
    add("--no_pitch", action="store_true", help="with --metrics: leave out F0 and voicing, which take a while")
    add("--json", type=Path, metavar="FILE", help="with --metrics: write the table there too")
    add("--quiet", action="store_true", help=QUIET)
    return parser


class Measured:
    """What is done with a result once it is written: a picture, and the metrics."""

    def __init__(self, args: argparse.Namespace, synthesizer: Synthesizer):
        self.args, self.spec = args, synthesizer.spec
        self.found = Comparison(self.spec, synthesizer.flow.height, args.baseline, not args.no_pitch)

    def __call__(self, job: Job, source: Source, wave: Tensor) -> None:
        if self.args.spectrogram:
            from flowsuite.audio.spectrogram import save_spectrogram

            recording = {} if source.recording is None else {"recording": source.recording}
            waves = {**recording, "synthesis": wave}
            save_spectrogram(job.out.with_suffix(".png"), waves, self.spec.sample_rate)
        if self.args.metrics and source.recording is not None:
            self.found.add(source, wave)

    def print(self) -> None:
        if self.args.metrics and not len(self.found):
            print("no metrics: nothing was synthesised that has a recording")
        elif self.args.metrics:
            print(f"copy-synthesis of {plural(len(self.found), 'clip')} at temperature {self.args.temperature:g}")
            print(self.found.table())
            if self.args.json:
                self.found.save(self.args.json, temperature=self.args.temperature)


def main(argv: list[str] | None = None) -> int:
    """Runs the command; errors are exceptions with a message of one line."""
    args = make_parser().parse_args(argv)
    if (args.baseline or args.json) and not args.metrics:
        raise ValueError("--baseline and --json are about the table of --metrics: give that too")
    check_writable(args.json)
    jobs, there = plan(list_sources(args.inputs, args.only, args.out), args.out, args.overwrite)
    from rich.progress import Progress

    synthesizer = load_synthesizer(args)
    measured = Measured(args, synthesizer)
    after = measured if args.metrics or args.spectrogram else None
    seconds = args.batch_seconds
    if seconds is None:  # what fills a GPU only overflows the caches of a CPU
        seconds = 8.0 if synthesizer.module.device.type == "cpu" else 60.0
    made_with = parse_spec(args.spec, synthesizer.spec) if args.spec else None
    reader = SourceReader(synthesizer.module.mel, made_with, not args.no_check, args.resample)
    with Progress(disable=args.quiet or not sys.stderr.isatty()) as progress:
        task = progress.add_task("vocoding", total=len(jobs))
        bulk = Bulk(synthesizer, reader, seconds, args.on_error, after, lambda: progress.advance(task))
        tally = bulk.run(jobs)
    tally.skipped = there
    measured.print()
    print(f"{args.out}: {tally.text()}")
    return 1 if tally.failures else 0
