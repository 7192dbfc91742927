#!/usr/bin/env python3
"""The training step of `benches/step.rs` in PyTorch: how long does it take there?

w_k <- w_k + (eta a_k / N) sum_i s_i 1[<w_k, x_i> >= 0] x_i,  s_i = y_i 1[y_i h(x_i) < 1],  h(x) = sum_k a_k ReLU(<w_k, x>)

on a fresh batch in every step: N examples of d0 features uniform on [0, 1], the first half of them times the label. In
three forms, each of which one would write: `in-place`, by hand into buffers that stay; `autograd`; `compile`, the step by
hand through torch.compile. Before anything is timed, each form's step must agree with NumPy's in double precision.

Writes JSON to standard output, for `verify bench-report --torch`; progress goes to standard error.
Needs PyTorch and NumPy; for `compile`, a C++ compiler.
"""

import argparse
import datetime
import json
import platform
import subprocess
import sys
import time

# N x d0 x m, as in benches/src/lib.rs.
SHAPES = ["2048x32x128", "2048x64x256", "2048x128x512", "1000x256x256", "4096x64x1024"]
FORMS = ["in-place", "autograd", "compile"]
# So small that no example leaves the hinge's linear part while it is measured; as in benches/step.rs.
RATE = 1e-6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", default="1,2", help="numbers of threads, with commas (1,2)")
    parser.add_argument("--shapes", default=",".join(SHAPES), help="N x d0 x m, with commas (those of benches/step.rs)")
    parser.add_argument("--forms", default=",".join(FORMS), help=f"with commas ({','.join(FORMS)})")
    parser.add_argument("--seconds", type=float, default=1.0, help="time to measure each for (1.0)")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    try:
        threads = [int(n) for n in args.threads.split(",")]
        shapes = [(shape, *map(int, shape.split("x"))) for shape in args.shapes.split(",")]
        forms = args.forms.split(",")
        if min(threads) < 1 or not all(len(s) == 4 and min(s[1:]) > 0 and s[2] > 1 for s in shapes) or set(forms) - set(FORMS):
            raise ValueError
    except ValueError:
        parser.error("threads must be like 1,2, shapes like 1000x256x256,4096x64x1024, forms of in-place,autograd,compile")
    try:
        import numpy  # noqa: F401
        import torch
    except ImportError as error:
        sys.exit(f"torch_step.py: {error}; install PyTorch and NumPy to measure them")
    if args.one:
        json.dump(measure(threads[0], shapes, forms, args.seconds), sys.stdout)
        return
    # A process for each number of threads: what torch.compile generates has the number in it.
    results = []
    for count in threads:
        command = [sys.executable, __file__, "--one", "--threads", str(count), "--shapes", args.shapes]
        command += ["--forms", args.forms, "--seconds", str(args.seconds)]
        child = subprocess.run(command, stdout=subprocess.PIPE)
        if child.returncode != 0:
            # It has said why.
            sys.exit(child.returncode)
        results += json.loads(child.stdout)
    report = {
        "schema_version": 1,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cpu": cpu_name(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "results": results,
    }
    json.dump(report, sys.stdout, indent=2)
    print()


def cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def measure(threads, shapes, forms, seconds):
    """Every form at every shape, first checked, then timed."""
    import torch

    torch.set_num_threads(threads)
    results = []
    for name, n, d0, m in shapes:
        makers = {"in-place": InPlace, "autograd": Autograd, "compile": Compiled}
        for form in forms:
            check(makers[form], form, n, d0, m)
            torch.manual_seed(1)
            a = (2.0 * torch.randint(0, 2, (m,)) - 1.0) / m
            step = makers[form](torch.randn(m, d0) / (4 * d0) ** 0.5, a, RATE, n)
            batch = Batch(n, d0)

            def advance():
                batch.draw()
                step.update(batch.x, batch.y)

            times = timed(advance, seconds)
            times.sort()
            low, high = median_ranks(len(times))
            middle = 0.5 * (times[(len(times) - 1) // 2] + times[len(times) // 2])
            results.append(
                {
                    "form": form,
                    "shape": name,
                    "threads": threads,
                    "median_seconds": middle,
                    "interval_seconds": [times[low], times[high]],
                    "steps": len(times),
                }
            )
            equivalent = 4 * n * d0 * m / middle / 1e9
            print(f"{name} {threads}t {form}: {1e3 * middle:.3f} ms, {equivalent:.0f} GFLOP/s", file=sys.stderr)
    return results


def timed(function, seconds):
    """Times of single calls over `seconds`, at least 30 of them, after a warm-up of half as long."""
    end = time.perf_counter() + 0.5 * seconds
    while time.perf_counter() < end:
        function()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 30:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return times


def median_ranks(count):
    """Ranks (from 0) of order statistics that hold the median with probability about 95 % (the normal approximation to
    the binomial distribution of how many lie below it)."""
    half = 1.96 * 0.5 * count**0.5
    return max(0, int(0.5 * count - half)), min(count - 1, int(0.5 * count + half) + 1)


class Batch:
    """A batch that is drawn anew into the same buffers."""

    def __init__(self, n, d0):
        import torch

        self.x, self.y, self.core = torch.empty(n, d0), torch.empty(n), d0 // 2

    def draw(self):
        self.x.uniform_()
        self.y.bernoulli_().mul_(2.0).sub_(1.0)
        self.x[:, : self.core].mul_(self.y[:, None])


class InPlace:
    """By hand, into buffers that stay. The signs go to the examples, of which there are fewer numbers than of activities; of
    the orders tried, it was the fastest."""

    def __init__(self, w, a, rate, n):
        import torch

        self.torch, self.w, self.a = torch, w.clone(), a
        self.scale = (rate / n * a)[:, None].clone()
        m, d0 = w.shape
        self.s, self.active = torch.empty(n, m), torch.empty(n, m)
        self.h, self.r, self.signed, self.g = torch.empty(n), torch.empty(n), torch.empty(n, d0), torch.empty(m, d0)

    def update(self, x, y):
        torch = self.torch
        torch.mm(x, self.w.t(), out=self.s)
        torch.ge(self.s, 0.0, out=self.active)
        self.s.clamp_(min=0.0)
        torch.mv(self.s, self.a, out=self.h)
        torch.mul(self.h.mul_(y) < 1.0, y, out=self.r)
        torch.mul(x, self.r[:, None], out=self.signed)
        torch.mm(self.active.t(), self.signed, out=self.g)
        self.w.addcmul_(self.g, self.scale)


class Autograd:
    """The loss as one writes it, its gradient by PyTorch."""

    def __init__(self, w, a, rate, _n):
        self.w, self.a, self.rate = w.clone().requires_grad_(), a, rate

    def update(self, x, y):
        import torch

        h = torch.relu(x @ self.w.t()) @ self.a
        torch.relu(1.0 - y * h).mean().backward()
        with torch.no_grad():
            self.w.sub_(self.w.grad, alpha=self.rate)
        self.w.grad = None


class Compiled:
    """By hand, as a function that torch.compile fuses."""

    def __init__(self, w, a, rate, n):
        import torch

        self.w, self.a, self.scale = w.clone(), a, (rate / n * a)[:, None].clone()

        def step(w, a, scale, x, y):
            s = x @ w.t()
            h = torch.relu(s) @ a
            r = torch.where(y * h < 1.0, y, 0.0)
            g = torch.where(s >= 0.0, r[:, None], 0.0).t() @ x
            w.add_(g * scale)

        self.step = torch.compile(step, dynamic=False)

    def update(self, x, y):
        self.step(self.w, self.a, self.scale, x, y)


def check(maker, form, n, d0, m):
    """One step must be NumPy's in double precision, up to roundings.

    With u the unit roundoff of single precision, a sum of K products is off by at most gamma_K = K u / (1 - K u) times
    the sum of their sizes (Higham 2002, section 3.1). An s nearer to 0, or a y h nearer to 1, than that may be counted either
    way; what it contributes is allowed for. The sum over examples is off by gamma_{N+4} of its terms' sizes (4: the factors).
    Weights are scaled so that the hinge is off for a quarter of the batch.
    """
    import numpy as np
    import torch

    def gamma(k):
        return k * 2.0**-24 / (1.0 - k * 2.0**-24)

    rate = 1.0
    torch.manual_seed(1)
    batch = Batch(n, d0)
    batch.draw()
    a = (2.0 * torch.randint(0, 2, (m,)) - 1.0) / m
    w = torch.randn(m, d0)
    x64, y64, a64 = (t.double().numpy() for t in (batch.x, batch.y, a))
    # h is homogeneous in the weights.
    outputs = y64 * (np.maximum(x64 @ w.double().numpy().T, 0.0) @ a64)
    w /= abs(float(np.quantile(outputs, 0.75)))
    w64 = w.double().numpy()
    s = x64 @ w64.T
    s_error = gamma(d0) * (np.abs(x64) @ np.abs(w64).T)
    h = np.maximum(s, 0.0) @ a64
    h_error = gamma(m + 1) * (np.abs(s) @ np.abs(a64)) + s_error @ np.abs(a64)
    r = np.where(y64 * h < 1.0, y64, 0.0)
    if not 0.05 < np.mean(r != 0.0) < 0.95:
        sys.exit(f"torch_step.py: the check at {n}x{d0}x{m} has the hinge on for {np.mean(r != 0.0):.0%} of the batch")
    scale = (rate / n * a64)[:, None]
    active = s >= 0.0
    want = w64 + scale * (np.where(active, r[:, None], 0.0).T @ x64)
    # What may be counted either way: the neuron's activity, or the hinge's where the neuron may be active.
    hinge_either = np.abs(y64 * h - 1.0) <= h_error
    either = np.abs(s) <= s_error
    doubtful = np.where(hinge_either[:, None], active | either, either & (r != 0.0)[:, None])
    terms = (active & (r != 0.0)[:, None]) | doubtful
    step_error = gamma(n + 4) * (terms.T.astype(float) @ np.abs(x64)) + doubtful.T.astype(float) @ np.abs(x64)
    bound = np.abs(scale) * step_error + gamma(1) * (np.abs(want) + np.abs(want - w64))

    step = maker(w, a, rate, n)
    step.update(batch.x, batch.y)
    error = np.abs(step.w.detach().double().numpy() - want)
    if not np.all(error <= bound):
        sys.exit(f"torch_step.py: {form} at {n}x{d0}x{m} is off by {np.max(error / bound):.1f} times what roundings allow")
    moved = np.abs(want - w64)
    if not np.median(moved) > 10.0 * np.median(bound):
        sys.exit(f"torch_step.py: the check at {n}x{d0}x{m} cannot see a step")


if __name__ == "__main__":
    main()
