"""Versions, hardware and date that go with every number."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from al_lightning._version import __version__


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


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
