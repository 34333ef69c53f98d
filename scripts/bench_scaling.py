"""Weak scaling of the training step: the same images a device, more and more devices.

    python scripts/bench_scaling.py --devices 1 2 4 8 --processes 1 2 4

Simulated devices and processes share the cores of this machine, so the step cannot become faster:
what is to be seen is what sharing it out costs. `images/s` would be constant if it cost nothing.
Bytes through collectives are read from the compiled program: what each device gives to all-reduces,
beside the size of the gradients. A ring sends and receives 2 (n - 1) / n of that.
"""

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# One row, compilation included.
_LIMIT_S = 3600
_BYTES = {"f64": 8, "f32": 4, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "s64": 8, "u8": 1, "pred": 1}


def all_reduced_bytes(program: str) -> int:
    """Bytes that a device gives to all-reduces in a compiled program.

    Args:
        program: text of the optimised HLO, `compiled.as_text()`.
    """
    total = 0
    for line in program.splitlines():
        match = re.search(r"= (.*?) all-reduce(?:-start)?\(", line)
        if match is None:
            continue
        for kind, shape in re.findall(r"\b([a-z]+\d*)\[([\d,]*)\]", match[1]):
            size = _BYTES[kind]
            for n in filter(None, shape.split(",")):
                size *= int(n)
            total += size
    return total


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Compiles and times the step on the devices of this process, or of all."""
    import jax
    import numpy as np
    from flax import nnx

    from cbda_jax import models, sharding, training

    if options.coordinator:
        jax.distributed.initialize(options.coordinator, options.of, options.process)
    mesh = sharding.make_mesh()
    optimizer = training.create_optimizer(
        "sgd",
        training.poly_schedule(2.5e-4, power=0.9, steps=1000),
        head_multiplier=10.0,
        is_head=models.is_head,
    )
    graphdef, state = training.create_state(
        lambda: models.create_model(options.network, 19, rngs=nnx.Rngs(0)), optimizer
    )
    state = sharding.replicate(mesh, state)
    step = training.make_train_step(
        graphdef, optimizer, mesh, seed=0, weights=training.LossWeights()
    )
    rng = np.random.default_rng(jax.process_index())
    height, width = (int(n) for n in options.size.split("x"))
    local = options.batch * jax.local_device_count()

    image = rng.integers(0, 256, (local, height, width, 3), dtype=np.uint8)
    label = rng.integers(0, 19, image.shape[:3], dtype=np.uint8)
    image, label = sharding.shard_batch(mesh, (image, label))
    examples = training.Examples(image, label)
    batch = training.Batch(examples, examples)
    compiled = step.lower(state, batch).compile()  # pyright: ignore[reportFunctionMemberAccess]
    times = []
    end = time.perf_counter() + options.seconds
    # Processes must make the same number of steps: the clock of one would not do.
    for _ in range(options.steps if options.coordinator else 10_000):
        start = time.perf_counter()
        state, losses = compiled(state, batch)
        jax.block_until_ready(losses)
        times.append(time.perf_counter() - start)
        if not options.coordinator and len(times) > 4 and time.perf_counter() > end:
            break
    median = statistics.median(times[2:])
    return {
        "devices": mesh.size,
        "processes": jax.process_count(),
        "median": median,
        "images": 2 * options.batch * mesh.size / median,
        "reduced": all_reduced_bytes(compiled.as_text() or ""),
        "parameters": 4 * sum(x.size for x in jax.tree.leaves(state.params)),
    }


def run(options: argparse.Namespace, devices: int, processes: int) -> dict[str, Any]:
    """One row, measured in processes of their own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    root = str(Path(__file__).resolve().parent.parent)
    running = []
    for process in range(processes):
        command = [sys.executable, __file__, "--child", f"--network={options.network}"]
        command += [f"--size={options.size}", f"--batch={options.batch}"]
        command += [f"--seconds={options.seconds}", f"--steps={options.steps}"]
        if processes > 1:
            command += [f"--coordinator={address}", f"--of={processes}", f"--process={process}"]
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": str(devices // processes),
            "PYTHONPATH": os.pathsep.join(paths),
        }
        running.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        )
    end = time.monotonic() + _LIMIT_S
    try:
        outputs = [p.communicate(timeout=max(0.0, end - time.monotonic()))[0] for p in running]
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(
            f"{devices} devices in {processes} processes: waited {_LIMIT_S} s for their end"
        ) from error
    finally:
        for process in running:
            process.kill()
    if any(process.returncode for process in running):
        raise RuntimeError(f"{devices} devices in {processes} processes: measuring failed")
    return json.loads(outputs[0].splitlines()[-1])


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown; efficiency is images/s over those of the first row."""
    lines = [
        "| devices | processes | ms a step | images/s | of one device | all-reduced MB "
        "| parameters MB | a ring moves MB |",
        "|" + " ---: |" * 8,
    ]
    for row in rows:
        n = row["devices"]
        lines.append(
            f"| {n} | {row['processes']} | {1e3 * row['median']:.1f} | {row['images']:.1f} | "
            f"{row['images'] / rows[0]['images']:.2f} | {row['reduced'] / 1e6:.3f} | "
            f"{row['parameters'] / 1e6:.3f} | {2 * (n - 1) / n * row['reduced'] / 1e6:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures row after row, prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="small_unet")
    parser.add_argument("--size", default="96x192", help="height x width of the images")
    parser.add_argument("--batch", type=int, default=2, help="images of each domain a device")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=10.0, help="a row, in one process")
    parser.add_argument("--steps", type=int, default=30, help="a row, in several processes")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--coordinator", default="", help=argparse.SUPPRESS)
    parser.add_argument("--of", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--process", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options)))
        return
    rows = [run(options, devices, 1) for devices in options.devices]
    rows += [run(options, processes, processes) for processes in options.processes if processes > 1]
    import jax
    from harness import cpu_name

    print(
        f"{cpu_name()}, {len(os.sched_getaffinity(0))} cores, jax {jax.__version__}; "
        f"{options.network}, {options.batch} + {options.batch} images of {options.size} a device\n"
    )
    print(table(rows))


if __name__ == "__main__":
    main()
