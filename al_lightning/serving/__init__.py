"""Trained networks as files that are served without this package."""

from al_lightning.serving.export import Exported, export_path, export_segments

__all__ = ["Exported", "export_path", "export_segments"]
