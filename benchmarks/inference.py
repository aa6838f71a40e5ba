"""Frames per second of super-resolution, compared with plain PyTorch and other runtimes, in one run.

    python benchmarks/inference.py --json inference.json                      # 480x270 to 1920x1080, untrained
    python benchmarks/inference.py --networks msrresnet compact --checkpoint compact=realesr-animevideov3.pth
    python benchmarks/inference.py --networks msrresnet compact esc_small unet flow --no-peers --no-int8

`plain` is the usual forward pass of the network in eager float32: NCHW tensors on the device, TF32 allowed on a GPU.
`sr` is what `sr upscale` does for a frame, from uint8 input pixels to uint8 output pixels. On a GPU both end with the
pixels in main memory, `sr` is measured in fp16, plain and compiled, and images are processed in batches (--batch). For
RRDBNet and Compact, spandrel's networks with the same weights are also measured. ONNX Runtime and OpenVINO, if
installed, run the ONNX file of `sr export`, ncnn its `.param`, with ncnn's default options. With nncf, `sr int8` has
all convolutions in int8, where the network can be had in int8. All runs of all networks are interleaved and their
medians compared, also with MSRResNet's in the same way, if that is among them. The difference to `plain` is that of the
unrounded output (for `sr`, of the 8-bit output), over a photograph. `sr bf16` and `sr int8` are left out where the CPU
doesn't compute in them. With --one-core, the processor seconds of one core are measured, which depend less on other
programs.

`flow` takes one Euler step, behind an MSRResNet. `flow step` is that step alone, in eager float32; `flow U-Net` is the
forward pass of its U-Net.
"""

import argparse
import contextlib
import copy
import importlib.util
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.data.image_files import read_image
from sr_experiments.data.sample import VALIDATION, sample_paths
from sr_experiments.errors import SRError
from sr_experiments.export.ncnn import write_ncnn
from sr_experiments.export.ncnn_runtime import IMAGE_IN, IMAGE_OUT
from sr_experiments.export.programs import write_onnx
from sr_experiments.export.runnable import Runnable
from sr_experiments.generators import GENERATORS
from sr_experiments.generators.flow import Flow, euler
from sr_experiments.inference.device import computes_in_bf16, computes_in_int8
from sr_experiments.inference.engine import Engine

ESC_SMALL = yaml.safe_load(Path(__file__).parents[1].joinpath("conf/model/esc_small.yaml").read_text())
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "srresnet": ("srresnet", {}),
    "msrresnet": ("msrresnet", {}),
    "rrdbnet": ("rrdbnet", {}),
    "compact": ("compact", {}),
    "esc": ("esc", {}),
    "esc_small": ("esc", {key: value for key, value in ESC_SMALL.items() if key != "name"}),
    "unet": ("unet", {}),
    "flow": ("flow", {"mse": {"name": "msrresnet"}, "steps": 1}),
    "frvsr": ("frvsr", {}),
    "basicvsr_uni": ("basicvsr_uni", {"flow": "lucas_kanade"}),
    "frvsr_rrdb": ("frvsr", {"srnet": {"name": "rrdbnet"}}),
}
WANTED = {"cpu": {"msrresnet": 4.0, "rrdbnet": 3.5, "frvsr": 3.0}}  # times plain
WANTED_OF_MSRRESNET = {"compact": 4.0, "esc_small": 1.0}  # times its frames a second
WANTED_STEP = 2.0  # times the time of the U-Net's forward pass, at most
WANTED_FPS = {"srresnet": 700, "rrdbnet": 85, "frvsr": 600, "frvsr_rrdb": 75}  # on an H200
Run = Callable[[], np.ndarray]  # gives (H, W, 3): uint8, or float in [0, 1]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["msrresnet", "rrdbnet", "frvsr"])
    parser.add_argument("--checkpoint", nargs="+", default=[], metavar="NAME=FILE", help="weights of networks")
    parser.add_argument("--size", default="480x270", help="size of the LR frames")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1, help="images per call of sr; seconds are per image")
    parser.add_argument("--one-core", action="store_true", help="processor seconds of one core; on Linux")
    parser.add_argument("--no-peers", action="store_true", help="only plain and sr")
    parser.add_argument("--no-int8", action="store_true", help="without sr int8")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    arguments = parser.parse_args()
    if arguments.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        torch.set_num_threads(1)
    checkpoints = {name: Path(file) for name, _, file in (one.partition("=") for one in arguments.checkpoint)}
    width, height = map(int, arguments.size.split("x"))
    frames = photograph(height, width)
    device = torch.device(arguments.device if arguments.device != "auto" else _default_device())
    figures: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads of torch",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "size": arguments.size,
        "networks": {},
    }
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        runs: dict[str, dict[str, Run]] = {}
        for name in arguments.networks:
            torch.manual_seed(0)
            kind, options = NETWORKS[name]
            found = checkpoints.get(name)
            generator = load_generator(found)[0] if found else GENERATORS[kind](**options)
            runs[name] = ways(generator.eval(), frames, device, arguments, Path(folder) / f"{name}.onnx")
        outputs = {name: {way: _unit(run()) for way, run in of.items()} for name, of in runs.items()}
        flat = {f"{name}/{way}": run for name, of in runs.items() for way, run in of.items()}
        times = alternating(flat, arguments.repeats, time.process_time if arguments.one_core else time.perf_counter)
    for name, of in runs.items():
        batch = 1 if name.startswith(("frvsr", "basicvsr")) else arguments.batch
        seconds = {
            way: [s / batch if way.startswith("sr") else s for s in times[f"{name}/{way}"]] for way in of
        }  # fmt: skip
        figures["networks"][name] = compared(outputs[name], seconds)
    for name, found in figures["networks"].items():
        report(name, found, figures["networks"].get("msrresnet", {}), device)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def ways(
    generator: nn.Module, frames: list[np.ndarray], device: torch.device, arguments: argparse.Namespace, file: Path
) -> dict[str, Run]:
    """All ways to enlarge a frame with one network."""
    runs = {"plain": plain(generator, frames, device)}
    if isinstance(generator, Flow):
        runs |= parts_of_flow(generator, frames, device)
    if not arguments.no_peers:
        runs |= peers(generator, frames, device, file)
    ours = [("fp16", "torch"), ("fp16", "compile")]
    if device.type == "cpu":
        ours = [(precision, "auto") for precision in precisions_of_cpu()]
    if device.type == "cpu" and not arguments.no_int8 and computes_in_int8() and importlib.util.find_spec("nncf"):
        try:
            runs["sr int8"] = int8(generator, frames)
        except SRError as error:
            print(f"no int8: {error}")  # noqa: T201
    batch = 1 if hasattr(generator, "step") else arguments.batch
    for precision, runtime in ours:
        name = f"sr {precision}" + (" compiled" if runtime == "compile" else "")
        runs[name] = engine(generator, frames, device, precision, runtime, batch)
    return runs


def precisions_of_cpu() -> list[str]:
    """Of fp32 and bf16, those that the CPU computes in."""
    return ["fp32", "bf16"] if computes_in_bf16() else ["fp32"]


def compared(outputs: dict[str, np.ndarray], times: dict[str, list[float]]) -> dict[str, Any]:
    """Seconds of a frame, and differences to the plain forward pass, of each way."""
    expected = outputs["plain"]
    return {
        way: {
            "seconds": statistics.median(values),
            "all": values,
            "times_plain": statistics.median(times["plain"]) / statistics.median(values),
            "largest_difference": float(np.abs(outputs[way] - expected).max()),
            "psnr_to_plain": _psnr(outputs[way], expected),
        }
        for way, values in times.items()
    }


def plain(generator: nn.Module, frames: list[np.ndarray], device: torch.device) -> Run:
    """The network's forward pass in eager float32; of a recurrent one, of its second frame."""
    network = generator.to(device)
    first, second = (_tensor(frame).to(device) for frame in frames)
    if not hasattr(network, "step"):
        return lambda: _array(network(second))
    state = network.step(first, None)[1]  # type: ignore[operator]
    return lambda: _array(network.step(second, state)[0])  # type: ignore[operator]


def parts_of_flow(flow: Flow, frames: list[np.ndarray], device: torch.device) -> dict[str, Run]:
    """One Euler step of a flow, and the forward pass of its U-Net in that step."""
    start = flow.start(_tensor(frames[1]).to(device), 0, 0)
    velocity = flow.velocity
    folded, time_of_step = pixel_unshuffle(start, velocity.patch), torch.zeros(1, device=device)

    def unet() -> np.ndarray:
        return _array(pixel_shuffle(velocity.network(folded, time_of_step), velocity.patch))

    return {"flow step": lambda: _array(euler(flow.velocity_at, start, 1)), "flow U-Net": unet}


def engine(
    generator: nn.Module, frames: list[np.ndarray], device: torch.device, precision: str, runtime: str, batch: int
) -> Run:
    """What `sr upscale` does."""
    made = Engine(copy.deepcopy(generator).cpu(), str(device), precision, runtime=runtime)
    return one_frame(made, frames, batch)


def int8(generator: nn.Module, frames: list[np.ndarray]) -> Run:
    """What `sr upscale --precision int8` does, all convolutions in int8 whatever that costs."""
    from sr_experiments.checkpoints.reading import Checkpoint
    from sr_experiments.quantization.network import with_quantised_weights
    from sr_experiments.quantization.pictures import find_pictures
    from sr_experiments.quantization.quantize import calibrated_with, refuse_unsuited

    whole = copy.deepcopy(generator).cpu().requires_grad_(False)
    refuse_unsuited(whole, Checkpoint({}, None, "it"))
    equal, calibrated = calibrated_with(whole, find_pictures(whole, 16))
    layers = {name: found.layer for name, found in calibrated.items()}
    return one_frame(Engine(with_quantised_weights(equal, calibrated), "cpu", "int8", int8=layers), frames, 1)


def one_frame(made: Engine, frames: list[np.ndarray], batch: int) -> Run:
    """The enlargement of the second frame by an engine."""
    if not made.recurrent:
        return lambda: made.upscale_batch([frames[1]] * batch)[0]
    made.next_frame(frames[0])
    state = made.state

    def run() -> np.ndarray:
        made.state = state
        return made.next_frame(frames[1])

    return run


def peers(generator: nn.Module, frames: list[np.ndarray], device: torch.device, file: Path) -> dict[str, Run]:
    """Other programs with the same network, as far as they are installed and know it."""
    lr, found = _tensor(frames[1]), {}
    if hasattr(generator, "step") or isinstance(generator, Flow):
        return {}
    if importlib.util.find_spec("spandrel") and type(generator).__name__ in ("RRDBNet", "Compact"):
        from spandrel import ModelLoader

        other = ModelLoader(device).load_from_state_dict(dict(generator.state_dict())).model.eval()
        on_device = lr.to(device)
        found["spandrel"] = lambda: _array(other(on_device))
    if device.type != "cpu":
        return found
    write_onnx(file, Runnable(generator))
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime

        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        found["onnxruntime fp32"] = lambda: _chw(session.run(None, {"lr": lr.numpy()})[0])
    if importlib.util.find_spec("ncnn") and importlib.util.find_spec("pnnx"):
        with contextlib.suppress(RuntimeError):  # a network that it can't do
            write_ncnn(file.with_suffix(".param"), Runnable(generator))
            found["ncnn"] = in_ncnn(file.with_suffix(".param"), lr)
    if importlib.util.find_spec("openvino"):
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # would report its use
        import openvino

        core = openvino.Core()
        model = core.read_model(file)
        for precision in precisions_of_cpu():
            hint = {"fp32": "f32", "bf16": "bf16"}[precision]
            compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})
            found[f"openvino {precision}"] = lambda compiled=compiled: _chw(compiled(lr.numpy())[0])
    return found


def in_ncnn(param: Path, lr: Tensor) -> Run:
    """The network in ncnn, on the CPU."""
    import ncnn

    network = ncnn.Net()
    network.opt.num_threads = torch.get_num_threads()
    if network.load_param(str(param)) or network.load_model(str(param.with_suffix(".bin"))):
        raise RuntimeError("ncnn can't load it")
    image = lr[0].numpy()

    def run() -> np.ndarray:
        with network.create_extractor() as extractor:
            extractor.input(IMAGE_IN, ncnn.Mat(image).clone())
            return _chw(np.array(extractor.extract(IMAGE_OUT)[1])[None])

    run()  # a network that it can't run ends the process here, not in the middle of the measurement
    return run


def alternating(
    runs: dict[str, Run], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each, in turn, so that another program's load falls on all."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = clock()
            run()
            times[name].append(clock() - start)
    return times


def photograph(height: int, width: int) -> list[np.ndarray]:
    """Two frames (height, width, 3) of a photograph, the second moved by two pixels."""
    image = read_image(sample_paths(VALIDATION)[0])
    side = max((height + 2) / image.shape[0], (width + 2) / image.shape[1])
    large = cv2.resize(image, None, fx=side, fy=side, interpolation=cv2.INTER_AREA if side < 1 else cv2.INTER_CUBIC)
    return [np.ascontiguousarray(large[i : i + height, i : i + width]) for i in (0, 2)]


def report(name: str, figures: dict[str, Any], of_msrresnet: dict[str, Any], device: torch.device) -> None:
    """Print one network's table."""
    wanted = WANTED.get(device.type, {}).get(name)
    print(name, f"(wanted: {wanted} times plain)" if wanted else "")  # noqa: T201
    if device.type == "cuda" and name in WANTED_FPS:
        print(f"  wanted on an H200, for images in batches: {WANTED_FPS[name]} frames a second")  # noqa: T201
    for way, of in figures.items():
        speed = f"{of['seconds'] * 1e3:9.1f} ms {1 / of['seconds']:8.2f} frames/s {of['times_plain']:6.2f} x plain"
        largest = of["largest_difference"] * 255
        print(f"  {way:18}{speed}   differs by {of['psnr_to_plain']:.1f} dB, at most {largest:.2f} of 255")  # noqa: T201
    if name != "msrresnet" and of_msrresnet:
        shared = [way for way in figures if way in of_msrresnet and not way.startswith("openvino")]
        ratios = ", ".join(f"{way} {of_msrresnet[way]['seconds'] / figures[way]['seconds']:.2f}" for way in shared)
        least = WANTED_OF_MSRRESNET.get(name)
        print(f"  times MSRResNet's frames a second: {ratios}{f' (wanted: {least})' if least else ''}")  # noqa: T201
    if "flow step" in figures:
        ratio = figures["flow step"]["seconds"] / figures["flow U-Net"]["seconds"]
        print(f"  a step takes {ratio:.2f} times its U-Net's forward pass (wanted: at most {WANTED_STEP})")  # noqa: T201


def _default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _psnr(found: np.ndarray, expected: np.ndarray) -> float:
    return float(-10 * np.log10(max(np.square(found - expected, dtype=np.float64).mean(), 1e-20)))


def _tensor(frame: np.ndarray) -> Tensor:
    return torch.from_numpy(frame).permute(2, 0, 1)[None].float().div(255).contiguous()


def _array(sr: Tensor) -> np.ndarray:
    if sr.is_cuda:
        sr = sr.clamp(0, 1).mul(255).round().byte()
    return sr[0].permute(1, 2, 0).cpu().numpy()


def _unit(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / 255 if pixels.dtype == np.uint8 else pixels.clip(0, 1)


def _chw(sr: np.ndarray) -> np.ndarray:
    return sr[0].transpose(1, 2, 0)


if __name__ == "__main__":
    main()
