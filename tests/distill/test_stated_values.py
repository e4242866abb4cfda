"""Whatever stands under the names that are read, reading it raises nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from okdbench.distill.networks.class_names import class_names_in, listings_in
from okdbench.distill.networks.inert_pickle import Inert, InertArray
from okdbench.distill.networks.plain_values import UNREAD
from okdbench.distill.networks.stated_values import stated_in
from okdbench.distill.networks.timm_options import architecture_in, options_in
from okdbench.distill.networks.transforms import of_transforms
from okdbench.distill.networks.unread_entries import unread_entries

#: what the readers look for, and names of their transforms
NAMES = [UNREAD, *re.findall(r"\w+", """
    mean std variance image_mean image_std a_mean a_std stats norm image_size input size crop_size height width
    val_resize_size crop_mode crop_pct resize value_range channel_order interpolation resample do_resize do_rescale
    do_normalize do_center_crop rescale_factor rescale_offset to_rgb arch model model_args model_kwargs global_pool gp
    bn_eps classes labels vocab names label_map scale type
    input_range rescale offset preprocessing normalize color_space per_image_standardization normalization
    imagenet_default_mean_and_std normalize_images pixel_range
    preprocess shift subtract eval_crop_ratio test_crop image_processor_type feature_extractor_type include_top
    class_to_idx id2label transforms p num_output_channels max_pixel_value __class_fullname__
""")]  # fmt: skip
ODD = [
    None, "", "x", "[", "1e400", -1, 0, float("nan"), float("inf"), True, b"x", [], [[1], [1]], [[1, 2, 3], ["x"]], {},
    {"height": {}, "width": []}, {1: {2: 3}}, {"x": Inert}, torch.zeros(0), torch.ones(3, 3), torch.eye(2).to_sparse(),
    Inert(), Inert, InertArray(), {1, 2}, ((None,), None), [{}], object(),
]  # fmt: skip


@pytest.mark.parametrize("value", ODD, ids=lambda value: str(value)[:20])
def test_values_of_any_kind_are_read_or_named(value: Any) -> None:
    entries = [dict.fromkeys(NAMES, value), *({name: value} for name in NAMES)]
    entries += [{"do_resize": True, "size": 32, "image_mean": 0.5, "image_std": 0.5, name: value} for name in NAMES]
    for entry in entries:
        stated_in(entry)
        list(unread_entries(entry))
        of_transforms({"transforms": [entry, value]})
    of_transforms({"transforms": value})
    class_names_in(entries)
    listings_in(entries)
    architecture_in(entries)
    options_in(entries)
