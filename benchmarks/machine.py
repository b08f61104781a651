"""What the figures were measured on."""

from __future__ import annotations

import datetime
import platform
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("torch", "nflows", "normflows", "torchdiffeq", "zuko", "flowsuite")


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"


def describe_machine(device: str, threads: int) -> str:
    """Date, processor or card, threads and versions; sets torch's threads."""
    torch.set_num_threads(threads)
    where = torch.cuda.get_device_name() if device == "cuda" else f"{processor()}, {threads} threads"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{datetime.date.today()}, {where}, Python {platform.python_version()}, {packages}"
