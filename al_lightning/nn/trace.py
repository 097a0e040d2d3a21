"""Follows the forward of a network, by torch.fx, down to its modules."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, fx, nn

from al_lightning.nn.unchanged import unchanged

#: How torch.fx calls tensors that stand in a forward itself, on the network that it follows.
_CONSTANT = "_tensor_constant"


class _Tracer(fx.Tracer):
    """Follows a network's forward; modules stay whole, but for the network itself, sequences, and what is opened."""

    trace_asserts = True

    def __init__(self, opened: Collection[str]) -> None:
        super().__init__()
        self._opened = opened
        self._surroundings = _surroundings()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module's own operations are of no interest."""
        return not (is_sequence(m) or module_qualified_name in self._opened)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """Refuse operations whose surroundings would be lost."""
        if _surroundings() != self._surroundings:
            raise ValueError("a part of it runs under no_grad, autocast or the like")
        return super().create_node(*args, **kwargs)


def _surroundings() -> tuple[bool, ...]:
    """What decides about operations from outside."""
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.is_autocast_enabled("cuda"),
    )


def is_sequence(module: nn.Module) -> bool:
    """Whether a module does nothing but call its children, one after the other."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward and not _hooked(module)


def is_composite(module: nn.Module) -> bool:
    """Whether a module is made of others by somebody's own forward, so that one may look into it."""
    own = not type(module).__module__.startswith("torch.nn.")
    return own and not is_sequence(module) and next(module.children(), None) is not None and not _hooked(module)


def _hooked(module: nn.Module) -> bool:
    """Whether calling a module is more than its forward."""
    hooks = module._forward_hooks or module._forward_pre_hooks
    return bool(hooks) or type(module).__call__ is not nn.Module.__call__


def trace(network: nn.Module, opened: Collection[str] = ()) -> tuple[fx.Graph, dict[str, Tensor]]:
    """The operations of a network's forward, and the tensors that stand in it.

    Args:
        network: reads one tensor and returns one.
        opened: paths of modules inside that are followed too; all others stay whole.

    Raises:
        ValueError: if the forward cannot be followed, does something else in training than in evaluation by itself, or
            reads or returns anything but one tensor.
    """
    name = type(network).__name__
    if _hooked(network):
        raise ValueError(
            f"Expected {name} to do what its forward does, but it has forward hooks or its own `__call__`, which a cut "
            "would lose. Move what they do into its forward, or into a module of its own."
        )
    graphs, constants = [], dict[str, Tensor]()
    with unchanged(network):
        for mode in (True, False):
            network.train(mode)
            try:
                followed = _Tracer(opened).trace(network, _defaults(network))
            except Exception as error:  # a user's own code, on which anything may fail when tensors have no values
                reason = " ".join(str(error).split()) or type(error).__name__
                inside = f" and {', '.join(sorted(opened))} in it" if opened else ""
                raise ValueError(
                    f"Expected the forward of {name}{inside} to do the same for all inputs, so that it can be cut, but "
                    f"following it failed ({reason:.300}). Give its blocks as a list."
                ) from error
            finally:
                for key in [key for key in vars(network) if key.startswith(_CONSTANT)]:
                    constants[key] = vars(network).pop(key)
            graphs.append(_without_defaults(followed, network))
    training, graph = graphs
    if str(training) != str(graph):
        raise ValueError(
            f"Expected the forward of {name} to be the same in training and in evaluation, but it asks which it is. "
            "Use modules for that, such as nn.Dropout, or give its blocks as a list."
        )
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    outputs = next(iter(reversed(graph.nodes))).args[0]
    if len(inputs) != 1 or not isinstance(outputs, fx.Node):
        returned = "a tensor" if isinstance(outputs, fx.Node) else f"a {type(outputs).__name__}"
        raise ValueError(
            f"Expected {name} to read one tensor and to return one, but it reads {len(inputs)} and returns {returned}. "
            "Wrap it into a module that does, or give its blocks as a list."
        )
    return graph, constants


def _defaults(network: nn.Module) -> dict[str, Any]:
    """Values of the arguments of a forward that may be left out, but for the first, which is the input."""
    parameters = list(inspect.signature(network.forward).parameters.values())[1:]
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _without_defaults(graph: fx.Graph, network: nn.Module) -> fx.Graph:
    """A graph without the arguments that may be left out, of which only checks remain, for their values stand in it."""
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    names = list(inspect.signature(network.forward).parameters)

    def erase(node: fx.Node) -> None:
        for user in list(node.users):
            erase(user)
        graph.erase_node(node)

    for node, name in list(zip(inputs, names))[1:]:
        if name in _defaults(network) or not node.users:
            erase(node)
    return graph
