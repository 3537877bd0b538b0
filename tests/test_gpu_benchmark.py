"""`benchmarks/gpu.py` on a CPU: the same road, tiny, of which no speed is asserted."""

import json
import subprocess
import sys

from scripts_for_tests import ROOT, environment

FEW = "--device cpu --size tiny --only fused --rounds 1 --warm-up 2 --windows 2 --seconds 0.01 --pairs 300"


def test_it_runs_writes_and_tells_what_it_left_out(tmp_path):
    small = f"{FEW} --vocabulary 300 --batch-tokens 400 --output {tmp_path / 'gpu.json'}"
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *small.split()]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    rows = [line for line in ended.stdout.splitlines() if line.startswith("| tiny")]
    assert len(rows) == 2
    for row in rows:
        assert row.count("|") == 11
        assert "two matrix products" in row or "torch" in row
    found = json.loads((tmp_path / "gpu.json").read_text())["found"]
    compiled, eager = (found[f"tiny, Dragoman, {how}, loss fused"][0] for how in ("compiled", "eager"))
    assert (compiled["graphs"], compiled["late graphs"], eager["graphs"]) == (3, 0, 0)
    assert min(*compiled["speeds"], *eager["speeds"], found["products"][0]["rate"]) > 0
    late = subprocess.run([*command, "--minutes", "0"], env=environment(), capture_output=True, text=True, cwd=tmp_path)
    assert late.stdout.count("left out, the minutes were over") == 2
