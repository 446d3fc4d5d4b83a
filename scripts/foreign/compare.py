"""Serves GGUF files with llama.cpp's server and lets `lorica identify` say what they are.

usage: compare.py [--check]

With --check the stored result is left as it is; the exit status is 1 where an answer is not the expected one.
"""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts" / "foreign"
LORICA = ROOT / "target" / "release" / "lorica"
STORED = ROOT / "docs" / "benchmarks" / "identity" / "foreign-server.json"
MODEL = ROOT / "testdata" / "models" / "tiny-llama"
ADAPTED = ROOT / "testdata" / "models" / "tiny-llama-lora-es"

# What is served, and the answers that are right. An 8-bit copy is nearer to its original than the modes ask for, which
# the reported interval says; the others are far from it.
CASES = [
    ("the model itself", "itself", {"SAME"}),
    ("quantized to 8 bits by llama.cpp", "q8_0", {"SAME"}),
    ("quantized to 4 bits by llama.cpp", "q4_0", {"DIFFERENT"}),
    ("fine-tuned: a LoRA adapter merged", "fine-tuned", {"DIFFERENT"}),
]


def run(*command):
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


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


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """llama.cpp's server on loopback, stopped at the end."""

    def __init__(self, model, log):
        self.url = f"http://127.0.0.1:{free_port()}"
        port = self.url.rsplit(":", 1)[1]
        self.log = open(log, "w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--model_alias", "served"]
            + ["--logits_all", "true", "--n_ctx", "256", "--host", "127.0.0.1", "--port", port],
            stdout=self.log,
            stderr=self.log,
        )

    def __enter__(self):
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{self.url}/v1/models", timeout=1).read()
                return self
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.2)
        self.__exit__()
        sys.exit(f"llama.cpp's server did not start; see {self.log.name}")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()


def identify(url, out):
    command = [LORICA, "--quiet", "--json", "identify", "--reference", MODEL, "--candidate", f"{url}/v1"]
    command += ["--candidate-model", "served", "--mode", "audit", "--out", out]
    started = time.monotonic()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode not in (0, 1, 3):
        sys.exit(f"lorica identify ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout), time.monotonic() - started


def main(check):
    results, wrong = [], 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        served = {"itself": folder / "itself.gguf", "fine-tuned": folder / "fine-tuned.gguf"}
        run(sys.executable, SCRIPTS / "make_gguf.py", MODEL, served["itself"])
        merged(folder / "merged")
        run(sys.executable, SCRIPTS / "make_gguf.py", folder / "merged", served["fine-tuned"])
        for kind in ("q8_0", "q4_0"):
            served[kind] = folder / f"{kind}.gguf"
            run(sys.executable, SCRIPTS / "quantize.py", served["itself"], served[kind], kind)
        for what, key, expected in CASES:
            with Server(served[key], folder / f"{key}.log") as server:
                report, seconds = identify(server.url, folder / f"evidence-{key}")
            answer = report["candidates"][0]
            right = answer["answer"] in expected
            wrong += not right
            results.append({"served": what, "expected": sorted(expected), "seconds": round(seconds, 1), **answer})
            print(f"{'ok   ' if right else 'WRONG'} {what}: {answer['answer']}", file=sys.stderr)
    if not check:
        STORED.parent.mkdir(parents=True, exist_ok=True)
        STORED.write_text(json.dumps({"server": "llama-cpp-python 0.3.36", "cases": results}, indent=2) + "\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    main(sys.argv[1:] == ["--check"])
