"""pythae's VAE and trainer with their defaults, but for this benchmark's layers, batch size and learning rate."""

import tempfile

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import nn

BATCH_SIZE = {"mlp": 128}


class Encoder(BaseEncoder):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(784, 400), nn.ReLU())
        self.mu, self.log_var = nn.Linear(400, 20), nn.Linear(400, 20)

    def forward(self, x):
        h = self.hidden(x.reshape(-1, 784))
        return ModelOutput(embedding=self.mu(h), log_covariance=self.log_var(h))


class Decoder(BaseDecoder):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784), nn.Sigmoid())

    def forward(self, z):
        return ModelOutput(reconstruction=self.layers(z).reshape(-1, 1, 28, 28))


def mlp(images):
    torch.manual_seed(0)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=20, reconstruction_loss="bce")
    model = VAE(config, Encoder(), Decoder())
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
