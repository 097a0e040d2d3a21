"""What a network does, one step after another, and where a single tensor is all that goes from a step to the next."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from al_lightning.nn.multiplications import counted


@dataclass
class Unit:
    """A part of a network that reads one tensor and returns one.

    Attributes:
        nodes: its operations, in order.
        source: what it reads.
        name: the path, in the network, of the first module that it calls; of its operation if it calls none.
        shape: of what it returns, for a sample.
        multiplications: for a sample.
        changes_input: whether it overwrites what it reads.
        reduces: whether it is nothing but pooling, or another change of shape.
    """

    nodes: list[fx.Node]
    source: fx.Node
    name: str
    shape: tuple[int, ...] = ()
    multiplications: float = 0.0
    changes_input: bool = False
    reduces: bool = False

    def calls(self) -> list[str]:
        """Paths, in the network, of the modules that it calls."""
        return [str(node.target) for node in self.nodes if node.op == "call_module"]


class _Tracer(fx.Tracer):
    """Follows a network's forward; modules stay whole, but for the network itself, sequences, and what is opened."""

    def __init__(self, opened: Collection[str]) -> None:
        super().__init__()
        self._opened = opened

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module's own operations are of no interest."""
        return not (is_sequence(m) or module_qualified_name in self._opened)


def is_sequence(module: nn.Module) -> bool:
    """Whether a module does nothing but call its children, one after the other."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def is_composite(module: nn.Module) -> bool:
    """Whether a module is made of others by somebody's own forward, so that one may look into it."""
    own = not type(module).__module__.startswith("torch.nn.")
    return own and not is_sequence(module) and next(module.children(), None) is not None


def trace(network: nn.Module, opened: Collection[str] = ()) -> fx.Graph:
    """The operations of a network's forward.

    Args:
        network: reads one tensor and returns one.
        opened: paths of modules inside that are followed too; all others stay whole.

    Raises:
        ValueError: if the forward cannot be followed, does something else in training than in evaluation by itself, or
            reads or returns anything but one tensor.
    """
    name = type(network).__name__
    graphs = []
    with _modes_kept(network):
        for mode in (True, False):
            network.train(mode)
            try:
                followed = _Tracer(opened).trace(network, _defaults(network))
            except Exception as error:  # a user's own code, on which anything may fail when tensors have no values
                reason = " ".join(str(error).split()) or type(error).__name__
                raise ValueError(
                    f"Expected the forward of {name} to do the same for all inputs, so that it can be cut, but "
                    f"following it failed ({reason:.300}). Give its blocks as a list."
                ) from error
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
    return graph


def _defaults(network: nn.Module) -> dict[str, Any]:
    """Values of the arguments of a forward that may be left out."""
    parameters = inspect.signature(network.forward).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _without_defaults(graph: fx.Graph, network: nn.Module) -> fx.Graph:
    """A graph without the arguments that may be left out, whose values stand in it, and what only asks for them."""
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    names = list(inspect.signature(network.forward).parameters)

    def erase(node: fx.Node) -> None:
        for user in list(node.users):
            erase(user)
        graph.erase_node(node)

    for node, name in zip(inputs, names):
        if name in _defaults(network):
            erase(node)
    return graph


@contextlib.contextmanager
def _modes_kept(network: nn.Module) -> Iterator[None]:
    """Every part of a network is in the mode afterwards in which it was before."""
    modes = {part: part.training for part in network.modules()}
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def find_units(network: nn.Module, example: Tensor, opened: Collection[str] = ()) -> list[Unit]:
    """The smallest parts of a network between which a single tensor is all that travels.

    Args:
        network: as :func:`trace` follows it.
        example: a batch of any size that it reads.
        opened: paths of modules inside that are followed too.

    Raises:
        ValueError: if the network cannot be followed, or does not read the example.
    """
    units = list(_between_single_tensors(trace(network, opened)))
    state: Any = example
    with _modes_kept(network), torch.random.fork_rng(devices=[]):
        network.eval()
        for unit in units:
            before, version, was = state, state._version, tuple(state.shape)
            try:
                state, unit.multiplications = counted(assemble(network, [unit]), before)
            except (RuntimeError, ValueError, IndexError, AssertionError) as error:
                sizes, reason = ", ".join(map(str, example.shape[1:])), " ".join(str(error).split())
                raise ValueError(
                    f"Expected {type(network).__name__} to read inputs of shape (B, {sizes}), but {unit.name} cannot "
                    f"({reason:.300}). Set the size of the data's samples, or the arguments of the network, so that "
                    "they fit."
                ) from error
            if not isinstance(state, Tensor):
                raise ValueError(
                    f"Expected {unit.name} of {type(network).__name__} to return a tensor, but got "
                    f"{type(state).__name__}. Give the network's blocks as a list."
                )
            unit.shape = tuple(state.shape[1:])
            unit.changes_input = before._version != version
            called = {type(network.get_submodule(name)).__module__ for name in unit.calls()}
            pools = called == {"torch.nn.modules.pooling"}
            unit.reduces = not unit.multiplications and (pools or tuple(state.shape) != was)
    return units


def _between_single_tensors(graph: fx.Graph) -> Iterator[Unit]:
    """Parts of a graph after which just one of the values that were computed is still needed."""
    nodes = list(graph.nodes)
    last_use = {value: position for position, node in enumerate(nodes) for value in node.all_input_nodes}
    own: list[fx.Node] = []
    source = next(node for node in nodes if node.op == "placeholder")
    needed: set[fx.Node] = {source}
    for position, node in enumerate(nodes):
        if node.op in ("placeholder", "output"):
            continue
        own.append(node)
        if node.op != "get_attr":  # a weight can be fetched again
            needed.add(node)
        needed = {value for value in needed if last_use.get(value, -1) > position}
        if needed == {node}:
            yield Unit(own, source, _name(own))
            own, source = [], node


def _name(nodes: Sequence[fx.Node]) -> str:
    called = next((node for node in nodes if node.op == "call_module"), None)
    return nodes[-1].name if called is None else str(called.target)


def assemble(network: nn.Module, units: Sequence[Unit], replaced: dict[str, nn.Module] | None = None) -> fx.GraphModule:
    """A module that does what some neighbouring units do, of the network's own modules by their own names.

    Args:
        network: whose they are.
        units: in order, at least one.
        replaced: modules that stand in for the network's, by their paths.
    """
    graph = fx.Graph()
    copies = {units[0].source: graph.placeholder("x")}

    def copy_of(node: fx.Node) -> fx.Node:
        if node not in copies:  # a weight that was fetched before
            copies[node] = graph.node_copy(node)
        return copies[node]

    nodes = [node for unit in units for node in unit.nodes]
    for node in nodes:
        copies[node] = graph.node_copy(node, copy_of)
    graph.output(copies[nodes[-1]])
    targets = {str(node.target) for node in graph.nodes if node.op in ("call_module", "get_attr")}
    used = {target: (replaced or {}).get(target, _attribute(network, target)) for target in targets}
    return fx.GraphModule(used, graph, units[0].name.replace(".", "_"))


def _attribute(network: nn.Module, path: str) -> Any:
    """A module, parameter or buffer of a network."""
    parent, _, name = path.rpartition(".")
    return getattr(network.get_submodule(parent), name)
