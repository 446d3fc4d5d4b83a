"""Recomputes recorded training steps in float64 and says how far from them the recorded weights are.

    python check.py                    # the folders beside this file
    python check.py FOLDER...          # steps recorded by examples/pytorch/lorica_record.py

Needs Python 3.11 and numpy, no PyTorch. The deviation of a weight is

    (after - before) - (what the update rule adds to `before`, computed in float64 from the recorded float32 numbers)

and its largest value is the rounding tolerance that an honest float32 step needs, in weight units, before anything is
converted to fixed point. Part of it is the rounding of `after` itself to float32, at most half a unit in its last place
("ulp/2" below, of the tensor's largest weight); the rest is arithmetic. Exits with 1 where a tensor deviates by more
than SHARE of its largest update, where a frozen one changed, or where a file has not the stated form.
"""

import json
import sys
import tomllib
from pathlib import Path

import numpy

SHARE = 1e-4


def main():
    folders = [Path(name) for name in sys.argv[1:]]
    folders = folders or sorted(path.parent for path in Path(__file__).parent.glob("*/step.toml"))
    failures = [failure for folder in folders for failure in check(folder)]
    for failure in failures:
        print("FAILED:", failure)
    sys.exit(1 if failures or not folders else 0)


def check(folder):
    """Prints the deviations of one recorded step; the answer lists what is wrong with it."""
    step = tomllib.loads((folder / "step.toml").read_text())
    files = [folder / f"{name}.safetensors" for name in ("before", "after", "batch")]
    before, after, batch = map(read_safetensors, files)
    failures = wrong_form(step, before, after, batch)
    if failures:
        return [f"{folder.name}: {failure}" for failure in failures]

    expected, margin = recompute(step, before, batch)
    print(f"{folder.name}: {step['update']}, {step['loss']['kind']}, batch {step['batch']['size']}")
    print(f"  smallest |input of a ReLU| {margin:.2e}")
    print(f"  {'tensor':20}{'max |update|':>13}{'max |dev|':>11}{'ulp/2':>11}{'max/max':>11}{'norm/norm':>11}  at")
    for name in before:
        if name not in expected:
            if not numpy.array_equal(before[name], after[name]):
                failures.append(f"{name} is frozen, but changed")
            print(f"  {name:20}{'frozen':>13}")
            continue
        update = expected[name] - before[name].astype(numpy.float64)
        deviation = after[name].astype(numpy.float64) - expected[name]
        place = [int(index) for index in numpy.unravel_index(numpy.abs(deviation).argmax(), deviation.shape)]
        worst, largest = numpy.abs(deviation).max(), numpy.abs(update).max()
        half_ulp = numpy.spacing(numpy.abs(after[name]).max()) / 2
        # A tensor without an update has nothing to divide by: its deviation itself is shown then.
        share = worst / (largest or 1)
        norms = numpy.linalg.norm(deviation) / (numpy.linalg.norm(update) or 1)
        print(f"  {name:20}{largest:13.2e}{worst:11.2e}{half_ulp:11.2e}{share:11.2e}{norms:11.2e}  {place}")
        # Written so that it also fails where something is not a number.
        if not worst <= SHARE * largest:
            failures.append(f"{name} deviates by {share:.2e} of its largest update, at {place}")
    weights = [name for name in expected if not name.startswith("momentum.")]
    tolerance = max(numpy.abs(after[name] - expected[name]).max() for name in weights)
    print(f"  all weights: {tolerance:.2e}, which is 2^{numpy.log2(tolerance):.1f}\n")
    return [f"{folder.name}: {failure}" for failure in failures]


def read_safetensors(path):
    """The tensors of a file: eight bytes with the length of the header, the header in JSON, the numbers."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    tensors = {}
    for name, entry in json.loads(content[8:start]).items():
        if name != "__metadata__":
            first, end = entry["data_offsets"]
            dtype = {"F32": "<f4", "I64": "<i8"}[entry["dtype"]]
            tensors[name] = numpy.frombuffer(content[start + first : start + end], dtype).reshape(entry["shape"])
    return tensors


def wrong_form(step, before, after, batch):
    """Where names, shapes or types of tensors are other than examples/pytorch/README.md says."""
    widths, update, size = step["model"]["layers"], step["update"], step["batch"]["size"]
    lora = update["kind"] == "lora"
    weights, frozen = {}, set()
    for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        module, base = str(2 * layer), f"{2 * layer}.base" if lora else str(2 * layer)
        weights |= {f"{base}.weight": (outputs, inputs), f"{base}.bias": (outputs,)}
        if lora:
            frozen |= {f"{base}.weight", f"{base}.bias"}
            weights |= {f"{module}.lora_A.weight": (update["rank"], inputs)}
            weights |= {f"{module}.lora_B.weight": (outputs, update["rank"])}
    if update["momentum"] != 0:
        weights |= {f"momentum.{name}": shape for name, shape in weights.items() if name not in frozen}
    weights = {name: (shape, "float32") for name, shape in weights.items()}
    samples = {"inputs": ((size, widths[0]), "float32"), "rows": ((size,), "int64")}
    if step["loss"]["kind"] == "mse":
        samples["targets"] = ((size, widths[-1]), "float32")
    else:
        samples["labels"] = ((size,), "int64")
    failures = [] if step["format"] == "lorica-training/1" else [f"unknown format {step['format']}"]
    for file, tensors, expected in (("before", before, weights), ("after", after, weights), ("batch", batch, samples)):
        found = {name: (tensor.shape, tensor.dtype.name) for name, tensor in tensors.items()}
        for name in sorted(found.keys() | expected.keys()):
            if found.get(name) != expected.get(name):
                failures.append(f"{file}.safetensors: {name} is {found.get(name)}, expected {expected.get(name)}")
    return failures


def recompute(step, before, batch):
    """What all trained tensors are after the step, in float64, and the smallest size of an input of a ReLU."""
    update = step["update"]
    weights = {name: tensor.astype(numpy.float64) for name, tensor in before.items()}
    samples = {name: tensor.astype(numpy.float64) for name, tensor in batch.items()}
    gradients, margin = gradients_of(step, weights, samples)
    expected = {}
    for name, gradient in gradients.items():
        change = gradient + update["weight_decay"] * weights[name]
        if update["momentum"] != 0:
            change += update["momentum"] * weights[f"momentum.{name}"]
            expected[f"momentum.{name}"] = change
        expected[name] = weights[name] - update["learning_rate"] * change
    return expected, margin


def gradients_of(step, weights, batch):
    """The gradients of the mean loss of the batch by all trained tensors."""
    update, layers = step["update"], len(step["model"]["layers"]) - 1
    lora = update["kind"] == "lora"
    scaling = update["alpha"] / update["rank"] if lora else 0
    matrices, activations, outputs = [], [batch["inputs"]], []
    for layer in range(layers):
        module, base = str(2 * layer), f"{2 * layer}.base" if lora else str(2 * layer)
        matrix = weights[f"{base}.weight"]
        if lora:
            matrix = matrix + scaling * weights[f"{module}.lora_B.weight"] @ weights[f"{module}.lora_A.weight"]
        matrices.append(matrix)
        outputs.append(activations[-1] @ matrix.T + weights[f"{base}.bias"])
        activations.append(numpy.maximum(outputs[-1], 0))

    size = len(batch["inputs"])
    if step["loss"]["kind"] == "mse":
        # The mean of nn.MSELoss is over all entries, not over samples.
        backward = 2 * (outputs[-1] - batch["targets"]) / batch["targets"].size
    else:
        exponentials = numpy.exp(outputs[-1] - outputs[-1].max(axis=1, keepdims=True))
        backward = exponentials / exponentials.sum(axis=1, keepdims=True)
        backward[numpy.arange(size), batch["labels"].astype(int)] -= 1
        backward /= size

    gradients = {}
    for layer in reversed(range(layers)):
        module, matrix = str(2 * layer), backward.T @ activations[layer]
        if lora:
            lora_a, lora_b = weights[f"{module}.lora_A.weight"], weights[f"{module}.lora_B.weight"]
            gradients[f"{module}.lora_A.weight"] = scaling * lora_b.T @ matrix
            gradients[f"{module}.lora_B.weight"] = scaling * matrix @ lora_a.T
        else:
            gradients[f"{module}.weight"] = matrix
            gradients[f"{module}.bias"] = backward.sum(axis=0)
        if layer > 0:
            backward = (backward @ matrices[layer]) * (outputs[layer - 1] > 0)
    return gradients, min(numpy.abs(output).min() for output in outputs[:-1])


if __name__ == "__main__":
    main()
