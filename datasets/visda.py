"""VisDA-2017, classification: renderings of 3D models, images from MS COCO, and frames from YouTube."""

from __future__ import annotations

from typing import ClassVar

from okdbench.data import FolderDataset, Remote, read_table

SERVER = "http://csr.bu.edu/ftp/visda17/clf/"


class VisDA(FolderDataset):
    """280,157 images of 12 classes; real images are tested on those of the challenge."""

    title = "VisDA-2017: train (synthetic), validation (real), test (real)"
    licence = "non-commercial research and education only; no redistribution"
    citation = "Peng et al., VisDA: The Visual Domain Adaptation Challenge, 2017"
    # columns: class, then the number of images in each domain
    classes, counts = read_table(
        """
        aeroplane  14309  3646  5196
        bicycle     7365  3475  4272
        bus        16640  4690  6970
        car        12800 10401  7280
        horse       9512  4691  6331
        knife      14240  2075  5491
        motorcycle 17360  5796  8079
        person     12160  4000  7673
        plant      10731  4549  4287
        skateboard 11680  2281  2762
        train      16000  4236  7264
        truck       9600  5548  6767
        """,
        ("train", "validation", "test"),
    )
    domains: ClassVar = {"T": "train", "V": "validation"}
    settings = ("T-V",)
    official_tests: ClassVar = {"validation": "test"}
    # The challenge published the test images without class folders; their labels came later, in a list.
    lists: ClassVar = {"test": ("image_list.txt", "ground_truth.txt", "test_list.txt")}
    page = "https://github.com/VisionLearningGroup/taskcv-2017-public/tree/master/classification"
    remotes = (
        Remote("train.tar", (SERVER + "train.tar",), size=7_698_031_104, domains=("train",)),
        Remote("validation.tar", (SERVER + "validation.tar",), domains=("validation",)),
        Remote("test.tar", (SERVER + "test.tar",), domains=("test",)),
    )
