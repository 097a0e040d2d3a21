"""Ways to spread the layers of a network over processes."""

from lightning.pytorch.strategies import StrategyRegistry

from al_lightning.strategies.pipeline import PipelineStrategy

if "al_pipeline" not in StrategyRegistry:
    StrategyRegistry.register(
        "al_pipeline", PipelineStrategy, description="each process trains some layers of an AL module, all at a time"
    )

__all__ = ["PipelineStrategy"]
