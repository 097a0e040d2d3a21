"""The process groups of a pipeline, and a stage's connections to the stage before and the next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import cast

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from al_lightning.strategies.link import Groups, Inbox, Outbox


class Neighbours:
    """Who works with a stage: replicas of it, the other stages of its replica, and its two neighbours.

    All processes make their groups together, once; connections are opened for a run.

    Args:
        rank: of this process among all; stage k of replica d is rank ``d K + k``.
        stages: K.
        replicas: D.
        device: where tensors lie.
        backend: what tensors travel by.
        timeout: after which a process that waits for another gives up.
    """

    def __init__(
        self, rank: int, stages: int, replicas: int, device: torch.device, backend: str, timeout: timedelta | None
    ) -> None:
        mesh = init_device_mesh(device.type, (replicas, stages), mesh_dim_names=("replica", "stage"))
        #: The processes that train the same layers.
        self.replicas: dist.ProcessGroup = mesh.get_group("replica")
        #: The processes that train one replica together.
        self.stages: dist.ProcessGroup = mesh.get_group("stage")
        self._device = device
        self._before: Groups | None = None
        self._next: Groups | None = None
        self.inbox: Inbox | None = None
        self.outbox: Outbox | None = None
        for first in range(replicas * stages):
            if first % stages == stages - 1:
                continue  # the last stage hands nothing on
            headers = dist.new_group([first, first + 1], timeout=timeout, backend="gloo")
            tensors = headers if backend == "gloo" else dist.new_group([first, first + 1], timeout=timeout)
            groups = Groups(cast(dist.ProcessGroup, headers), cast(dist.ProcessGroup, tensors))
            if first == rank - 1:
                self._before = groups
            elif first == rank:
                self._next = groups

    def open(self, in_flight: int, before_first: Callable[[], object]) -> None:
        """Connect to the stage before and the next.

        Args:
            in_flight: how many batches may be between two stages.
            before_first: what a stage has to do before it waits for the first batch of a run.
        """
        self.inbox = None if self._before is None else Inbox(self._before, self._device, before_first)
        self.outbox = None if self._next is None else Outbox(self._next, in_flight)

    def close(self) -> None:
        """End the connections when everything that was handed on has arrived."""
        if self.outbox is not None:
            self.outbox.close()
        if self.inbox is not None:
            self.inbox.join()
        self.drop()

    def drop(self) -> None:
        """Forget the connections, whatever has become of the neighbours."""
        self.inbox = self.outbox = None
