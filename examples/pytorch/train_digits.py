"""Trains a small network on scikit-learn's digits and records one step in the middle for Lorica.

An ordinary training script: the four lines marked "recorded" are all that Lorica adds to it.

    python train_digits.py --out recorded/sgd
    python train_digits.py --lora --out recorded/lora
    python train_digits.py --loss mse --out recorded/mse

With --lora, a network first learns the digits below five with all its weights, which are then frozen; what is recorded
is a step of the LoRA matrices that teach it all ten.
"""

import argparse

import numpy
import torch
from sklearn.datasets import load_digits
from torch import nn

from lorica_record import StepRecorder  # recorded

TRAINING_ROWS = 1437  # of 1797; the rest is for testing


class LoRALinear(nn.Module):
    """A frozen linear layer and a trained matrix of low rank beside it, scaled and initialised as in PEFT."""

    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        self.scaling = alpha / rank
        nn.init.kaiming_uniform_(self.lora_A.weight, a=5**0.5)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, inputs):
        return self.base(inputs) + self.scaling * self.lora_B(self.lora_A(inputs))


def network(widths=(64, 32, 10)):
    modules = []
    for inputs, outputs in zip(widths, widths[1:]):
        modules += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def with_lora(model, rank, alpha):
    return nn.Sequential(*[LoRALinear(m, rank, alpha) if isinstance(m, nn.Linear) else m for m in model])


def train(model, digits, arguments, rows_to_learn, record_at):
    inputs, labels = digits
    targets = labels if arguments.loss == "cross-entropy" else nn.functional.one_hot(labels, 10).float()
    loss_function = nn.CrossEntropyLoss() if arguments.loss == "cross-entropy" else nn.MSELoss()
    optimizer = torch.optim.SGD(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=arguments.learning_rate,
        momentum=arguments.momentum,
        weight_decay=arguments.weight_decay,
    )
    recorder = StepRecorder(arguments.out, model, loss_function, optimizer, at=record_at)  # recorded
    step = 0
    while step < arguments.steps:
        for rows in rows_to_learn[torch.randperm(len(rows_to_learn))].split(arguments.batch):
            if len(rows) < arguments.batch or step == arguments.steps:
                break
            recorder.before(step, inputs[rows], targets[rows], rows)  # recorded
            optimizer.zero_grad()
            loss = loss_function(model(inputs[rows]), targets[rows])
            loss.backward()
            optimizer.step()
            recorder.after(step)  # recorded
            if step == record_at:
                print(f"step {step}: loss {loss.item():.4f}, recorded in {arguments.out}")
            step += 1
    with torch.no_grad():
        right = model(inputs[TRAINING_ROWS:]).argmax(dim=1) == labels[TRAINING_ROWS:]
    print(f"after {step} steps: test accuracy {right.float().mean().item():.1%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="the folder for the recorded step")
    parser.add_argument("--loss", choices=["cross-entropy", "mse"], default="cross-entropy")
    parser.add_argument("--lora", action="store_true", help="freeze a trained network and train LoRA matrices")
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--alpha", type=float, default=8)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--momentum", type=float, default=0)
    parser.add_argument("--weight-decay", type=float, default=0)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--record-at", type=int, default=200, help="the number of the recorded step, from 0")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    pixels, labels = load_digits(return_X_y=True)
    # Pixels are whole numbers from 0 to 16, so that the division by 16 is exact.
    digits = torch.from_numpy((pixels / 16).astype(numpy.float32)), torch.from_numpy(labels)
    rows = torch.arange(TRAINING_ROWS)

    model = network()
    if arguments.lora:
        train(model, digits, arguments, rows[digits[1][rows] < 5], record_at=None)
        model = with_lora(model, arguments.rank, arguments.alpha)
    train(model, digits, arguments, rows, record_at=arguments.record_at)


if __name__ == "__main__":
    main()
