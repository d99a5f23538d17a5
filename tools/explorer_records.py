"""Write what explorers show of recorded runs, benchmarks/results/*.json: book/_static/explorers/records.js.

    .venv/bin/python tools/explorer_records.py

Run it after a benchmark has changed its record; the explorers' tests compare what they show with the record.
"""

import json
import statistics
from itertools import combinations
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
TARGET = ROOT / "book" / "_static" / "explorers" / "records.js"
HEAD = '/* Recorded runs that explorers show; tools/explorer_records.py writes this file. */\n"use strict";\n\n'


def rows(name: str) -> dict[str, dict[str, Any]]:
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))["rows"]


def against() -> dict[str, dict[str, Any]]:
    """Of each model the seeds' mean log p(x), and the standard error over digits of their gain on the plain VAE."""
    models: dict[str, dict[str, Any]] = {}
    for row in rows("every_model").values():
        model = models.setdefault(row["model"], {"log_px": [], "gain_stderr": []})
        assert row["seed"] == len(model["log_px"])  # in their order
        for name in ("log_px", "gain_stderr"):
            model[name].append(round(row[name], 6))
        if row["by"] == "only a bound":
            model["only_bound"] = True
    return models


def hours() -> dict[str, dict[str, Any]]:
    """Of the rows with binary pixels the minutes of an epoch and the validation ELBO after each."""
    runs = {}
    for name, row in rows("full_length").items():
        if row["pixels"] == "binary":
            history = row["history"]
            terms = zip(history["val_log_likelihood"], history["val_kl"], strict=True)
            elbo = [round(log_likelihood - kl, 3) for log_likelihood, kl in terms]
            runs[name] = {"minutes": round(row["cpu_seconds"] / 60 / row["epochs"], 6), "elbo": elbo}
    return runs


def table() -> dict[str, Any]:
    """The rows of one layer, and how the values of two of equal budget differ over the same 100 images."""
    one_layer = {name: row for name, row in rows("reproduce").items() if not name.startswith("two")}
    kept = {name: {key: round(row[key], 4) for key in ("nll", "stderr")} for name, row in one_layer.items()}
    spreads = {}
    for (one, a), (other, b) in combinations(one_layer.items(), 2):
        if a["budget"] == b["budget"]:
            differences = [y - x for x, y in zip(a["first_nll"], b["first_nll"], strict=True)]
            spreads[f"{other} - {one}"] = round(statistics.stdev(differences), 4)
    return {"rows": kept, "spreads": spreads}


def script() -> str:
    records = {"against": against(), "hours": hours(), "table": table()}
    parts = []
    for name, record in records.items():
        lines = [f"    {json.dumps(key, ensure_ascii=False)}: {json.dumps(value)},\n" for key, value in record.items()]
        parts.append(f"  {name}: {{\n{''.join(lines)}  }},\n")
    return f"{HEAD}Explorers.records = {{\n{''.join(parts)}}};\n"


if __name__ == "__main__":
    TARGET.write_text(script(), encoding="utf-8")
