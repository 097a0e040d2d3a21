"""Ranks that die, that wait in vain, and that are asked to end; in one process."""

from __future__ import annotations

import functools
import signal
import threading
from unittest import mock

import lightning.pytorch as pl
import pytest
import torch
from conftest import K, hand_layers

import al_lightning as al
from al_lightning.training import rank_watch as watch
from al_lightning.training.sigterm import note_own_sigterm


def watches(monkeypatch: pytest.MonkeyPatch) -> tuple[list[watch.RankWatch], list[int]]:
    """Two ranks' watches on one store, and how this process would have ended."""
    ends: list[int] = []
    monkeypatch.setattr(watch, "PERIOD", 0.05)
    monkeypatch.setattr(watch.os, "_exit", ends.append)
    store, both = torch.distributed.HashStore(), []
    for rank in (0, 1):
        both.append(watch.RankWatch())
        both[-1]._store, both[-1]._rank, both[-1]._world = store, rank, 2
        both[-1]._leave_sign(0)
    return both, ends


def test_a_silent_rank_ends_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (ours, _), ends = watches(monkeypatch)  # the other leaves no second sign
    monkeypatch.setattr(watch.os, "_exit", lambda code: (ends.append(code), ours._stop.set()))
    ours._look()
    assert ends == [1]
    assert "Rank 0 ends, because rank 1 (process " in capsys.readouterr().err


def test_a_rank_that_waits_in_vain_after_sigterm_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (ours, _), ends = watches(monkeypatch)
    monkeypatch.setattr(watch.os, "_exit", lambda code: (ends.append(code), ours._stop.set()))
    ours._asked_to_end = lambda: True
    ours._look()
    assert ends == [143]
    assert "Rank 0 ends 0 s after it received SIGTERM" in capsys.readouterr().err  # 10 periods of 0.05 s


def test_sigterm_is_noted_without_a_word_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may wait in another collective: what Lightning's handler broadcasts would never arrive."""
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    told: list[int] = []
    own: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: own.append(number))
    monkeypatch.setattr(trainer.strategy, "_launcher", mock.Mock(kill=told.append))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "broadcast", mock.Mock(side_effect=AssertionError))
    monkeypatch.setattr(pl.Trainer, "world_size", 2)
    try:
        trainer._signal_connector.register_signal_handlers()
        note_own_sigterm(trainer)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        trainer._signal_connector.teardown()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert trainer.received_sigterm
    assert (told, own) == ([15], [15, 15])


def test_ranks_that_live_and_end_in_order_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    both, ends = watches(monkeypatch)
    for each in both:
        each._thread = threading.Thread(target=each._look)
        each._thread.start()
    meeting = threading.Barrier(2)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    monkeypatch.setattr(trainer.strategy, "barrier", meeting.wait)
    pause = functools.partial(threading.Event().wait, 2 * watch.PATIENCE * watch.PERIOD)
    pause()  # longer than a silent one would be left
    ending = [threading.Thread(target=w.on_train_end, args=(trainer, al.ALModule(hand_layers(2), K))) for w in both]
    ending[0].start()
    pause()  # the other one still has something to finish
    ending[1].start()
    for thread in ending:
        thread.join()
    assert ends == []
    assert all(each._thread is None and each._stop.is_set() for each in both)
