"""A pipeline trains what a single process trains, bit for bit, and can be stopped and started like one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_sets_tiny
from launching import differences, trained
from pipeline_cases import CASES, THREE
from pipeline_worker import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipeline")


#: Cases that are trained by two stages for 20 steps, then by one process, and after 35 steps by three stages.
RESUMED = ["cnn contrast", "lstm mse"]
#: The last stage is slow.
FLIGHT = {"case": "mse", "slow": 0.02, "stages": [[1], [2, 3]], "in_flight": 3}


def resumed(part: int, before: Path | None, save_at: int | None) -> dict[str, dict[str, Any]]:
    """Runs that go on from a folder's checkpoints, or begin, and save theirs after so many steps."""
    return {
        f"{case} {part}": {
            "case": case, "save_at": save_at, "ckpt_path": str(before / f"{case} {part - 1}.ckpt") if before else None
        }
        for case in RESUMED
    }  # fmt: skip


@pytest.fixture(scope="module")
def two(folder: Path) -> list[dict[str, Any]]:
    """What two stages ended with."""
    cases = {**{name: {} for name in CASES}, "flight": FLIGHT, **resumed(1, None, 20)}
    return trained(folder / "2", 2, "al_pipeline", cases)


@pytest.fixture(scope="module")
def alone(folder: Path, two: Any) -> dict[str, dict[str, Any]]:
    """What a single process ended with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "5")
        make_sets_tiny(patch)
        (folder / "1").mkdir()
        cases = {**{name: {} for name in CASES}, **resumed(2, folder / "2", 35)}
        return {name: run(name, folder / "1", **settings) for name, settings in cases.items()}


@pytest.fixture(scope="module")
def pipelines(folder: Path, two: Any, alone: Any) -> dict[int, list[dict[str, Any]]]:
    """What the stages of two and of three ended with."""
    cases = {**{name: {} for name in THREE}, **resumed(3, folder / "1", None)}
    return {2: two, 3: trained(folder / "3", 3, "al_pipeline", cases)}


BOTH = [*((name, 2) for name in CASES), *((name, 3) for name in THREE)]


@pytest.mark.parametrize(("case", "stages"), BOTH)
def test_a_pipeline_is_bit_equal_to_one_process(
    case: str, stages: int, folder: Path, alone: dict[str, Any], pipelines: dict[int, Any]
) -> None:
    ours = alone[case]
    for rank in pipelines[stages]:
        assert differences(ours["state"], rank[case]["state"]) == []  # every process has every weight in the end
        assert rank[case]["step"] == ours["step"]
    one, many = (torch.load(folder / str(n) / f"{case}.ckpt", weights_only=True) for n in (1, stages))
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step", "al_lightning"):
        assert differences(one[key], many[key]) == []
    assert ours["step"] == one["global_step"] > 5


@pytest.mark.parametrize(("case", "stages"), BOTH)
def test_every_loss_is_logged_as_in_one_process(
    case: str, stages: int, alone: dict[str, Any], pipelines: dict[int, Any]
) -> None:
    def training(rows: Any) -> Any:
        return [(step, {k: v for k, v in row.items() if k.startswith(("train", "epoch"))}) for step, row in rows]

    ours, theirs = alone[case], pipelines[stages][0][case]
    assert differences(training(ours["logged"]), training(theirs["logged"])) == []
    assert any("train_layer3_associated_step" in row for _, row in ours["logged"])
    for rank in pipelines[stages]:
        assert rank[case]["metrics"].keys() == ours["metrics"].keys()
        for name, value in ours["metrics"].items():
            assert rank[case]["metrics"][name] == pytest.approx(value, rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("stages", [2, 3])
def test_each_stage_has_its_own_optimizer_states_only(
    stages: int, alone: dict[str, Any], pipelines: dict[int, Any]
) -> None:
    for case in CASES if stages == 2 else THREE:
        for stage, rank in enumerate(pipelines[stages]):
            own = rank[case]["layers"][stage]
            last = stage == stages - 1
            for number, (elements, theirs) in enumerate(
                zip(rank[case]["optimizer_elements"], alone[case]["optimizer_elements"]), 1
            ):
                trained = number in own or (last and number > own[-1])
                assert elements == (theirs if trained else 0), (case, stage, number)


@pytest.mark.parametrize("stages", [2, 3])
def test_only_the_first_stage_reads_training_data(
    stages: int, alone: dict[str, Any], pipelines: dict[int, Any]
) -> None:
    assert alone["contrast"]["read"] == 4 * 64
    assert [rank["contrast"]["read"] for rank in pipelines[stages]] == [4 * 64, *[0] * (stages - 1)]


@pytest.mark.parametrize("stages", [2, 3])
def test_callbacks_see_all_weights_in_validation(stages: int, alone: dict[str, Any], pipelines: dict[int, Any]) -> None:
    for case in ("contrast", "cnn contrast", "lstm mse"):
        assert alone[case]["sums"]
        assert all(rank[case]["sums"] == alone[case]["sums"] for rank in pipelines[stages])


@pytest.mark.parametrize("case", RESUMED)
def test_a_checkpoint_goes_on_in_any_number_of_stages(
    case: str, folder: Path, alone: dict[str, Any], pipelines: dict[int, Any]
) -> None:
    """Each time in the middle of an epoch."""
    for rank in pipelines[3]:
        assert differences(alone[case]["state"], rank[f"{case} 3"]["state"]) == []
    assert [alone[f"{case} 2"]["step"], pipelines[3][0][f"{case} 3"]["step"]] == [alone[case]["step"]] * 2
    whole, last = (torch.load(folder / file, weights_only=True) for file in (f"1/{case}.ckpt", f"3/{case} 3.ckpt"))
    assert differences(whole["optimizer_states"], last["optimizer_states"]) == []
    saved = [torch.load(folder / f"{part}/{case} {n}.ckpt", weights_only=True) for part, n in ((2, 1), (1, 2))]
    assert [checkpoint["global_step"] for checkpoint in saved] == [20, 35]


def test_stages_run_ahead_but_not_too_far(two: list[dict[str, Any]]) -> None:
    """The last stage is slow: the first has handed on as many batches as may be in flight, and never more."""
    first, last = (rank["flight"] for rank in two)
    assert first["layers"] == [[1], [2, 3]]
    handed, taken = first["finished"], last["begun"]
    assert len(handed) == len(taken) == 64
    in_flight = [n + 1 - sum(moment <= now for moment in taken) for n, now in enumerate(handed)]
    assert 3 <= max(in_flight) <= 4  # the clock is read a moment after a batch was taken
    assert sum(n > 1 for n in in_flight) > 20
