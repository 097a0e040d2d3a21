"""Networks as users name them: a builder and its arguments, or a network that is built already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn
from typing_extensions import Self

from al_lightning.modules.base import SupervisedModule

#: Builds a network, or is one. The second kind, because few functions of users say what they return.
Network: TypeAlias = Callable[..., nn.Module] | Callable[..., Any]

#: How names of files of weights end.
_FILES = {".pt", ".pth", ".ckpt", ".bin", ".tar", ".safetensors"}
#: Where checkpoints of others keep the weights of a network.
_INSIDE = ("state_dict", "model")


class ConvertedModule(SupervisedModule):
    """Abstract part of modules with a network that somebody else built: where its weights begin, and if they learn."""

    # Where a network starts from is in its weights afterwards; the file may be gone. What is frozen may learn later.
    run_time_arguments: ClassVar[frozenset[str]] = SupervisedModule.run_time_arguments | {"weights", "freeze_encoder"}
    unrecorded_arguments: ClassVar[frozenset[str]] = SupervisedModule.unrecorded_arguments | {"weights"}

    _frozen: Sequence[nn.Module] = ()

    def keep_frozen(self, encoders: Sequence[nn.Module]) -> None:
        """Let encoders keep their weights and stay in evaluation mode: batch norm keeps its statistics, too.

        :meth:`unfreeze` lets them learn again.

        Args:
            encoders: parts of this module.
        """
        for encoder in encoders:
            encoder.requires_grad_(False).eval()
        self._frozen = list(encoders)

    def unfreeze(self) -> Self:
        """Let all weights learn from the next fit on, those of a frozen encoder too."""
        self._frozen = ()
        super().unfreeze()
        return self

    def train(self, mode: bool = True) -> Self:
        """Change the mode of everything but a frozen encoder."""
        super().train(mode)
        for encoder in self._frozen:
            encoder.eval()
        return self


def build_network(network: Network, arguments: Mapping[str, Any] | None, weights: str | None) -> nn.Module:
    """A network, with the weights that it starts from.

    Args:
        network: builds it, such as ``torchvision.models.resnet18``; or the network itself.
        arguments: of the builder.
        weights: what the builder takes as ``weights``, such as ``"DEFAULT"``; or a file, which is not read
            here, see :func:`load_weights`.

    Raises:
        TypeError: if ``network`` cannot be called, or something else was built than a network.
        ValueError: if the builder does not take the arguments, or there is no such file.
    """
    named = weights is not None and not is_file(weights)
    if named and isinstance(weights, str) and ("/" in weights or Path(weights).suffix in _FILES):
        raise ValueError(f"Expected `weights` to be the file of a state dict, but there is none at {weights}.")
    if isinstance(network, nn.Module):
        if arguments or named:
            raise ValueError(
                "Expected a function or class that builds the network, beside its arguments or the name of weights, "
                f"but got a {type(network).__name__} that is built already. Leave these out, or name its class."
            )
        return _unwrapped(network)
    if not callable(network):
        raise TypeError(
            f"Expected `network` to be a network, or a function or class that builds one, but got {network!r}. Import "
            "it, and pass it without quotation marks."
        )
    name = getattr(network, "__name__", repr(network))
    given = {**(arguments or {}), **({"weights": weights} if named else {})}
    try:
        built: object = network(**given)
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"Expected arguments that {name} accepts, but got {given} ({error}). Correct `network_args`, or `weights`, "
            "which is a file or a name that it knows."
        ) from error
    if not isinstance(built, nn.Module):
        raise TypeError(f"Expected {name} to build an nn.Module, but it returned a {type(built).__name__}.")
    return _unwrapped(built)


def is_file(weights: object) -> bool:
    """Whether weights are a file, and not what a builder knows: a name or a member of an enumeration."""
    return isinstance(weights, (str, Path)) and Path(weights).is_file()


def _unwrapped(network: nn.Module) -> nn.Module:
    """The network inside of what runs it."""
    if isinstance(network, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return _unwrapped(network.module)
    if isinstance(network, torch._dynamo.OptimizedModule):
        return _unwrapped(network._orig_mod)
    return network


def example_for(network: nn.Module, example: Tensor) -> Tensor:
    """An example input in the type and on the device of a network's weights."""
    weight = next((p for p in network.parameters() if p.is_floating_point()), example)
    return example.to(weight.device, weight.dtype)


def load_weights(network: nn.Module, file: str, left_out: Sequence[str]) -> None:
    """Read the weights that a network starts from.

    Args:
        network: whose weights are set.
        file: a state dict of this network, as ``torch.save(net.state_dict(), file)`` writes it; or a dictionary that
            holds one as ``state_dict`` or ``model``. A prefix of all names, such as ``module.``, is taken off.
        left_out: paths of modules and buffers of which nothing is needed, in the network or in the file. (Counts of
            batches, which files of old versions of torch lack, are not needed either.)

    Raises:
        ValueError: if the file is none, or weights of the network are missing or of another shape, or it holds others.
    """
    try:
        loaded: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever it stumbles over
        raise ValueError(f"Expected a state dict in {file}, but it cannot be read ({error!s:.200}).") from error
    if isinstance(loaded, dict):
        loaded = next((loaded[key] for key in _INSIDE if isinstance(loaded.get(key), dict)), loaded)
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError(
            f"Expected a state dict in {file}, tensors by their names, but it holds something else. Write it by "
            "`torch.save(net.state_dict(), file)`."
        )
    own = network.state_dict()
    prefix = _prefix(list(own), list(loaded))
    loaded = {name.removeprefix(prefix): value for name, value in loaded.items() if name.startswith(prefix)}
    wrong = [name for name in own if name not in loaded or loaded[name].shape != own[name].shape]
    wrong += [name for name in loaded if name not in own]
    needed = [name for name in wrong if not any(f"{name}.".startswith(f"{path}.") for path in left_out)]
    wrong = [name for name in needed if not name.endswith("num_batches_tracked")]
    if wrong:
        raise ValueError(
            f"Expected the weights of this {type(network).__name__} in {file}, but {len(wrong)} are missing, of "
            f"another shape or of another network, first {wrong[0]}. Build the network that they were trained in."
        )
    fitting = {name: value for name, value in loaded.items() if name in own and own[name].shape == value.shape}
    network.load_state_dict(fitting, strict=False)


def _prefix(own: Sequence[str], loaded: Sequence[str]) -> str:
    """What stands before all names of a file that a network has, such as ``module.``."""
    found = [name[: -len(own[0])] for name in loaded if own and name.endswith(own[0])]
    return next((prefix for prefix in found if prefix.endswith(".") and own[0] not in loaded), "")
