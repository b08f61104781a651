"""What the figures were measured on, and with."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "numpy", "scipy", "nflows", "normflows", "torchdiffeq", "zuko", "rdkit", "flowsuite")
ROOT = Path(__file__).resolve().parents[1]


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"


def machine(device: str, threads: int) -> dict:
    """Processor, cores, torch's threads, load (average of the last minute), and the card for CUDA."""
    found = {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "card": None,
    }
    if device.startswith("cuda"):
        import torch

        found["card"] = torch.cuda.get_device_name(device)
    return found


def versions() -> dict[str, str]:
    """Of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit(root: Path = ROOT) -> tuple[str | None, bool | None]:
    """The commit that is checked out, and whether its files were changed since, results aside; None where git cannot
    tell."""
    results = [f":!{name}" for name in ("benchmarks/results", "benchmarks/RESULTS.md", "README.md")]
    head = git(root, "rev-parse", "HEAD")
    changes = git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *results)
    return head, None if head is None or changes is None else bool(changes)


def git(root: Path, *arguments: str) -> str | None:
    try:
        found = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None
