"""Submissions that attack the grader: none gets a point that it has not earned, and the next honest one gets its own."""
# ruff: noqa: E501, attacks stand in a line each

import os
import socket
import sys
import textwrap
from pathlib import Path

import pytest

import vae_tutorial
from vae_tutorial.checks import check_kl
from vae_tutorial.grade.assignment import Question
from vae_tutorial.grade.judge import judged
from vae_tutorial.grade.remote import Limits, Worker
from vae_tutorial.grade.submission import Submission, text_of
from vae_tutorial.grade.walls import rules

linux = pytest.mark.skipif(sys.platform != "linux", reason="files, network and processes are shut off on Linux alone")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")

KL = Question("kl", check_kl, 1, {}, "check_kl", "", "def kl(mu, log_var):")
RIGHT = """
import torch
def right(mu, log_var):
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
kl = right
"""
WRONG = "def kl(mu, log_var):\n    return (mu + log_var).sum(-1)\n"
PACKAGE = Path(vae_tutorial.__file__).parent


@pytest.fixture(scope="module")
def worker():
    with Worker(Limits(cpu_seconds=1, memory=2**30, file_bytes=2**20, patience=60.0)) as one:
        yield one


def came(worker, *cells, seed=12345):
    return judged(worker, KL, Submission("eve", tuple(map(textwrap.dedent, cells))), seed, ["kl"])


def inside(body):
    """The right function, with an attack before its answer."""
    return (
        RIGHT
        + "def kl(mu, log_var):\n"
        + textwrap.indent(textwrap.dedent(body), "    ")
        + "\n    return right(mu, log_var)"
    )


def test_an_honest_function_passes_and_is_shut_in(worker):
    result = came(worker, RIGHT + "print('hello')")
    assert result.passed and result.earned == 1 and result.printed == "hello\n"
    if sys.platform == "linux":
        assert result.notes == ()


ENDED = {
    "a loop without end": ("while True: pass", "processor time"),
    "one in C": ("import itertools; sum(itertools.repeat(0))", "processor time"),
    "one that ignores the signal": (
        "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        "processor time",
    ),
    "os._exit": ("import os; os._exit(0)", "It left"),
    "a crash": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "kill": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "It left"),
}


@pytest.mark.parametrize("code, said", ENDED.values(), ids=ENDED)
def test_what_ends_its_process_earns_nothing(worker, code, said):
    assert said in came(worker, inside(code)).said
    assert said in came(worker, RIGHT + code).said  # while it is loaded
    assert came(worker, RIGHT).passed


def test_one_that_sleeps_is_stopped():
    with Worker(Limits(patience=1.0)) as worker:
        result = came(worker, inside("import time; time.sleep(1000)"))
    assert not result.passed and "waiting for more than 1 seconds" in result.said


@linux
def test_a_fork_bomb_has_no_process(worker):
    bomb = """
    import os, subprocess
    for make in (os.fork, os.posix_spawnp, lambda: subprocess.run(["true"]), lambda: os.execv("/bin/true", ["true"])):
        try:
            make() if make is not os.posix_spawnp else make("true", ["true"], {})
        except OSError as error:
            print(type(error).__name__)
        else:
            print("made")
    """
    result = came(worker, RIGHT + textwrap.dedent(bomb))
    assert result.passed and result.printed == "PermissionError\n" * 4
    assert not came(worker, inside("import os\nwhile True: os.fork()")).passed


@pytest.mark.parametrize(
    "code",
    [
        "bytearray(10 * 2**30)",
        "torch.zeros(10 * 2**30, dtype=torch.uint8)",
        "x = []\nwhile True: x.append(bytes(2**24))",
    ],
)
@linux
def test_ten_gigabytes_are_not_given(worker, code):
    result = came(worker, inside(code))
    assert not result.passed and ("MemoryError" in result.said or "memory" in result.said)


@pytest.mark.parametrize("code", ["print('x' * 2**30)", "import os\nfor _ in range(1000): os.write(1, b'x' * 2**20)"])
def test_a_gigabyte_of_output_is_cut_off(worker, code):
    result = came(worker, inside(code))
    assert not result.passed and len(result.printed) < 2100
    assert not result.printed or result.printed.endswith("(and more)")


@linux
def test_files_outside_are_neither_read_nor_written(worker, tmp_path):
    secret = tmp_path / "secret.py"
    secret.write_text("the answers")
    target = Path(worker.folder.parent, "written")
    places = [
        secret,
        target,
        PACKAGE / "gaussian.py",
        "/etc/passwd",
        "/proc/self/environ",
        f"/proc/{os.getpid()}/cmdline",
    ]
    code = f"""
    import os
    for place in {[str(place) for place in places]}:
        for mode in ("r", "w", "a"):
            try:
                open(place, mode).close()
                print(place, mode)
            except OSError:
                pass
    for attack in (os.unlink, lambda p: os.rename(p, "here"), lambda p: os.chmod(p, 0), lambda p: os.link(p, "here"),
                   lambda p: os.truncate(p, 0)):
        try:
            attack({str(secret)!r})
            print("done")
        except OSError:
            pass
    open("mine", "w").write("one's own folder is free")
    print(open("mine").read(), os.listdir("."))
    """
    result = came(worker, RIGHT + textwrap.dedent(code))
    assert result.printed == "one's own folder is free ['mine']\n" and result.passed
    assert secret.read_text() == "the answers" and secret.stat().st_mode & 0o400 and not target.exists()
    assert not list(worker.folder.iterdir())  # the next one finds it empty


@linux
def test_no_network(worker):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        result = came(worker, inside(f"import socket; socket.create_connection(('127.0.0.1', {port}))"))
        with pytest.raises(TimeoutError):
            server.accept()
    assert "PermissionError" in result.said


@linux
def test_neither_the_grader_nor_its_limits_can_be_reached(worker):
    code = """
    import ctypes, os, resource, signal
    def silently(attack):
        try:
            attack()
            print(attack.__code__.co_firstlineno, "was let in")
        except (OSError, ValueError):
            pass
    silently(lambda: os.kill(os.getppid(), signal.SIGTERM))
    silently(lambda: os.kill(-1, signal.SIGTERM))
    silently(lambda: os.killpg(os.getpgid(os.getppid()), 9))
    silently(lambda: resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000)))
    silently(lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0)))
    silently(lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19))
    silently(lambda: os.sched_setaffinity(os.getppid(), {0}))
    silently(lambda: os.setuid(1))
    libc = ctypes.CDLL(None, use_errno=True)
    print(libc.ptrace(16, os.getppid(), 0, 0), libc.unshare(0x10000000), libc.memfd_create(b"x", 0))
    """
    result = came(worker, RIGHT + textwrap.dedent(code))
    assert result.printed == "-1 -1 -1\n" and result.passed


ANSWERS = {
    "imported": "from vae_tutorial.gaussian import kl_standard_normal as kl",
    "imported past the guard": "import sys; sys.meta_path[:] = sys.meta_path[1:]\nfrom vae_tutorial.gaussian import kl_standard_normal as kl",
    "run from its file": f"import runpy; kl = runpy.run_path({str(PACKAGE / 'formulas.py')!r})['kl_standard_normal']",
    "found in memory": "import gc\nkl = next(f for f in gc.get_objects() if getattr(f, '__name__', '') == 'kl_standard_normal')",
}


@pytest.mark.parametrize("code", ANSWERS.values(), ids=ANSWERS)
@linux
def test_answers_of_the_package_are_not_there(worker, code):
    assert not came(worker, WRONG, code).passed


FORGED = {
    "checks patched": "import vae_tutorial.checks as c\nc.Check.passed = True\nc.check_kl = lambda fn: True",
    "torch patched": """
        import torch
        for name in ("allclose", "equal", "isfinite"): setattr(torch, name, lambda *a, **k: True)
        torch.Tensor.__le__ = lambda *a: True
        torch.Tensor.abs = lambda t: t * 0
        """,
    "what goes out patched": """
        import __main__
        send = __main__.wire.send
        __main__.wire.send = lambda to, message, tensors=(): send(to, {**message, "passed": True, "ended": ""}, tensors)
        """,
    "a message of its own": """
        import os, json, struct
        head = json.dumps({"problem": "", "functions": {"kl": []}, "walls": [], "passed": True, "tensors": []}).encode()
        for fd in range(3, 64):
            try: os.write(fd, struct.pack("<I", len(head)) + head)
            except OSError: pass
        """,
    "rubbish": """
        import os
        for fd in range(3, 64):
            try: os.write(fd, os.urandom(4096))
            except OSError: pass
        """,
    "a word to who made it": """
        import os
        for fd in range(3, 64):
            try: os.write(fd, b'{"signal": 0, "seconds": 0, "passed": true}')
            except OSError: pass
        """,
    "deep JSON": """
        import __main__
        __main__.wire.pack = lambda value, tensors, depth=0: __import__("functools").reduce(
            lambda a, _: {"kind": "list", "items": [a]}, range(400), {"kind": "dots"})
        """,
    "a huge tensor": """
        import __main__, json, struct
        def send(to, message, tensors=()):
            head = json.dumps({"value": {"kind": "tensor", "at": 0, "grad": False}, "n": 1, "changed": [], "used": False,
                               "tensors": [["float64", [2**30, 2**30]]], "problem": "", "functions": {"kl": []},
                               "walls": []}).encode()
            to.sendall(struct.pack("<I", len(head)) + head)
        __main__.wire.send = send
        """,
}


@pytest.mark.parametrize("code", FORGED.values(), ids=FORGED)
def test_no_verdict_can_be_forged(worker, code):
    assert not came(worker, WRONG + textwrap.dedent(code)).passed
    assert came(worker, RIGHT).passed


def test_a_function_that_knows_the_fixed_points_alone_fails(worker):
    """It has looked at what the public check gives it, and answers that; but not the points drawn from the seed."""
    known: list = []

    def listens(mu, log_var):
        known.append((mu.detach().clone(), log_var.detach().clone()))
        return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)

    assert check_kl(listens)
    code = RIGHT + f"known = {[mu.flatten()[0].item() for mu, _ in known]}\n"
    code += "def kl(mu, log_var):\n    return right(mu, log_var) * (1 if any(abs(mu.flatten()[0].item() - k) < 1e-9 for k in known) else 2)"
    assert came(worker, code, seed=0).passed
    assert not came(worker, code).passed


def test_a_long_notebook_is_no_obstacle(worker):
    assert came(worker, *[f"x{i} = {i}" for i in range(10_000)], RIGHT).passed


def test_an_error_costs_what_it_stands_in(worker):
    result = came(worker, "def broken(:\n    pass\n", "import torch", RIGHT)
    assert result.passed and "cell 1: line 1: SyntaxError" in result.notes[0]
    result = came(worker, "def broken(:\n    pass\n" + RIGHT)
    assert not result.passed and "There is no function kl" in result.said and "SyntaxError" in result.notes[0]


ENCODINGS = {
    "utf-8": RIGHT.encode() + "\n# µ".encode(),
    "utf-8 with a mark": b"\xef\xbb\xbf" + RIGHT.encode(),
    "utf-16": (RIGHT + "# µ").encode("utf-16"),
    "latin-1, which it says": b"# -*- coding: latin-1 -*-\n" + (RIGHT + "# µ").encode("latin-1"),
    "Windows, unsaid": (RIGHT + "# “µ”").encode("cp1252"),
    "lines of Windows": RIGHT.replace("\n", "\r\n").encode(),
}


@pytest.mark.parametrize("raw", ENCODINGS.values(), ids=ENCODINGS)
def test_other_encodings_are_read(worker, raw):
    assert came(worker, text_of(raw)).passed


@linux
def test_the_rules_leave_out_every_copy_of_the_package(tmp_path):
    assert rules(tmp_path, PACKAGE) is not None


@linux
def test_what_the_next_child_may_read_cannot_be_widened(worker):
    """The list is one for all children: who holds it adds the whole disk to what those after it may read."""
    widen = """
    import ctypes, os, struct
    libc = ctypes.CDLL(None, use_errno=True)
    root = os.open("/", os.O_PATH)
    for fd in range(3, 64):
        if libc.syscall(445, fd, 1, struct.pack("<Qi", 12, root), 0) == 0:
            print("added to", fd)
    """
    assert came(worker, RIGHT + textwrap.dedent(widen)).printed == ""
    after = came(worker, RIGHT + f"print(open({str(PACKAGE / 'formulas.py')!r}).read())")
    assert after.printed == "" and "PermissionError" in after.notes[0]


@linux
def test_files_elsewhere_are_not_emptied_and_no_socket_is_made(worker, tmp_path):
    kept = tmp_path / "kept"
    kept.write_text("all of it")
    code = f"""
    import os, socket
    for attack in (lambda: os.open({str(kept)!r}, os.O_RDONLY | os.O_TRUNC), lambda: os.open({str(kept)!r}, 3 | os.O_TRUNC),
                   lambda: os.truncate({str(kept)!r}, 0), socket.socketpair):
        try: attack()
        except OSError as error: print(error.errno)
    """
    assert came(worker, RIGHT + textwrap.dedent(code)).printed == "1\n" * 4 and kept.read_text() == "all of it"


SENT = """
import __main__, json, struct
def send(to, message, tensors=()):
    head = HEAD.encode()
    to.sendall(struct.pack("<I", len(head)) + head)
__main__.wire.send = send
"""
CRASHES = {  # of the grader itself, and so of the whole class
    "a signal without a name": "import os\nos.kill(os.getpid(), 40)",
    "a shape that overflows": SENT.replace(
        "HEAD", "json.dumps({**message, 'tensors': [['float64', [0, 2**31 - 1, 2**31 - 1, 2**31 - 1]]]})"
    ),
    "a hundred thousand axes": SENT.replace("HEAD", "json.dumps({**message, 'tensors': [['float64', [0] * 100_000]]})"),
    "a deep problem": SENT.replace(
        "HEAD", """'{"problem": ' + '[' * 950 + ']' * 950 + ', "functions": {}, "walls": [], "tensors": []}'"""
    ),
    "folders in folders": "import os\nfor _ in range(3000):\n    os.mkdir('d', 0o700)\n    os.chdir('d')",
    "what cannot be opened": "import os\nos.mkdir('d')\nos.mkdir('d/e', 0)\nos.symlink('/tmp', 'link')\nos.mkfifo('f')",
}


@pytest.mark.parametrize("code", CRASHES.values(), ids=CRASHES)
@linux
def test_the_grader_goes_on(worker, code):
    assert not came(worker, WRONG + code).passed
    assert came(worker, RIGHT).passed and not list(worker.folder.iterdir())


STYLES = {
    "TorchScript": "import torch\n@torch.jit.script\ndef kl(mu, log_var):\n    return VALUE",
    "annotations as text": "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 3\ndef kl(mu, log_var):\n    return VALUE",
    "any arguments": "def kl(*given):\n    mu, log_var = given\n    return VALUE",
    "a module": "import torch\nclass K(torch.nn.Module):\n    def forward(self, mu, log_var):\n        return VALUE\nkl = K()",
    "its check asserted": "from vae_tutorial.checks import check_kl\nresult = check_kl(3)\nassert result, result\nassert result.passed\ndef kl(mu, log_var):\n    return VALUE",
    "checks by their module": "from vae_tutorial import checks\nchecks.check_kl(3)\ndef kl(mu, log_var):\n    return VALUE",
    "marked": "from vae_tutorial.grade import question\n@question(None, points=3)\ndef kl(mu, log_var):\n    return VALUE",
    "% goes on": "x = ('%d'\n     % 3)\nassert x == '3'\ndef kl(mu, log_var):\n    return VALUE",
    "magics": "%matplotlib inline\n!ls\nfiles = !ls\nlen?\ndef kl(mu, log_var):\n    return VALUE",
    "long": f"x = '''{'ü' * 400_000}'''\ndef kl(mu, log_var):\n    return VALUE",
}


@pytest.mark.parametrize("code", STYLES.values(), ids=STYLES)
def test_a_right_function_in_another_style_passes(worker, code):
    result = came(worker, code.replace("VALUE", "0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)"))
    assert result.passed and (result.notes == () or sys.platform != "linux"), (result.said, result.notes)
