"""What a student's code can reach: limits of the system and, on Linux, neither files, network nor processes.

The child loads this file by its path, without the package. Limits are those of `resource`. Files are closed by
Landlock (Linux 5.13), and system calls by a seccomp filter; both need no rights of the administrator and cannot be
taken off again. Where one is missing, the report says so.
"""

import ctypes
import os
import platform
import struct
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import resource

    LIBC = ctypes.CDLL(None, use_errno=True)
    LIBC.syscall.restype = ctypes.c_long


def limit(cpu_seconds: int, memory: int, file_bytes: int) -> None:
    """Limits on processor time, on memory beyond what there is now, and on the size of a file that is written."""
    pages = 0
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _set(resource.RLIMIT_AS, pages * resource.getpagesize() + memory)
    _set(resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1)
    _set(resource.RLIMIT_FSIZE, file_bytes)
    _set(resource.RLIMIT_NOFILE, 64)
    _set(resource.RLIMIT_CORE, 0)
    if sys.platform != "linux":
        _set(resource.RLIMIT_NPROC, 0)  # where no filter of system calls keeps it from making processes


def _set(what: int, soft: int, hard: int | None = None) -> None:
    _, most = resource.getrlimit(what)
    hard = soft if hard is None else hard
    hard = hard if most == resource.RLIM_INFINITY else min(hard, most)
    resource.setrlimit(what, (min(soft, hard), hard))


# Landlock: a list of what may be read, made once, and one folder to write to.

READ_FILE, READ_DIR, ALL_OF_VERSION_1 = 1 << 2, 1 << 3, (1 << 13) - 1
CREATE, ADD, RESTRICT = 444, 445, 446  # the same on every processor
NEEDED = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/dev/urandom")


def rules(writable: Path, forbidden: Path) -> int | None:
    """The file descriptor of a ruleset; None where there is no Landlock."""
    version = LIBC.syscall(CREATE, None, 0, 1) if sys.platform == "linux" else -1
    if version < 1:
        return None
    files = ALL_OF_VERSION_1 | (1 << 13 if version >= 2 else 0) | (1 << 14 if version >= 3 else 0)
    handled = struct.pack("<QQQ", files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)  # TCP; signals, sockets
    ruleset: int = LIBC.syscall(CREATE, handled, {1: 8, 2: 8, 3: 8, 4: 16, 5: 16}.get(version, 24), 0)
    if ruleset < 0:
        return None
    stdlib = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
    packages = {Path(p).resolve() for p in sys.path if Path(p).name in PACKAGES or Path(p, "torch").exists()}
    for root in {*stdlib, *packages, *(Path(p).resolve() for p in NEEDED)}:
        for path in _without(root, forbidden):
            _allow(ruleset, path, READ_FILE | READ_DIR)
    _allow(ruleset, Path("/dev/null"), READ_FILE | 1 << 1)
    _allow(ruleset, writable, files & ~1)  # all but to run programs
    return ruleset


def _without(path: Path, forbidden: Path) -> Iterator[Path]:
    """The path or, where what is forbidden lies in it, all of it that does not; nor may other copies be read."""
    if path.name.lower().startswith(forbidden.name) or not path.exists():
        return
    holds_packages = path.name in PACKAGES or any((path / name).exists() for name in (*PACKAGES, "python3"))
    if not holds_packages and path not in forbidden.parents:
        yield path
    elif path.is_dir():
        for child in path.iterdir():
            yield from _without(child, forbidden)


PACKAGES = "site-packages", "dist-packages"


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not path.is_dir():
        access &= READ_FILE | 1 << 1 | 1 << 14  # what there is to do with a file
    LIBC.syscall(ADD, ruleset, 1, struct.pack("<Qi", access, opened), 0)
    os.close(opened)


# The filter of system calls, by their numbers on x86_64 and aarch64.

MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
REFUSED = {
    "processes": ((57, 58, 59, 322), (221, 281)),  # fork, vfork, execve, execveat
    "sockets": ((41, 53, 425, 438), (198, 199, 425, 438)),  # socket, socketpair, io_uring_setup, pidfd_getfd
    "walls": ((444, 445, 446, 76, 437), (444, 445, 446, 45, 437)),  # Landlock itself, truncate, openat2
    "others": ((101, 310, 311, 200, 129, 297, 424, 434), (117, 270, 271, 130, 138, 240, 424, 434)),  # ptrace, signals
    "limits": ((160, 141, 144, 203, 314), (164, 140, 119, 122, 274)),  # setrlimit, priorities, affinity
    "memory": ((319, 29, 64, 68, 240), (279, 194, 190, 186, 180)),  # memfd_create, shared memory, queues
    "kernel": ((165, 272, 308, 321, 298, 323, 248, 249, 250), (40, 97, 268, 280, 241, 282, 217, 218, 219)),
    "modes": ((90, 91, 92, 93, 94, 260, 268, 452), (52, 53, 54, 55, 452)),  # chmod, chown
    "marks": (
        (132, 235, 261, 280, *range(188, 191), *range(197, 200)),
        (88, 5, 6, 7, 14, 15, 16),
    ),  # times, extended attributes
}
CLONE, CLONE3, KILL, TGKILL, PRLIMIT, OPENAT = (56, 220), (435, 435), (62, 129), (234, 131), (302, 261), (257, 56)
CLONE_THREAD, EPERM, ENOSYS = 0x10000, 1, 38
ALLOW, ERROR = 0x7FFF0000, 0x00050000
LOAD, EQUAL, AT_LEAST, BITS, RETURN, AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
EMPTIED = os.O_TRUNC if sys.platform == "linux" else 0


NUMBER = 0  # where it stands in what the filter sees


def _argument(i: int, half: int = 0) -> int:
    return 16 + 8 * i + 4 * half


def filter_calls() -> bool:
    """Refuse every system call by which one leaves; whether that is possible here."""
    if sys.platform != "linux" or platform.machine() not in MACHINES or struct.calcsize("P") != 8:
        return False
    arch, column = MACHINES[platform.machine()]
    refuse = [(RETURN, 0, 0, ERROR | EPERM)]
    program = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, arch), *refuse, (LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, 1 << 30), *refuse]
    for numbers in REFUSED.values():
        for one in numbers[column]:
            program += [(EQUAL, 0, 1, one), *refuse]
    program += [(EQUAL, 0, 1, CLONE3[column]), (RETURN, 0, 0, ERROR | ENOSYS)]  # then the C library takes clone
    program += [(EQUAL, 0, 3, CLONE[column]), (LOAD, 0, 0, _argument(0)), (BITS, 1, 0, CLONE_THREAD), *refuse]
    program += [(LOAD, 0, 0, NUMBER)]
    for one in (KILL[column], TGKILL[column]):
        program += [(EQUAL, 0, 3, one), (LOAD, 0, 0, _argument(0)), (EQUAL, 1, 0, os.getpid()), *refuse]
        program += [(LOAD, 0, 0, NUMBER)]
    program += [(EQUAL, 0, 5, PRLIMIT[column])]  # to ask is allowed, to change is not
    program += [(LOAD, 0, 0, _argument(2)), (EQUAL, 0, 2, 0), (LOAD, 0, 0, _argument(2, 1)), (EQUAL, 1, 0, 0), *refuse]
    for one, at in ((OPENAT[column], 2), (2 if column == 0 else OPENAT[column], 1 + column)):
        # Landlock before Linux 6.2 lets a file be emptied by who opens it only to read, or for neither
        program += [(LOAD, 0, 0, NUMBER), (EQUAL, 0, 6, one), (LOAD, 0, 0, _argument(at)), (AND, 0, 0, EMPTIED | 3)]
        program += [(EQUAL, 1, 0, EMPTIED), (EQUAL, 0, 1, EMPTIED | 3), *refuse, (LOAD, 0, 0, NUMBER)]
    program += [(RETURN, 0, 0, ALLOW)]
    code = b"".join(struct.pack("<HBBI", *instruction) for instruction in program)
    held = ctypes.create_string_buffer(code)
    # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    found: int = LIBC.prctl(22, 2, struct.pack("HP", len(program), ctypes.addressof(held)), 0, 0)
    return found == 0


def enclose(ruleset: int | None) -> list[str]:
    """Shut this process in for good; what of it is in force."""
    done = []
    if sys.platform == "linux":
        LIBC.syscall({"x86_64": 126, "aarch64": 91}.get(platform.machine(), -1),  # capset: an administrator no longer
                     struct.pack("<Ii", 0x20080522, 0), bytes(24))  # fmt: skip
        LIBC.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        if ruleset is not None and LIBC.syscall(RESTRICT, ruleset, 0) == 0:
            done.append("files")
            os.close(ruleset)  # who holds it can add to what the next child may read
        if filter_calls():
            done += ["network", "processes"]
    return done
