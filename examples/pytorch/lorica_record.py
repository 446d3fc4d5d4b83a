"""Records one training step of a PyTorch script, so that `lorica train prove` can prove it.

    recorder = StepRecorder("recorded", model, loss_function, optimizer, at=100)
    for step, (inputs, targets, rows) in enumerate(batches):
        recorder.before(step, inputs, targets, rows)
        optimizer.zero_grad()
        loss_function(model(inputs), targets).backward()
        optimizer.step()
        recorder.after(step)

The folder then holds `before.safetensors`, `after.safetensors`, `batch.safetensors` and `step.toml`; README.md beside
this file says what is in them. What Lorica cannot prove is refused here, by name, before the step is made. Not seen
from here is what the script does to the gradients between `backward` and `step`, such as clipping: a step that was
changed that way is recorded, and has no proof.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn


class StepRecorder:
    """Writes step number `at` (counted as the caller counts) to `folder`; does nothing at all other steps."""

    def __init__(self, folder, model, loss_function, optimizer, at):
        self.folder, self.model, self.at = Path(folder), model, at
        self.loss_function, self.optimizer = loss_function, optimizer
        self.recorded = None

    def before(self, step, inputs, targets, rows):
        """Call before the update. `rows` are the indices of the batch in the data set, in the order of the batch."""
        if step != self.at:
            return
        layers = linear_layers(self.model)
        update = describe_update(layers, self.optimizer)
        self.recorded = {
            "before": snapshot(self.model, self.optimizer),
            "batch": describe_batch(layers, self.loss_function, inputs, targets, rows),
            "step": step_toml(layers, describe_loss(self.loss_function), update, len(inputs)),
        }

    def after(self, step):
        """Call after the update: writes the four files."""
        if step != self.at:
            return
        if self.recorded is None:
            raise RuntimeError(f"step {step} cannot be recorded: `before` was not called at this step")
        self.folder.mkdir(parents=True, exist_ok=True)
        save_file(self.recorded["before"], self.folder / "before.safetensors")
        save_file(snapshot(self.model, self.optimizer), self.folder / "after.safetensors")
        save_file(self.recorded["batch"], self.folder / "batch.safetensors")
        (self.folder / "step.toml").write_text(self.recorded["step"])


def refuse(what, instead):
    raise ValueError(f"Lorica cannot prove this step: {what}; {instead}")


def is_lora(module):
    """A linear layer `base` with the matrices `lora_A` and `lora_B`, as LoRALinear of train_digits.py."""
    return all(isinstance(getattr(module, name, None), nn.Linear) for name in ("base", "lora_A", "lora_B"))


def linear_layers(model):
    """The linear layers of Linear, ReLU, ..., Linear, each with a bias, plain or with LoRA matrices."""
    if not isinstance(model, nn.Sequential):
        refuse(f"the model is a {type(model).__name__}", "make it an nn.Sequential of linear layers and ReLU")
    for index, module in enumerate(model):
        linear = module.base if is_lora(module) else module
        expected = nn.ReLU if index % 2 else nn.Linear
        if type(linear) is not expected:
            refuse(f"module {index} is a {type(module).__name__}", f"expected a {expected.__name__} at this place")
        if expected is nn.Linear and linear.bias is None:
            refuse(f"module {index} has no bias", "construct it with bias=True")
    if len(model) % 2 == 0:
        refuse("the model does not end with a linear layer", "leave the last activation to the loss")
    return list(model)[::2]


def describe_loss(loss_function):
    """The kind of the loss, which must be a mean without weights or smoothing."""
    if type(loss_function) is nn.CrossEntropyLoss:
        if loss_function.weight is not None or loss_function.label_smoothing != 0:
            refuse("the cross-entropy has class weights or label smoothing", "leave them out")
        kind = "cross-entropy"
    elif type(loss_function) is nn.MSELoss:
        kind = "mse"
    else:
        refuse(f"the loss is {type(loss_function).__name__}", "use CrossEntropyLoss or MSELoss")
    if loss_function.reduction != "mean":
        refuse(f'the loss has reduction="{loss_function.reduction}"', 'use reduction="mean"')
    return kind


def describe_update(layers, optimizer):
    """The table [update]: plain SGD on all weights, or on the LoRA matrices of frozen layers."""
    if type(optimizer) is not torch.optim.SGD:
        refuse(f"the optimizer is {type(optimizer).__name__}", "use torch.optim.SGD")
    if len(optimizer.param_groups) != 1:
        refuse("the optimizer has several parameter groups", "use one, so that one learning rate holds for all")
    group = optimizer.param_groups[0]
    for option in ("nesterov", "maximize", "dampening"):
        if group[option]:
            refuse(f"the optimizer has {option}={group[option]}", "leave it out")

    with_lora = [layer for layer in layers if is_lora(layer)]
    update = {"kind": "lora" if with_lora else "sgd"}
    if with_lora:
        trained = [matrix.weight for layer in with_lora for matrix in (layer.lora_A, layer.lora_B)]
        ranks = {layer.lora_A.out_features for layer in with_lora}
        scalings = {float(layer.scaling) for layer in with_lora}
        if len(with_lora) != len(layers):
            refuse("only some of the layers have LoRA matrices", "give them to all")
        if len(ranks) != 1 or len(scalings) != 1:
            refuse("the layers have different LoRA ranks or scalings", "give all the same rank and alpha")
        if any(matrix.bias is not None for layer in with_lora for matrix in (layer.lora_A, layer.lora_B)):
            refuse("a LoRA matrix has a bias", "construct it with bias=False")
        update["rank"] = ranks.pop()
        update["alpha"] = scalings.pop() * update["rank"]
    else:
        trained = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    given = {id(parameter) for parameter in group["params"] if parameter.requires_grad}
    if given != {id(parameter) for parameter in trained}:
        refuse("the optimizer does not train the expected weights", "give it all, or exactly the LoRA matrices")
    if len(given) != len(trained):
        refuse("two layers share a weight", "give each its own")

    update["learning_rate"] = float(group["lr"])
    update["momentum"] = float(group["momentum"])
    update["weight_decay"] = float(group["weight_decay"])
    return update


def describe_batch(layers, loss_function, inputs, targets, rows):
    """The tensors of batch.safetensors: what the model and the loss were given, and where it is in the data set."""
    rows = torch.as_tensor(rows, dtype=torch.int64)
    if inputs.dim() != 2 or inputs.dtype != torch.float32:
        refuse(f"the inputs are {inputs.dtype} of shape {list(inputs.shape)}", "flatten them to float32 [batch, width]")
    if not len(inputs) == len(targets) == len(rows):
        refuse(f"{len(inputs)} inputs, {len(targets)} targets, {len(rows)} rows", "give one of each for a sample")
    if type(loss_function) is nn.CrossEntropyLoss:
        name, shape, dtype = "labels", (len(inputs),), torch.int64
        if targets.dtype == dtype and (targets == loss_function.ignore_index).any():
            refuse(f"the loss ignores the label {loss_function.ignore_index}", "leave such samples out of the batch")
    else:
        last = layers[-1].base if is_lora(layers[-1]) else layers[-1]
        name, shape, dtype = "targets", (len(inputs), last.out_features), torch.float32
    if targets.shape != shape or targets.dtype != dtype:
        found, expected = f"{targets.dtype} of shape {list(targets.shape)}", f"{dtype} of shape {list(shape)}"
        refuse(f"the targets are {found}", f"this loss needs {expected}")
    return {"inputs": copied(inputs), name: copied(targets), "rows": copied(rows)}


def snapshot(model, optimizer):
    """All weights under their names in the state_dict, and the momentum of each trained one where there is any."""
    tensors = {name: copied(tensor) for name, tensor in model.state_dict().items()}
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32:
            refuse(f"{name} is {tensor.dtype}", "train in float32")
    if optimizer.param_groups[0]["momentum"] != 0:
        trained = {id(parameter) for parameter in optimizer.param_groups[0]["params"] if parameter.requires_grad}
        for name, parameter in model.named_parameters():
            if id(parameter) in trained:
                # Before the first step there is no buffer; without dampening that is the same as zeros.
                momentum = optimizer.state[parameter].get("momentum_buffer")
                tensors[f"momentum.{name}"] = copied(torch.zeros_like(parameter) if momentum is None else momentum)
    return tensors


def copied(tensor):
    """A copy of its own, in memory: what the training changes later must not change what was recorded."""
    return tensor.detach().cpu().clone().contiguous()


def step_toml(layers, loss, update, batch):
    """The text of step.toml, format `lorica-training/1`."""
    linear = [layer.base if is_lora(layer) else layer for layer in layers]
    widths = [linear[0].in_features] + [layer.out_features for layer in linear]
    kind = update["kind"]
    lines = ['format = "lorica-training/1"', "", "[model]", f"layers = {widths}", "", "[loss]", f'kind = "{loss}"', ""]
    lines += ["[update]", f'kind = "{kind}"']
    lines += [f"{key} = {value}" for key, value in update.items() if key != "kind"]
    return "\n".join(lines + ["", "[batch]", f"size = {batch}", ""])
