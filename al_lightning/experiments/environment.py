"""Versions, hardware and date that go with every number."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from al_lightning._version import __version__

#: Where Linux says what the processor is.
CPUINFO = Path("/proc/cpuinfo")


def environment() -> dict[str, Any]:
    """Versions, hardware and date, in plain types."""
    import lightning
    import torch

    return {
        "al_lightning": __version__,
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def hardware() -> str:
    """The machine in a few words: ``AMD EPYC, 2 cores, NVIDIA H100``."""
    about = environment()
    parts = (about["processor"] or about["machine"], f"{about['cores']} cores", about["accelerator"])
    return ", ".join(part for part in parts if part)


def multiplies_bf16() -> bool:
    """Whether what trains here, an accelerator or else the processor, has units that multiply bf16."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if torch.backends.mps.is_available():
        return False
    flags = {flag for line in _about_processor("flags", "Features") for flag in line.split()}
    return not flags.isdisjoint({"amx_bf16", "avx512_bf16", "bf16"})  # the last is Arm's


def _about_processor(*keys: str) -> list[str]:
    """What Linux says of each core under one of the keys; nothing elsewhere."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.is_file() else []
    pairs = [line.split(":", 1) for line in lines if ":" in line]
    return [value.strip() for key, value in pairs if key.strip() in keys]


def _processor() -> str:
    names = _about_processor("model name")
    return names[0] if names else platform.processor()
