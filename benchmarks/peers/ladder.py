"""From the PyTorch example's loop towards ours, one change at a time: what each of them is worth.

A rung keeps the changes of the rungs below it; ``rung3`` has the first three of `CHANGES`.
"""

from functools import partial

import torch
import torch.nn.functional as F
from peers.pytorch_example import Images, TwoHeads
from torch import nn
from torch.utils.data import DataLoader

CHANGES = (
    "images in memory",
    "logits, no sigmoid",
    "fused Adam",
    "one layer for both heads",
    "loss read once an epoch",
)
BATCH_SIZE = {f"rung{n}": 128 for n in range(len(CHANGES) + 1)}


class TwoHeadsLogits(TwoHeads):
    def forward(self, x):
        h = F.relu(self.hidden(x))
        mu, log_var = self.mu(h), self.log_var(h)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        return self.pixels(F.relu(self.decoder_hidden(z))), mu, log_var


class OneHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 40))
        self.decoder = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784))

    def forward(self, x):
        mu, log_var = self.encoder(x).chunk(2, -1)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        return self.decoder(z), mu, log_var


def _rung(n_changes, images):
    in_memory, logits, fused, one_head, read_once = (n_changes > i for i in range(len(CHANGES)))
    torch.manual_seed(0)
    model = OneHead() if one_head else TwoHeadsLogits() if logits else TwoHeads()
    cross_entropy = F.binary_cross_entropy_with_logits if logits else F.binary_cross_entropy
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused)
    if in_memory:
        x_train = torch.from_numpy(images).float()
    else:
        loader = DataLoader(Images(images), batch_size=128, shuffle=True)

    def batches():
        if in_memory:
            return (x_train[rows] for rows in torch.randperm(len(x_train)).split(128))
        return (x.view(-1, 784) for x, _ in loader)

    def negative_elbo(x):
        prediction, mu, log_var = model(x)
        kl = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
        return cross_entropy(prediction, x, reduction="sum") + kl

    def train():
        total = 0.0
        for x in batches():
            optimizer.zero_grad()
            loss = negative_elbo(x)
            loss.backward()
            total += loss.detach() if read_once else loss.item()
            optimizer.step()
        print(f"average loss: {float(total) / len(images):.4f}")

    @torch.no_grad()
    def loss(images):
        return negative_elbo(torch.from_numpy(images).float()).item() / len(images)

    return train, loss


rung0, rung1, rung2, rung3, rung4, rung5 = (partial(_rung, n) for n in range(len(CHANGES) + 1))
