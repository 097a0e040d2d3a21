"""What the benchmark of pipelines computes from clocks, and the simulation against one that plays a clock's ticks."""

from __future__ import annotations

import itertools
import json
import sys
from collections import deque
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest
from scripts import FOLDER, script


@pytest.fixture(scope="module")
def pipeline() -> ModuleType:
    for name in (
        "saved_bytes",
        "step",
        "one_forward_one_backward",
        "pipeline_team",
        "timeline",
        "markdown_table",
        "speed_tables",
    ):
        script(name)  # imported by the last one
    return script("pipeline")


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    return script("simulation")


@pytest.fixture(scope="module")
def predict(pipeline: ModuleType, simulation: ModuleType) -> ModuleType:
    return script("predict")


# ------------------------------------------------------------------ the benchmark


def clocks(pipeline: ModuleType, steps: list[float], stages: list[list[int]], costs: list[float]) -> list[object]:
    """Of a team whose processes need so many seconds a batch, twelve batches each."""
    return [
        pipeline.Clock(
            [seconds * n for n in range(12)], [seconds * (n + 1) for n in range(12)], 5, 7, costs, stages, [], 0
        )
        for seconds in steps
    ]


def test_a_pipeline_is_as_fast_as_what_comes_out(pipeline: ModuleType) -> None:
    """Two stages, the second half as fast as the first; alone a batch takes three seconds."""
    alone = pipeline.Case("CNN", 4, pipeline.Way("AL", "", 1, 1))
    staged = pipeline.Case("CNN", 4, pipeline.Way("AL", "pipeline", 2, 1, 2))
    one = [clocks(pipeline, [3.0], [], [])] * 2
    two = [clocks(pipeline, [1.0, 2.0], [[1], [2, 3]], [1.0, 0.75, 0.75])] * 2
    row = pipeline.summarise(staged, two, one, 64)
    assert row.samples_per_second == pytest.approx(32.0)
    assert row.of_alone == pytest.approx(1.5)
    assert row.limit == pytest.approx(2.5 / 1.5)
    assert row.efficiency == pytest.approx(1.5 / (2.5 / 1.5))
    assert row.peak_bytes == [5, 5]
    assert pipeline.summarise(alone, one, one, 64).limit is None
    columns = {column.header: list(column.cells) for column in pipeline.show([row], 64).columns}
    assert [columns[name] for name in ("samples/s", "of AL alone", "limit")] == [["32.0"], ["1.50"], ["1.67"]]


def test_every_way_is_measured_once(pipeline: ModuleType) -> None:
    said = [pipeline.named(asdict(way)) for way in pipeline.ways("CNN", 4, 1, [4])]
    assert said == [
        "AL", "AL", "BP", "BP", "AL pipeline", "AL ddp", "BP ddp", "AL pipeline, 2 replicas", "BP 1f1b, 4 micro-batches",
    ]  # fmt: skip
    assert all("1f1b" not in pipeline.named(asdict(way)) for way in pipeline.ways("LSTM", 2, 1, [4]))  # lengths vary


def test_batches_that_cannot_be_shared_out_are_refused(
    pipeline: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pipeline.py", "--processes", "3", "--microbatches", "4"])
    with pytest.raises(SystemExit):
        pipeline.arguments()
    assert "micro-batches that divide batch_size=64, but got [3]." in capsys.readouterr().err


# ------------------------------------------------------------------ the simulation


def played(work: list[int], travel: list[int], in_flight: int, log_every: int, batches: int, pace: list[int]) -> int:
    """Ticks until the last stage has ended, by processes that look around at every tick.

    A stage has a place for one batch that arrived in advance, and the stage before it may have others that wait to be
    sent; it holds on to a batch that finds no room there.
    """
    stages = len(work)
    place: list[int | None] = [None] * stages  # arrived, and not begun
    waiting: list[deque[int]] = [deque() for _ in work]  # handed on, and not yet on the way
    moving: list[tuple[int, int] | None] = [None] * stages  # on the way from this stage: batch, ticks left
    doing: list[tuple[int, int] | None] = [None] * stages  # batch, ticks left
    following, ended = [0] * stages, [0] * stages

    def settle() -> bool:
        """Whether something happened that takes no time."""
        changed = False
        for k in range(stages):
            current, sent = doing[k], moving[k]
            if sent is not None and sent[1] == 0:
                place[k + 1], moving[k], changed = sent[0], None, True
            if current is not None and current[1] == 0:
                under_way = len(waiting[k]) + (moving[k] is not None)
                if k == stages - 1 or under_way < in_flight - 1:
                    doing[k], changed = None, True
                    ended[k] += 1
                    if k < stages - 1:
                        waiting[k].append(current[0])
            if waiting[k] and moving[k] is None and place[k + 1] is None:
                moving[k], changed = (waiting[k].popleft(), travel[k]), True
            drained = following[k] % log_every or all(number >= following[k] for number in ended)
            there = k == 0 or place[k] == following[k]
            if doing[k] is None and following[k] < batches and there and drained:
                place[k], changed = None, True
                doing[k] = (following[k], work[k] * pace[following[k] % len(pace)])
                following[k] += 1
        return changed

    for tick in itertools.count():
        while settle():
            pass
        if ended[-1] == batches:
            return tick
        moving[:] = [None if m is None else (m[0], m[1] - 1) for m in moving]
        doing[:] = [None if d is None else (d[0], max(0, d[1] - 1)) for d in doing]
    raise AssertionError


@pytest.mark.parametrize("work", [[3, 3], [2, 5], [5, 2], [3, 1, 4, 2], [1, 1, 6, 1, 1]])
@pytest.mark.parametrize("travel", [1, 7])
@pytest.mark.parametrize("in_flight", [2, 4])
@pytest.mark.parametrize("log_every", [10, 1000])
@pytest.mark.parametrize("pace", [[1], [1, 1, 4, 1, 2, 1, 1, 7]])
def test_the_simulation_is_what_processes_would_do(
    simulation: ModuleType, work: list[int], travel: int, in_flight: int, log_every: int, pace: list[int]
) -> None:
    expected = played(work, [travel + k for k in range(len(work) - 1)], in_flight, log_every, 40, pace)
    link = simulation.Link(bandwidth=1.0, latency=float(travel))
    seconds = simulation.pipeline_seconds(work, list(range(len(work) - 1)), link, in_flight, log_every, 40, pace)
    assert 40 * seconds == pytest.approx(expected)


def test_stages_that_need_no_link_are_as_fast_as_the_slowest(simulation: ModuleType) -> None:
    """The first batch passes all stages, every other one waits for the slowest."""
    free = simulation.Link(float("inf"), 0.0)
    seconds = simulation.pipeline_seconds([1.0, 4.0, 2.0], [1e9, 1e9], free, 4, 1000, 100)
    assert 100 * seconds == pytest.approx(1.0 + 100 * 4.0 + 2.0)
    slow = simulation.Link(1e9, 0.0)  # the first link needs eight seconds
    assert 100 * simulation.pipeline_seconds([1.0, 4.0], [8e9], slow, 4, 1000, 100) == pytest.approx(1 + 800 + 4)


def test_the_bounds_are_the_published_formulas(simulation: ModuleType) -> None:
    free = simulation.Link(float("inf"), 0.0)
    equal = [1.0] * 4
    assert simulation.microbatch_seconds(equal, [1.0] * 4, free, 32, 4) == pytest.approx(4 / (4 * 32 / (32 + 3)))
    link = simulation.Link(10.0, 0.5)  # three links, up and down, a 32nd of 320 bytes
    assert simulation.microbatch_seconds(equal, [320.0] * 4, link, 32, 4) == pytest.approx(35 / 32 + 6 * 1.5)
    assert simulation.data_parallel_seconds(8.0, 1e9, free, 4) == 2.0
    slow = simulation.Link(100.0, 1.0)  # a ring of four: six messages of a quarter each
    assert simulation.data_parallel_seconds(8.0, 4000.0, slow, 4) == pytest.approx(6 * (1 + 10))


def test_deeper_networks_keep_their_layers(predict: ModuleType) -> None:
    network = predict.Network(
        "N", 8, [1.0, 2.0], [10.0, 20.0], 0.5, [1.0], 3.0, [1.0, 1.5, 0.1], [10.0, 20.0, 1.0], 100.0, {2: 4.0}
    )
    deep = network.deeper(3)
    assert deep.layers == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]
    assert deep.blocks == [1.0, 1.0, 1.0, 1.5, 1.5, 1.5, 0.1]
    assert deep.parameters == 300.0
    free = predict.Link(float("inf"), 0.0)
    row = predict.predict(network, 2, free, 4, 1000)
    assert row.pipeline == pytest.approx(8 / (2.5 + 1.5 / 500))  # the first batch passes the faster stage
    assert row.alone == pytest.approx(8 / 3.5)
    assert row.measured == 4.0
    assert row.link_megabytes == pytest.approx(1e-5)
    assert row.data_parallel == pytest.approx(8 / 1.5)
    assert predict.predict(deep, 6, free, 4, 1000).pipeline == pytest.approx(8 / 2.5, rel=0.01)


@pytest.mark.parametrize("file", sorted((FOLDER / "results").glob("pipeline-cpu-*.json")), ids=lambda file: file.stem)
def test_predictions_for_two_stages_are_near_what_was_measured(predict: ModuleType, file: Path) -> None:
    document = json.loads(file.read_text())
    for network in predict.networks(document):
        row = predict.predict(network, 2, predict.Link(2e9, 1e-4), 4, 50)
        assert row.pipeline == pytest.approx(row.measured, rel=0.15)


def test_another_file_is_refused(
    predict: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.json").write_text(json.dumps({"rows": [{"ms": 1.0}]}))
    monkeypatch.setattr(sys, "argv", ["predict.py", str(tmp_path / "other.json")])
    with pytest.raises(SystemExit):
        predict.main()
    assert "Expected a file that pipeline.py wrote, but got" in capsys.readouterr().err
