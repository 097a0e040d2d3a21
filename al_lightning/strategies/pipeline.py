"""A real pipeline of AL layers over processes: each trains its own, and only ``(s, t)`` travels, forward only."""

from __future__ import annotations

from typing import Any, cast

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import Unpack

from al_lightning.nn.balance import balance
from al_lightning.strategies.adjust import AdjustedTrainer
from al_lightning.strategies.gather import GatherWeights, fetch
from al_lightning.strategies.link import Inbox
from al_lightning.strategies.loader import ArrivingBatches
from al_lightning.strategies.neighbours import Neighbours
from al_lightning.strategies.options import ProcessOptions
from al_lightning.strategies.refuse import check_processes, check_run
from al_lightning.strategies.split import Split, check_stages, measure
from al_lightning.training.reduction import Share, share_tensors
from al_lightning.training.stage import Arriving, Handover, StagedModule, StagedStrategy


class PipelineStrategy(StagedStrategy, DDPStrategy):
    r"""Trains consecutive layers of an :class:`~al_lightning.ALModule` in processes of their own, all at the same time.

    While stage 2 learns a batch, stage 1 learns the next. Nothing flows back, so no stage waits for a later one, no
    batch is cut into micro-batches, and every weight, buffer and optimizer state becomes what a single process makes of
    the same data, **bit for bit**: layer i consumes what layer i - 1 computed before its own step, here as there
    (the paper's section 2.2.1 describes such a pipeline, its section 6.3 simulates one).

    With K stages of costs :math:`c_k` a run is at most :math:`\sum_k c_k / \max_k c_k` times as fast as one process.

    Rank ``d K + k`` is stage k of replica d. Only stage 0 reads and augments training data. Validation, ``test`` and
    ``predict`` are data-parallel over all processes, on weights that are gathered before; so is every checkpoint, which
    is that of a single process and goes on in any number of stages. Between two such moments the weights of *other*
    stages are those of the last one: callbacks that read all weights see true ones in validation, at the end of an
    epoch, and of training. Callbacks that need them at every step are refused.

    Use it as ``Trainer(strategy="al_pipeline", devices=K)``.

    Args:
        stages: for each stage the numbers of its layers, from 1, such as ``[[1, 2], [3, 4]]``; if None, layers are
            balanced by their cost, which is measured on the first batch and leaves no trace.
        replicas: D, how many pipelines train replicas of the network, data-parallel; K = processes / D.
        in_flight: how many batches may be between two neighbours, at least 2. More even out stages whose speed varies;
            each costs the memory of one ``(s, t)``.
        options: Lightning's, see :class:`~al_lightning.strategies.options.ProcessOptions`.

    Raises:
        ValueError: if ``replicas`` is below 1 or ``in_flight`` below 2. When a run starts: if the processes, the layers
            or the module do not fit.
    """

    def __init__(
        self,
        stages: list[list[int]] | None = None,
        replicas: int = 1,
        in_flight: int = 4,
        **options: Unpack[ProcessOptions],
    ) -> None:
        super().__init__(**options)
        if replicas < 1:
            raise ValueError(f"Expected `replicas` to be at least 1, but got {replicas}.")
        if in_flight < 2:
            raise ValueError(f"Expected `in_flight` to be at least 2, but got {in_flight}.")
        self.stages = stages
        self.replicas = replicas
        self.in_flight = in_flight
        #: The layers of each stage; None before the first batch of a run.
        self.split: Split | None = None
        #: Seconds that each layer took when they were measured; empty if they were not.
        self.costs: list[float] = []
        self._neighbours: Neighbours | None = None
        self._adjusted: AdjustedTrainer | None = None
        self._gathered = True
        self._care = GatherWeights(self.gather)

    # ------------------------------------------------------------------ processes

    @property
    def depth(self) -> int:
        """K, the number of stages."""
        return self.world_size // self.replicas

    @property
    def stage(self) -> int:
        """Number of this process's stage, from 0."""
        return self.global_rank % self.depth

    @property
    def replica(self) -> int:
        """Number of the replica that this process trains a part of, from 0."""
        return self.global_rank // self.depth

    @property
    def _training(self) -> bool:
        module = self.lightning_module
        return module is not None and module.trainer.training

    @property
    def training_share(self) -> Share:
        """The replica of this process, and the group of the processes with the same layers."""
        group = None if self._neighbours is None else self._neighbours.replicas
        return Share(self.replica, self.replicas, group)

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        """Training data are shared out among replicas, all other data among processes."""
        if self._training:
            return {"num_replicas": self.replicas, "rank": self.replica}
        return {"num_replicas": self.world_size, "rank": self.global_rank}

    @property
    def is_distributed(self) -> bool:
        """Whether Lightning has to share data out: stages of a single replica read what one process would read."""
        return int(self.distributed_sampler_kwargs["num_replicas"]) > 1

    def setup_distributed(self) -> None:
        """Join the other processes; the random state stays as it is, for it orders the data of a user's own loader."""
        check_processes(self.num_nodes * self.num_processes, self.replicas, self.stages)
        with isolate_rng():  # Lightning seeds it anew
            super().setup_distributed()

    # ------------------------------------------------------------------ a run

    def setup(self, trainer: pl.Trainer) -> None:
        """Refuse what cannot be pipelined; find the neighbours."""
        if trainer.training:
            assert self.lightning_module is not None
            check_run(trainer, self.lightning_module, self.stages, self.depth, self._layer_sync is not None)
            if self._neighbours is None:
                backend, timeout = self.process_group_backend or "gloo", self._timeout
                rank, device = self.global_rank, self.root_device
                self._neighbours = Neighbours(rank, self.depth, self.replicas, device, backend, timeout)
            # The first stage measures layers before it hands anything on: all others wait for that first.
            self._neighbours.open(self.in_flight, before_first=lambda: self._split_layers(None, None))
            self.split, self.costs, self._gathered = None, [], True
            self._care.attach(trainer)
            self._adjusted = AdjustedTrainer(trainer, lambda: self.is_distributed)
        super().setup(trainer)

    def configure_ddp(self) -> None:
        """Begin with the weights of rank 0. Nothing is wrapped: layers reduce their own gradients."""
        assert self.model is not None
        share_tensors([*self.model.parameters(), *self.model.buffers()], None, 0)

    def process_dataloader(self, dataloader: object) -> object:
        """Later stages read no training data."""
        if self._training and self.stage > 0:
            return ArrivingBatches(dataloader, self._inbox)
        return super().process_dataloader(dataloader)

    def _inbox(self) -> Inbox:
        assert self._neighbours is not None
        assert self._neighbours.inbox is not None
        return self._neighbours.inbox

    def batch_to_device(self, batch: Any, device: torch.device | None = None, dataloader_idx: int = 0) -> Any:
        """Receive a batch from the stage before; move any other."""
        if isinstance(batch, Arriving):
            return self._inbox().take()
        return super().batch_to_device(batch, device, dataloader_idx)

    def begin_batch(self, s: Any, t: Any) -> range:
        """Numbers of the layers that this stage trains; they are split at the first batch of a run.

        Layers that become active later belong to the last stage.
        """
        own = self._split_layers(s, t).own(self.stage, self._module().layers.active_depth)
        self._gathered = False
        return own

    def _split_layers(self, s: Any, t: Any) -> Split:
        """The layers of each stage; rank 0 measures them on the first batch of a run, and all others wait for it."""
        if self.split is None:
            layers = self._module().layers
            if self.stages is not None:
                ranges = check_stages(self.stages, len(layers))
            elif self.depth == 1:
                ranges = [range(len(layers))]
            else:
                self.costs = self.broadcast(self._measure(s, t) if self.global_rank == 0 else [])
                ranges = balance(self.costs, self.depth)
            self.split = Split(ranges)
            for number, optimizer in enumerate(self.optimizers):
                if self.split.owner(number) != self.stage:
                    optimizer.state.clear()  # another stage keeps it
                    optimizer.step()  # without gradients: torch warns of a schedule that goes on without any step
        return self.split

    def _measure(self, s: Any, t: Any) -> list[float]:
        module, context = self._module(), self.precision_plugin.forward_context
        return measure(module.layers.active(), module.optimizer, s, t, context, self.root_device)

    def hand_on(self, s: Any, t: Any) -> None:
        """Give the next stage, if there is one, what this one's layers made of a batch."""
        assert self._neighbours is not None
        assert self.lightning_module is not None
        if self._neighbours.outbox is not None:
            self._neighbours.outbox.send(Handover(s, t), last=self.lightning_module.trainer.is_last_batch)

    def sum_over_stages(self, values: Tensor) -> Tensor:
        """The sum over the stages of this process's replica; all of them wait for each other."""
        assert self._neighbours is not None
        dist.all_reduce(values, group=self._neighbours.stages)
        return values

    # ------------------------------------------------------------------ weights and optimizers of all stages

    def gather(self) -> None:
        """Give every process the weights and buffers of all layers, those of replica 0; all processes join."""
        if self.split is not None and not self._gathered:
            for number, layer in enumerate(self._module().layers):
                share_tensors([*layer.parameters(), *layer.buffers()], None, source=self.split.owner(number))
        self._gathered = True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Weights of all stages."""
        self.gather()
        return super().lightning_module_state_dict()

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Tensor]:
        """The state of an optimizer on rank 0, wherever its layer is trained."""
        inner = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        state = super().optimizer_state(inner)
        if self.split is None or self.depth == 1:
            return state
        number = next(number for number, own in enumerate(self.optimizers) if own is inner)
        device = self.root_device if self.process_group_backend != "gloo" else None
        return cast(dict[str, Tensor], fetch(state, self.split.owner(number), self.global_rank, device))

    def on_train_end(self) -> None:
        """Close the connections."""
        if self._neighbours is not None:
            self._neighbours.close()

    def teardown(self) -> None:
        """Leave the Trainer as it was."""
        self._care.detach()
        if self._adjusted is not None:
            self._adjusted.restore()
            self._adjusted = None
        if self._neighbours is not None:
            self._neighbours.drop()
        super().teardown()

    def _module(self) -> StagedModule:
        return cast(StagedModule, self.lightning_module)
