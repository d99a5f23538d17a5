"""pythae's VAE, trainer and `get_nll` with their defaults, but for this benchmark's layers, batches, learning rate."""

import tempfile

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import nn

BATCH_SIZE = {"mlp": 128, "nll": 10}


class Encoder(BaseEncoder):
    def __init__(self, widths, latent_dim, activation):
        super().__init__()
        self.hidden = _mlp([784, *widths], activation)
        self.mu, self.log_var = nn.Linear(widths[-1], latent_dim), nn.Linear(widths[-1], latent_dim)

    def forward(self, x):
        h = self.hidden(x.reshape(-1, 784))
        return ModelOutput(embedding=self.mu(h), log_covariance=self.log_var(h))


class Decoder(BaseDecoder):
    def __init__(self, widths, latent_dim, activation):
        super().__init__()
        hidden = _mlp([latent_dim, *reversed(widths)], activation)
        self.layers = nn.Sequential(hidden, nn.Linear(widths[0], 784), nn.Sigmoid())

    def forward(self, z):
        return ModelOutput(reconstruction=self.layers(z).reshape(-1, 1, 28, 28))


def _mlp(widths, activation):
    pairs = zip(widths[:-1], widths[1:], strict=True)
    return nn.Sequential(*(layer for pair in pairs for layer in (nn.Linear(*pair), activation())))


def _model(widths, latent_dim, activation):
    torch.manual_seed(0)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=latent_dim, reconstruction_loss="bce")
    network = (widths, latent_dim, activation)
    return VAE(config, Encoder(*network), Decoder(*network))


def mlp(images):
    model = _model([400], 20, nn.ReLU)
    folder = tempfile.TemporaryDirectory()  # the trainer saves its model; the folder lives as long as `train`
    x = torch.from_numpy(images).float().reshape(-1, 1, 28, 28)
    trainer = BaseTrainer(
        model,
        train_dataset=BaseDataset(x, torch.zeros(len(x))),
        training_config=BaseTrainerConfig(
            output_dir=folder.name, num_epochs=1, per_device_train_batch_size=BATCH_SIZE["mlp"], learning_rate=1e-3
        ),
    )

    def train(folder=folder):
        trainer.train()

    @torch.no_grad()
    def loss(images):
        return model({"data": torch.from_numpy(images).float().reshape(-1, 1, 28, 28)}).loss.item()

    return train, loss


def nll(images):
    model = _model([200, 200], 50, nn.Tanh).eval()
    x, estimates = torch.from_numpy(images).float().reshape(-1, 1, 28, 28), []

    @torch.no_grad()
    def measure():
        estimates.append(model.get_nll(x, n_samples=5000))

    return measure, lambda images: -float(estimates[-1])
