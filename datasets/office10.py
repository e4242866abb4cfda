"""Office-Caltech-10: the ten classes that Office-31 and Caltech-256 have in common."""

from __future__ import annotations

from typing import ClassVar

from okdbench.data import FolderDataset, read_table


class Office10(FolderDataset):
    """2,533 images of 10 classes; three of the domains can be taken from a copy of Office-31."""

    title = "Office-Caltech-10: amazon, caltech, dslr, webcam"
    licence = "no statement is known; research use"
    citation = "Gong et al., Geodesic Flow Kernel for Unsupervised Domain Adaptation, CVPR 2012"
    classes, counts = read_table(
        """
        back_pack         92  151   12   29
        bike              82  110   21   21
        calculator        94  100   12   31
        headphones        99  138   13   27
        keyboard         100   85   10   27
        laptop_computer  100  128   24   30
        monitor           99  133   22   43
        mouse            100   94   12   30
        mug               94   87    8   27
        projector         98   97   23   30
        """,
        ("amazon", "caltech", "dslr", "webcam"),
    )
    domains: ClassVar = {"A": "amazon", "C": "caltech", "D": "dslr", "W": "webcam"}
    settings = ("AW-D", "AD-W", "DW-A")
    is_subset = True  # the folders of Office-31 have 21 other classes
    # Caltech-256 has other names for the classes.
    spellings: ClassVar = {
        "caltech": ("caltech10", "caltech256", "256_ObjectCategories"),
        "bike": ("touring-bike",),
        "headphones": ("head-phones",),
        "keyboard": ("computer-keyboard",),
        "laptop_computer": ("laptop", "laptop-101"),
        "monitor": ("computer-monitor",),
        "mouse": ("computer-mouse",),
        "mug": ("coffee-mug",),
        "projector": ("video-projector",),
    }
    page = "https://faculty.cc.gatech.edu/~judy/domainadapt/"
