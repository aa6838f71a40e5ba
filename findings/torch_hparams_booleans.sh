#!/usr/bin/env bash
# TensorBoard's HPARAMS tab gets true as the number 1, and what is None not at all.
#
# One would expect: SummaryWriter.add_hparams, whose documentation says that each value can be `bool`, `string`, `float`,
#   `int` or `None`, writes a boolean as TensorBoard's own type for it (DATA_TYPE_BOOL, bool_value).
# What happens: it is written as DATA_TYPE_FLOAT64 and 1.0 or 0.0, for a bool is an int to Python and numbers are asked for
#   first; the code for booleans further down is never reached. Lightning's TensorBoardLogger.log_hyperparams writes with
#   the same function. None is left out without a word: that a run had no gradient clipping can't be told from a run that
#   was logged before there was such a setting (Lightning makes it the text "None").
# Why it matters: the tab is where runs of a sweep are told apart; what is chosen with boxes there is given a slider.
# Instead: give texts, "true" and "null", as json.dumps makes them.
# Versions: torch 2.15.0, tensorboard 2.21.0, pytorch-lightning 2.6.6, Python 3.11, x86-64 CPU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" torch==2.15.0 tensorboard==2.21.0 pytorch-lightning==2.6.6 numpy==2.4.6 \
    setuptools==80.9.0
cd "$work"
venv/bin/python - <<'PY' 2>/dev/null
import sys

import pytorch_lightning
import tensorboard
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter

print("torch", torch.__version__, "tensorboard", tensorboard.__version__, "lightning", pytorch_lightning.__version__)
settings = {"ema": True, "compile": False, "learning_rate": 2e-4, "loss": "l1", "clip_norm": None, "text": "true"}


def stored(folder):
    """What TensorBoard reads: the values of the run, and the types of the columns."""
    events = EventAccumulator(folder).Reload()
    part = lambda tag: HParamsPluginData.FromString(events.SummaryMetadata(tag).plugin_data.content)
    values = dict(part("_hparams_/session_start_info").session_start_info.hparams)
    columns = part("_hparams_/experiment").experiment.hparam_infos
    return values, {column.name: api_pb2.DataType.Name(column.type) for column in columns}


with SummaryWriter("by_torch") as writer:
    writer.add_hparams(settings, {"psnr": 30.0}, run_name=".")
logger = TensorBoardLogger(".", name="by_lightning", version="")
logger.log_hyperparams(settings, {"psnr": 30.0})
logger.finalize("success")
found = {}
for by in ("by_torch", "by_lightning"):
    values, types = stored(by)
    print(by)
    for key, given in settings.items():
        kind = values[key].WhichOneof("kind") if key in values else "nothing"
        value = getattr(values[key], kind) if key in values else ""
        print(f"  {key:14} given {given!r:8} stored as {kind} {value!r:8} {types.get(key, '')}")
        found[by, key] = kind
as_found = all(found[by, key] == "number_value" for by in ("by_torch", "by_lightning") for key in ("ema", "compile"))
as_found &= found["by_torch", "clip_norm"] == "nothing"
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
