"""The smallest parts of a network between which a single tensor is all that travels."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, fx, nn

from al_lightning.nn.multiplications import counted
from al_lightning.nn.trace import trace
from al_lightning.nn.unchanged import unchanged


@dataclass
class Unit:
    """A part of a network that reads one tensor and returns one.

    Attributes:
        nodes: its operations, in order.
        source: what it reads.
        constants: tensors that stand in the network's forward, by the names that the operations have for them.
        shape: of what it returns, for a sample.
        multiplications: for a sample.
        changes_input: whether it overwrites what it reads.
        reduces: whether it multiplies nothing, and pools or changes the shape in another way.
    """

    nodes: list[fx.Node]
    source: fx.Node
    constants: dict[str, Tensor] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    multiplications: float = 0.0
    changes_input: bool = False
    reduces: bool = False

    @property
    def name(self) -> str:
        """The path, in the network, of the first module that it calls; of its last operation if it calls none."""
        return next(iter(self.calls()), self.nodes[-1].name)

    def calls(self) -> list[str]:
        """Paths, in the network, of the modules that it calls."""
        return [str(node.target) for node in self.nodes if node.op == "call_module"]


def find_units(network: nn.Module, example: Tensor, opened: Collection[str] = ()) -> list[Unit]:
    """The smallest parts of a network between which a single tensor is all that travels.

    Args:
        network: as :func:`trace` follows it.
        example: a batch of any size, at least 1, that it reads.
        opened: paths of modules inside that are followed too.

    Raises:
        ValueError: if the network cannot be followed, does not read the example, or does nothing.
    """
    name = type(network).__name__
    graph, constants = trace(network, opened)
    units: list[Unit] = []
    begun: list[fx.Node] = []
    state, source = example, next(node for node in graph.nodes if node.op == "placeholder")
    with unchanged(network):
        network.eval()
        for nodes in _between_single_values(graph):
            unit = Unit([*begun, *nodes], source, constants)
            version = state._version
            try:
                said, unit.multiplications = counted(assemble(network, [unit]), state)
            except Exception as error:  # a user's own code
                sizes, reason = ", ".join(map(str, example.shape[1:])), " ".join(str(error).split())
                raise ValueError(
                    f"Expected {name} to read inputs of shape (B, {sizes}), but {unit.name} cannot ({reason:.300}). "
                    "Set the size of the data's samples, or the arguments of the network, so that they fit."
                ) from error
            if not isinstance(said, Tensor):  # a tuple, out of which the next operation takes its part
                begun = unit.nodes
                continue
            unit.shape = tuple(said.shape[1:])
            unit.changes_input = state._version != version
            called = {type(network.get_submodule(path)).__module__ for path in unit.calls()}
            pools = called == {"torch.nn.modules.pooling"}
            unit.reduces = not unit.multiplications and (pools or tuple(said.shape) != tuple(state.shape))
            units.append(unit)
            begun, state, source = [], said, unit.nodes[-1]
    if begun or not units:
        raise ValueError(f"Expected {name} to make a tensor of its input, but it does not. Give its blocks as a list.")
    return units


def _between_single_values(graph: fx.Graph) -> Iterator[list[fx.Node]]:
    """Operations up to those after which just one of the values that were computed is still needed."""
    nodes = list(graph.nodes)
    last_use = {value: position for position, node in enumerate(nodes) for value in node.all_input_nodes}
    own: list[fx.Node] = []
    needed: set[fx.Node] = {node for node in nodes if node.op == "placeholder"}
    for position, node in enumerate(nodes):
        if node.op in ("placeholder", "output"):
            continue
        own.append(node)
        if node.op != "get_attr":  # a weight can be fetched again
            needed.add(node)
        needed = {value for value in needed if last_use.get(value, -1) > position}
        if needed == {node}:
            yield own
            own = []


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
    fetched = {str(node.target) for node in graph.nodes if node.op in ("call_module", "get_attr")}
    instead = {**units[0].constants, **(replaced or {})}
    used = {path: instead[path] if path in instead else _attribute(network, path) for path in fetched}
    block = fx.GraphModule(used, graph, units[0].name.replace(".", "_"))
    for path in fetched - instead.keys():
        parent, _, name = path.rpartition(".")
        if name in network.get_submodule(parent)._non_persistent_buffers_set:
            block.get_submodule(parent)._non_persistent_buffers_set.add(name)
    return block


def _attribute(network: nn.Module, path: str) -> Any:
    """A module, parameter or buffer of a network."""
    parent, _, name = path.rpartition(".")
    return getattr(network.get_submodule(parent), name)
