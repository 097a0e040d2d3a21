"""What Lightning's strategies for several processes take, typed once."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, TypedDict

import torch
from lightning.fabric.plugins import CheckpointIO, ClusterEnvironment
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.plugins.precision import Precision


class ProcessOptions(TypedDict, total=False):
    """Arguments of Lightning's ``DDPStrategy`` that have a meaning without its wrapper.

    Attributes:
        accelerator: what the processes compute on.
        parallel_devices: of this node, one for each process.
        cluster_environment: who starts the processes and knows their ranks.
        checkpoint_io: reads and writes checkpoints.
        precision_plugin: in which they compute.
        process_group_backend: of ``torch.distributed``; ``gloo`` on CPU and ``nccl`` on CUDA if None.
        timeout: after which a process that waits for another gives up; 30 minutes unless given.
        start_method: how Lightning starts the other processes.
    """

    accelerator: Accelerator | None
    parallel_devices: list[torch.device] | None
    cluster_environment: ClusterEnvironment | None
    checkpoint_io: CheckpointIO | None
    precision_plugin: Precision | None
    process_group_backend: str | None
    timeout: timedelta | None
    start_method: Literal["popen", "spawn", "fork", "forkserver"]
