"""How long a class takes: 300 submissions of six functions on two cores, hostile ones and slips among them.

    python benchmarks/grading.py --out benchmarks/results/grading.json [--submissions 300] [--jobs 2]

The classmates are written by a seed: most functions are right, one in six has a slip, and of every fifty submissions
one attacks the grader. Recorded are the seconds that passed, the processor time, the load of the machine meanwhile, and
what became of right, wrong and hostile functions: every right one must have its points, and no other any.
"""

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from recording import provenance

from vae_tutorial.grade.remote import Limits
from vae_tutorial.grade.submission import Submission
from vae_tutorial.grade.whole_class import Bar, Task, grade_all

ASSIGNMENT = '''"""Six functions."""
import math
import torch
from vae_tutorial.checks import (
    check_elbo, check_iwae_bound, check_kl, check_log_bernoulli, check_log_normal, check_reparameterize
)
from vae_tutorial.grade import question

@question(check_kl)
def kl(mu, log_var): pass

@question(check_log_normal)
def log_normal(x, mu, log_var): pass

@question(check_log_bernoulli)
def log_bernoulli(x, logits): pass

@question(check_reparameterize)
def sample(mu, log_var, eps): pass

@question(check_elbo)
def elbo(model, x, eps): pass

@question(check_iwae_bound)
def bound(log_w): pass
'''

RIGHT = {
    "kl": "def kl(mu, log_var):\n    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)\n",
    "log_normal": "def log_normal(x, mu, log_var):\n"
    "    return -0.5 * (math.log(2 * math.pi) + log_var + (x - mu)**2 / log_var.exp()).sum(-1)\n",
    "log_bernoulli": "def log_bernoulli(x, logits):\n"
    "    return (x * logits - torch.nn.functional.softplus(logits)).sum(-1)\n",
    "sample": "def sample(mu, log_var, eps):\n    return mu + torch.exp(0.5 * log_var) * eps\n",
    "elbo": "def elbo(model, x, eps):\n    mu, log_var = model.encode(x)\n    z = mu + torch.exp(0.5 * log_var) * eps\n"
    "    return model.log_likelihood(x, z).mean(0) - 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)\n",
    "bound": "def bound(log_w):\n    return torch.logsumexp(log_w, 0) - math.log(len(log_w))\n",
}
SLIPS = [
    (".sum(-1)", ".mean(-1)"),
    ("0.5 * ", ""),
    ("- 1 ", ""),
    ("log_var.exp()", "(0.5 * log_var).exp()"),
    ("len(log_w)", "2"),
]
HOSTILE = [
    "while True: pass",
    "import os; os._exit(0)",
    "import time; time.sleep(10**6)",
    "x = bytearray(10 * 2**30)",
    "print('x' * 2**30)",
    "import os\n    while True: os.fork()",
]


def classmates(n: int) -> tuple[list[Submission], list[dict[str, str]]]:
    """The submissions, and of each function whether it is right, wrong or hostile."""
    choose = random.Random(0)
    submissions, kinds = [], []
    for i in range(n):
        attack = HOSTILE[i // 50 % len(HOSTILE)] if i % 50 == 25 else ""
        kind, parts = {}, ["import math\nimport torch\n"]
        for j, (name, source) in enumerate(RIGHT.items()):
            kind[name] = "right"
            fitting = [slip for slip in SLIPS if slip[0] in source]
            if attack and j == 0:
                kind[name] = "hostile"
                source = source.replace("\n", f"\n    {attack}\n", 1)
            elif choose.random() < 1 / 6 and fitting:
                kind[name] = "wrong"
                source = source.replace(*choose.choice(fitting))
            parts.append(source)
        submissions.append(Submission(f"student{i:03}", ("\n".join(parts),)))
        kinds.append(kind)
    return submissions, kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--submissions", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    submissions, kinds = classmates(options.submissions)
    code = provenance()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "six.py")
        path.write_text(ASSIGNMENT, encoding="utf-8")
        start = time.monotonic()
        limits = Limits(cpu_seconds=10, patience=60.0)
        graded = grade_all(Task(str(path), 20261130, limits), submissions, options.jobs, None, Bar(len(submissions)))
        seconds = time.monotonic() - start
    came: dict[str, dict[str, int]] = {}
    for one, kind in zip(graded, kinds, strict=True):
        for result in one.results:
            row = came.setdefault(kind[result.name], {"passed": 0, "failed": 0})
            row["passed" if result.passed else "failed"] += 1
            if result.passed != (kind[result.name] == "right"):
                print(one.student, result, file=sys.stderr)
    judging = resource.getrusage(resource.RUSAGE_CHILDREN)
    students = sum(result.seconds for one in graded for result in one.results)
    honest = max(
        r.seconds for one, kind in zip(graded, kinds, strict=True) for r in one.results if kind[r.name] == "right"
    )
    record = {
        "submissions": len(graded), "functions": len(RIGHT), "jobs": options.jobs, "seconds": round(seconds, 1),
        "processor_seconds": {
            "judging": round(judging.ru_utime + judging.ru_stime, 1), "students": round(students, 1),
            "longest_right_function": round(honest, 2),
        },
        "allowed_cpu_seconds": limits.cpu_seconds, "load_average": round(os.getloadavg()[1], 1), "came": came,
        **code,
    }  # fmt: skip
    options.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
