"""Make `report.md` and the plots from the results of `suite.py`.

    python benchmarks/report.py

Without results it runs the suite first.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from peers import BARE, IN_RUST, INSTRUMENTED, OURS, OURS_EXPORTED, OURS_MEASURED, OURS_RECORDED, OURS_UNSAMPLED, WHOLE

mpl.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PLOTS = HERE / "plots"

Results = dict[str, Any]

STYLES = {
    BARE: {"color": "#4b5563", "linestyle": "--"},
    OURS: {"color": "#1d4ed8", "linewidth": 2.5},
    OURS_UNSAMPLED: {"color": "#60a5fa"},
    OURS_RECORDED: {"color": "#93c5fd", "linestyle": ":"},
    WHOLE: {"color": "#b45309"},
}


def ratio(found: Results, name: str, measure: str = "cpu") -> str:
    """The median and the quartiles of a ratio; a dash if it was not measured."""
    spread = found.get(name, {}).get(f"{measure}_ratio")
    if spread is None:
        return "–"
    return f"{spread['median']:.2f} ({spread['low']:.2f}–{spread['high']:.2f})"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def sweep_table(found: Results, measure: str) -> str:
    levels = list(found)
    names = list(found[levels[0]])
    rows = [[name, *(ratio(found[level], name, measure) for level in levels)] for name in names]
    return table(["client", *(f"{int(level):,} in flight" for level in levels)], rows)


def plain_table(found: Results, unit: str) -> str:
    rows = [[name, f"{each['cpu']['median']:,.0f} {unit}", ratio(found, name)] for name, each in found.items()]
    return table(["client", "CPU", f"{BARE} = 1"], rows)


def lists_table(found: Results) -> str:
    sizes = list(found)
    names = list(found[sizes[0]])
    rows = [[name, *(ratio(found[size], name) for size in sizes)] for name in names]
    return table(["client", *(f"{int(size):,} models" for size in sizes)], rows)


def plot_sweep(found: Results, loop: str) -> None:
    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    names = list(next(iter(found.values())))
    for name in names:
        levels = [level for level in found if name in found[level]]
        medians = [found[level][name]["cpu"]["median"] for level in levels]
        axes.plot([int(level) for level in levels], medians, marker="o", label=name, **STYLES.get(name, {}))
    axes.set(xscale="log", yscale="log", xlabel="calls in flight", ylabel="CPU of a call, µs (user and system)")
    axes.set_title(f"The CPU of a call on {loop}: lower is better")
    axes.grid(visible=True, which="both", alpha=0.25)
    figure.legend(loc="outside lower center", fontsize="small", ncols=3)
    save(figure, f"cpu-{loop}")


def plot_latency(found: Results, loop: str) -> None:
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    level = "1000" if "1000" in found else list(found)[-1]
    names = list(found[level])
    for offset, measure in enumerate(("p50", "p99", "p999")):
        values = [found[level][name][measure]["median"] / 1000 for name in names]
        axes.barh([place + (offset - 1) * 0.25 for place in range(len(names))], values, height=0.25, label=measure)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="milliseconds", title=f"Latency with {int(level):,} calls in flight on {loop}: lower is better")
    axes.legend()
    axes.grid(visible=True, axis="x", alpha=0.25)
    save(figure, f"latency-{loop}")


def save(figure: Any, name: str) -> None:
    PLOTS.mkdir(exist_ok=True)
    for kind in ("svg", "png"):
        figure.savefig(PLOTS / f"{name}.{kind}", dpi=110, metadata={"Date": None} if kind == "svg" else None)
    plt.close(figure)


def headline(found: Results) -> str:
    """The main clients at each number of calls in flight, without and with TLS."""
    columns = {
        f"{int(level):,} in flight{' over TLS' if kind == 'tls' else ''}": found[kind]["asyncio"][level]
        for kind in ("sweep", "tls")
        if kind in found
        for level in found[kind]["asyncio"]
    }
    shown = (OURS, OURS_UNSAMPLED, OURS_MEASURED, OURS_RECORDED, OURS_EXPORTED, INSTRUMENTED, WHOLE, *IN_RUST)
    rows = [[name, *(ratio(column, name) for column in columns.values())] for name in shown]
    return table(["CPU of a call", *columns], rows)


def over_tls(found: Results) -> str:
    """The sweeps over TLS; empty if the server had no TLS."""
    return "".join(
        f"## {loop}, over TLS 1.3\n\nCPU of a call, {BARE} over TLS = 1\n\n{sweep_table(sweep, 'cpu')}\n\n"
        for loop, sweep in found.get("tls", {}).items()
    )


def written(found: Results) -> str:
    machine = table(["", ""], [[name, value] for name, value in found["machine"].items()])
    skipped = "".join(f"- left out: {name}: {why}\n" for name, why in found["skipped"].items())
    memory = table(["client", "kB"], [[name, f"{value:.1f}"] for name, value in found["memory"].items()])
    sections = "\n".join(
        f"## {loop}\n\nCPU of a call, {BARE} = 1\n\n{sweep_table(sweep, 'cpu')}\n\n"
        f"![CPU of a call](plots/cpu-{loop}.svg)\n\n"
        f"Calls per second, {BARE} = 1, higher is better\n\n{sweep_table(sweep, 'rate')}\n\n"
        f"p99 of the latency, {BARE} = 1\n\n{sweep_table(sweep, 'p99')}\n\n"
        f"![latency](plots/latency-{loop}.svg)\n"
        for loop, sweep in found["sweep"].items()
    )
    return f"""# The cost of a call

Every client completes connections at the same static server ({found["server"]}). The clients take turns in one process.
Numbers are medians of {found["rounds"]} rounds with their quartiles, as ratios to bare aiohttp in the same round:
**{BARE} = 1, lower is better**. No client opens more than {found["max_connections"]:,} connections.

{headline(found)}

{sections}
{over_tls(found)}
## A slow server

1,000 calls in flight; the server answers each after 50 ms.

{plain_table(found["slow"], "µs")}

## A server with faults

100 calls in flight; every hundredth answer is 429. The table shows the share of calls that raised an error. (The other
clients do not retry a 429.)

{table(["client", "failed"], [[name, f"{each['failed']['median']:.2%}"] for name, each in found["faulty"].items()])}

## Large answers

CPU of a list of connections, {BARE} with `json.loads` = 1.

{lists_table(found["lists"])}

## Cold start

CPU of a program that makes one call: the interpreter, the import, the client and the call.

{plain_table(found["cold"], "ms")}

## Memory

Growth of the peak memory, per call, with 1,000 calls that wait for their answers at the same time on separate connections.

{memory}

## How it was measured

{machine}

{skipped}- httpx, and clients that use it, are measured with one call in flight: httpx searches its whole pool for each call.
- The C allocator keeps freed memory (see `suite.py`), and the garbage collector ignores the objects that clients loaded.
- `python benchmarks/suite.py` measures, `python benchmarks/report.py` writes this{" (a quick run)" if found["quick"] else ""}.
"""


def main() -> None:
    if not RESULTS.exists():
        subprocess.run([sys.executable, str(HERE / "suite.py")], check=True)  # noqa: S603 - our own file
    found = json.loads(RESULTS.read_text())
    for loop, sweep in found["sweep"].items():
        plot_sweep(sweep, loop)
        plot_latency(sweep, loop)
    (HERE / "report.md").write_text(written(found))
    print("written: report.md and plots/")


if __name__ == "__main__":
    main()
