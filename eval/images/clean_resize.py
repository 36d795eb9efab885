"""Resizing as in clean-fid (Parmar et al. 2022, arXiv 2104.11222): Pillow's bicubic filter, per channel, in floats.

The filter is as wide as the reduction, so that downsizing does not alias, and no value is rounded to 8 bits on the way.
Values that the filter carries beyond black or white are cut off at 0 and 255.
"""

import numpy as np
import torch
from torch import Tensor


def clean_resized(images: Tensor, side: int) -> Tensor:
    """Return images uint8 [B, 3, H, W] of any size as float32 [B, 3, side, side], 0 to 255, on the same device.

    Pillow resizes on the CPU; the result equals Pillow's in mode "F" bit by bit.
    """
    from PIL import Image

    resized = np.empty((*images.shape[:2], side, side), np.float32)
    for planes, results in zip(images.cpu().numpy().astype(np.float32), resized, strict=True):
        for plane, result in zip(planes, results, strict=True):
            result[:] = np.asarray(Image.fromarray(plane).resize((side, side), Image.Resampling.BICUBIC))
    return torch.from_numpy(resized.clip(0, 255)).to(images.device)
