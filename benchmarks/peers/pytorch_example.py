"""The loop of the PyTorch project's own VAE example (pytorch/examples, vae), written after its public description.

A DataLoader over a dataset of images that turns one image at a time into a PIL image and that into a tensor, as
torchvision's MNIST and ToTensor do; two heads; a sigmoid, then the binary cross-entropy, summed; the loss read off
every step; PyTorch's defaults everywhere. The same loop trains the convolutional model of the tutorials.
"""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

BATCH_SIZE = {"mlp": 128, "conv": 100}


class Images(Dataset):
    """(1, 28, 28) tensors in [0, 1] and a class, made of bytes when asked for."""

    def __init__(self, images):
        self.data = torch.from_numpy(images * np.uint8(255)).reshape(-1, 28, 28)
        self.targets = torch.zeros(len(images), dtype=torch.long)

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        image, target = Image.fromarray(self.data[index].numpy()), int(self.targets[index])
        return to_tensor(image), target


def to_tensor(image):
    pixels = torch.from_numpy(np.array(image, np.uint8, copy=True))
    pixels = pixels.view(image.size[1], image.size[0], 1).permute(2, 0, 1).contiguous()
    return pixels.to(dtype=torch.get_default_dtype()).div(255)


class TwoHeads(nn.Module):
    """784-400-20-400-784, with one layer for the means and another for the log-variances."""

    def __init__(self):
        super().__init__()
        self.hidden, self.mu, self.log_var = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.decoder_hidden, self.pixels = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x):
        h = F.relu(self.hidden(x.view(-1, 784)))
        mu, log_var = self.mu(h), self.log_var(h)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        return torch.sigmoid(self.pixels(F.relu(self.decoder_hidden(z)))), mu, log_var


class Convolutional(nn.Module):
    """Two strided convolutions down to 7×7, a 7×7 convolution onto the code, and the way back."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(32, 40, 7),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(20, 32, 7), nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1), nn.ReLU(),
            nn.ConvTranspose2d(16, 1, 3, stride=2, padding=1, output_padding=1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x):
        mu, log_var = self.encoder(x).chunk(2, dim=1)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        return self.decoder(z).view(-1, 784), mu, log_var


def loss_function(reconstruction, x, mu, log_var):
    bce = F.binary_cross_entropy(reconstruction, x.view(-1, 784), reduction="sum")
    return bce - 0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())


def mlp(images):
    return _loop(TwoHeads(), images, BATCH_SIZE["mlp"])


def conv(images):
    return _loop(Convolutional(), images, BATCH_SIZE["conv"])


def _loop(model, images, batch_size):
    torch.manual_seed(0)
    loader = DataLoader(Images(images), batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def train():
        model.train()
        total = 0.0
        for step, (x, _) in enumerate(loader):
            optimizer.zero_grad()
            loss = loss_function(*_with(x, model(x)))
            loss.backward()
            total += loss.item()
            optimizer.step()
            if step % 10 == 0:
                print(f"{step * len(x)}/{len(images)}: {loss.item() / len(x):.6f}")
        print(f"average loss: {total / len(images):.4f}")

    @torch.no_grad()
    def loss(images):
        x = torch.from_numpy(images).float().view(-1, 1, 28, 28)
        return loss_function(*_with(x, model(x))).item() / len(x)

    return train, loss


def _with(x, output):
    reconstruction, mu, log_var = output
    return reconstruction, x, mu, log_var
