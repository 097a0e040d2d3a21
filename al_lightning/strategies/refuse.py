"""What a pipeline cannot do, said before a run begins."""

from __future__ import annotations

from collections.abc import Sequence

import lightning.pytorch as pl
from lightning.pytorch.callbacks import OnExceptionCheckpoint, StochasticWeightAveraging, WeightAveraging

from al_lightning.strategies.split import check_stages
from al_lightning.training.agreement import gradient_scaler
from al_lightning.training.stage import StagedModule

_CALLBACKS = {
    WeightAveraging: "it averages the weights of all layers after every step, and each process has those of its own",
    StochasticWeightAveraging: "it averages the weights of all layers in each process, which has those of its own",
    OnExceptionCheckpoint: "a checkpoint needs all stages, and after an exception they no longer answer",
}


def check_processes(processes: int, replicas: int, stages: Sequence[Sequence[int]] | None) -> None:
    """Refuse a number of processes that is not stages times replicas.

    Raises:
        ValueError: saying which numbers fit.
    """
    if processes % replicas or (stages is not None and len(stages) * replicas != processes):
        fits = "a multiple of it" if stages is None else f"{len(stages)} stages times {replicas}"
        raise ValueError(
            f"Expected the number of processes to be stages times replicas, with `replicas={replicas}` {fits}, but got "
            f"{processes}. Change `--trainer.devices` and `--trainer.num_nodes`, whose product it is, or `replicas`."
        )


def check_run(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    stages: Sequence[Sequence[int]] | None,
    depth: int,
    synchronises_batch_norm: bool,
) -> None:
    """Refuse a module or a Trainer whose ``fit`` cannot be pipelined.

    Args:
        trainer: of the run.
        module: what it trains.
        stages: the user's split, if any.
        depth: number of stages.
        synchronises_batch_norm: whether the Trainer was told to.

    Raises:
        ValueError: naming what does not fit, and what to do.
    """
    if not isinstance(module, StagedModule) or module.automatic_optimization:
        raise ValueError(
            "Expected an AL module for the strategy 'al_pipeline', whose layers learn without gradients from others, "
            f"but got {type(module).__name__}. Pass `--trainer.strategy ddp`, or use the network's AL sibling."
        )
    if not module.isolated:
        raise ValueError(
            "Expected isolated layers for the strategy 'al_pipeline', but got isolated=False: gradients would have to "
            "travel back from stage to stage. Pass `--trainer.strategy ddp`."
        )
    if module.layers.active_depth < depth:
        raise ValueError(
            f"Expected at least one AL layer for each of the {depth} stages, but got {module.layers.active_depth} "
            "active layers. Use fewer devices, more `replicas`, or finer `cuts` of the network; of one that grows, let "
            "more layers train from the start (`start` of LayerAccumulation)."
        )
    if stages is not None:
        check_stages(stages, len(module.layers))
    if gradient_scaler(trainer) is not None:
        raise ValueError(
            "Expected another precision than 16-mixed for the strategy 'al_pipeline': its gradient scaler changes its "
            "scale after each layer's step, which no other process sees. Use `--trainer.precision bf16-mixed`."
        )
    if synchronises_batch_norm:
        raise ValueError(
            "Expected `sync_batchnorm=False` for the strategy 'al_pipeline': Lightning would synchronise batch norm "
            "over all processes, of which each has other layers. Leave it out."
        )
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by the Trainer
        for kind, reason in _CALLBACKS.items():
            if isinstance(callback, kind):
                raise ValueError(
                    f"Expected no {type(callback).__name__} under the strategy 'al_pipeline': {reason}. Leave it out, "
                    "or pass `--trainer.strategy ddp`."
                )
