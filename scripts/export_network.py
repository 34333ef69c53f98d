"""Exports the network of a run as a file that needs nothing of this project.

    python scripts/export_network.py --workdir=RUN --out=network.stablehlo

The ending of the name is the format: .stablehlo (JAX reads it), .onnx, or .safetensors (PyTorch's
names). Beside it comes a JSON with classes, colours, shapes and versions. docs/how_to/export.md has
the lines that load them. Nothing is overwritten.
"""

import argparse
import re
import sys
from pathlib import Path

import cbda_jax


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line and exports."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", type=Path, required=True, help="of the run")
    parser.add_argument("--out", type=Path, required=True, help="a new file")
    parser.add_argument(
        "--size", type=_size, help="HEIGHTxWIDTH of the images that it takes; that of training"
    )
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), help="of its computation; that of the run"
    )
    options = parser.parse_args(arguments)
    try:
        run = cbda_jax.open_run(options.workdir)
        about = run.export(options.out, size=options.size, dtype=options.dtype)
    except cbda_jax.InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, explained in {about}")


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} found, expected HEIGHTxWIDTH, such as 640x1280")
    return int(found[1]), int(found[2])


if __name__ == "__main__":
    main()
