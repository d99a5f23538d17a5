r"""Images in as many bits as the ELBO says: bits back with asymmetric numeral systems, BB-ANS (Townsend et al., 2019).

The compressed images are a stack of bits, the coder: what is pushed last is popped first, and to pop a symbol from
random bits with some distribution is to draw it. To `push` x is

.. math:: \text{pop } z \text{ with } q_\phi(z \mid x), \qquad \text{push } x \text{ with } p_\theta(x \mid z), \qquad
    \text{push } z \text{ with } p(z),

which makes the stack longer by :math:`\log_2 q_\phi(z \mid x) - \log_2 p_\theta(x \mid z) - \log_2 p(z)` bits: in
expectation the negative ELBO, divided by log 2. To `pop` x is the same backwards. The coder is constriction's.

z is rounded to :math:`K = 2^\text{bits}` buckets a dimension that have the same prior mass. Shapes: B images, D pixels,
L latent dimensions.
"""

import hashlib
import math
import platform
import struct
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vae_tutorial._extra import of_the_extra
from vae_tutorial._restoring import in_evaluation_mode
from vae_tutorial._troubleshooting import see
from vae_tutorial._validation import require_count, require_finite, require_float, require_rows, require_same_shape
from vae_tutorial.checkpoints.files import sha256
from vae_tutorial.likelihoods import bernoulli
from vae_tutorial.models import VAE, require_vae
from vae_tutorial.posteriors import Diagonal
from vae_tutorial.priors import StandardNormal

with of_the_extra("coding"):
    from constriction import stream

__all__ = [
    "ArchiveError",
    "bucket_centers",
    "compress",
    "decompress",
    "pixel_probabilities",
    "pop",
    "posterior_weights",
    "push",
]

MOST = 32  # images in one symbol: the networks are asked for so many at once
STARTS = [0]  # of the first symbols, which hold fewer, so that what each pops has been pushed
while (size := 1 + STARTS[-1] // 8) < MOST:
    STARTS.append(STARTS[-1] + size)
AnsCoder, Uniform = stream.stack.AnsCoder, stream.model.Uniform
Q, PIXELS = stream.model.Categorical(perfect=False), stream.model.Bernoulli(perfect=False)
# Format; bits, B, D; the beginning of three SHA-256: of the weights, of what the model computes, of the images; and the
# length of the text that follows, which says where it was written. The last 8 bytes of an archive are a checksum.
HEADER = struct.Struct("<6sBII8s8s8sB")
MAGIC = b"VAE\r\n\x01"


class ArchiveError(ValueError):
    """An archive is damaged, foreign, of another model or of a machine that computes other numbers."""


def bucket_centers(bits: int) -> Tensor:
    r"""The values that z can have: :math:`\Phi^{-1}((i + \frac12) / K)`, the middle of each bucket by prior mass.

    Args:
        bits: of each latent dimension, 1 to 16.

    Returns:
        Shape (K,), float64, increasing.

    Raises:
        ValueError: ``bits`` is no integer from 1 to 16.

    Example:
        >>> bucket_centers(1)
        tensor([-0.6745,  0.6745], dtype=torch.float64)
    """
    _require_bits(bits)
    centers: Tensor = torch.special.ndtri((torch.arange(2**bits, dtype=torch.float64) + 0.5) / 2**bits)
    return centers


def posterior_weights(mu: Tensor, log_var: Tensor, bits: int) -> Tensor:
    r"""What the buckets weigh under :math:`\mathcal{N}(\mu, \sigma^2)`, in units of :math:`2^{-24}`, as integers.

    The coder gives each bucket one unit at least.

    Args:
        mu, log_var: of the posterior, one shape (...).
        bits: of each latent dimension, 1 to 16.

    Returns:
        Shape (..., K), float32, which holds these integers exactly. They add up to :math:`2^{24}`.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: shapes differ, a value is not finite, or ``bits`` is no integer from 1 to 16.

    Example:
        >>> (posterior_weights(torch.zeros(1), torch.zeros(1), 2) / 2**24).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
    """
    _require_bits(bits)
    require_float(mu=mu, log_var=log_var)
    require_same_shape(mu=mu, log_var=log_var)
    require_finite(mu=mu, log_var=log_var)
    mu, log_var = (part.detach().cpu().double()[..., None] for part in (mu, log_var))
    sigma = torch.exp(0.5 * log_var.clamp(-60, 60))  # beyond, one bucket has all the mass or the outermost two have
    cdf = 0.5 + 0.5 * torch.erf((_edges(bits) - mu) / (math.sqrt(2) * sigma))
    return (cdf * 2**24).round().diff().float()


@cache
def _edges(bits: int) -> Tensor:
    """The bounds of the buckets, which every image asks for."""
    edges: Tensor = torch.special.ndtri(torch.arange(2**bits + 1, dtype=torch.float64) / 2**bits)
    return edges


def pixel_probabilities(logits: Tensor) -> Tensor:
    r"""The probabilities that pixels are coded with: :math:`s(\ell)`, rounded to multiples of :math:`2^{-16}`.

    None is 0 or 1, so that no pixel costs more than 16 bits.

    Args:
        logits: any shape.

    Returns:
        Float64, on the CPU, in the shape of ``logits``.

    Raises:
        TypeError: ``logits`` is not a floating-point tensor.
        ValueError: it is empty or not finite.

    Example:
        >>> pixel_probabilities(torch.tensor([0.0, 80.0])).tolist()
        [0.5, 0.9999847412109375]
    """
    require_float(logits=logits)
    require_finite(logits=logits)
    return (torch.sigmoid(logits.detach().cpu().double()) * 2**16).round().clamp(1, 2**16 - 1) / 2**16


def push(coder: stream.stack.AnsCoder, model: VAE, x: Tensor, bits: int, *, bits_back: bool = True) -> None:
    r"""Put images onto the stack, as one symbol.

    Args:
        coder: the stack, which is changed, and of no use after an error.
        model: a VAE with a diagonal Gaussian posterior, the standard normal prior and the Bernoulli likelihood.
        x: binary images, shape (B, D).
        bits: of each latent dimension, 1 to 16.
        bits_back: where false, z is not popped but the mean of q. That costs :math:`-\log_2 p_\theta(x, z)`, and needs
            nothing on the stack: so the first images are coded.

    Raises:
        TypeError: ``x`` is no floating-point tensor, ``model`` no VAE, or it has other distributions.
        ValueError: ``x`` holds other values than 0 and 1 or does not fit the model, or ``bits`` is out of range.

    Example:
        >>> from constriction import stream
        >>> from vae_tutorial.models import mlp_vae
        >>> coder, model = stream.stack.AnsCoder(), mlp_vae(64, 8, 2, bernoulli, seed=0)
        >>> push(coder, model, torch.ones(1, 64), bits=8, bits_back=False)
        >>> pop(coder, model, 1, bits=8, bits_back=False).sum()
        tensor(64.)
    """
    _require_codable(model)
    _require_binary(x)
    _require_bits(bits)
    with in_evaluation_mode(model), torch.no_grad():
        mu, log_var = model.encode(x.clone())  # in the middle of a tensor the last bits may be others than at its start
        require_finite(mu=mu, log_var=log_var)
        if bits_back:
            rows = zip(mu, log_var, strict=True)
            codes = np.stack([coder.decode(Q, posterior_weights(*row, bits).numpy()) for row in rows])
        else:
            middle = torch.special.ndtr(mu.cpu().double()) * 2**bits
            codes = middle.int().clamp(max=2**bits - 1).numpy()
        coder.encode_reverse(x.cpu().int().flatten().numpy(), PIXELS, _probabilities(model, codes, bits))
    coder.encode_reverse(codes.flatten(), Uniform(2**bits))


def pop(coder: stream.stack.AnsCoder, model: VAE, n: int, bits: int, *, bits_back: bool = True) -> Tensor:
    """Take from the stack what `push` put there: as many images at once, with the same arguments.

    Args:
        coder: the stack, which is changed: into what it was before `push`; of no use after an error.
        model: as for `push`.
        n: B, how many images.
        bits, bits_back: as for `push`.

    Returns:
        The images, shape (B, D), on the CPU, in the model's dtype.

    Raises:
        TypeError: ``model`` is no VAE, or has other distributions.
        ValueError: ``n`` or ``bits`` is out of range.
    """
    _require_codable(model)
    require_count(n=n)
    _require_bits(bits)
    codes = coder.decode(Uniform(2**bits), n * model.latent_dim).reshape(n, -1)
    with in_evaluation_mode(model), torch.no_grad():
        pixels = coder.decode(PIXELS, _probabilities(model, codes, bits))
        x = torch.from_numpy(pixels).to(model.a_weight().dtype).reshape(n, -1)
        if bits_back:
            mu, log_var = model.encode(x.to(model.a_weight().device))
            for i in reversed(range(n)):
                coder.encode_reverse(codes[i], Q, posterior_weights(mu[i], log_var[i], bits).numpy())
    return x


def compress(model: VAE, x: Tensor, *, bits: int = 10) -> bytes:
    """Binary images in an archive that `decompress` gives back, as long as the negative ELBO says.

    The first image is coded without bits back; then ever more images make one symbol, up to 32, so that what each pops
    is there. The archive can be read by the same model on a machine that computes the same numbers to the last bit: the
    same versions, processor, device and number of threads. Anyone else is refused.

    Args:
        model: a VAE with a diagonal Gaussian posterior, the standard normal prior and the Bernoulli likelihood.
        x: binary images, shape (B, D), in the model's dtype.
        bits: of each latent dimension, 1 to 16.

    Returns:
        The archive.

    Raises:
        TypeError, ValueError: as `push` does.

    Example:
        >>> from vae_tutorial.models import mlp_vae
        >>> model, x = mlp_vae(64, 8, 2, bernoulli, seed=0), torch.eye(64)
        >>> torch.equal(decompress(model, compress(model, x)), x)
        True
    """
    _require_codable(model)
    _require_binary(x)
    coder = _empty()
    for start, end in pairwise([*chain(*_starts(len(x))), len(x)]):
        push(coder, model, x[start:end], bits, bits_back=start > 0)
    where = _here(model).encode()
    header = HEADER.pack(MAGIC, bits, *x.shape, _weights(model), _probe(model, bits), _digest(x), len(where))
    body: bytes = header + where + coder.get_compressed().astype("<u4").tobytes()
    return body + _hash(body)


def decompress(model: VAE, archive: bytes) -> Tensor:
    """The images of an archive that `compress` wrote with this model.

    The header says how many images there are. As with any compressed file, one that is made to do harm can claim far
    more than it holds, and that is seen only when as many have been read.

    Args:
        model: the model.
        archive: what `compress` returned.

    Returns:
        The images, shape (B, D), on the CPU, in the model's dtype.

    Raises:
        TypeError: ``archive`` is not bytes, ``model`` no VAE, or it has other distributions.
        ArchiveError: the archive is damaged, cut short or foreign; or written with another model, or where other
            numbers are computed.

    Example:
        >>> from vae_tutorial.models import mlp_vae
        >>> decompress(mlp_vae(64, 8, 2, bernoulli, seed=0), b"PK")
        Traceback (most recent call last):
            ...
        vae_tutorial.coding.ArchiveError: the archive was not written by compress: it does not begin as one
    """
    _require_codable(model)
    if not isinstance(archive, bytes):
        raise TypeError(f"archive must be bytes, as compress returns them, got {type(archive).__name__}")
    body, checksum = archive[:-8], archive[-8:]
    if not archive.startswith(MAGIC):
        raise ArchiveError("the archive was not written by compress: it does not begin as one")
    if len(body) < HEADER.size or _hash(body) != checksum:
        raise ArchiveError("the archive is damaged or cut short: its checksum is wrong; use another copy")
    _, bits, n, x_dim, weights, probe, digest, length = HEADER.unpack_from(body)
    where, words = body[HEADER.size : HEADER.size + length], body[HEADER.size + length :]
    # No pixel costs less than 2^-16 bits: a bound on what a forged n can make us do.
    possible = 1 <= bits <= 16 and 0 < n * x_dim <= 2**16 * 8 * len(body) and where.isascii()
    if not (possible and words and len(words) % 4 == 0 and any(words[-4:])):
        raise ArchiveError("the archive was not written by compress: its header says what none does")
    if weights != _weights(model) or x_dim != _x_dim(model):
        raise ArchiveError("the archive was written with another model: its weights are not those of this one")
    if probe != _probe(model, bits):
        there = where.decode()
        raise ArchiveError(
            f"the model computes other numbers here, {_here(model)}, than where it wrote the archive, {there}"
        )
    coder, chunks, end = AnsCoder(np.frombuffer(words, "<u4").astype(np.uint32)), [], n
    for start in chain.from_iterable(map(reversed, reversed(_starts(n)))):
        chunks.append(pop(coder, model, end - start, bits, bits_back=start > 0))
        end = start
    x = torch.cat(chunks[::-1])
    if coder.get_compressed().tolist() != [1] or _digest(x) != digest:
        raise ArchiveError(
            "the archive does not give back the images that were written; decompress where it was written"
        )
    return x


def _empty() -> stream.stack.AnsCoder:
    """A stack that holds a 1, so that no zeros that are pushed get lost, and whoever pops too much can be told."""
    return AnsCoder(np.ones(1, np.uint32))


def _starts(n: int) -> tuple[Sequence[int], Sequence[int]]:
    """The index of the first image of each symbol: while symbols grow, and from then on."""
    return [start for start in STARTS if start < n], range(STARTS[-1] + MOST, n, MOST)


def _probabilities(model: VAE, codes: npt.NDArray[np.int32], bits: int) -> npt.NDArray[np.float64]:
    """Of all pixels of some images, one after the other, from the buckets of their z, shape (B, L)."""
    z = bucket_centers(bits)[torch.from_numpy(codes).long()]
    return pixel_probabilities(model.decode(z.to(model.a_weight()))).flatten().numpy()


def _weights(model: VAE) -> bytes:
    return bytes.fromhex(sha256({name: value.detach().cpu() for name, value in model.state_dict().items()}))[:8]


def _probe(model: VAE, bits: int) -> bytes:
    """The hash of an archive of noise: another one where the model, or the coder, computes other numbers."""
    noise = torch.rand(MOST, _x_dim(model), generator=torch.Generator().manual_seed(0)) < 0.5
    coder, x = _empty(), noise.to(model.a_weight())
    push(coder, model, x, bits, bits_back=False)
    push(coder, model, x, bits)
    return _hash(coder.get_compressed().astype("<u4").tobytes())


def _x_dim(model: VAE) -> int:
    with in_evaluation_mode(model), torch.no_grad():
        return model.decode(torch.zeros(1, model.latent_dim).to(model.a_weight())).shape[1]


def _digest(x: Tensor) -> bytes:
    return _hash(np.packbits(x.cpu().bool().numpy()).tobytes())


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:8]


def _here(model: VAE) -> str:
    versions = f"torch {torch.__version__}, constriction {version('constriction')}"
    return f"{versions}, {platform.machine()}, {model.a_weight().device.type}, threads {torch.get_num_threads()}"


def _require_bits(bits: int) -> None:
    require_count(bits=bits)
    if bits > 16:
        raise ValueError(f"bits must be at most 16, got {bits}: a latent dimension has 2**bits buckets")


def _require_binary(x: Tensor) -> None:
    require_rows(x=x)
    if not bool(((x == 0) | (x == 1)).all()):
        raise ValueError(f"x must hold only 0 and 1; draw them with datasets.binarize. {see('gray')}")


def _require_codable(model: VAE) -> None:
    require_vae(model)
    parts = model.likelihood, model.prior, model.posterior
    if (
        model.likelihood != bernoulli
        or not isinstance(model.prior, StandardNormal)
        or type(model.posterior) is not Diagonal
    ):
        raise TypeError(
            "the model must have the likelihood bernoulli, the prior standard_normal and the posterior diagonal, got "
            f"{', '.join(map(str, parts))}"
        )
