"""What travels from one stage of a pipeline to the next, and how: forward only, several batches at a time.

A message is a header and the memory of each tensor. The header says how the tensors lie in memory, so that the next
stage computes on exactly what a single process would hand on: shapes may differ from batch to batch, states may be
nested, and channels may come last.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor

from al_lightning.nn.state import parts
from al_lightning.training.stage import Handover


class Layout(NamedTuple):
    """How a tensor lies in memory."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]


#: The layout of a tensor; or the type of a NamedTuple and the structures of its parts.
Structure: TypeAlias = "Layout | tuple[type, list[Structure]]"


def take_apart(state: Any, memory: list[Tensor]) -> Structure:
    """The structure of a state; its tensors' memory is added to a list, as one-dimensional tensors.

    Raises:
        TypeError: if the state is neither a tensor nor a NamedTuple of such.
    """
    if isinstance(state, Tensor):
        order = sorted(range(state.dim()), key=state.stride, reverse=True)
        if not state.permute(order).is_contiguous():  # gaps and repetitions are not sent
            state, order = state.contiguous(), list(range(state.dim()))
        memory.append(state.permute(order).reshape(-1))
        return Layout(state.dtype, tuple(state.shape), state.stride())
    kind, own = parts(state)
    return kind, [take_apart(part, memory) for part in own]


def put_together(structure: Structure, memory: Callable[[int, torch.dtype], Tensor]) -> Any:
    """A state of a structure.

    Args:
        structure: as :func:`take_apart` returns it.
        memory: gives a one-dimensional tensor of so many elements of a type; called in the order of the tensors.
    """
    if isinstance(structure, Layout):
        elements = 1
        for size in structure.shape:
            elements *= size
        return memory(elements, structure.dtype).as_strided(structure.shape, structure.stride)
    kind, own = structure
    return kind(*(put_together(part, memory) for part in own))


class Groups(NamedTuple):
    """The process groups between two neighbours: headers are read by the processor, tensors stay on their device."""

    headers: dist.ProcessGroup
    tensors: dist.ProcessGroup


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.view(torch.uint8) if tensor.numel() else tensor.new_empty(0, dtype=torch.uint8)


class Outbox:
    """Hands batches on to the next stage without waiting for it, as long as not too many are under way.

    Args:
        groups: of this process and the next stage's; the second of them in each receives.
        in_flight: how many batches may be handed on and not yet taken, at least 2: one that the next stage has received
            in advance, and those that wait to be received.
    """

    def __init__(self, groups: Groups, in_flight: int) -> None:
        self._groups = groups
        self._waiting: deque[tuple[list[dist.Work], list[Tensor]]] = deque()
        self._room = in_flight - 1

    def send(self, batch: Handover, last: bool) -> None:
        """Hand a batch on.

        Args:
            batch: what the next stage begins with.
            last: whether it is the last of its epoch.

        Raises:
            TypeError: if the state's type cannot be named to another process.
        """
        memory: list[Tensor] = []
        header = (last, take_apart(batch, memory))
        try:
            told = torch.frombuffer(bytearray(pickle.dumps(header)), dtype=torch.uint8)
        except (pickle.PicklingError, AttributeError) as error:
            raise TypeError(
                "Expected the type of every state that travels between two processes to stand at the top level of a "
                f"module, where the next stage can import it, but: {error}."
            ) from error
        while len(self._waiting) >= self._room:
            self._wait_for_oldest()
        size = torch.tensor([len(told)])
        works = [_isend(tensor, self._groups.headers) for tensor in (size, told)]
        works += [_isend(_bytes(tensor), self._groups.tensors) for tensor in memory if tensor.numel()]
        self._waiting.append((works, [size, told, *memory]))

    def close(self) -> None:
        """Tell the next stage that nothing more comes."""
        while self._waiting:
            self._wait_for_oldest()
        _isend(torch.tensor([0]), self._groups.headers).wait()

    def _wait_for_oldest(self) -> None:
        works, _ = self._waiting[0]
        for work in works:
            work.wait()
        self._waiting.popleft()


class Inbox:
    """Batches from the stage before; one is received in advance while another is worked on.

    Args:
        groups: of the stage before and this process; the first of them in each sends.
        device: where tensors are to lie.
        before_first: called before the first batch is waited for.
    """

    def __init__(self, groups: Groups, device: torch.device, before_first: Callable[[], object]) -> None:
        self._groups = groups
        self._before_first: Callable[[], object] | None = before_first
        self._device = device
        self._arrived: queue.SimpleQueue[tuple[Handover, bool, Any] | BaseException] = queue.SimpleQueue()
        self._place = threading.Semaphore(1)
        self._expected = 0
        self._ahead: deque[Handover] = deque()
        self._last = False
        self._thread = threading.Thread(target=self._receive, name="pipeline-inbox", daemon=True)
        self._thread.start()

    def begin_epoch(self) -> None:
        """Nothing is expected any more of what was announced before."""
        self._ahead.clear()
        self._expected = 0

    def announce(self) -> None:
        """Another batch is expected: :meth:`take` will be called for it."""
        self._expected += 1

    def take(self) -> Handover:
        """The next batch that was announced; waits until it is there.

        Raises:
            RuntimeError: if the stage before has ended without handing it on.
        """
        if not self._ahead:
            self._look_ahead()
        return self._ahead.popleft()

    def ended(self) -> bool:
        """Whether the batch that was announced last is the last of its epoch; waits until it is there."""
        while self._expected:
            self._look_ahead()
        return self._last

    def _look_ahead(self) -> None:
        self._ahead.append(self._next())
        self._expected -= 1

    def join(self) -> None:
        """Wait until the stage before says that nothing more comes."""
        self._place.release()
        self._thread.join()

    def _next(self) -> Handover:
        if self._before_first is not None:
            self._before_first()
            self._before_first = None
        arrived = self._arrived.get()
        if isinstance(arrived, BaseException):
            self._arrived.put(arrived)
            raise RuntimeError("Expected a batch from the stage before, but the connection has ended.") from arrived
        batch, self._last, ready = arrived
        if ready is not None:
            stream, memory = torch.cuda.current_stream(self._device), list[Tensor]()
            stream.wait_event(ready)
            take_apart(batch, memory)
            for tensor in memory:
                tensor.record_stream(stream)  # it was allocated on the stream that received it
        self._place.release()
        return batch

    def _receive(self) -> None:
        on_gpu = self._device.type == "cuda"
        own = torch.cuda.Stream(self._device) if on_gpu else None  # type: ignore[no-untyped-call]
        stream = torch.cuda.stream(own) if on_gpu else contextlib.nullcontext()
        try:
            with stream:
                while True:
                    self._place.acquire()
                    size = torch.empty(1, dtype=torch.int64)
                    _receive_into(size, self._groups.headers)
                    if not size.item():
                        raise EOFError("the stage before has closed it")
                    told = torch.empty(int(size), dtype=torch.uint8)
                    _receive_into(told, self._groups.headers)
                    last, structure = pickle.loads(bytes(told.numpy()))
                    batch = put_together(structure, self._memory)
                    ready = torch.cuda.current_stream(self._device).record_event() if on_gpu else None
                    self._arrived.put((batch, last, ready))
        except Exception as error:  # whatever it is, the main thread must not wait for ever
            self._arrived.put(error)

    def _memory(self, elements: int, dtype: torch.dtype) -> Tensor:
        tensor = torch.empty(elements, dtype=dtype, device=self._device)
        if elements:
            _receive_into(_bytes(tensor), self._groups.tensors)
        return tensor


def _isend(tensor: Tensor, group: dist.ProcessGroup) -> dist.Work:
    work = dist.isend(tensor, group=group, group_dst=1)
    assert work is not None
    return work


def _receive_into(tensor: Tensor, group: dist.ProcessGroup) -> None:
    dist.recv(tensor, group=group, group_src=0)
