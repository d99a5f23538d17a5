"""Starts groups of processes as torchrun does, for tests: by its elastic agent, which restarts who died.

One process imports PyTorch, and the agent's workers are forked from it: a group then starts in a tenth of a second, not
in seconds. It reads jobs from its standard input, a line of JSON each, and answers with a line each: what every rank
returned, or what went wrong. ``Launcher`` is the other end.
"""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


class Launcher:
    """Runs functions of a module of tests in groups of processes."""

    def __init__(self, module):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path])}
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, __file__, module],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment,
        )  # fmt: skip

    def __call__(self, function, n_ranks, *arguments, max_restarts=0):
        """What the function, known by its name, returns on each rank."""
        job = dict(function=function.__name__, n_ranks=n_ranks, arguments=arguments, max_restarts=max_restarts)
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer or "error" in json.loads(answer):
            self.log.seek(0)
            raise RuntimeError(f"{answer}\n{self.log.read()[-5000:]}")
        return json.loads(answer)["ranks"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


def serve(module):
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    importlib.import_module("torch._dynamo")  # which the first optimizer imports, in every process, if it is not there
    functions = importlib.import_module(module)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what workers print is no answer
    for number, line in enumerate(sys.stdin):
        job = json.loads(line)
        config = LaunchConfig(
            min_nodes=1, max_nodes=1, nproc_per_node=job["n_ranks"], max_restarts=job["max_restarts"],
            run_id=f"{os.getpid()}-{number}", rdzv_backend="c10d", rdzv_endpoint="localhost:0",
            start_method="fork", monitor_interval=0.02,
        )  # fmt: skip
        try:
            with contextlib.redirect_stdout(sys.stderr):
                returned = elastic_launch(config, getattr(functions, job["function"]))(*job["arguments"])
            answer = {"ranks": [returned[rank] for rank in range(job["n_ranks"])]}
        except ChildFailedError as error:
            answer = {"error": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
