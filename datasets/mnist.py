"""MNIST as it is published, with other digits and with pieces of clothing to transfer from."""

from __future__ import annotations

from typing import ClassVar

from okdbench.data import ArrayFiles, FolderDataset, Remote, TeacherRecipe, read_table

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
FASHION = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
SVHN = "http://ufldl.stanford.edu/housenumbers/"
USPS = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/"
DAFL = "huawei-noah/Efficient-Computing@8cb9a1e Data-Efficient-Model-Compression/DAFL/teacher-train.py"
#: other sets in files of the same names
OTHERS = ("kmnist", "emnist", "qmnist")
TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _idx(names: tuple[str, str], mirrors: tuple[str, ...], md5: tuple[str, str], domain: str) -> tuple[Remote, ...]:
    return tuple(
        Remote(f"{name}.gz", tuple(f"{mirror}{name}.gz" for mirror in mirrors), md5=known, domains=(domain,))
        for name, known in zip(names, md5, strict=True)
    )


def _file(server: str, name: str, md5: str, domain: str) -> Remote:
    return Remote(name, (server + name,), md5=md5, domains=(domain,))


class MNIST(FolderDataset):
    """60,000 grey images of ten digits for training, and 10,000 for the test."""

    title = "MNIST: handwritten digits"
    licence = "CC BY-SA 3.0"
    citation = "LeCun et al., Gradient-based learning applied to document recognition, Proc. IEEE 1998"
    # columns: class, then the number of images in each domain
    classes, _labelled = read_table(
        """
        0  5923   980  4948  1744  1194  359
        1  6742  1135 13861  5099  1005  264
        2  5958  1032 10585  4149   731  198
        3  6131  1010  8497  2882   658  166
        4  5842   982  7458  2523   652  200
        5  5421   892  6882  2384   556  160
        6  5918   958  5727  1977   664  170
        7  6265  1028  5595  2019   645  147
        8  5851   974  5045  1660   542  166
        9  5949  1009  4659  1595   644  177
        """,
        ("mnist", "mnist_test", "svhn", "svhn_test", "usps", "usps_test"),
    )
    counts: ClassVar = {**_labelled, "fashionmnist": {"": 60_000}, "own": {}}
    domains: ClassVar = {"M": "mnist", "S": "svhn", "U": "usps", "F": "fashionmnist", "O": "own"}
    settings = ("M", "M@U", "M@S", "M@F", "M-U", "M-S")
    unlabelled = frozenset({"fashionmnist", "own"})
    official_tests: ClassVar = {"mnist": "mnist_test", "svhn": "svhn_test", "usps": "usps_test"}
    arrays: ClassVar = {
        "mnist": ArrayFiles("idx", TRAIN, ("fashionmnist", *OTHERS)),
        "mnist_test": ArrayFiles("idx", TEST, ("fashionmnist", *OTHERS)),
        "fashionmnist": ArrayFiles("idx", TRAIN, ("mnist", *OTHERS)),
        "svhn": ArrayFiles("svhn", ("train_32x32.mat",)),
        "svhn_test": ArrayFiles("svhn", ("test_32x32.mat",)),
        "usps": ArrayFiles("usps", ("usps",)),
        "usps_test": ArrayFiles("usps", ("usps.t",)),
    }
    channels = 1
    # of the training images, as all sources have them
    mean, std = (0.1307,), (0.3081,)
    augmentation = ("shift",)
    teacher_augmentation = ()
    # Both enlarge the images from 28 to 32 pixels, and change them in no other way.
    teacher_recipes: ClassVar = {
        "dfad": TeacherRecipe(
            "sgd",
            0.01,
            1e-4,
            256,
            10,
            source="VainF/Data-Free-Adversarial-Distillation@b967331 run_mnist.sh:2",
            missing="the choice of the epoch on the test images",
        ),
        "dafl": TeacherRecipe("adam", 1e-3, 0.0, 256, 9, source=f"{DAFL}:48, :53, :171"),
    }
    teacher, student = "lenet5", "lenet5_half"
    page = "https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.MNIST.html"
    # those of torchvision
    remotes = (
        *_idx(TRAIN, MIRRORS, ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432"), "mnist"),
        *_idx(TEST, MIRRORS, ("9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"), "mnist_test"),
        *_idx(TRAIN, FASHION, ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe"), "fashionmnist"),
        _file(SVHN, "train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", "svhn"),
        _file(SVHN, "test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", "svhn_test"),
        _file(USPS, "usps.bz2", "ec16c51db3855ca6c91edd34d0e9b197", "usps"),
        _file(USPS, "usps.t.bz2", "8ea070ee2aca1ac39742fdd1ef5ed118", "usps_test"),
    )
