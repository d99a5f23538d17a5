"""Sets of arithmetic kernels: with them, this machine computes as other processors do.

PyTorch, oneDNN, MKL, OpenBLAS and NumPy choose their inner loops by the instructions that a processor has. Other loops
round otherwise, so that an output which is stable under all of these sets is likely to be so on another machine.
"""

import os
import platform
from collections.abc import Mapping

import numpy as np

ONE_THREAD = dict.fromkeys(["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"], "1")
TWO_THREADS = dict.fromkeys(ONE_THREAD, "2") | {"OMP_WAIT_POLICY": "passive"}  # they don't spin where others work
# A start-up file of IPython: NumPy prints its numbers as its first generation does.
NUMPY_1 = {"PYTHONSTARTUP": os.path.join(os.path.dirname(__file__), "print_as_numpy_1.py")}


def kernel_sets() -> dict[str, dict[str, str]]:
    """The environment of each set that this machine can run, by name; "native" is what it takes by itself."""
    sets = {"native": ONE_THREAD, "two threads": TWO_THREADS, "NumPy 1 printing": ONE_THREAD | NUMPY_1}
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return sets
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    found = [name for name in extensions.get("found", []) if name not in ("SSSE3", "SSE41", "POPCNT", "SSE42")]
    wide = [name for name in found if name.startswith("AVX512") or name == "X86_V4"]
    sets["no vectors"] = ONE_THREAD | named("default", "SSE41", "COMPATIBLE", "Nehalem", found)
    if {"AVX2", "X86_V3"} & {*found}:
        sets["AVX2"] = ONE_THREAD | named("avx2", "AVX2", "AVX2", "Haswell", wide)
    return sets


def named(aten: str, onednn: str, mkl: str, openblas: str, numpy_without: list[str]) -> dict[str, str]:
    """The variables by which each library is told its kernels."""
    return {
        "ATEN_CPU_CAPABILITY": aten,
        "ONEDNN_MAX_CPU_ISA": onednn,
        "MKL_CBWR": mkl,
        "OPENBLAS_CORETYPE": openblas,
        "NPY_DISABLE_CPU_FEATURES": " ".join(numpy_without),
    }


def turn(day: int, place: int, sets: Mapping[str, Mapping[str, str]]) -> str:
    """The name of the set whose turn it is on a day, for the notebook at this place: on each day another."""
    return list(sets)[(day + place) % len(sets)]
