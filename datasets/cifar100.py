"""CIFAR-100 as it is published, with the sets that MosaicKD transfers from."""

from __future__ import annotations

from typing import ClassVar

from okdbench.data import ArrayFiles, FolderDataset, Remote, TeacherRecipe

DAFL = "huawei-noah/Efficient-Computing@8cb9a1e Data-Efficient-Model-Compression/DAFL/teacher-train.py"
SERVER = "https://www.cs.toronto.edu/~kriz/"
SVHN = "http://ufldl.stanford.edu/housenumbers/train_32x32.mat"
# the fine classes, in the order of their labels
CLASSES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)  # fmt: skip


class CIFAR100(FolderDataset):
    """50,000 photographs of a hundred classes for training, and 10,000 for the test, 32 x 32."""

    title = "CIFAR-100: photographs of 32 x 32 pixels"
    licence = "no statement is known; research use"
    citation = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"
    classes = CLASSES
    counts: ClassVar = {
        "cifar100": dict.fromkeys(CLASSES, 500),
        "cifar100_test": dict.fromkeys(CLASSES, 100),
        "cifar10": {"": 50_000},
        "svhn": {"": 73_257},
        "places365": {},
        "imagenet32": {},
        "own": {},
    }
    domains: ClassVar = {"C": "cifar100", "T": "cifar10", "S": "svhn", "P": "places365", "I": "imagenet32", "O": "own"}
    settings = ("C", "C@T", "C@S", "C@P")
    unlabelled = frozenset({"cifar10", "svhn", "places365", "imagenet32", "own"})
    official_tests: ClassVar = {"cifar100": "cifar100_test"}
    arrays: ClassVar = {
        "cifar100": ArrayFiles("cifar", ("train",)),
        "cifar100_test": ArrayFiles("cifar", ("test",)),
        "cifar10": ArrayFiles("cifar", tuple(f"data_batch_{number}" for number in range(1, 6))),
        "svhn": ArrayFiles("svhn", ("train_32x32.mat",)),
    }
    mean, std = (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)
    teacher_recipes: ClassVar = {
        "dafl": TeacherRecipe("sgd", 0.1, 5e-4, 128, 199, drops=(0.4, 0.6), source=f"{DAFL}:106-118"),
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
        "mosaickd": TeacherRecipe(
            "sgd",
            0.1,
            1e-4,
            256,
            200,
            cosine=True,
            source="zju-vipa/MosaicKD@a8d8e2c train_scratch.py",
            missing="the choice of the epoch on the test images",
        ),
    }
    teacher, student = "cifar_resnet34", "cifar_resnet18"
    page = "https://www.cs.toronto.edu/~kriz/cifar.html"
    # those of torchvision
    remotes = (
        Remote(
            "cifar-100-python.tar.gz",
            (f"{SERVER}cifar-100-python.tar.gz",),
            md5="eb9058c3a382ffc7106e4002c42a8d85",
            domains=("cifar100", "cifar100_test"),
        ),
        Remote(
            "cifar-10-python.tar.gz",
            (f"{SERVER}cifar-10-python.tar.gz",),
            md5="c58f30108f718f92721af3b95e74349a",
            domains=("cifar10",),
        ),
        Remote("train_32x32.mat", (SVHN,), md5="e26dedcc434d2e4c54c9b2d4a06d8373", domains=("svhn",)),
    )
