"""PACS: photographs, art paintings, cartoons and sketches."""

from __future__ import annotations

from typing import ClassVar

from okdbench.data import FolderDataset, Remote, read_table


class PACS(FolderDataset):
    """9,991 images of 7 classes."""

    title = "PACS: art_painting, cartoon, photo, sketch"
    licence = "no statement is known; research use"
    citation = "Li et al., Deeper, Broader and Artier Domain Generalization, ICCV 2017"
    # columns: class, then the number of images in each domain
    classes, counts = read_table(
        """
        dog       379  389  189  772
        elephant  255  457  202  740
        giraffe   285  346  182  753
        guitar    184  135  186  608
        horse     201  324  199  816
        house     295  288  280   80
        person    449  405  432  160
        """,
        ("art_painting", "cartoon", "photo", "sketch"),
    )
    domains: ClassVar = {"A": "art_painting", "C": "cartoon", "P": "photo", "S": "sketch"}
    settings = ("ACP-S", "ACS-P", "APS-C", "CPS-A")
    spellings: ClassVar = {"art_painting": ("art",)}
    page = "https://sketchx.eecs.qmul.ac.uk/downloads/"
    remotes = (
        Remote(
            "PACS.zip",
            ("https://wjdcloud.blob.core.windows.net/dataset/PACS.zip", "gdrive:1JFr8f805nMUelQWWmfnJR3y4_SYoN5Pd"),
        ),
    )
