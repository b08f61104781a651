"""What the commands of this domain have in common: a checkpoint, a device, recordings to work on."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from flowsuite.audio.execution import PRECISIONS
from flowsuite.audio.features.spec import PRESETS, MelSpec, as_spec
from flowsuite.audio.sources import Source, SourceReader, list_sources, source_of_wave
from flowsuite.audio.synthesis import CHUNK_SECONDS, Synthesizer
from flowsuite.audio.wave_files import SUFFIXES as WAVE_SUFFIXES
from flowsuite.core.training.model_options import add_model_options


def add_model(parser: argparse.ArgumentParser) -> None:
    seed = "seed of the noise, which is a function of it and a clip's name (%(default)s)"
    add_model_options(parser, "a trained vocoder", seed)
    add = parser.add_argument
    precision = "of the networks; bf16 (on GPUs) leaves waveform and sums in float32 (%(default)s)"
    add("--precision", choices=PRECISIONS, default="32", help=precision)
    add("--no_graphs", action="store_true", help="on a GPU: launch kernels one by one instead of by CUDA graphs")
    add("--compile", action="store_true", help="torch.compile WaveFlow's layers, a minute or so once: for many clips")


def add_sound(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--temperature", type=float, default=1.0, metavar="T", help="factor on the noise (%(default)s); try the sweep")
    add("--denoise", type=float, default=0.0, metavar="S", help="subtract S times the model's own hum; 0.1 is typical")
    add("--denoise_bias", default="silence", help="of what: silence, or zero-mel as in the public code (%(default)s)")
    chunk = "clips longer than two such pieces are made piece by piece; 0: never (%(default)g)"
    add("--chunk", type=float, default=CHUNK_SECONDS, metavar="SECONDS", help=chunk)
    margin = "columns beyond a piece on either side (1024, or what is exact up to 4096); see `flowsuite audio overlap`"
    add("--margin", type=int, metavar="COLUMNS", help=margin)


def add_recordings(parser: argparse.ArgumentParser, clips: int) -> None:
    add = parser.add_argument
    where = "audio file, folder, data module such as LJSpeech, or recipe such as audio/demo"
    add("--data", required=True, help=where)
    add("--data_args", default="{}", metavar="JSON", help="arguments of the data module")
    add("--split", default="val", choices=("train", "val", "test"), help="of a data module or recipe (%(default)s)")
    add("--num", "--clips", dest="clips", type=int, default=clips, metavar="N", help="the first so many (%(default)s)")
    add("--resample", action="store_true", help="convert audio of another rate instead of refusing it")


def load_synthesizer(args: argparse.Namespace) -> Synthesizer:
    """The model of `--ckpt_path` with the settings that the command has."""
    names = {"temperature": "temperature", "denoise": "denoise", "denoise_bias": "bias", "margin": "margin"}
    names |= {"chunk": "chunk_seconds", "seed": "seed"}
    given = vars(args)
    settings = {setting: given[option] for option, setting in names.items() if option in given}
    settings |= {"precision": args.precision, "graphs": not args.no_graphs, "compiled": args.compile}
    return Synthesizer.load(args.ckpt_path, args.device, args.raw_weights, args.allow, **settings)


def recordings(args: argparse.Namespace, synthesizer: Synthesizer) -> list[Source]:
    """The first `--clips` recordings of `--data`, ready for copy-synthesis."""
    if args.clips < 1:
        raise ValueError(f"--num must be at least 1, got {args.clips}")
    mel = synthesizer.module.mel
    path = Path(args.data)
    if path.suffix.lower() in WAVE_SUFFIXES or (path.exists() and path.suffix not in (".yaml", ".yml")):
        files = list_sources([path], only="audio")[: args.clips]
        return [SourceReader(mel, resample=args.resample)(file) for file in files]
    from flowsuite.audio import data
    from flowsuite.core.training.inputs import data_module

    classes = {name: getattr(data, name) for name in data.__all__ if name != "AudioDataModule"}
    modules = {name: cls for name, cls in classes.items() if issubclass(cls, data.AudioDataModule)}
    module = data_module(args.data, args.data_args, modules, "flowsuite.audio.data", "an audio file, a folder")
    if module.spec.sample_rate != synthesizer.spec.sample_rate:
        rates = f"{module.spec.sample_rate} Hz, the model at {synthesizer.spec.sample_rate}"
        raise ValueError(f"{args.data} is at {rates}: give --data_args a spec, and resample if need be")
    clips = module.clips(args.split)
    order = sorted(range(len(clips)), key=clips.names.__getitem__)[: args.clips]
    return [source_of_wave(clips.names[i], clips.wave(i), mel) for i in order]


def parse_spec(text: str, model: MelSpec) -> MelSpec:
    """The name of a preset, or as JSON the settings that differ from those of the model."""
    if not text.lstrip().startswith("{"):
        return as_spec(text)
    try:
        return as_spec({**model.to_dict(), **json.loads(text)})
    except json.JSONDecodeError as error:
        presets = ", ".join(PRESETS)
        raise ValueError(f'--spec must be one of {presets}, or JSON such as {{"log": "log10"}}: {error}') from None
