"""Data: MNIST from a real HTTP server on loopback that misbehaves in every way we know; digits; the plane's Gaussian.

The server serves small IDX files made here, under monkeypatched hashes; the canonical files are served too, where
``VAE_TUTORIAL_DATA`` names their folder. Statistical tests allow five standard errors: a false alarm of 6e-7 each.
"""

import contextlib
import gzip
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch
from scipy.stats import multivariate_normal

from vae_tutorial.datasets import (
    GAUSSIAN_2D_COV,
    GAUSSIAN_2D_MEAN,
    Dataset,
    DatasetError,
    binarize,
    digits,
    download,
    gaussian_2d,
    load_images,
    mnist,
    mnist_files,
)
from vae_tutorial.datasets.download import STALL

CANONICAL = Path(os.environ.get("VAE_TUTORIAL_DATA") or "/nonexistent").absolute()
needs_canonical = pytest.mark.skipif(
    not all((CANONICAL / name).exists() for name in mnist_files.SHA256),
    reason="VAE_TUTORIAL_DATA names no folder with the four MNIST files",
)
NAMES = list(mnist_files.SHA256)
REFUSED = "http://127.0.0.1:1/"  # nobody listens on port 1


# --- a small MNIST, and a server that serves it well or badly ---


def idx(array):
    """The IDX format from its description: zero, zero, 8 for unsigned bytes, the number of axes, their lengths."""
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, 8, array.ndim]) + lengths + array.astype(np.uint8).tobytes()


RNG = np.random.default_rng(0)
ARRAYS = [
    RNG.integers(0, 256, (7, 28, 28)),
    RNG.integers(0, 10, 7),
    RNG.integers(0, 256, (4, 28, 28)),
    RNG.integers(0, 10, 4),
]
CONTENT = {name: idx(array) for name, array in zip(NAMES, ARRAYS, strict=True)}
PACKED = {name: gzip.compress(content) for name, content in CONTENT.items()}


def flip(data, bit=0x10):
    """One bit in the middle of the data is wrong."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ bit]) + data[middle + 1 :]


BAD_BODIES = {
    "empty": lambda name: b"",
    "html": lambda name: b"<!DOCTYPE html><title>Sign in to the airport's network</title>",
    "truncated": lambda name: PACKED[name][: len(PACKED[name]) // 2],
    "flipped": lambda name: flip(PACKED[name]),
    "scrambled": lambda name: PACKED[name][:10] + b"\xff" * 100,  # a gzip header, then no deflate stream
    "altered": lambda name: gzip.compress(flip(CONTENT[name], 1)),  # whole gzip data of one wrong bit
    "trailing": lambda name: gzip.compress(CONTENT[name] + b"\0"),
    "wrong magic": lambda name: gzip.compress(b"\0\0\x09" + CONTENT[name][3:]),
    "another file": lambda name: PACKED[NAMES[NAMES.index(name) - 1]],
}
BOMB = gzip.compress(bytes(2 * 10**7))  # 20 kB
BAD_REPLIES = [
    "missing",
    "broken",
    "in circles",
    "to a file",
    "elsewhere missing",
    "dropped",
    "silent",
    "stalled",
    *BAD_BODIES,
]


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says how to behave, the second is the file."""

    def do_GET(self):
        behavior, name = self.path.replace("%20", " ").strip("/").split("/")
        self.server.requests.append((behavior, name))
        body, headers = PACKED[name], {}
        if behavior == "missing":
            return self.send_error(404)
        if behavior == "broken":
            return self.send_error(503)
        if behavior == "silent":
            return self.server.released.wait(30)
        if behavior == "headers":
            return self.go_on(b"HTTP/1.1 200 OK\r\n", b"X-More: to come\r\n")
        if behavior == "trickle":
            return self.go_on(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x")
        if behavior == "endless":
            return self.go_on(b"HTTP/1.1 200 OK\r\n\r\n", bytes(2**20), pause=0)
        if behavior == "canonical":
            body = (CANONICAL / name).read_bytes()
        if behavior.endswith("bomb"):
            body = BOMB
        if behavior.startswith("declared"):  # as if the file had been packed for the way
            headers["Content-Encoding"] = "gzip, gzip" if "twice" in behavior else "gzip"
        if behavior.startswith("elsewhere"):
            return self.lead_to(f"/{behavior.removeprefix('elsewhere ')}/{name}".replace(" ", "%20"))
        if behavior in ("in circles", "to a file"):
            return self.lead_to(self.path if behavior == "in circles" else "file:///etc/hostname")
        if behavior == "together":
            self.server.barrier.wait(120)
        if behavior in BAD_BODIES:
            body = BAD_BODIES[behavior](name)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        for header, value in headers.items():
            self.send_header(header, value)
        self.end_headers()
        if behavior in ("dropped", "stalled"):
            body = body[: len(body) // 2]
        if behavior == "slow":
            self.wfile.write(body[:100])
            self.wfile.flush()
            time.sleep(2.5)
            body = body[100:]
        self.wfile.write(body)
        if behavior == "stalled":
            self.wfile.flush()
            self.server.released.wait(30)

    def go_on(self, start, more, pause=0.3):
        """Send more, for a long time, until the client goes away."""
        with contextlib.suppress(ConnectionError):
            self.wfile.write(start)
            for _ in range(90):
                if self.server.released.wait(pause):
                    break
                self.wfile.write(more)

    def lead_to(self, address):
        """Say that it stands elsewhere, with a body that never ends."""
        start = f"HTTP/1.1 302 Found\r\nLocation: {address}\r\nContent-Encoding: gzip\r\n\r\n".encode()
        self.go_on(start, BOMB, pause=0)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def running_server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests, server.released, server.barrier = [], threading.Event(), threading.Barrier(2)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def server(running_server, monkeypatch):
    """The server, with its list of requests empty and no proxy in between."""
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    running_server.requests.clear()
    return running_server


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache folder of the user, and no variable set."""
    folder = tmp_path / "cache"
    monkeypatch.delenv("VAE_TUTORIAL_DATA", raising=False)
    monkeypatch.delenv("VAE_TUTORIAL_DATASET", raising=False)
    monkeypatch.setattr(pooch, "os_cache", {"vae_tutorial": folder}.get)
    monkeypatch.setattr(mnist_files, "_in_vain", False)
    return folder


@pytest.fixture
def small(cache, monkeypatch):
    """The package knows the small files instead of the canonical ones, and is less patient."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(mnist_files, "SHA256", hashes)
    monkeypatch.setattr(mnist_files, "LONG_WAIT", 4.0)  # 2 s for each of two mirrors
    monkeypatch.setattr(mnist_files, "WAIT", 4.0)
    monkeypatch.setattr(download, "STALL", 1.0)
    return cache


@pytest.fixture
def mirrors(server, small, monkeypatch):
    """Choose the behavior of each mirror; returns their URLs."""

    def choose(*behaviors):
        base = f"http://127.0.0.1:{server.server_port}"
        urls = tuple(b if b == REFUSED else f"{base}/{b.replace(' ', '%20')}/" for b in behaviors)
        monkeypatch.setattr(mnist_files, "MIRRORS", urls)
        return urls

    return choose


def write_files(folder, **changed):
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / name).write_bytes(changed.get(name.split("-ubyte")[0].replace("-", "_"), PACKED[name]))


def assert_small(dataset):
    """What comes out is what went in, by NumPy."""
    for part, images, labels in (("train", ARRAYS[0], ARRAYS[1]), ("test", ARRAYS[2], ARRAYS[3])):
        x, y = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
        assert x.dtype == torch.float32 and y.dtype == torch.int64
        np.testing.assert_array_equal(x.numpy(), (images.reshape(-1, 784) / 255).astype(np.float32))
        np.testing.assert_array_equal(y.numpy(), labels)
    assert (dataset.name, dataset.image_shape) == ("mnist", (28, 28))


# --- MNIST: downloading ---


def test_a_good_mirror_is_downloaded_once(mirrors, server, cache, capsys):
    mirrors("good", "missing")
    assert_small(mnist())
    assert server.requests == [("good", name) for name in NAMES]
    assert "100%" in capsys.readouterr().err  # the progress bar
    assert sorted(path.name for path in cache.iterdir()) == sorted(NAMES)

    assert_small(mnist())
    assert len(server.requests) == len(NAMES), "the second call must not ask the network"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("bad", [*BAD_REPLIES, REFUSED])
def test_the_second_mirror_is_used_when_the_first_fails(bad, mirrors, server, cache):
    mirrors(bad, "good")
    write_files(cache)
    (cache / NAMES[2]).unlink()
    assert_small(mnist())
    assert [asked for asked in dict.fromkeys(server.requests) if asked[0] in (bad, "good")] == [
        (b, NAMES[2]) for b in (bad, "good") if b != REFUSED
    ]
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == PACKED


@pytest.mark.parametrize("bad", [*BAD_REPLIES, REFUSED])
def test_when_all_mirrors_fail_one_error_tells_everything_and_nothing_is_left(bad, mirrors, cache):
    urls = mirrors(bad, "missing")
    started = time.perf_counter()
    with pytest.raises(DatasetError) as caught:
        mnist()
    assert time.perf_counter() - started < 10
    message = str(caught.value)
    assert str(cache / NAMES[0]) in message and mnist_files.SHA256[NAMES[0]] in message
    assert "VAE_TUTORIAL_DATA" in message and "digits()" in message and "delete" in message
    reasons = message.splitlines()[1:-1]
    assert [reason.strip().split(": ")[0] for reason in reasons] == list(urls)
    assert "404" in reasons[1]
    if bad in BAD_BODIES:
        body = BAD_BODIES[bad](NAMES[0])
        try:
            found = hashlib.sha256(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).hexdigest()
        except Exception:
            found = f"{len(body)} bytes of damaged gzip data"
        assert found in reasons[0]
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(("patience", "asked"), [("WAIT", load_images), ("LONG_WAIT", mnist)])
@pytest.mark.parametrize("n_mirrors", [1, 2, 3])
def test_the_mirrors_share_the_time_for_an_answer(patience, asked, n_mirrors, cache, monkeypatch):
    waits = []

    def fetch(url, *, patience, limit):
        waits.append(patience)
        raise TimeoutError("nobody there")

    monkeypatch.setattr(mnist_files, "fetch", fetch)
    monkeypatch.setattr(mnist_files, "MIRRORS", mnist_files.MIRRORS[:1] * n_mirrors)
    with pytest.raises(DatasetError, match="nobody there") if asked is mnist else contextlib.nullcontext():
        asked()
    assert len(waits) == n_mirrors and sum(waits) == pytest.approx(getattr(mnist_files, patience))
    assert (mnist_files.WAIT, mnist_files.LONG_WAIT) == (5, 30), "what the docstrings and book/running.md say"


def test_header_lines_without_an_end_are_no_answer(mirrors, cache):
    mirrors("headers", "missing")
    with pytest.raises(DatasetError, match="no answer within 2 s"):
        mnist()


def test_a_download_has_a_time_in_all(mirrors, cache, monkeypatch):
    mirrors("trickle")
    monkeypatch.setattr(download, "STALL", 60.0)
    monkeypatch.setattr(download, "TOTAL", 1.0)
    with pytest.raises(DatasetError, match="not complete within 1 s"):
        mnist()
    assert list(cache.iterdir()) == []


def test_a_download_that_trickles_is_given_up(mirrors, cache):
    mirrors("trickle")  # three bytes a second: never a pause as long as the limit
    with pytest.raises(DatasetError, match="sends fewer than 1,000 bytes a second, for 1 s"):
        mnist()
    assert list(cache.iterdir()) == []
    assert (STALL, download.SLOWEST, download.TOTAL) == (10, 1000, 600), "what the docstrings say"


def test_a_download_may_take_longer_than_its_answer(mirrors, monkeypatch):
    (url,) = mirrors("slow")  # it pauses for 2.5 s after the first bytes
    monkeypatch.setattr(download, "STALL", 60.0)
    name = NAMES[0]
    assert download.fetch(url + name, patience=2.0, limit=10**6) == PACKED[name]


@pytest.mark.parametrize(
    ("behavior", "message"),
    [
        ("endless", "sends more than the 100,000 bytes allowed"),
        ("elsewhere endless", "sends more than the 100,000 bytes allowed"),
        ("declared bomb", "found more than 100000 bytes after decompression"),
        ("declared twice bomb", "found more than 100000 bytes after decompression"),
        ("bomb", "found more than 100000 bytes after decompression"),
    ],
)
def test_no_more_is_taken_than_the_largest_file_holds(behavior, message, mirrors, cache, monkeypatch):
    mirrors(behavior)
    monkeypatch.setattr(mnist_files, "LARGEST", 100_000)
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match=message):
            mnist()
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()
    assert list(cache.iterdir()) == []


def test_an_interrupt_leaves_nothing_half_done(mirrors, cache, monkeypatch):
    def interrupted(path, content):
        with open(path, "wb") as file:
            file.write(content[: len(content) // 2])
        raise KeyboardInterrupt

    mirrors("good")
    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mnist()
    assert list(cache.iterdir()) == []


def test_a_file_that_the_server_declares_as_encoded_is_right_too(mirrors, server):
    mirrors("declared")  # nothing is unpacked: what arrives is the file
    assert_small(mnist())
    assert_small(mnist())
    assert len(server.requests) == len(NAMES)


def test_an_address_that_leads_elsewhere_is_followed_and_its_endless_body_not_read(mirrors, server, cache, monkeypatch):
    mirrors("elsewhere elsewhere good")
    monkeypatch.setattr(mnist_files, "LARGEST", 100_000)
    tracemalloc.start()
    try:
        assert_small(mnist())
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()
    assert server.requests[:3] == [(b, NAMES[0]) for b in ("elsewhere elsewhere good", "elsewhere good", "good")]
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == PACKED


def test_an_address_in_circles_is_followed_five_times(mirrors, server):
    mirrors("in circles")
    with pytest.raises(DatasetError, match="leads elsewhere more than 5 times"):
        mnist()
    assert server.requests == [("in circles", NAMES[0])] * 6


def test_two_processes_may_download_at_once(mirrors, server, cache):
    (url,) = mirrors("together")  # answers only when both processes ask for the same file
    program = (
        "import pathlib, pooch\n"
        "from vae_tutorial.datasets import download, mnist_files\n"
        f"pooch.os_cache = lambda project: pathlib.Path({str(cache)!r})\n"
        f"mnist_files.MIRRORS, mnist_files.SHA256 = ({url!r},), {mnist_files.SHA256!r}\n"
        "mnist_files.LONG_WAIT = download.STALL = 120\n"
        "print(mnist_files.mnist().y_test.tolist())"
    )
    root, environment = Path(mnist_files.__file__).parents[2], {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", program]
    processes = [
        subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        results = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], results
    assert [out.splitlines()[-1] for out, _ in results] == [str(ARRAYS[3].tolist())] * 2
    assert sorted(server.requests) == sorted(("together", name) for name in NAMES * 2)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == PACKED


def test_a_file_that_another_process_reads_is_not_replaced_on_windows(mirrors, server, cache, monkeypatch):
    def replace(source, target):
        Path(target).write_bytes(left_there)
        raise PermissionError("it is being used by another process")

    mirrors("good")
    monkeypatch.setattr(mnist_files.os, "replace", replace)
    left_there = b"half a fi"
    with pytest.raises(DatasetError, match="it can't be stored: it is being used by another process") as caught:
        mnist()
    assert "http" not in str(caught.value), "the mirror did well"
    left_there = PACKED[NAMES[0]]  # what the other one reads is right
    write_files(cache)
    (cache / NAMES[0]).unlink()
    assert_small(mnist())
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == PACKED


def test_what_killed_downloads_left_is_removed_after_an_hour(mirrors, cache):
    mirrors("good")
    cache.mkdir()
    left, fresh = (cache / f"{NAMES[0]}.{digit * 32}.part" for digit in "0f")
    foreign = cache / "film.part"
    for path, age in ((left, 4000), (fresh, 3000), (foreign, 10**6)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    assert_small(mnist())
    assert {path.name for path in cache.iterdir()} == {*NAMES, fresh.name, foreign.name}


# --- MNIST: what lies on disk ---


def test_a_corrupt_file_of_the_cache_is_replaced(mirrors, server, cache):
    mirrors("good")
    write_files(cache, t10k_images_idx3=flip(PACKED["t10k-images-idx3-ubyte.gz"]))
    assert_small(mnist())
    assert server.requests == [("good", "t10k-images-idx3-ubyte.gz")]
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == PACKED


def test_a_corrupt_file_of_the_cache_is_named_when_no_mirror_helps(mirrors, cache):
    mirrors("missing")
    write_files(cache, t10k_labels_idx1=b"half a fi")
    with pytest.raises(DatasetError, match="the file there: found 9 bytes") as caught:
        mnist()
    assert "404" in str(caught.value)


def test_the_users_folder_comes_first(mirrors, server, cache, tmp_path, monkeypatch):
    mirrors("good")
    monkeypatch.setenv("VAE_TUTORIAL_DATA", str(tmp_path / "mine"))
    write_files(tmp_path / "mine")
    write_files(cache, train_images_idx3=b"not looked at")
    assert_small(mnist())
    assert server.requests == []


def test_what_the_users_folder_lacks_is_downloaded_to_it(mirrors, server, cache, tmp_path, monkeypatch):
    mirrors("good")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VAE_TUTORIAL_DATA", "~/new/mine")
    assert_small(mnist())
    assert sorted(path.name for path in (tmp_path / "new" / "mine").iterdir()) == sorted(NAMES)
    assert not cache.exists()


def test_a_corrupt_file_of_the_user_is_an_error_and_stays(mirrors, server, tmp_path, monkeypatch):
    mirrors("good")
    monkeypatch.setenv("VAE_TUTORIAL_DATA", str(tmp_path))
    wrong = gzip.compress(flip(CONTENT["train-labels-idx1-ubyte.gz"]))
    write_files(tmp_path, train_labels_idx1=wrong)
    with pytest.raises(DatasetError) as caught:
        mnist()
    message, path = str(caught.value), tmp_path / "train-labels-idx1-ubyte.gz"
    assert str(path) in message and "delete it" in message
    assert mnist_files.SHA256[path.name] in message and hashlib.sha256(gzip.decompress(wrong)).hexdigest() in message
    assert path.read_bytes() == wrong and server.requests == []


def test_a_huge_file_of_the_user_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_TUTORIAL_DATA", str(tmp_path))
    with open(tmp_path / NAMES[0], "wb") as file:
        file.truncate(2**40)  # which takes no room
    with pytest.raises(DatasetError, match="found more than 47040016 bytes that are no gzip data"):
        mnist()


@pytest.mark.parametrize("name", ["a file", "\n", "x" * 300])
def test_a_folder_that_makes_no_sense_is_no_obstacle_to_load_images(name, mirrors, tmp_path, monkeypatch, capsys):
    mirrors("missing")
    (tmp_path / "a file").write_bytes(b"")
    monkeypatch.setenv("VAE_TUTORIAL_DATA", str(tmp_path / name))
    with pytest.raises(DatasetError, match=r"What to do: .* Or use digits\(\)"):
        mnist()
    assert load_images().name == "digits"
    assert capsys.readouterr().out.endswith(FALL_BACK)


def test_a_folder_that_cannot_be_made(mirrors, server, tmp_path, monkeypatch):
    mirrors("good")
    (tmp_path / "a file").write_bytes(b"")
    monkeypatch.setenv("VAE_TUTORIAL_DATA", str(tmp_path / "a file" / "data"))
    with pytest.raises(DatasetError, match="Not a directory"):
        mnist()
    assert server.requests == []


def test_the_folder_of_an_unknown_user(mirrors, server, monkeypatch, capsys):
    mirrors("good")
    monkeypatch.setenv("VAE_TUTORIAL_DATA", "~nosuchuser/x")
    with pytest.raises(DatasetError, match=r"VAE_TUTORIAL_DATA=~nosuchuser/x: .*\nWhat to do: correct .*digits\(\)"):
        mnist()
    assert load_images().name == "digits"
    assert capsys.readouterr().out == FALL_BACK and server.requests == []


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_read_only_folder_is_said_before_anything_is_downloaded(mirrors, server, monkeypatch):
    mirrors("good")
    with tempfile.TemporaryDirectory() as name:
        folder, user = Path(name), os.geteuid()
        monkeypatch.setenv("VAE_TUTORIAL_DATA", name)
        folder.chmod(0o555)
        try:
            if user == 0:
                os.seteuid(65534)  # root may write anywhere: be nobody for a moment
            with pytest.raises(DatasetError, match="nothing can be stored .*Permission denied") as caught:
                mnist()
        finally:
            os.seteuid(user)
            folder.chmod(0o755)
        assert name in str(caught.value) and list(folder.iterdir()) == []
    assert server.requests == []


# --- load_images ---

DIGITS_LINE = "Images: digits, 1,437 for training, 360 for testing, 8×8 pixels."
MNIST_LINE = "Images: mnist, 7 for training, 4 for testing, 28×28 pixels.\n"
SEARCH = "MNIST is not on this machine: looking for it on the network, 4 s at most.\n"
FALL_BACK = f"{DIGITS_LINE} MNIST can't be had: datasets.mnist() says why.\n"


def test_load_images_takes_mnist_when_it_can_be_had(mirrors, capsys):
    mirrors("good")
    assert_small(load_images())
    assert capsys.readouterr().out == SEARCH + MNIST_LINE
    assert_small(load_images())
    assert capsys.readouterr().out == MNIST_LINE, "nothing to search for when it is there"


@pytest.mark.parametrize("why", [REFUSED, "silent", "html"])
def test_load_images_falls_back_to_the_digits_and_says_so(why, mirrors, capsys):
    mirrors(why, why)
    started = time.perf_counter()
    assert load_images().name == "digits"
    assert time.perf_counter() - started < 10
    assert capsys.readouterr().out == SEARCH + FALL_BACK


@pytest.fixture
def deaf_resolver(monkeypatch):
    """Names are looked up for ever, or until the test is over; the list of them."""
    asked, released = [], threading.Event()

    def getaddrinfo(host, *args, **kwargs):
        asked.append(host)
        released.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "the test is over")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield asked
    assert not released.is_set()
    released.set()


def test_a_name_server_that_does_not_answer_is_waited_for_once(deaf_resolver, cache, monkeypatch, capsys):
    monkeypatch.setattr(mnist_files, "WAIT", 0.4)
    started = time.perf_counter()
    assert load_images().name == "digits"
    assert time.perf_counter() - started < 30
    search = "MNIST is not on this machine: looking for it on the network, 0.4 s at most.\n"
    assert capsys.readouterr().out == search + FALL_BACK
    assert len(deaf_resolver) == len(mnist_files.MIRRORS)

    assert load_images().name == "digits"
    assert capsys.readouterr().out == FALL_BACK
    assert len(deaf_resolver) == len(mnist_files.MIRRORS), "the second call must not ask the network"


def test_the_search_is_announced_before_it_begins(cache, monkeypatch, capsys):
    said = []

    def fetch(url, *, patience, limit):
        said.append(capsys.readouterr().out)
        raise TimeoutError

    monkeypatch.setattr(mnist_files, "fetch", fetch)
    load_images()
    assert said == ["MNIST is not on this machine: looking for it on the network, 5 s at most.\n", ""]


def test_a_failed_search_is_repeated_by_mnist_alone(mirrors, server, cache):
    mirrors("missing")
    assert load_images().name == load_images().name == "digits"
    assert len(server.requests) == 1
    with pytest.raises(DatasetError, match="404"):
        mnist()
    assert len(server.requests) == 2
    mirrors("good")
    assert load_images().name == "digits" and len(server.requests) == 2
    assert_small(mnist())
    for name in NAMES:
        (cache / name).unlink()
    assert_small(load_images())  # the last search was not in vain


def test_after_a_failed_search_the_network_is_not_asked(cache, monkeypatch, capsys):
    monkeypatch.setattr(mnist_files, "_in_vain", True)
    monkeypatch.setattr(mnist_files, "fetch", lambda *args, **how: pytest.fail("it was asked"))
    assert load_images().name == "digits" and "network" not in capsys.readouterr().out


@pytest.mark.parametrize("in_vain", [False, True])
def test_who_insists_waits_longer(in_vain, cache, monkeypatch, capsys):
    monkeypatch.setattr(mnist_files, "_in_vain", in_vain)
    monkeypatch.setattr(mnist_files, "MIRRORS", ())
    monkeypatch.setenv("VAE_TUTORIAL_DATASET", "mnist")
    with pytest.raises(DatasetError):
        load_images()
    assert "looking for it on the network, 30 s at most" in capsys.readouterr().out


@pytest.mark.parametrize("packed, form", [(True, "after decompression"), (False, "that are no gzip data")])
def test_a_wrong_file_is_described_by_its_content(packed, form, tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_TUTORIAL_DATA", str(tmp_path))
    content = b"something else"
    (tmp_path / NAMES[0]).write_bytes(gzip.compress(content) if packed else content)
    found = hashlib.sha256(content).hexdigest()
    with pytest.raises(DatasetError, match=f"found 14 bytes {form}, SHA-256 {found}"):
        mnist()


def test_files_that_have_come_since_a_failed_search_are_seen(mirrors, cache):
    mirrors("missing")
    assert load_images().name == "digits"
    write_files(cache)
    assert_small(load_images())


def test_a_look_up_that_never_ends_keeps_no_process_alive(cache):
    program = (
        "import pathlib, pooch, socket, time\n"
        "from vae_tutorial.datasets import mnist_files\n"
        f"pooch.os_cache = lambda project: pathlib.Path({str(cache)!r})\n"
        "socket.getaddrinfo = lambda *args, **kwargs: time.sleep(10**6)\n"
        "mnist_files.WAIT = 0.4\n"
        "mnist_files.load_images()"
    )
    command, root = [sys.executable, "-c", program], Path(mnist_files.__file__).parents[2]
    run = subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8", timeout=300)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.endswith("datasets.mnist() says why.\n")


def test_digits_forced(mirrors, server, monkeypatch, capsys):
    mirrors("good")
    monkeypatch.setenv("VAE_TUTORIAL_DATASET", "digits")
    assert load_images().name == "digits"
    assert capsys.readouterr().out == f"{DIGITS_LINE}\n" and server.requests == []


def test_mnist_forced(mirrors, monkeypatch, capsys):
    monkeypatch.setenv("VAE_TUTORIAL_DATASET", "mnist")
    mirrors("good")
    assert load_images().name == "mnist"
    mirrors(REFUSED)
    for name in NAMES:
        (pooch.os_cache("vae_tutorial") / name).unlink()
    capsys.readouterr()
    with pytest.raises(DatasetError, match="Connection refused"):
        load_images()
    assert capsys.readouterr().out == SEARCH


@pytest.mark.parametrize("value", ["MNIST", "fashion", " digits"])
def test_any_other_choice_is_an_error(value, cache, monkeypatch):
    monkeypatch.setenv("VAE_TUTORIAL_DATASET", value)
    with pytest.raises(ValueError, match=f"VAE_TUTORIAL_DATASET must be digits or mnist.*{value}"):
        load_images()


# --- the canonical MNIST ---


def assert_canonical(dataset):
    """Facts that were published about MNIST: sizes, first labels, images of each class, mean and spread of pixels."""
    assert dataset.x_train.shape == (60_000, 784) and dataset.x_test.shape == (10_000, 784)
    assert dataset.x_train.dtype == dataset.x_test.dtype == torch.float32
    assert dataset.y_train.dtype == dataset.y_test.dtype == torch.int64
    assert dataset.y_train[:5].tolist() == [5, 0, 4, 1, 9] and dataset.y_test[:5].tolist() == [7, 2, 1, 0, 4]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert torch.bincount(dataset.y_train).tolist() == counts
    assert torch.bincount(dataset.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    for x in (dataset.x_train, dataset.x_test):
        assert (x.min().item(), x.max().item()) == (0, 1)
    assert round(dataset.x_train.mean().item(), 4) == 0.1307
    assert round(dataset.x_train.std().item(), 4) == 0.3081
    assert (dataset.name, dataset.image_shape) == ("mnist", (28, 28))


@needs_canonical
def test_the_canonical_files_from_disk(cache, monkeypatch):
    monkeypatch.setenv("VAE_TUTORIAL_DATA", str(CANONICAL))
    monkeypatch.setattr(mnist_files, "MIRRORS", ())
    assert_canonical(mnist())


@needs_canonical
def test_the_canonical_files_from_a_server(server, cache, monkeypatch):
    monkeypatch.setattr(mnist_files, "MIRRORS", (f"http://127.0.0.1:{server.server_port}/canonical/",))
    assert_canonical(mnist())
    assert server.requests == [("canonical", name) for name in NAMES]


@needs_canonical
@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_hashes_knows_the_canonical_files(name):
    content = subprocess.run(["gzip", "-dc", CANONICAL / name], capture_output=True, check=True).stdout
    assert hashlib.sha256(content).hexdigest() == mnist_files.SHA256[name]


# --- digits ---


def test_digits_are_the_published_ones():
    dataset = digits()
    assert dataset.x_train.shape == (1437, 64) and dataset.x_test.shape == (360, 64)
    assert dataset.x_train.dtype == torch.float32 and dataset.y_train.dtype == torch.int64
    assert (dataset.name, dataset.image_shape) == ("digits", (8, 8))
    x, y = torch.cat([dataset.x_train, dataset.x_test]), torch.cat([dataset.y_train, dataset.y_test])
    # The counts that the UCI repository publishes for the testing set.
    assert torch.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (16 * x).unique().tolist() == list(range(17))
    # The first line of the repository's file.
    first = "0,0,5,13,9,1,0,0,0,0,13,15,10,15,5,0,0,3,15,2,0,11,8,0,0,4,12,0,0,8,8,0,0,5,8,0,0,9,8,0,0,4,11,0,1,12,7,0"
    assert (16 * x[0]).tolist() == [float(v) for v in f"{first},0,2,14,5,10,12,0,0,0,0,6,13,10,0,0,0".split(",")]
    assert y[0] == 0


def test_no_digit_occurs_twice_and_both_parts_have_every_class():
    dataset = digits()
    images = {tuple(row) for row in torch.cat([dataset.x_train, dataset.x_test]).tolist()}
    assert len(images) == 1797
    assert torch.bincount(dataset.y_test).tolist() == [35, 36, 35, 37, 37, 37, 37, 36, 33, 37]


def test_the_shipped_file_is_small_plain_and_credited():
    folder = Path(mnist_files.__file__).parents[1] / "data"
    assert (folder / "digits.npz").stat().st_size < 100_000
    with np.load(folder / "digits.npz", allow_pickle=False) as arrays:
        assert {name: (array.dtype, array.shape) for name, array in arrays.items()} == {
            "images": (np.uint8, (1797, 64)),
            "labels": (np.uint8, (1797,)),
        }
    text = (folder / "LICENSE-digits.txt").read_text()
    assert "Alpaydin" in text and "Kaynak" in text and "CC BY 4.0" in text and "10.24432/C50P49" in text


# --- gaussian_2d ---


def test_gaussian_2d_has_the_stated_mean_and_covariance():
    n = 100_000
    mean, cov = np.array([1, 0.5]), np.array([[1, 0.5], [0.5, 1]])
    dataset = gaussian_2d(n, seed=1)
    train, test = dataset.x_train.double().numpy(), dataset.x_test.double().numpy()
    for x in (train, test):
        assert np.abs((x.mean(0) - mean) / np.sqrt(np.diag(cov) / n)).max() < 5
        stderr = np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / n)  # of a Gaussian's sample covariance
        assert np.abs((np.cov(x.T, bias=True) - cov) / stderr).max() < 5
    # Row i of both parts, and neighboring rows: uncorrelated.
    for a, b in ((train, test), (train[1:], train[:-1])):
        products = (a - mean)[:, :, None] * (b - mean)[:, None, :]
        assert np.abs(products.mean(0) / (products.std(0) / np.sqrt(len(a)))).max() < 5


def test_gaussian_2d_has_the_stated_entropy():
    """The mean of -log p over the test points is the entropy, 2.6940 nats, to its standard error of 1/sqrt(n)."""
    n = 100_000
    exact = multivariate_normal(GAUSSIAN_2D_MEAN, GAUSSIAN_2D_COV)
    surprise = -exact.logpdf(gaussian_2d(n).x_test.double().numpy())
    stderr = surprise.std() / np.sqrt(n)
    assert stderr == pytest.approx(1 / np.sqrt(n), rel=0.05)  # var(log p) = D / 2 for any Gaussian
    assert exact.entropy() == pytest.approx(2.6940, abs=5e-5)
    assert abs(surprise.mean() - exact.entropy()) < 5 * stderr


def test_gaussian_2d_is_reproducible_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    first, again, other = gaussian_2d(1000, seed=3), gaussian_2d(1000, seed=3), gaussian_2d(1000, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.x_train, again.x_train) and torch.equal(first.x_test, again.x_test)
    assert not torch.equal(first.x_train, other.x_train) and not torch.equal(first.x_train, first.x_test)
    assert first.x_train.shape == first.x_test.shape == (1000, 2) and first.x_train.dtype == torch.float32
    assert first._replace(x_train=0, x_test=0) == Dataset("gaussian_2d", 0, None, 0, None, None)
    assert torch.equal(gaussian_2d(5).x_train, gaussian_2d(5, seed=0).x_train)


@pytest.fixture
def other_defaults():
    """Another dtype, and a device where numbers have no values."""
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def test_data_do_not_depend_on_the_defaults(other_defaults):
    x = torch.linspace(0, 1, 2001, dtype=torch.float32, device="cpu")
    black_and_white = binarize(x, torch.Generator("cpu").manual_seed(0))
    drawn, images = gaussian_2d(5, seed=3), digits()
    torch.set_default_dtype(torch.float32)
    with torch.device("cpu"):
        assert torch.equal(black_and_white, binarize(x, torch.Generator().manual_seed(0)))
        assert drawn.x_train.dtype == torch.float32 and torch.equal(drawn.x_train, gaussian_2d(5, seed=3).x_train)
        assert images.x_train.dtype == torch.float32 and torch.equal(images.x_train, digits().x_train)


@pytest.mark.parametrize("n", [0, -1, 2.0, True, "10"])
def test_gaussian_2d_wants_a_count(n):
    with pytest.raises(ValueError, match="n must be an integer of at least 1"):
        gaussian_2d(n)


# --- binarize ---


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_binarize_draws_with_the_probabilities_of_the_pixels(dtype):
    n = 200_000
    x = torch.tensor([0.03, 0.2, 0.71, 0.97]).to(dtype).expand(n, 4)
    white = binarize(x, torch.Generator().manual_seed(0))
    assert white.dtype == dtype and white.shape == x.shape
    assert set(white.unique().tolist()) == {0.0, 1.0}
    p, white = x[0].double(), white.double()
    assert ((white.mean(0) - p) / (p * (1 - p) / n).sqrt()).abs().max() < 5
    # One draw per pixel and per image: standardized pixels are uncorrelated with the next pixel and the next image.
    z = (white - p) / (p * (1 - p)).sqrt()
    for products in (z[:, 1:] * z[:, :-1], z[1:] * z[:-1]):
        assert (products.mean(0) * len(products) ** 0.5).abs().max() < 5


def test_binarize_is_reproducible_and_leaves_black_and_white_alone():
    x = digits().x_test
    state, kept = torch.get_rng_state(), x.clone()
    first, again = (binarize(x, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again) and torch.equal(torch.get_rng_state(), state) and torch.equal(x, kept)
    generator = torch.Generator().manual_seed(5)
    assert torch.equal(binarize(x, generator), first) and not torch.equal(binarize(x, generator), first)
    assert torch.equal(binarize(first, generator), first)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.ones(2, 3, dtype=torch.uint8), TypeError, r"x must hold floating-point .*x\.float\(\) / 255"),
        (torch.ones(3, dtype=torch.bool), TypeError, "x must hold floating-point"),
        (np.ones((2, 3)), TypeError, "x must be a torch.Tensor, got ndarray"),
        ((torch.ones(2), torch.ones(2)), TypeError, r"did you unpack the pair \(x, y\)"),
        (torch.tensor([0.0, 255.0]), ValueError, r"x must lie in \[0, 1\], got values from 0 to 255; divide .* 255"),
        (torch.tensor([-1.0, 1.0]), ValueError, r"x must lie in \[0, 1\], got values from -1 to 1$"),
        (torch.tensor([0.0, 1.0 + 1e-6]), ValueError, r"x must lie in \[0, 1\]"),
        (torch.tensor([0.5, float("nan")]), ValueError, "x must be finite, got 1 NaN"),
        (torch.tensor([0.5, float("inf")]), ValueError, "x must be finite"),
        (torch.ones(0, 784), ValueError, "x must have at least one axis and no empty one"),
    ],
)
def test_binarize_refuses_what_is_no_probability(x, error, message):
    with pytest.raises(error, match=message):
        binarize(x, torch.Generator())


@pytest.mark.parametrize("generator", [None, 0])
def test_binarize_wants_its_noise_explicitly(generator):
    with pytest.raises(TypeError, match=r"generator must be a torch\.Generator, got \w+; make one"):
        binarize(torch.ones(2), generator)


def test_binarize_leaves_black_alone_where_the_uniform_number_is_the_smallest(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda shape, **how: torch.zeros(shape))
    assert binarize(torch.tensor([0.0, 1e-7]), torch.Generator()).tolist() == [0.0, 1.0]


def test_binarize_draws_where_the_generator_is(monkeypatch):
    class Elsewhere(torch.Generator):
        device = torch.device("meta")

    def rand(shape, *, generator, dtype, device):
        assert device == generator.device
        return torch.zeros(shape, dtype=dtype)

    monkeypatch.setattr(torch, "rand", rand)
    assert binarize(torch.ones(2), Elsewhere()).tolist() == [1.0, 1.0]
