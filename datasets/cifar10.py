"""CIFAR-10 as it is published, with other small photographs to transfer from."""

from __future__ import annotations

from typing import ClassVar

from okdbench.data import ArrayFiles, FolderDataset, Remote, TeacherRecipe

DAFL = "huawei-noah/Efficient-Computing@8cb9a1e Data-Efficient-Model-Compression/DAFL/teacher-train.py"
SERVER = "https://www.cs.toronto.edu/~kriz/"
SVHN = "http://ufldl.stanford.edu/housenumbers/train_32x32.mat"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class CIFAR10(FolderDataset):
    """50,000 photographs of ten classes for training, and 10,000 for the test, 32 x 32."""

    title = "CIFAR-10: photographs of 32 x 32 pixels"
    licence = "no statement is known; research use"
    citation = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"
    classes = CLASSES
    counts: ClassVar = {
        "cifar10": dict.fromkeys(CLASSES, 5000),
        "cifar10_test": dict.fromkeys(CLASSES, 1000),
        "cifar100": {"": 50_000},
        "svhn": {"": 73_257},
        "places365": {},
        "own": {},
    }
    domains: ClassVar = {"C": "cifar10", "H": "cifar100", "S": "svhn", "P": "places365", "O": "own"}
    settings = ("C", "C@H", "C@S", "C@P")
    unlabelled = frozenset({"cifar100", "svhn", "places365", "own"})
    official_tests: ClassVar = {"cifar10": "cifar10_test"}
    arrays: ClassVar = {
        "cifar10": ArrayFiles("cifar", tuple(f"data_batch_{number}" for number in range(1, 6))),
        "cifar10_test": ArrayFiles("cifar", ("test_batch",)),
        "cifar100": ArrayFiles("cifar", ("train",)),
        "svhn": ArrayFiles("svhn", ("train_32x32.mat",)),
    }
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    teacher_recipes: ClassVar = {
        "dafl": TeacherRecipe("sgd", 0.1, 5e-4, 128, 199, drops=(0.4, 0.6), source=f"{DAFL}:80, :109-118"),
        "cmi": TeacherRecipe(
            "sgd",
            0.1,
            1e-4,
            256,
            200,
            drops=(0.6, 0.75, 0.9),
            source="zju-vipa/CMI@3f791f9 train_scratch.py",
            missing="the choice of the epoch on the test images, and the weights that CMI, Fast and MosaicKD share",
        ),
        "dfad": TeacherRecipe(
            "sgd",
            0.1,
            5e-4,
            128,
            200,
            source="VainF/Data-Free-Adversarial-Distillation@9828a84 README.md; train_teacher.py",
            missing="the choice of the epoch on the test images; its README names a step size, and no scheduler",
        ),
    }
    teacher, student = "cifar_resnet34", "cifar_resnet18"
    page = "https://www.cs.toronto.edu/~kriz/cifar.html"
    # those of torchvision
    remotes = (
        Remote(
            "cifar-10-python.tar.gz",
            (f"{SERVER}cifar-10-python.tar.gz",),
            md5="c58f30108f718f92721af3b95e74349a",
            domains=("cifar10", "cifar10_test"),
        ),
        Remote(
            "cifar-100-python.tar.gz",
            (f"{SERVER}cifar-100-python.tar.gz",),
            md5="eb9058c3a382ffc7106e4002c42a8d85",
            domains=("cifar100",),
        ),
        Remote("train_32x32.mat", (SVHN,), md5="e26dedcc434d2e4c54c9b2d4a06d8373", domains=("svhn",)),
    )
