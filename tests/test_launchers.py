"""Sweeps whose runs are in other processes: joblib's and submitit's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import FILES
from test_sweeps import LITTLE, table

SCRIPT = Path(__file__).parents[1] / "src" / "train.py"
TINY = ("debug=tiny", "backbone.hidden=[8]", *LITTLE)


def sweep(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder / "tmp"), "MPLBACKEND": "Agg"}
    arguments = [sys.executable, str(SCRIPT), "-m", *words, *TINY]
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_fifty_runs_side_by_side_leave_fifty_run_folders_and_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    ended = sweep(tmp_path, "launcher=local", f"seed={','.join(map(str, range(50)))}")
    assert ended.returncode == 0, ended.stderr[-3000:]
    rows = table(tmp_path)
    assert [row["seed"] for row in rows] == [str(seed) for seed in range(50)]
    assert {row["status"] for row in rows} == {"finished"}
    runs = {row["folder"] for row in rows}
    assert len(runs) == 50
    place = tmp_path / "runs/sweep"
    assert {path.name for path in place.iterdir()} == runs | {"multirun.yaml", "summary.csv"}
    for row in rows:
        run = place / row["folder"]
        assert {path.name for path in run.iterdir()} == FILES | {"checkpoints"}
        summary = json.loads((run / "summary.json").read_text())
        assert str(summary["seed"]) == row["seed"]
        assert summary["metrics"]["loss"] == float(row["loss"])
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "tmp"}
    assert not [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["launcher=local", "hydra/launcher=submitit_local"])
def test_a_run_that_fails_in_another_process_is_named(tmp_path: Path, launcher: str) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    ended = sweep(tmp_path, launcher, "objective=dsm", "objective.sigma=0.1,-1")
    assert ended.returncode == 1, ended.stderr[-3000:]
    assert "Traceback" not in ended.stderr
    rows = table(tmp_path)
    assert [row["status"] for row in rows] == ["finished", "failed"]
    assert rows[1]["sentence"].startswith("objective.sigma=-1")
    assert (tmp_path / "runs/sweep" / rows[0]["folder"] / "weights.safetensors").is_file()
