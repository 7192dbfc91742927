"""A phase diagram from a merged sweep: python3 phase_diagram.py MERGED.csv FIGURE.png

Needs pandas and matplotlib. `MERGED.csv` has one row a run, `MERGED.npz` beside it every record, `MERGED.json` units and
meaning; examples/phase-diagram.toml is the sweep.
"""

# %% The tables
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

source, target = (Path(argument) for argument in sys.argv[1:3])
runs = pd.read_csv(source)
meaning = {column["name"]: column["meaning"] for column in json.loads(source.with_suffix(".json").read_text())["columns"]}

# %% Seeds averaged at every point of the grid
runs["ratio"] = runs["b"] / runs["c"]
points = runs.groupby(["d0", "ratio"])[["p_oth_median", "ood_risk"]].agg(["mean", "sem"])
print(points.round(3).to_string())

# %% Every record: each row belongs to a row of the first table
with np.load(source.with_suffix(".npz")) as arrays:
    records = pd.DataFrame(dict(arrays)).join(runs[["d0", "ratio", "seed"]], on="row")
growth = records[records["d0"] == records["d0"].max()].groupby(["ratio", "step"])["p_oth_median"].mean()

# %% The figure: both observables over B/C and d0, and how p_oth gets there
figure, axes = plt.subplots(1, 3, figsize=(16, 4.2), layout="constrained")
for axis, (name, title) in zip(axes, [("p_oth_median", "$p_{oth}$, median neuron"), ("ood_risk", "OOD risk")]):
    grid = points[name]["mean"].unstack()
    mesh = axis.pcolormesh(grid.columns, grid.index, grid.values, shading="nearest", cmap="viridis")
    axis.axvline(1.0, color="white", linestyle="--", label="B = C, the paper's balance condition")
    axis.set(xscale="log", yscale="log", xlabel="B / C", ylabel="features $d_0$", title=title)
    axis.legend(loc="lower right", fontsize="small")
    figure.colorbar(mesh, ax=axis)
    print(f"{name}: {meaning[name]}")
for ratio, curve in growth.unstack("ratio").items():
    axes[2].plot(curve.index, curve.values, marker="o", markersize=3, label=f"B/C = {ratio:.2g}")
axes[2].set(xscale="symlog", xlabel="step", ylabel="$p_{oth}$, median neuron", title=f"$d_0$ = {records['d0'].max():.0f}")
axes[2].legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
figure.savefig(target, dpi=120)

# %% Where B ≤ C neurons fall silent on the other class as d0 grows; where B > C they do not: p_oth → (B − C)/(B + C)
largest = points.loc[points.index.get_level_values("d0").max(), ("p_oth_median", "mean")]
limit = ((largest.index - 1) / (largest.index + 1)).where(largest.index > 1, 0.0)
print(pd.DataFrame({"p_oth, measured": largest, "limit": limit}).round(3).to_string())
