"""What an address serves, with a bound on all that a network can do: not answer, stall, trickle, never end."""

import threading
import time
from typing import Any
from urllib.parse import urljoin

from vae_tutorial._extra import of_the_chapters

REDIRECTIONS = 5  # from one address to another, at most
STALL = 10.0  # seconds without a byte that end a transfer ...
SLOWEST = 1000  # ... or with fewer bytes a second than this
TOTAL = 600.0  # seconds that a transfer may take: 10 MB at 17 kB/s


def fetch(url: str, *, patience: float, limit: int) -> bytes:
    """The bytes that an address serves; a bar on standard error shows how far they have come.

    A thread does the work, because the look-up of a name can't be given a bound. When the time is over it is left to
    end by itself; it keeps no process from ending. Nothing is unpacked on the way; of an answer that leads
    elsewhere the address alone is read.

    Args:
        url: the address; http or https.
        patience: seconds within which the answer must begin, be it for the name, a connection or the server.
        limit: the most bytes taken.

    Raises:
        OSError: no answer within ``patience``; or one that says no, pauses or trickles for `STALL` seconds, or isn't
            complete in `TOTAL`.
        ValueError: the answer has more than ``limit`` bytes.
    """
    with of_the_chapters():
        import requests  # comes with pooch
        from tqdm import tqdm

    answered, ended, abandoned = threading.Event(), threading.Event(), threading.Event()
    data, length, failures = bytearray(), [0], []

    def work() -> None:
        try:
            with requests.Session() as session, _final_answer(session, url, patience) as response:
                response.raise_for_status()
                length[0] = int(response.headers.get("Content-Length", 0))
                response.raw.headers.discard("Content-Encoding")  # a bomb would be unpacked into memory
                answered.set()
                for chunk in response.iter_content(2**16):
                    data.extend(chunk)
                    if len(data) > limit:
                        raise ValueError(f"sends more than the {limit:,} bytes allowed")
                    if abandoned.is_set():
                        return
        except Exception as error:  # raised below, where somebody waits for it
            failures.append(error)
        finally:
            ended.set()
            answered.set()

    threading.Thread(target=work, daemon=True).start()
    try:
        if not answered.wait(patience):
            raise TimeoutError(f"no answer within {patience:g} s")
        looked_at, had = time.monotonic(), 0
        deadline = looked_at + TOTAL
        with tqdm(total=length[0], unit="B", unit_scale=True, disable=bool(failures)) as bar:
            while not ended.wait(0.1):
                bar.update(len(data) - bar.n)
                now = time.monotonic()
                if now > deadline:
                    raise TimeoutError(f"not complete within {TOTAL:g} s")
                if now > looked_at + STALL:
                    if len(data) - had < SLOWEST * STALL:
                        raise TimeoutError(f"sends fewer than {SLOWEST:,} bytes a second, for {STALL:g} s")
                    looked_at, had = now, len(data)
            bar.update(len(data) - bar.n)
    finally:
        abandoned.set()
    if failures:
        raise failures[0]
    return bytes(data)


def _final_answer(session: Any, url: str, patience: float) -> Any:
    """What stands at an address, or where it leads; its body is not read yet."""
    session.get_redirect_target = lambda response: None  # else a redirection's own body would be read, without a bound
    session.headers["Accept-Encoding"] = "identity"
    for _ in range(REDIRECTIONS + 1):
        # A host has many addresses: where the first is dead, the next gets its turn.
        response = session.get(url, stream=True, timeout=(patience / 2, STALL))
        if not response.is_redirect:
            return response
        url = urljoin(url, response.headers["Location"])
        response.close()
    raise OSError(f"leads elsewhere more than {REDIRECTIONS} times")
