"""Claim: the fastest correct batched optimal transport for aligning text on a CPU.

Clouds are the contextual token states of parallel sentences under one encoder, centered over each language; costs are
cosines. Forward and backward pass to the states, one thread, CPU time of the process, peers interleaved with otembed
in the same run, minimum over the repeats. A figure is peer / otembed: higher is better. Tolerance 1e-4 on the L1 error
of the marginals of every plan; POT stops on an L2 error, so it gets the loosest bound that meets the same.

    python benchmarks/transport.py --pairs en-de=FILE -o benchmarks/results/transport.json
    python benchmarks/transport.py --table benchmarks/results/transport.json
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import ot
import ot.batch
import torch
from document import command_line, head, read_document, write_document
from memory import growth
from timing import interleaved
from torch import Tensor

import otembed
from otembed.config import PairChecks
from otembed.data import load_pairs, parse_pair_spec
from otembed.results import Table
from otembed.transport import center, pairwise_cost, sinkhorn, solve, uniform_marginals

TOL = 1e-4
Clouds = tuple[Tensor, Tensor, Tensor, Tensor]
Value = Callable[..., Tensor]
# name: (epsilon, problems, length range, goal)
BALANCED = {
    "B=32, epsilon .1": (0.1, 32, "short", 2.5),
    "B=32, epsilon .05": (0.05, 32, "short", 10.0),
    "B=32, epsilon .01": (0.01, 32, "short", 35.0),
    "B=64, epsilon .05": (0.05, 64, "short", 15.0),
    "B=128, epsilon .05": (0.05, 128, "short", 15.0),
    "B=16, lengths 128 to 256, epsilon .1": (0.1, 16, "long", 3.5),
    "B=16, lengths 128 to 256, epsilon .05": (0.05, 16, "long", 8.0),
}
PLAN_GRADIENTS = {0.1: 7.0, 0.05: 20.0, 0.02: 40.0}
# Goal with the cost product included; None where the product alone takes most of the time. COSTS_GIVEN without it.
UNBALANCED: dict[float, float | None] = {0.1: None, 0.05: 20.0}
COSTS_GIVEN = 20.0
EPSILONS = (0.1, 0.05, 0.01)
MEMORY_GOAL = 1.05


def encode(value: str, model_name: str, problems: int, low: int, high: int) -> Clouds:
    """Token states (B, T, D) and masses of ``problems`` pairs with ``low`` to ``high`` tokens per side.

    Lines are joined until a side is long enough, because the text may consist of short lines.
    """
    pair, _, place = value.partition("=")
    text = load_pairs(parse_pair_spec(pair, place), PairChecks.off(), 40 * problems).dataset
    model = otembed.load_model(model_name, device="cpu")
    found: tuple[list[list[int]], list[list[int]]] = ([], [])
    joined: list[list[int]] = [[], []]
    for row in text:
        for side, name in enumerate(("source", "target")):
            joined[side] = joined[side] + model.tokenizer(row[name], add_special_tokens=False)["input_ids"]
        if min(map(len, joined)) >= low:
            for side in (0, 1):
                found[side].append(joined[side][:high])
            joined = [[], []]
        if len(found[0]) == problems:
            break
    else:
        raise SystemExit(f"{value}: too little text for {problems} pairs of {low} tokens or more")
    clouds = [_states(model, side) for side in found]
    (x, a), (y, b) = clouds
    return x, y, a, b


@torch.no_grad()
def _states(model: Any, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    width = max(map(len, rows))
    ids = torch.tensor([row + [model.tokenizer.pad_token_id] * (width - len(row)) for row in rows])
    mask = torch.arange(width) < torch.tensor([[len(row)] for row in rows])
    states = torch.cat(
        [
            model[0].model(input_ids=part, attention_mask=kept.long()).last_hidden_state
            for part, kept in zip(torch.split(ids, 8), torch.split(mask, 8), strict=True)
        ]
    )
    return center(states, mask) * mask[:, :, None], uniform_marginals(mask)


def synthetic(problems: int, low: int, high: int, seed: int = 0) -> Clouds:
    """Clouds for the smoke test: shared directions and noise."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(problems, high, 32, generator=generator)
    y = x + torch.randn(x.shape, generator=generator)
    mask = torch.arange(high) < torch.randint(low, high + 1, (problems, 1), generator=generator)
    return x, y, uniform_marginals(mask), uniform_marginals(mask)


def step(clouds: Clouds, value_of: Value) -> None:
    """One forward and backward pass from the states through the cost."""
    x, y, a, b = clouds
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    torch.autograd.backward(value_of(pairwise_cost(x, y), a, b).sum())


def step_from(costs: Tensor, clouds: Clouds, value_of: Value) -> None:
    """One forward and backward pass from given costs: the solver without the product required by any solver."""
    torch.autograd.backward(value_of(costs.clone().requires_grad_(), *clouds[2:]).sum())


def ratios(runs: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Minimum CPU seconds of each run, one after the other in every round."""
    # The first round warms up.
    return {name: min(seconds) for name, seconds in interleaved(runs, repeats + 1).items()}


def ot_batch(epsilon: float, tol: float, gradient: str) -> Value:
    """Return POT's own batched solver, with its own envelope gradient or detached with the plan as gradient."""

    def value(cost: Tensor, a: Tensor, b: Tensor) -> Tensor:
        solved = ot.batch.solve_batch(  # type: ignore[no-untyped-call]
            cost, epsilon, a, b, max_iter=100_000, tol=tol, method="log_sinkhorn", grad=gradient
        )
        found: Tensor = solved.value if gradient == "envelope" else (solved.plan * cost).sum((1, 2))
        return found

    return value


def peer_tolerance(clouds: Clouds, epsilon: float) -> float:
    """Loosest L2 bound, in steps of a fifth, with which every plan of POT is within ``TOL`` in L1."""
    x, y, a, b = clouds
    tol = TOL
    while True:
        plan = ot.batch.solve_batch(  # type: ignore[no-untyped-call]
            pairwise_cost(x, y), epsilon, a, b, max_iter=100_000, tol=tol, method="log_sinkhorn", grad="detach"
        ).plan
        errors = torch.maximum((plan.sum(2) - a).abs().sum(1), (plan.sum(1) - b).abs().sum(1))
        if float(errors.max()) <= TOL or tol < TOL / 100:
            return tol
        tol *= 0.8


def ot_solve_loop(epsilon: float, relaxation: float) -> Value:
    """Return a loop of ``ot.solve`` with KL-relaxed marginals; the gradient is of the linear part at a fixed plan."""

    def value(cost: Tensor, a: Tensor, b: Tensor) -> Tensor:
        values = []
        for row in range(len(cost)):
            real = cost[row][a[row] > 0][:, b[row] > 0]
            masses = a[row][a[row] > 0], b[row][b[row] > 0]
            with torch.no_grad():
                plan = ot.solve(  # type: ignore[no-untyped-call]
                    real.detach(), *masses, reg=epsilon, unbalanced=relaxation, max_iter=20_000, tol=TOL
                ).plan
            values.append((plan * real).sum())
        return torch.stack(values)

    return value


def unrolled_plan(cost: Tensor, a: Tensor, b: Tensor, *, epsilon: float, steps: int) -> Tensor:
    """Run the plain iteration in log domain with every step recorded."""
    kernel = -cost / epsilon
    log_a, log_b = a.log().clamp_min(-1e4), b.log().clamp_min(-1e4)
    v = torch.zeros_like(b)
    for _ in range(steps):
        u = -torch.logsumexp(kernel + (v + log_b)[:, None, :], 2)
        v = -torch.logsumexp(kernel + (u + log_a)[:, :, None], 1)
    return (kernel + (u + log_a)[:, :, None] + (v + log_b)[:, None, :]).exp()


def plain_iterations(clouds: Clouds, epsilon: float) -> int:
    """Count the steps of the plain iteration until the worst problem meets the tolerance."""
    x, y, a, b = clouds
    result = solve(pairwise_cost(x, y), a, b, epsilon=epsilon, backend="pot", tol=TOL, max_iter=20_000)
    return int(result.iterations.max())


def speed(clouds_of: Callable[[int, str], Clouds], repeats: int, *, smoke: bool) -> list[dict[str, Any]]:
    """Every timed figure; of each kind the first one only, if ``smoke``."""
    count = 1 if smoke else None
    figures = []
    for name, (epsilon, problems, length, goal) in list(BALANCED.items())[:count]:
        clouds = clouds_of(problems, length)
        tol = peer_tolerance(clouds, epsilon)
        seconds = ratios(
            {
                "otembed": lambda c=clouds, e=epsilon: step(  # type: ignore[misc]
                    c, lambda *problem: sinkhorn(*problem, epsilon=e, tol=TOL).value
                ),
                "ot.batch, its envelope": lambda c=clouds, e=epsilon, t=tol: step(c, ot_batch(e, t, "envelope")),  # type: ignore[misc]
                "ot.batch, detached": lambda c=clouds, e=epsilon, t=tol: step(c, ot_batch(e, t, "detach")),  # type: ignore[misc]
                "cost alone": lambda c=clouds: step(c, lambda cost, a, b: cost.sum((1, 2))),  # type: ignore[misc]
            },
            repeats,
        )
        figures.append(figure("balanced", name, seconds, "ot.batch, its envelope", goal))
    clouds = clouds_of(32, "short")
    costs = pairwise_cost(*clouds[:2])
    for epsilon, wanted in list(UNBALANCED.items())[:count]:
        solvers: dict[str, Value] = {
            "otembed": lambda *problem, e=epsilon: sinkhorn(*problem, epsilon=e, relaxation=0.2, tol=TOL).value,
            "loop of ot.solve": ot_solve_loop(epsilon, 0.2),
            "cost alone": lambda cost, a, b: cost.sum((1, 2)),
        }
        name = f"KL-unbalanced, relaxation .2, B=32, epsilon {epsilon:g}"
        seconds = ratios({each: lambda v=value: step(clouds, v) for each, value in solvers.items()}, repeats)  # type: ignore[misc]
        figures.append(figure("unbalanced", name, seconds, "loop of ot.solve", wanted))
        del solvers["cost alone"]
        seconds = ratios(
            {each: lambda v=value: step_from(costs, clouds, v) for each, value in solvers.items()},  # type: ignore[misc]
            repeats,
        )
        figures.append(figure("unbalanced", f"{name}, costs given", seconds, "loop of ot.solve", COSTS_GIVEN))
    for epsilon, goal in list(PLAN_GRADIENTS.items())[:count]:
        steps = plain_iterations(clouds, epsilon)
        seconds = ratios(
            {
                "otembed": lambda e=epsilon: step(  # type: ignore[misc]
                    clouds,
                    lambda *problem: (solve(*problem, epsilon=e, tol=TOL, plan_gradients=True).plan ** 2).sum(
                        (1, 2)
                    ),
                ),
                "unrolled": lambda e=epsilon, n=steps: step(  # type: ignore[misc]
                    clouds, lambda *problem: (unrolled_plan(*problem, epsilon=e, steps=n) ** 2).sum((1, 2))
                ),
            },
            max(1, repeats // 2),
        )
        name = f"gradient of the plan, B=32, epsilon {epsilon:g} ({steps} steps)"
        figures.append(figure("plan gradients", name, seconds, "unrolled", goal))
    return figures


def figure(kind: str, name: str, seconds: dict[str, float], peer: str, goal: float | None) -> dict[str, Any]:
    """One row of the result; the ratio is to ``peer``. A row without a goal is only measured."""
    ratio = seconds[peer] / seconds["otembed"]
    rounded = {each: round(value, 5) for each, value in seconds.items()}
    return {
        "kind": kind,
        "name": name,
        "cpu_seconds": rounded,
        "peer": peer,
        "ratio": round(ratio, 2),
        "goal": goal,
        "met": None if goal is None else ratio >= goal,
    }


def accuracy(clouds: Clouds, epsilons: tuple[float, ...]) -> list[dict[str, Any]]:
    """Largest difference between a cell of a plan and POT's converged plan."""
    x, y, a, b = clouds
    rows = []
    for epsilon in epsilons:
        expected = np.zeros((len(a), a.shape[1], b.shape[1]))
        cost64 = pairwise_cost(x.double(), y.double())
        a64, b64 = (masses.double() / masses.double().sum(1, keepdim=True) for masses in (a, b))
        for row in range(len(a)):
            cells = np.ix_((a[row] > 0).numpy(), (b[row] > 0).numpy())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                expected[row][cells] = ot.bregman.sinkhorn_log(  # type: ignore[no-untyped-call]
                    a64[row][a64[row] > 0].numpy(),
                    b64[row][b64[row] > 0].numpy(),
                    cost64[row].numpy()[cells],
                    epsilon,
                    numItermax=100_000,
                    stopThr=1e-12,
                )
        for name, goal, plan in (
            (
                "float64, tolerance 1e-9",
                1e-6,
                sinkhorn(cost64, a64, b64, epsilon=epsilon, tol=1e-9, max_iter=100_000),
            ),
            ("float32, tolerance 1e-4", 1e-3, sinkhorn(pairwise_cost(x, y), a, b, epsilon=epsilon, tol=TOL)),
        ):
            error = float(np.abs(plan.plan.double().numpy() - expected).max())
            rows.append(
                {"name": f"{name}, epsilon {epsilon:g}", "error": error, "goal": goal, "met": error <= goal}
            )
    return rows


def memory(smoke: bool) -> list[dict[str, Any]]:
    """Peak memory of a step, and of the cost product and its gradient alone, each in a separate process."""
    size = "8" if smoke else "512"
    alone = _peak(size, "none")
    rows = []
    for epsilon in EPSILONS[: 1 if smoke else None]:
        peak = _peak(size, str(epsilon))
        rows.append(
            {
                "name": f"epsilon {epsilon:g}, B={size}, 64 x 64 x 384",
                "megabytes": round(peak / 2**20, 1),
                "cost_alone_megabytes": round(alone / 2**20, 1),
                "ratio": round(peak / alone, 3),
                "goal": MEMORY_GOAL,
                "met": peak <= MEMORY_GOAL * alone,
            }
        )
    return rows


def _peak(size: str, epsilon: str) -> int:
    output = subprocess.run(
        [sys.executable, __file__, "--peak", size, epsilon], check=True, capture_output=True, text=True
    )
    return int(output.stdout)


def print_peak(size: int, epsilon: str) -> None:
    """Print the maximum growth of this process's resident memory over one step, in bytes."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)

    def clouds(problems: int) -> Clouds:
        x = torch.randn(problems, 64, 384, generator=generator)
        masses = torch.full((problems, 64), 1 / 64)
        return x, x + 2 * torch.randn(x.shape, generator=generator), masses, masses

    def value(cost: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return (
            (cost * cost.detach()).sum()
            if epsilon == "none"
            else sinkhorn(cost, a, b, epsilon=float(epsilon)).value
        )

    step(clouds(2), value)
    inputs = clouds(size)
    print(growth(step, inputs, value)[1])  # noqa: T201


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    torch.set_num_threads(1)
    lengths = {"short": (6, 32), "long": (128, 256)}
    kept: dict[tuple[int, str], Clouds] = {}

    def clouds_of(problems: int, length: str) -> Clouds:
        if (problems, length) not in kept:
            low, high = lengths[length]
            kept[problems, length] = (
                synthetic(min(problems, 4), 4, 8)
                if options.smoke
                else encode(options.pairs, options.model, problems, low, high)
            )
        return kept[problems, length]

    return {
        **head(__doc__),
        "settings": {"model": options.model, "tol": TOL, "repeats": options.repeats, "threads": 1},
        "speed": speed(clouds_of, options.repeats, smoke=options.smoke),
        "accuracy": accuracy(clouds_of(32, "short"), EPSILONS[: 1 if options.smoke else None]),
        "memory": memory(options.smoke),
    }


def table(document: dict[str, Any]) -> str:
    """Render the document as three Markdown tables."""
    steps = []
    for each in document["speed"]:
        seconds = each["cpu_seconds"]
        for peer in seconds:
            if peer != "otembed":
                own, other = seconds["otembed"], seconds[peer]
                goal = str(each["goal"] or "") if peer == each["peer"] else ""
                steps.append(
                    (each["name"], f"{1e3 * own:.1f}", peer, f"{1e3 * other:.1f}", f"{other / own:.2f}", goal)
                )
    errors = [(each["name"], f"{each['error']:.1e}", f"{each['goal']:.0e}") for each in document["accuracy"]]
    peaks = [
        (
            each["name"],
            *(str(each[key]) for key in ("megabytes", "cost_alone_megabytes")),
            f"{each['ratio']:.3f}",
            str(each["goal"]),
        )
        for each in document["memory"]
    ]
    heading = ("forward and backward", "otembed, ms", "peer", "peer, ms", "ratio", "goal")
    tables = (
        Table(heading, steps, align="lrlrrr"),
        Table(("largest difference to POT's plan", "error", "goal"), errors),
        Table(("peak memory of a step", "MB", "cost alone, MB", "ratio", "goal"), peaks),
    )
    return "\n".join(each.markdown() for each in tables)


def main() -> None:
    """Parse the command line."""
    parser = command_line(__doc__, "transport")
    parser.add_argument("--pairs", metavar="XX-YY=FILE", help="parallel text for the token states")
    parser.add_argument("--model", default="offline:multilingual-e5-small")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--smoke", action="store_true", help="tiny synthetic clouds, seconds")
    parser.add_argument("--peak", nargs=2, metavar=("B", "EPSILON"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print_peak(int(options.peak[0]), options.peak[1])
        return
    if not (options.table or options.smoke or options.pairs):
        parser.error("--pairs XX-YY=FILE is required")
    document = read_document(options.table) if options.table else write_document(options.output, run(options))
    print(table(document))  # noqa: T201


if __name__ == "__main__":
    main()
