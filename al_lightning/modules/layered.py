"""A stack of AL layers as a module: its paths, how they are read out, and early exits (paper, Algorithm 3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from typing_extensions import Unpack

from al_lightning.modules.base import SupervisedModule
from al_lightning.modules.batches import in_own_dtype
from al_lightning.modules.options import ExitConfidence, LearningOptions, check_confidence
from al_lightning.modules.readouts import NAMES, readout_names, ways_to_read
from al_lightning.nn.association import ClassCodes
from al_lightning.nn.exits import ExitThresholds, exit_early
from al_lightning.nn.path import (
    READOUTS,
    CodePath,
    InferencePath,
    Reader,
    Readout,
    all_paths,
    encode_classes,
)
from al_lightning.nn.stack import LayerStack
from al_lightning.nn.state import batch_size
from al_lightning.targets.base import Target
from al_lightning.training.finite import warn_of_bad_samples
from al_lightning.training.update import loss_logs


class LayeredModule(SupervisedModule):
    """Abstract part of :class:`ALModule`: inference and evaluation of its layers, not their training.

    Args:
        layers: L layers, from the input upwards.
        target: what is learned.
        path_length: k of ``forward`` and of the main metrics; the active depth if None.
        readout: how they read a path out.
        confidence: at which samples leave early when they are predicted.
        associated_layers: numbers (from 1) of the layers that have an associated loss.
        learning: see :class:`~al_lightning.modules.options.LearningOptions`; all of them.

    Raises:
        ValueError: if an argument is out of its range, or the target kind has no classes and one asks for them.
    """

    layers: LayerStack

    def __init__(
        self,
        layers: LayerStack,
        target: Target,
        *,
        path_length: int | None,
        readout: Readout,
        confidence: ExitConfidence | None,
        associated_layers: frozenset[int],
        **learning: Unpack[LearningOptions],
    ) -> None:
        ways = ways_to_read(target, readout)
        contrasts = [number for number, layer in enumerate(layers, 1) if layer.association == "contrast"]
        if contrasts:
            target.association("contrast")  # refuses it where there are no classes
        depth = len(layers)
        super().__init__(
            target, readouts=readout_names(depth, ways), losses=loss_logs(depth, associated_layers), **learning
        )
        self.layers = layers
        self.path_length = path_length
        self.readout: Readout = readout
        self.confidence = check_confidence(confidence)
        #: Thresholds of early exits, if some were chosen by a calibration.
        self.exits = ExitThresholds(depth)
        self.associated_layers = associated_layers
        self._ways = ways
        self._contrasts = bool(contrasts)
        self.readout_name()  # refuses a path length that does not exist

    @property
    def active_depth(self) -> int:
        """How many layers are trained and used; may be raised between any two batches. Part of the state dict."""
        return self.layers.active_depth

    @active_depth.setter
    def active_depth(self, depth: int) -> None:
        self.layers.active_depth = depth

    def path(self, path_length: int | None = None, readout: Readout | None = None) -> InferencePath | CodePath:
        """What inference of a path computes, as a module of its own that shares these weights.

        Args:
            path_length: k in 1..L; the module's own if None.
            readout: how the path is read out; the module's own way if None. Codes are those of now: train on, and ask
                for another path.

        Raises:
            ValueError: if there is no such path or read-out.
        """
        length, way = self._chosen(path_length, readout)
        return self.layers.path(length, way, None if way == "decoder" else self._known_classes())

    def scoring_network(self) -> LayerStack:
        """All layers."""
        return self.layers

    def readout_name(self, path_length: int | None = None, readout: Readout | None = None) -> str:
        """Name of a read-out in metrics: ``path2``, ``codes2`` or ``mean2``; each the module's own if None.

        Raises:
            ValueError: if there is no such path or read-out.
        """
        length, way = self._chosen(path_length, readout)
        return f"{NAMES[way]}{length}"

    def active_readouts(self) -> list[str]:
        """All ways to read every active layer's path."""
        return readout_names(self.active_depth, self._ways)

    def forward(self, x: Any, path_length: int | None = None, readout: Readout | None = None) -> Tensor:
        """Scores along one path: ``x -> f_1 .. f_k -> b_k``, then ``h_k .. h_1`` or the classes' codes.

        Args:
            x: the input, (B, ...).
            path_length: k in 1..L; the module's own if None.
            readout: how the path is read out; the module's own way if None.

        Returns:
            (B, width) scores, for ``argmax`` or :meth:`predictions`.

        Raises:
            ValueError: if there is no such path or read-out, or ``x`` has another shape than the network was built for.
        """
        scores: Tensor = self.path(path_length, readout)(self.read_input(x))
        return scores

    def forward_paths(self, x: Any, readout: Readout | None = None) -> list[Tensor]:
        """Scores along all paths, sharing the encoders: a list of L tensors (B, width)."""
        return [scores for _, scores in all_paths(self.layers.active(), self.read_input(x), self.reader(readout))]

    def forward_adaptive(
        self, x: Any, confidence: ExitConfidence = "calibrated", readout: Readout | None = None
    ) -> tuple[Tensor, Tensor]:
        """Let each sample leave at the first path that is sure of it; the rest goes on as a smaller batch.

        Args:
            x: the input, (B, ...).
            confidence: calibrated probability in [0, 1]; a sample leaves where it is surer. 1 is the module's own path
                for all, 0 the first. ``"calibrated"``: the thresholds that ``al-lightning inspect --calibrate`` chose.
            readout: how the paths are read out; the module's own way if None, or that of the calibration.

        Returns:
            Scores (B, width) and the path length that made them, (B,) int64.

        Raises:
            ValueError: if ``confidence`` is outside [0, 1], nothing was calibrated, or the target kind does not say how
                sure it is.
            RuntimeError: in training mode, where batch norm would mix the samples that stay.
        """
        if self.training:
            raise RuntimeError("Expected the module in evaluation mode for early exits. Call `.eval()` first.")
        x, (thresholds, way) = self.read_input(x), self._thresholds(confidence, readout)
        if batch_size(x) == 0:
            nothing = torch.zeros(0, device=self.device)
            return nothing.new_zeros(0, self.target.width), nothing.long()

        def sure(scores: Tensor, path_length: int) -> Tensor:
            return self.target.confidence(self.predictions(scores, path_length, way)) > thresholds[path_length - 1]

        layers = self.layers.active()[: self.layers.length(self.path_length)]
        asked = [k for k, threshold in enumerate(thresholds, 1) if threshold < 1]  # nothing is surer than 1
        scores, lengths = exit_early(layers, x, sure, self.reader(way), asked=asked)
        return warn_of_bad_samples(scores), lengths

    def answer(self, x: Any) -> Tensor:
        """Predictions (B, ...); of a module with a ``confidence``, those of the path at which each sample leaves."""
        if self.confidence is None:
            return super().answer(x)
        scores, lengths = self.forward_adaptive(x, self.confidence)
        _, way = self._thresholds(self.confidence, None)
        each = [self.predictions(scores, k, way) for k in range(1, self.active_depth + 1)]
        answers = each[0]
        for k, own in enumerate(each, 1):
            answers[lengths == k] = own[lengths == k]
        return answers

    def _thresholds(self, confidence: ExitConfidence, readout: Readout | None) -> tuple[list[float], Readout]:
        """The confidence above which a sample leaves, for each path, and the way that paths are read out."""
        if confidence is None:
            raise ValueError("Expected `confidence` to be in [0, 1] or 'calibrated', but got None. Leave it out.")
        if check_confidence(confidence) != "calibrated":
            return [float(confidence)] * len(self.layers), self._chosen(None, readout)[1]
        chosen = self.exits.chosen()
        if chosen is None:
            raise ValueError(
                "Expected thresholds for early exits in the checkpoint, but none were calibrated. Run `al-lightning "
                "inspect --calibrate --ckpt_path F --max_loss 0.2 --confidence 0.9`, or give a `confidence` in [0, 1]."
            )
        thresholds, number = chosen
        way = READOUTS[number]
        if readout not in (None, way):
            raise ValueError(
                f"Expected `readout` to be {way!r}, by which the thresholds were calibrated, but got {readout!r}."
            )
        return thresholds, way

    def inference_parameters(self, path_length: int | None = None, readout: Readout | None = None) -> int:
        """Number of parameters of a path (the module's own if None), constant class codes included."""
        return self.path(path_length, readout).parameter_count()

    def evaluate(self, x: Any, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Losses ``A_1, R_1, A_2, ...`` of all layers, (2L,), and the scores of every path by each read-out."""
        s, t, layers = self.read_input(x), self.encode(y), self.layers.active()
        readers = {way: self.reader(way) for way in self._ways}
        losses: list[Tensor] = []
        scores = {}
        for k, layer in enumerate(layers, 1):
            s, t_next = layer.f(s), layer.encode_target(t)
            association = layer.b(s)
            losses += layer.losses(association, t_next, t)
            scores.update({f"{NAMES[way]}{k}": read(k, association) for way, read in readers.items()})
            t = t_next
        return torch.stack(losses), scores

    def encode(self, y: Tensor) -> Tensor | ClassCodes:
        """``t_0`` of labels (B, ...): one row per sample, or where layers contrast classes, one per class."""
        t = self.target.encode_classes(y) if self._contrasts else self.target.encode(y)
        assert t is not None  # contrasts are refused where there are no classes
        encoded: Tensor | ClassCodes = in_own_dtype(t, self.layers)
        return encoded

    def _chosen(self, path_length: int | None, readout: Readout | None) -> tuple[int, Readout]:
        """A path length and a read-out that exist, each the module's own if None."""
        way = self.readout if readout is None else readout
        if way not in self._ways:
            ways_to_read(self.target, way)
        return self.layers.length(self.path_length if path_length is None else path_length), way

    def encoded_classes(self) -> Tensor | None:
        """``t_0`` of each class, (K, width); None where the target has no classes."""
        codes = self.target.encode_classes(torch.zeros(0, dtype=torch.long, device=self.device))
        if codes is None:
            return None
        classes: Tensor = in_own_dtype(codes.codes, self.layers)
        return classes

    def _known_classes(self) -> Tensor:
        classes = self.encoded_classes()
        assert classes is not None  # read-outs by codes are refused where there are no classes
        return classes

    def reader(self, readout: Readout | None = None) -> Reader:
        """Reads the paths of one batch out, from the first upwards; by the module's own way if None."""
        layers, (_, way) = self.layers.active(), self._chosen(None, readout)
        return Reader(layers, way, () if way == "decoder" else encode_classes(layers, self._known_classes()))
