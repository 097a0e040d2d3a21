"""Recurrent layers stay one operation in a graph: traced step by step, they would have the example's length for ever.

torch takes ``nn.LSTM`` apart into the steps of the example when it exports. While a graph is recorded, an operation of
this package stands in its place; each format then puts its own there: ``aten::lstm`` in torch's, ``LSTM`` in ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torch.overrides import TorchFunctionMode

#: Arguments and results of ``aten::lstm.input``.
_SCHEMA = (
    "(Tensor x, Tensor[] start, Tensor[] weights, bool biases, int layers, float dropout, bool train, "
    "bool bidirectional, bool batch_first) -> (Tensor, Tensor, Tensor)"
)


@torch.library.custom_op("al_lightning::lstm", mutates_args=(), schema=_SCHEMA)
def lstm(
    x: Tensor,
    start: Sequence[Tensor],
    weights: Sequence[Tensor],
    biases: bool,
    layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """What ``torch.lstm`` computes, with its arguments: outputs, last hidden and last cell states."""
    output, hidden, cell = torch.lstm(
        x, list(start), list(weights), biases, layers, dropout, train, bidirectional, batch_first
    )
    return output.contiguous(), hidden.clone(), cell.clone()  # an operation must not return what it was given


@lstm.register_fake
def _(
    x: Tensor,
    start: Sequence[Tensor],
    weights: Sequence[Tensor],
    biases: bool,
    layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Shapes only."""
    hidden = start[0]
    width = hidden.shape[-1] * (2 if bidirectional else 1)
    return x.new_empty(*x.shape[:2], width), torch.empty_like(hidden), torch.empty_like(start[1])


class WholeRecurrence(TorchFunctionMode):
    """While it is entered, ``nn.LSTM`` over padded sequences is recorded as one operation.

    Packed sequences and projections are recorded as torch does it.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Put the operation in the place of torch's."""
        if func is torch.lstm and not isinstance(args[1], Tensor) and args[1][0].shape == args[1][1].shape:
            return lstm(*args)
        return func(*args, **(kwargs or {}))


def use_torch_operations(program: ExportedProgram) -> None:
    """Put torch's own operation into a recorded graph, which then is loaded without this package."""
    for part in program.graph_module.modules():  # what runs under another autocast has a graph of its own
        if isinstance(part, GraphModule):
            for node in part.graph.nodes:
                if node.target is torch.ops.al_lightning.lstm.default:
                    node.target = torch.ops.aten.lstm.input
            part.recompile()


def onnx_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """How ONNX says the operation, for ``torch.onnx.export``; needs onnxscript."""
    from onnxscript import opset18  # an optional dependency

    op: Any = opset18  # its types are those of tensors that are there

    def reordered(rows: Any, hidden: int) -> Any:
        """The gates i, f, g, o of torch in ONNX's order i, o, f, g."""
        order = [gate * hidden + row for gate in (0, 3, 1, 2) for row in range(hidden)]
        return op.Gather(rows, op.Constant(value_ints=order))

    def lstm_in_onnx(
        x: Any,
        start: Sequence[Any],
        weights: Sequence[Any],
        biases: bool,
        layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Any, Any, Any]:
        directions, each = (2 if bidirectional else 1), (4 if biases else 2)
        hidden = int(weights[1].shape[1])
        first = op.Constant(value_ints=[0])
        x = op.Transpose(x, perm=[1, 0, 2]) if batch_first else x
        states: tuple[list[Any], list[Any]] = ([], [])
        for layer in range(layers):
            numbers = [(layer * directions + direction) * each for direction in range(directions)]
            w, r = (
                op.Concat(*(op.Unsqueeze(reordered(weights[n + part], hidden), first) for n in numbers), axis=0)
                for part in (0, 1)
            )
            b = None
            if biases:
                rows = [op.Concat(*(reordered(weights[n + part], hidden) for part in (2, 3)), axis=0) for n in numbers]
                b = op.Concat(*(op.Unsqueeze(row, first) for row in rows), axis=0)
            span = [op.Constant(value_ints=[directions * (layer + end)]) for end in (0, 1)]
            h, c = (op.Slice(state, *span, first) for state in start)
            direction = "bidirectional" if bidirectional else "forward"
            y, *last = op.LSTM(x, w, r, b, None, h, c, hidden_size=hidden, direction=direction)
            # (T, directions, B, H) to (T, B, directions * H)
            x = op.Reshape(op.Transpose(y, perm=[0, 2, 1, 3]), op.Constant(value_ints=[0, 0, -1]))
            for kept, state in zip(states, last):
                kept.append(state)
        h, c = (op.Concat(*kept, axis=0) for kept in states)
        return (op.Transpose(x, perm=[1, 0, 2]) if batch_first else x), h, c

    return {torch.ops.al_lightning.lstm.default: lstm_in_onnx}
