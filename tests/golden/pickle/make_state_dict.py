"""Writes state_dict.pth: every kind of tensor that the pickle reader knows. torch 2.15.0."""

from collections import OrderedDict
from pathlib import Path

import torch

plain = torch.arange(6, dtype=torch.float32).reshape(2, 3)
state = OrderedDict(
    plain=plain,
    transposed=plain.clone().t(),
    half=torch.tensor([0.5, -0.25], dtype=torch.float16),
    slice=plain[:, 1],  # shares the storage of `plain`, at an offset and with a stride
    count=torch.tensor(7),
)
state._metadata = OrderedDict({"": {"version": 1}})
torch.save(state, Path(__file__).with_name("state_dict.pth"), _use_new_zipfile_serialization=False)
