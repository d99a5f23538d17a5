"""The package's surface: what its top level gives, what an import costs, and where former names lead."""

import importlib
import subprocess
import sys

import pytest

import vae_tutorial

FORMER = {"annealing": ["ais", "reverse_ais"], "evidence": ["Check", "agree", "exceeds"]}


def in_a_fresh_process(program: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", vae_tutorial.__all__)
def test_the_top_level_gives_what_everybody_needs(name):
    home = importlib.import_module(f"vae_tutorial.{vae_tutorial.HOME[name]}")
    assert getattr(vae_tutorial, name) is getattr(home, name)
    assert name in dir(vae_tutorial) and name in home.__dict__


def test_the_top_level_knows_no_other_name():
    assert sorted(vae_tutorial.__all__) == sorted(vae_tutorial.HOME)
    with pytest.raises(AttributeError, match="module 'vae_tutorial' has no attribute 'vae'"):
        vae_tutorial.vae  # noqa: B018


def test_importing_the_package_loads_nothing_else():
    heavy = in_a_fresh_process("import sys, vae_tutorial; print({'torch', 'numpy', 'matplotlib'} & set(sys.modules))")
    assert heavy == "set()\n"


def test_what_trains_and_checks_loads_no_matplotlib():
    program = (
        "import sys; from vae_tutorial import *; import vae_tutorial.checkpoints; print('matplotlib' in sys.modules)"
    )
    assert in_a_fresh_process(program) == "False\n"


@pytest.mark.parametrize("former", FORMER)
def test_a_former_name_leads_to_the_new_one_and_warns(former):
    sys.modules.pop(f"vae_tutorial.{former}", None)
    with pytest.warns(DeprecationWarning, match=f"vae_tutorial.{former} is now .* import .* from there") as caught:
        module = importlib.import_module(f"vae_tutorial.{former}")
    assert len(caught) == 1 and sorted(module.__all__) == sorted(FORMER[former])
    new = importlib.import_module("vae_tutorial.ais" if former == "annealing" else "vae_tutorial.checks")
    assert all(getattr(module, name) is getattr(new, name) for name in FORMER[former])
