"""Serves GGUF files with llama.cpp's server and lets `lorica identify` say what they are.

usage: compare.py [--check] [--build-seconds N]

Which answers are right is not assumed: the mean distance of what is served from the folder is measured first, on many
more challenges than a run asks and under another key. With --check the stored result is left as it is. The exit status
is 1 where an answer contradicts the measured distance. LORICA and MEASURE name the two programs.
"""

import argparse
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts" / "foreign"
STORED = ROOT / "docs" / "benchmarks" / "identity" / "foreign-server"
MODEL = ROOT / "testdata" / "models" / "tiny-llama"
ADAPTED = ROOT / "testdata" / "models" / "tiny-llama-lora-es"
LORICA = os.environ.get("LORICA", ROOT / "target" / "release" / "lorica")
MEASURE = os.environ.get("MEASURE", ROOT / "target" / "release" / "examples" / "measure_distance")

# What is served: the file, and what it is.
CASES = [
    ("f32", "the model itself, f32"),
    ("f16", "the model itself, f16"),
    ("bf16", "the model itself, bf16"),
    ("q8_0", "quantized to 8 bits by llama.cpp (Q8_0)"),
    ("q4_0", "quantized to 4 bits by llama.cpp (Q4_0)"),
    ("fine-tuned", "fine-tuned: a LoRA adapter merged, f16"),
]
MODES = ["quick", "audit"]
# Challenges for the measured distance, and standard errors before an answer counts as wrong.
MEASURED_ON = 400
STANDARD_ERRORS = 3
# Seconds until a server that does not answer is taken for one that never will.
PATIENCE = 120


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def merged(out):
    """The model with the Spanish adapter merged into its weights, by PEFT's formula."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    shutil.copytree(MODEL, out)
    weights = load_file(MODEL / "model.safetensors")
    config = json.loads((ADAPTED / "adapter_config.json").read_text())
    adapter = load_file(ADAPTED / "adapter_model.safetensors")
    for name in [n for n in adapter if n.endswith(".lora_A.weight")]:
        module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        a, b = adapter[name], adapter[name.replace("lora_A", "lora_B")]
        alpha = config["alpha_pattern"].get(module.removeprefix("model."), config["lora_alpha"])
        scaling = alpha / (np.sqrt(a.shape[0]) if config["use_rslora"] else a.shape[0])
        weights[f"{module}.weight"] = weights[f"{module}.weight"] + (scaling * (b @ a)).astype(np.float32)
    save_file(weights, out / "model.safetensors")


def files(folder):
    """The GGUF file of each case."""
    made = {kind: folder / f"{kind}.gguf" for kind, _ in CASES}
    for kind in ("f32", "f16", "bf16"):
        run(sys.executable, SCRIPTS / "make_gguf.py", MODEL, made[kind], kind)
    for kind in ("q8_0", "q4_0"):
        run(sys.executable, SCRIPTS / "quantize.py", made["f32"], made[kind], kind)
    merged(folder / "merged")
    run(sys.executable, SCRIPTS / "make_gguf.py", folder / "merged", made["fine-tuned"], "f16")
    return made


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """llama.cpp's server on loopback, stopped at the end."""

    def __init__(self, model, log):
        self.model, self.log = model, log

    def __enter__(self):
        # Somebody else may take the port between the probe and the server.
        for _ in range(3):
            if self.started(free_port()):
                return self
            self.__exit__()
        sys.exit(f"llama.cpp's server did not start:\n{self.log.read_text()[-2000:]}")

    def started(self, port):
        self.url = f"http://127.0.0.1:{port}/v1"
        command = [sys.executable, "-m", "llama_cpp.server", "--model", self.model, "--model_alias", "served"]
        # Without logits_all there are no log-probabilities of a prompt.
        command += ["--logits_all", "true", "--n_ctx", "256", "--host", "127.0.0.1", "--port", port]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/models", timeout=5).read()
                return True
            except OSError:
                time.sleep(0.2)
        return False

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def identify(url, mode, calibration, out):
    command = [LORICA, "--quiet", "--json", "identify", "--reference", MODEL, "--candidate", url]
    command += ["--candidate-model", "served", "--mode", mode, "--calibration", calibration, "--out", out]
    started = time.monotonic()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode not in (0, 1, 3):
        sys.exit(f"lorica identify ended with {done.returncode}: {done.stdout}{done.stderr}")
    run(LORICA, "verify", "--bundle", out)
    report = json.loads(done.stdout)
    answer = report["candidates"][0]
    kept = ("answer", "by", "mean", "lower", "upper", "queries", "log_e_value")
    found = {name: answer[name] for name in kept}
    rule, access = report["rule"], report["access"]
    return {
        "mode": mode,
        "gamma": rule["gamma"],
        "delta_star": rule["delta_star"],
        "tier": access["tier"],
        "top": access["top"],
        **found,
        "retries": report["retries"],
        "seconds": round(time.monotonic() - started, 1),
    }


def wrong(distance, found):
    """Whether an answer contradicts the measured mean by more than chance."""
    slack = STANDARD_ERRORS * distance["standard_error"]
    match found["answer"]:
        case "SAME":
            return distance["mean"] - slack > found["gamma"]
        case "DIFFERENT":
            # More rarely than one prompt in a hundred beyond one half: then the mean alone can show a difference.
            rare = distance["above_one_half"] * 100 >= distance["challenges"]
            return distance["mean"] + slack < found["delta_star"] and not rare
    return False


def page(stored):
    lines = [
        "# Asked through a foreign server",
        "",
        f"`testdata/models/tiny-llama` as the reference, and GGUF files made from it served by llama.cpp",
        f"(llama-cpp-python {stored['server']['llama-cpp-python']}) over HTTP on loopback. `just foreign-server` makes this",
        "page and `foreign-server.json`.",
        "",
        "*Distance* is the measured truth: the mean total variation over",
        f"{MEASURED_ON} challenges under a key that no run has, with its standard error. An answer counts as wrong where this",
        f"mean contradicts it by more than {STANDARD_ERRORS} standard errors.",
        "",
        "| served | distance | mode | answer | mean of the run | bounds | queries | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in stored["cases"]:
        d = case["distance"]
        for found in case["runs"]:
            bounds = f"{found['lower']:.4f} to {found['upper']:.4f}"
            lines.append(
                f"| {case['served']} | {d['mean']:.5f} ({d['standard_error']:.5f}) | {found['mode']} | {found['answer']} |"
                f" {found['mean']:.5f} | {bounds} | {found['queries']} | {'WRONG' if found['wrong'] else 'right'} |"
            )
    first = stored["cases"][0]["runs"][0]
    noise = ", ".join(f"{c['name']}: {c['mean']:.1e}" for c in stored["calibration"])
    lines += [
        "",
        f"The server was asked by {first['tier']}, {first['top']} most probable tokens a position. Each bundle was verified",
        "again with `lorica verify --bundle`. DIFFERENT by *rare differences* says that prompts are answered visibly",
        "differently more often than one in a thousand, whatever the mean is.",
        "",
        f"The model against itself in other conditions (`lorica identify calibrate`, mean distances): {noise}. llama.cpp keeps",
        "keys and values in f16 whatever the weights are, so even its f32 file is not at distance 0.",
        "",
        f"Building the server took {stored['build']}. This is a recipe of its own and no part of CI: it would",
        "add a C++ build of that length to every run.",
        "",
    ]
    return "\n".join(lines)


def main(check, build):
    results, mistakes = [], 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        made = files(folder)
        calibration = folder / "calibration.json"
        calibration.write_text(run(LORICA, "--quiet", "identify", "--json", "calibrate", "--model", MODEL))
        for kind, what in CASES:
            with Server(made[kind], folder / f"{kind}.log") as server:
                distance = json.loads(run(MEASURE, MODEL, server.url, MEASURED_ON, "served"))
                runs = []
                for mode in MODES:
                    found = identify(server.url, mode, calibration, folder / f"evidence-{kind}-{mode}")
                    found["wrong"] = wrong(distance, found)
                    mistakes += found["wrong"]
                    runs.append(found)
                    say = "WRONG" if found["wrong"] else "ok   "
                    print(f"{say} {what}, {mode}: {found['answer']}, measured {distance['mean']:.4f}", file=sys.stderr)
            results.append({"served": what, "file": kind, "distance": distance, "runs": runs})
        conditions = json.loads(calibration.read_text())["calibration"]["conditions"]
    if not check:
        packages = ("llama-cpp-python", "gguf", "numpy", "safetensors")
        stored = {
            "format": "lorica-foreign-server/1",
            "server": {name: version(name) for name in packages},
            "python": platform.python_version(),
            "build": build,
            "calibration": conditions,
            "cases": results,
        }
        STORED.parent.mkdir(parents=True, exist_ok=True)
        STORED.with_suffix(".json").write_text(json.dumps(stored, indent=2) + "\n")
        STORED.with_suffix(".md").write_text(page(stored))
    sys.exit(1 if mistakes else 0)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--build", default="an unknown time")
    found = arguments.parse_args()
    main(found.check, found.build)
